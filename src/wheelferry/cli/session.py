"""From options to values: tools, targets, plans. Imported by commands when they run, not for --help."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.build.capability import suits_stable_abi
from wheelferry.catalog import (
    LocatedRecipe,
    find_projects,
    load_records,
    records_file,
    require_files,
    shipped_alternatives,
    shipped_companions,
    shipped_downloads,
    shipped_torch,
)
from wheelferry.cli.client import choose_by_present, read_present, read_profile
from wheelferry.cli.options import (
    CompilerName,
    Making,
    OwnDataOptions,
    Requirements,
    TargetChoice,
    Trying,
)
from wheelferry.errors import InputError
from wheelferry.matrix.coverage import Status, choose_torch, judge, require_possible
from wheelferry.models.connections import Allowed
from wheelferry.models.planning.alternatives import exclusions, warnings
from wheelferry.models.planning.downloads import downloads_of_requested
from wheelferry.models.planning.joining import asked_of, assets_of, join_plans
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.planning.present import GivenPresent
from wheelferry.models.planning.requirements import UserRequirement, given_with
from wheelferry.models.planning.supported import common_torch, obstacle
from wheelferry.models.recipes.fields import in_range
from wheelferry.models.targets import (
    DEFAULT_BACKEND,
    Target,
    parse_backend,
    parse_platform,
    parse_python,
    parse_torch,
)
from wheelferry.progress import Progress, Silent
from wheelferry.system.this_machine import default_platform, host_glibc_minor

if TYPE_CHECKING:  # for their names alone: commands that build nothing start without them
    from wheelferry.build.cells import BuildCells
    from wheelferry.cache.tools import Tools
    from wheelferry.client.smoke.own_data import OwnData
    from wheelferry.system.process import Completed
    from wheelferry.verification.installation.install import TrialSettings


def open_tools(
    *,
    jobs: int | None = None,
    cuda_home: Path | None = None,
    compiler: CompilerName = CompilerName.AUTO,
    verbose: bool = False,
    quiet: bool = False,
) -> "Tools":
    """Everything the stages need, with the user's own pip configuration."""
    from wheelferry.cache.tools import CompilerChoice
    from wheelferry.cache.tools import open_tools as open_stage_tools
    from wheelferry.system.process import run

    return open_stage_tools(
        _talkative if verbose else run,
        watcher(quiet=quiet),
        jobs=jobs,
        cuda_home=cuda_home.resolve() if cuda_home else None,
        compiler=CompilerChoice(compiler.value),
    )


def open_build_tools(making: Making) -> "Tools":
    """As `open_tools`, with what the options of a build say."""
    return open_tools(
        jobs=making.jobs,
        cuda_home=making.cuda_home,
        compiler=making.compiler,
        verbose=making.verbose,
        quiet=making.quiet,
    )


def watcher(*, quiet: bool) -> Progress:
    """Who watches: the terminal, or nobody."""
    if quiet:
        return Silent()
    from wheelferry.cli.live import ConsoleProgress

    return ConsoleProgress()


@contextlib.contextmanager
def open_builder(making: Making, tools: "Tools", *, ahead: bool = True) -> "Iterator[BuildCells]":
    """What makes the wheels: this machine or, while the context lasts, the workers of a Dask scheduler.

    This machine fetches `ahead` what they will require, for the lock.
    """
    if making.scheduler is None:
        if making.builders > 1:
            raise InputError(
                "--builders compares the wheels of several workers", hint="add --scheduler ADDRESS"
            )
        from wheelferry.build.cells import build_here

        yield partial(build_here, ahead=ahead)
        return
    from wheelferry.distributed.cluster import connect
    from wheelferry.distributed.fan_out import fan_out

    with connect(making.scheduler, tools.progress) as cluster:
        yield partial(fan_out, cluster=cluster, builders=making.builders, jobs=making.jobs, ahead=ahead)


def read_trying(trying: Trying) -> "TrialSettings":
    """How targets are tried; raises InputError for a Python or a system that nothing would start."""
    from wheelferry.verification.installation.install import Installer, TrialSettings
    from wheelferry.verification.machines.runner import Runner

    runner = Runner(trying.runner.value) if trying.runner else None
    if trying.windows_python is not None and runner is not Runner.WINE:
        raise InputError("--windows-python is given, but nothing runs it", hint="add --runner wine")
    if trying.arm_root is not None and runner is not Runner.QEMU:
        raise InputError("--arm-root is given, but nothing runs it", hint="add --runner qemu")
    return TrialSettings(
        runner=runner,
        windows_python=trying.windows_python,
        arm_root=trying.arm_root,
        installer=Installer(trying.installer.value),
        allowed=read_allowed(trying.allow_connection or []),
    )


def read_own_data(given: OwnDataOptions, level: str) -> "OwnData | None":
    """The user's data set to prove a bundle with; raises BadInput, and InputError below the level train."""
    from wheelferry.client.smoke import own_data

    own: OwnData | None = own_data.read_own_data(
        None if given.data is None else str(given.data),
        given.weights,
        given.config,
        given.expect,
        given.budget,
        given.evaluate_only,
    )
    if own is not None and level != "train":
        raise InputError(f"--data is for the level train, not {level}", hint="leave --level away")
    return own


def read_reasons(texts: Iterable[str], *, option: str, example: str) -> dict[str, str]:
    """The reason of each name, of an `option` as in `example`; raises InputError for one without."""
    reasons = {}
    for text in texts:
        name, _, reason = (part.strip() for part in text.partition("="))
        if not name or not reason:
            raise InputError(f"{option} {text!r} gives no reason", hint=f"write it as in {option} {example}")
        reasons[name] = reason
    return reasons


def read_allowed(texts: Iterable[str]) -> tuple[Allowed, ...]:
    """What --allow-connection allows; raises InputError for an address without a reason."""
    reasons = read_reasons(texts, option="--allow-connection", example="example.org=asks-for-news")
    return tuple(Allowed(address=address, reason=reason) for address, reason in reasons.items())


def command_line() -> str:
    """The command line of this run, as a report may keep it."""
    from wheelferry.models.report import shown_command

    return shown_command(sys.argv[1:])


def _talkative(command: Sequence[str | Path], **options: Any) -> "Completed":
    """A runner that also shows commands and their output on stderr."""
    from wheelferry.system.process import run

    sys.stderr.write(f"$ {' '.join(map(str, command))}\n")
    listener = options.pop("on_line", None)

    def show(line: str) -> None:
        sys.stderr.write(f"  {line}\n")
        if listener:
            listener(line)

    return run(command, on_line=show, **options)


def plan_from_options(
    references: Sequence[str],
    choice: TargetChoice,
    required: Requirements | None = None,
    *,
    assets: list[str] | None = None,
    has_runtime: bool,
    quiet: bool = False,
) -> tuple[LocatedRecipe, Plan]:
    """The recipe and the plan that the options describe; raises InputError for what cannot be.

    Of several projects they are those of the first, with the others in `LocatedRecipe.others` and
    `Plan.others`; what a release cannot be without is among them. All are for the same targets. With a
    client's profile what was left open is chosen for that machine, and what would not run there is refused;
    `has_runtime` says that the bundle brings its own Python.
    """
    projects = find_projects(references)
    located, release_name = projects[0]
    required = required or Requirements()
    present = read_present(required.present or ())
    made = {canonicalize_name(one.recipe.distribution) for one, _ in projects}
    present = [one for one in present if not (one.is_listed and one.package.name in made)]
    if present:
        choice = choose_by_present(choice, present)
    if choice.profile is not None:
        choice = _fitted(choice, choice.profile, located, release_name, has_runtime=has_runtime, quiet=quiet)
    targets = list(dict.fromkeys(_targets(choice, projects)))
    # said here and not by the plan, because the nearest cell depends on what was recorded
    for one, release in projects:
        for target in targets:
            if obstacle(one.recipe, release, target, other_index=choice.torch_index is not None):
                require_possible(one.recipe, release, target, load_records(one))
        if not quiet:
            _warn_of_failures(one, release, targets)
    recipes = [one.recipe for one, _ in projects]
    user = _user_requirements(required)
    apps, own_assets = asked_of(recipes, required.app or ()), assets_of(recipes, assets or ())
    plan = join_plans(
        [
            _plan_project(one, release, targets, choice, required, user, present, apps=programs, assets=files)
            for (one, release), programs, files in zip(projects, apps, own_assets, strict=True)
        ]
    )
    return replace(located, others=tuple(one for one, _ in projects[1:])), plan


def _plan_project(
    located: LocatedRecipe,
    release_name: str,
    targets: Sequence[Target],
    choice: TargetChoice,
    required: Requirements,
    user: Sequence[UserRequirement],
    present: Sequence[GivenPresent],
    *,
    apps: Sequence[str],
    assets: Sequence[str],
) -> Plan:
    return make_plan(
        located.recipe,
        release_name,
        targets,
        required=user,
        torch_index=choice.torch_index,
        cuda_architectures=choice.cuda_arch or (),
        assets=assets,
        without_ops=choice.without_ops,
        apps=apps,
        excluded=exclusions(shipped_alternatives(), required.exclude or (), required.prefer or ()),
        companions=shipped_companions(),
        present=present,
        on_stable_abi=[target for target in targets if _on_stable_abi(target, choice, located)],
    )


def require_all_files(plan: Plan, located: LocatedRecipe) -> None:
    """Raise unless the local files among the assets of all projects are there; see `require_files`."""
    for one, recipe in zip(plan.projects, located.projects, strict=True):
        require_files(one.assets, recipe)


def _warn_of_failures(located: LocatedRecipe, release_name: str, targets: Iterable[Target]) -> None:
    """Warn of targets that somebody tried, and that failed."""
    file = records_file(located)
    if not file.is_file() or '"failed": "' not in file.read_text("utf-8"):
        return  # without reading them one by one, which takes as long as all of `plan`
    known = {record.cell: record for record in load_records(located) if record.failed}
    for target in targets:
        if (release_name, target) not in known:
            continue
        verdict = judge(located.recipe, release_name, target, known)
        if verdict.status is Status.FAILS:
            watcher(quiet=False).warn(f"{target.name} is known to fail: {verdict.reason}")


def _user_requirements(required: Requirements) -> list[UserRequirement]:
    given = [given_with(text) for text in required.extra or []]
    if required.requirement:
        from wheelferry.system.requirement_files import read_requirement_files

        given += read_requirement_files(map(Path, required.requirement))
    return given


def _fitted(
    choice: TargetChoice,
    profile: Path,
    located: LocatedRecipe,
    release_name: str,
    *,
    has_runtime: bool,
    quiet: bool,
) -> TargetChoice:
    """The choice completed for the client of the profile; remarks about it are shown."""
    from wheelferry.matrix.fit import TargetOptions, fit_options

    given = TargetOptions(
        python=tuple(choice.python or ()),
        platform=tuple(choice.platform or ()),
        backend=tuple(choice.backend or ()),
        torch=tuple(choice.torch or ()),
        cuda_arch=tuple(choice.cuda_arch or ()),
    )
    fitted = fit_options(
        read_profile(profile),
        located.recipe,
        release_name,
        given,
        has_runtime=has_runtime,
        default_python=_running_python(),
    )
    if not quiet:
        _say_notes(fitted.notes)
    return replace(
        choice,
        python=list(fitted.python),
        platform=list(fitted.platform),
        backend=list(fitted.backend),
        torch=list(fitted.torch),
        cuda_arch=list(fitted.cuda_arch),
    )


def _targets(choice: TargetChoice, projects: Sequence[tuple[LocatedRecipe, str]]) -> Iterator[Target]:
    """Every combination of what was chosen, with the defaults for what was not."""
    located, release_name = projects[0]
    platforms = [
        parse_platform(text, host_glibc_minor=host_glibc_minor())
        for text in choice.platform or [default_platform()]
    ]
    pythons = [parse_python(text) for text in choice.python or [_running_python()]]
    backends = [parse_backend(text) for text in choice.backend or [DEFAULT_BACKEND]]
    for python, platform, version, backend in product(pythons, platforms, choice.torch or [""], backends):
        torch = parse_torch(version) if version else ""
        yield Target(
            python=python,
            platform=platform,
            backend=backend,
            torch=torch
            or common_torch(
                [(one.recipe, release) for one, release in projects],
                choose_torch(
                    located.recipe,
                    release_name,
                    python=python,
                    platform=platform,
                    backend=backend,
                    records=lambda: load_records(located),
                ),
                python=python,
                platform=platform,
                backend=backend,
            ),
        )


def own_target(python: str | None, torch: str | None) -> Target:
    """This machine as a target, with a torch that it can have: the newest, if none is named.

    Raises InputError for a Python that no torch has wheels for.
    """
    version = parse_python(python) if python else _running_python()
    fitting = [entry.version for entry in shipped_torch() if in_range(entry.python, version)]
    if not torch and not fitting:
        raise InputError(f"no torch has wheels for Python {version}", hint="choose another with --python")
    return Target(
        python=version,
        platform=parse_platform(default_platform(), host_glibc_minor=host_glibc_minor()),
        torch=parse_torch(torch) if torch else max(fitting, key=Version),
        backend=DEFAULT_BACKEND,
    )


def _on_stable_abi(target: Target, choice: TargetChoice, located: LocatedRecipe) -> bool:
    """Whether ops for the target are compiled on torch's stable ABI: as asked for, or where it suits."""
    if choice.stable_abi is not None:
        return choice.stable_abi
    return not choice.without_ops and suits_stable_abi(target, located.recipe)


def write_text(path: Path, text: str) -> None:
    """As `write_file`, in UTF-8."""
    write_file(path, text.encode("utf-8"))


def write_file(path: Path, data: bytes) -> None:
    """Write a file that the user named; raises InputError when there cannot be one."""
    try:
        path.write_bytes(data)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}", hint="name a file in a folder that exists"
        ) from None


def _say_notes(notes: Iterable[str]) -> None:
    progress = watcher(quiet=False)
    progress.stage("for the client of the profile")
    for note in notes:
        progress.note(note)


def warn_of_client(profile: Path, bundle: Path, progress: Progress) -> None:
    """Warn of what will keep a packed bundle from being installed on the client."""
    from wheelferry.client.common.bundle import open_bundle
    from wheelferry.matrix.fit import preflight_problems

    for message in preflight_problems(read_profile(profile), open_bundle(str(bundle))):
        progress.warn(f"on the client: {message}")


def _running_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def plan_document(plan: Plan) -> Mapping[str, Any]:
    """A plan as plain values, for --json; of several projects with those of the others below ``further``."""
    further = {"further": [plan_document(one) for one in plan.others]} if plan.others else {}
    return {
        **further,
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "commit": plan.release.pin,
        "cells": [
            {
                "target": cell.target.name,
                "python": cell.target.python,
                "platform": cell.target.platform,
                "torch": cell.target.torch,
                "torchvision": cell.torchvision,
                "backend": cell.target.backend,
                "ops": cell.ops,
                "on_stable_abi": cell.on_stable_abi,
                "on_limited_api": cell.on_limited_api,
                "wheel": f"{plan.recipe.distribution}=={cell.wheel_version}",
                "build_requires": list(cell.build_requires),
                "requirements": list(cell.requirements),
                "constraints": [*cell.constraints, *cell.user_constraints],
                "left_out": [str(one.requirement) for one in cell.left_out],
                "hashes": {name: sorted(allowed) for name, allowed in cell.hashes.items()},
                "excluded": [exclusion.name for exclusion in cell.excluded],
                "present": [one.to_json() for one in cell.present],
                "substitutions": [
                    s.model_dump(include={"file", "old", "new", "count", "reason"})
                    for s in cell.substitutions
                ],
            }
            for cell in plan.cells
        ],
        "assets": [
            {"path": a.path, "origin": a.origin, "sha256": a.sha256, "licence": a.licence, "unpack": a.unpack}
            for a in plan.assets
        ],
        "programs": [
            program.model_dump(include={"name", "help", "module", "uses", "requires"})
            for program in plan.programs
        ],
    }


def warn_of_packages(plan: Plan) -> None:
    """Warn of packages that install the same module, and of those that download something later.

    As far as they are asked for: the lock looks at all.
    """
    excluded = {exclusion.name for cell in plan.cells for exclusion in cell.excluded}
    excluded |= {one.name for cell in plan.cells for one in cell.present}
    cells = [cell for one in plan.projects for cell in one.cells]
    texts = dict.fromkeys(text for cell in cells for text in cell.requirements)
    names = {canonicalize_name(Requirement(text).name) for text in texts} - excluded
    recipes_own = {
        canonicalize_name(Requirement(entry.requires).name)
        for one in plan.projects
        for entry in one.recipe.requirements
    }
    downloads = downloads_of_requested(shipped_downloads(), names - recipes_own, excluded)
    for message in (*warnings(shipped_alternatives(), names), *map(str, downloads)):
        watcher(quiet=False).warn(message)
