"""Commands that make things: demo, bundle, and its stages one by one."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wheelferry.cli.options import (
    Asset,
    Jobs,
    Json,
    Making,
    Python,
    Quiet,
    References,
    Requirements,
    Runtime,
    TargetChoice,
    Trying,
    Verbose,
    with_groups,
)
from wheelferry.errors import InputError

if TYPE_CHECKING:  # for their names alone
    from wheelferry.build.cells import Outcome
    from wheelferry.build.compile import Built
    from wheelferry.cache.tools import Tools
    from wheelferry.catalog import LocatedRecipe
    from wheelferry.models.planning.plan import Plan
    from wheelferry.models.report import Level as ReportLevel

Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder to write; an earlier result there is replaced.")
]


DEFAULT_TRYING = Trying()
DEMO_TORCH = "2.13.0"
# What this very command said of its steps; ci/bench/demo.py measures it beside pip and uv.
DEMO_TAKES = """\
The whole job on a small project: fetch, build, lock, populate, pack, verify. What follows took, on two cores
near a fast index on 2026-11-27, 70 seconds: 5 s to resolve and download, 2 s to make the build
environment, 18 s to compile, 4 s to read every byte, 15 s to install without a network, 11 s for the checks,
13 s to train. A rough expectation: a slow network or an old machine takes several times as long."""


class LevelName(StrEnum):
    """How far to verify; each level includes the ones before."""

    static = "static"
    install = "install"
    smoke = "smoke"
    train = "train"


Level = Annotated[
    LevelName, typer.Option("--level", help="How far to verify; each level includes the ones before.")
]


DemoTorch = Annotated[
    list[str] | None,
    typer.Option(
        "--torch",
        metavar="VERSION",
        help=f"torch to build against and ship; repeatable. Default: {DEMO_TORCH}, which our own tests use.",
    ),
]


def demo(
    out: Out = Path("wheelferry-demo"),
    python: Python = None,
    torch: DemoTorch = None,
    level: Level = LevelName.train,
    jobs: Jobs = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Do the whole job with a small sample project.

    The project comes with wheelferry. This compiles its small detector with C++ ops against torch, locks
    and packs it, installs the bundle without a network, and trains it for some seconds. It needs a C++
    compiler and a package index, no git host.
    """
    from wheelferry.cli.session import watcher

    watcher(quiet=quiet).note(DEMO_TAKES)
    make_bundle(
        ["sample@1.0"],
        out,
        TargetChoice(python=python, torch=torch or [DEMO_TORCH]),
        Requirements(),
        Making(jobs=jobs, verbose=verbose, quiet=quiet),
        level=level,
        json=json,
    )


@with_groups
def bundle(
    references: References,
    out: Out,
    targets: TargetChoice,
    required: Requirements,
    making: Making,
    runtime: Runtime = None,
    asset: Asset = None,
    level: Level = LevelName.train,
    *,
    trying: Trying,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not verify the bundle.")] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="When some targets fail, pack the others. The exit code is that of the failure.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make a bundle and verify it: the main job.

    It fetches the source and compiles its wheels, resolves and locks everything that they require,
    downloads that, packs the folder, installs it without a network and runs the recipe's checks.
    Several projects share one lock, and the checks of each are run.

    Several --python, --platform, --torch or --backend make several targets in one bundle. Downloads
    and builds are kept in the cache, so a run that was interrupted continues where it stopped.
    """
    make_bundle(
        references,
        out,
        targets,
        required,
        making,
        runtime=runtime,
        asset=asset,
        level=None if no_verify else level,
        trying=trying,
        keep_going=keep_going,
        json=json,
    )


@with_groups
def pack(
    references: References,
    out: Out,
    targets: TargetChoice,
    required: Requirements,
    making: Making,
    runtime: Runtime = None,
    asset: Asset = None,
    json: Json = False,
) -> None:
    """Make the bundle without verifying it, as bundle --no-verify does."""
    make_bundle(
        references, out, targets, required, making, runtime=runtime, asset=asset, level=None, json=json
    )


def make_bundle(
    references: list[str],
    out: Path,
    targets: TargetChoice,
    required: Requirements,
    making: Making,
    *,
    runtime: Runtime = None,
    asset: Asset = None,
    level: LevelName | None,
    trying: Trying = DEFAULT_TRYING,
    keep_going: bool = False,
    json: bool,
) -> None:
    """The bundle command; without a `level` nothing is verified."""
    from wheelferry.cli.render.bundle import end_of_verification, show_bundle
    from wheelferry.cli.session import (
        command_line,
        open_build_tools,
        open_builder,
        plan_from_options,
        read_trying,
        require_all_files,
        warn_of_client,
    )
    from wheelferry.pipeline import bundle as run_bundle

    settings = read_trying(trying)
    if runtime and required.present:
        raise InputError(
            "a Python that the bundle brings (--runtime) sees nothing of what is present on the client",
            hint="leave out --runtime or --present",
        )
    located, chosen = plan_from_options(
        references, targets, required, assets=asset, has_runtime=bool(runtime), quiet=making.quiet
    )
    require_all_files(chosen, located)
    tools = open_build_tools(making)
    with open_builder(making, tools) as build_wheels:
        result = run_bundle(
            chosen,
            located,
            out,
            tools,
            sources=making.source or (),
            level=_level(level) if level else None,
            keep_going=keep_going,
            runtimes=runtime or (),
            wheels=making.wheel or (),
            command=command_line(),
            settings=settings,
            build=build_wheels,
        )
    show_bundle(result, as_json=json)
    if targets.profile is not None:
        warn_of_client(targets.profile, out, tools.progress)
    result.cells.raise_failures()
    if result.report is not None:
        end_of_verification(result.report)


@with_groups
def plan(
    references: References,
    targets: TargetChoice,
    required: Requirements,
    asset: Asset = None,
    json: Json = False,
) -> None:
    """Show what would be built for which target.

    Of several projects it says whether they go together.
    """
    from wheelferry.cli.render.plan import show_plan
    from wheelferry.cli.session import plan_from_options, require_all_files, warn_of_packages

    # whether a Python travels is decided when the bundle is packed
    located, chosen = plan_from_options(references, targets, required, assets=asset, has_runtime=True)
    require_all_files(chosen, located)
    show_plan(chosen, as_json=json)
    warn_of_packages(chosen)


AllTargets = Annotated[
    bool,
    typer.Option(
        "--all-targets",
        help="Build the wheels that serve many targets at once, those on torch's stable ABI, one for each "
        "platform that can be compiled for here, and say what each serves. --platform narrows it; with "
        "--backend cu130 --stable-abi it is the one with CUDA ops, for this machine's platform.",
    ),
]


@with_groups
def build(
    references: References,
    targets: TargetChoice,
    making: Making,
    all_targets: AllTargets = False,
    out: Out = Path("wheelhouse"),
    json: Json = False,
) -> None:
    """Build only the projects' own wheels, into a folder.

    The wheel of one target
      wheelferry build detectron2@v0.6 --python 3.12 --torch 2.13.0
    The few wheels that serve all targets with torch 2.10 or later
      wheelferry build detectron2@v0.6 --all-targets
    """
    from wheelferry.build.cells import Outcome
    from wheelferry.cli.all_targets import shared_from_options
    from wheelferry.cli.render.bundle import show_wheels
    from wheelferry.cli.session import open_build_tools, plan_from_options
    from wheelferry.system.files import check_folder

    check_folder(out, option="--out")
    tools = open_build_tools(making)
    serves: dict[str, str] = {}
    made: list[Outcome[Built]] = []
    if all_targets:
        for shared, located, chosen in shared_from_options(references, targets, tools, quiet=making.quiet):
            made.append(_build_wheels(located, chosen, making, tools))
            serves |= {wheel.wheel.filename: shared.description for wheel in made[-1].done}
    else:
        located, chosen = plan_from_options(references, targets, has_runtime=True, quiet=making.quiet)
        made.append(_build_wheels(located, chosen, making, tools))
    built = Outcome.together(made)
    if not built.done:
        built.raise_failures()
    entries = [one.wheel for one in built.done]
    out.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        (out / entry.filename).unlink(missing_ok=True)
        tools.store.place(entry.sha256, out / entry.filename)
    show_wheels(out, entries, serves=serves, as_json=json)
    built.raise_failures()


def _build_wheels(located: "LocatedRecipe", plan: "Plan", making: Making, tools: "Tools") -> "Outcome[Built]":
    from wheelferry.build.cells import Outcome, build_cells
    from wheelferry.build.projects import choose_project_strategies, fetch_projects
    from wheelferry.cli.session import open_builder

    strategies = choose_project_strategies(plan, located, making.wheel or (), making.source or ())
    with open_builder(making, tools, ahead=False) as build_wheels:
        return Outcome.together(
            build_cells(one.plan, one.strategies, one.source, tools, build_wheels)
            for one in fetch_projects(strategies, tools)
        )


@with_groups
def lock(
    references: References,
    out: Out,
    targets: TargetChoice,
    required: Requirements,
    making: Making,
    json: Json = False,
) -> None:
    """Build and resolve; write lock files and no wheels.

    The paths in the pylock files are those of a bundle's wheelhouse.
    """
    from wheelferry.build.cells import lock_cells
    from wheelferry.build.projects import choose_project_strategies, fetch_projects
    from wheelferry.cli.render.lock import show_locks
    from wheelferry.cli.session import open_build_tools, open_builder, plan_from_options
    from wheelferry.system.files import check_folder

    check_folder(out, option="--out")
    located, chosen = plan_from_options(references, targets, required, has_runtime=True, quiet=making.quiet)
    tools = open_build_tools(making)
    strategies = choose_project_strategies(chosen, located, making.wheel or (), making.source or ())
    with open_builder(making, tools) as build_wheels:
        locked = lock_cells(fetch_projects(strategies, tools), tools, build_wheels)
    if not locked.done:
        locked.raise_failures()
    show_locks(out, [one.lock for one in locked.done], as_json=json)
    locked.raise_failures()


def _level(name: LevelName) -> "ReportLevel":
    from wheelferry.models.report import Level as Levels

    return Levels[name.value.upper()]
