"""The matrix command: what a recipe can serve, what was seen, and the CI pipelines that build it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import LevelName
from wheelferry.cli.options import Json, Quiet, RunnerOption, Source, with_groups


class StatusName(StrEnum):
    """What is known about a cell."""

    verified = "verified"
    builds = "builds"
    fails = "fails"
    not_tried = "not tried"
    unsupported = "unsupported"


References = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECIPE[@RELEASE]|BUNDLE",
        help="What to show, as in detectron2 or detectron2@v0.6; all recipes when none is named. "
        "With --record: bundles.",
        show_default=False,
    ),
]
Pythons = Annotated[
    list[str] | None, typer.Option("--python", metavar="X.Y", help="Only this Python; repeatable.")
]
Torches = Annotated[
    list[str] | None, typer.Option("--torch", metavar="VERSION", help="Only this torch; repeatable.")
]
Backends = Annotated[
    list[str] | None,
    typer.Option("--backend", metavar="NAME", help="Only cpu, cu130 … or default; repeatable."),
]
Platforms = Annotated[
    list[str] | None,
    typer.Option("--platform", metavar="TAG", help="Only linux_x86_64, win_amd64 …; repeatable."),
]
Statuses = Annotated[
    list[StatusName] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only verified, builds, fails, 'not tried' or unsupported cells, one by one; with --prove those "
        "are tried, also again. Repeatable.",
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-",
        help="Where --markdown, --github or --gitlab write. Default: coverage.md, ci/ for pipelines.",
    ),
]


Command = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="With --record: the command that made the reports, if they do not say it themselves.",
    ),
]
Records = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Records to use. Default: records.json in the recipe's folder."),
]
TrustRecipe = Annotated[
    bool,
    typer.Option(
        "--trust-recipe",
        help="With --record: take it that bundles of older versions, which do not say what the recipe said, "
        "were made with the recipe as it is now.",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellChoice:
    """Which cells are shown, or built by a pipeline."""

    python: Pythons = None
    torch: Torches = None
    backend: Backends = None
    platform: Platforms = None
    every: Annotated[
        bool,
        typer.Option(
            "--cells",
            help="Show every cell in the grid, those too that one wheel on torch's stable ABI serves.",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What is made of the cells; the first four do not go together."""

    json: Json = False
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown",
            help="Write the coverage pages: an overview, and in a folder of its name beside it two pages for "
            "each recipe.",
        ),
    ] = False
    github: Annotated[
        bool, typer.Option("--github", help="Write a GitHub workflow: ci/github/RECIPE.yml.")
    ] = False
    gitlab: Annotated[
        bool, typer.Option("--gitlab", help="Write a GitLab pipeline: ci/gitlab/RECIPE.yml.")
    ] = False
    out: Out = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Proving:
    """Whether cells are proven one after the other, how far each, and for how long."""

    prove: Annotated[
        bool,
        typer.Option(
            "--prove",
            help="Bundle and verify what was not tried, cell by cell, and record what is seen. Goes on where "
            "an earlier run stopped.",
        ),
    ] = False
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --prove: start no cell that would probably not end within it, as in 90m or 2h. "
            "Default: no limit.",
        ),
    ] = None
    level: Annotated[
        LevelName, typer.Option("--level", help="With --prove: how far each cell is verified.")
    ] = LevelName.smoke
    source: Source = None
    runner: RunnerOption = None
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="With --prove: Dask scheduler (tcp://HOST:8786) whose workers prove cells side by side; "
            "see docs/scheduler.md. Default: one after the other on this machine.",
            show_default=False,
        ),
    ] = None
    quiet: Quiet = False


@with_groups
def matrix(
    references: References = None,
    *,
    cells: CellChoice,
    status: Statuses = None,
    result: Result,
    proving: Proving,
    record: Annotated[
        bool,
        typer.Option("--record", help="Add what the reports of the BUNDLEs say to their recipe's records."),
    ] = False,
    command: Command = None,
    records: Records = None,
    trust_recipe: TrustRecipe = False,
) -> None:
    """Show what a recipe supports, and what was verified.

    A cell is one combination of release, torch, Python, backend and platform. It is verified (a recorded
    report says that it installed without a network, passed its checks and trained), builds, fails, is
    unsupported (with the reason), or was not tried. A few cells are listed one by one, many as a grid;
    those that one wheel serves are one row, which says how many of them were seen and how far.

    \b
    the whole grid
      wheelferry matrix detectron2
    is this supported? if not, why, and what is nearest?
      wheelferry matrix detectron2@v0.6 --python 3.14 --torch 2.5.1
    what was verified, with date, hash and command
      wheelferry matrix detectron2 --status verified
    add the reports of bundles to the records, then write the coverage pages
      wheelferry matrix --record BUNDLE...
      wheelferry matrix --markdown --out docs/coverage.md
    try what nobody has tried, for two hours, what teaches most first
      wheelferry matrix detectron2 --prove --budget 2h
    try again what failed
      wheelferry matrix detectron2 --prove --status fails
    a workflow that builds cells, merges, verifies and publishes them
      wheelferry matrix detectron2 --github --python 3.12 --backend cpu
    """
    from wheelferry.cli.render import matrix as matrices

    _require_one_kind(result, record=record, prove=proving.prove)
    named = references or []
    if proving.prove:
        from wheelferry.cli.render.proving import prove_cells

        prove_cells(
            named, cells, proving, [name.value for name in status or []], file=records, as_json=result.json
        )
        return
    if record:
        matrices.record_reports(
            named, command=command, file=records, trust_recipe=trust_recipe, as_json=result.json
        )
        return
    asked = matrices.read_references(
        named,
        python=cells.python,
        torch=cells.torch,
        backend=cells.backend,
        platform=cells.platform,
        records=records,
    )
    if result.markdown:
        matrices.write_pages(asked, result.out)
    elif result.github or result.gitlab:
        matrices.write_pipeline(asked, result.out, provider="github" if result.github else "gitlab")
    else:
        matrices.show(
            asked, [name.value for name in status or []], as_json=result.json, every_cell=cells.every
        )


def _require_one_kind(result: Result, *, record: bool, prove: bool) -> None:
    from wheelferry.errors import InputError

    given = {
        "--json": result.json and not record and not prove,
        "--markdown": result.markdown,
        "--github": result.github,
        "--gitlab": result.gitlab,
        "--record": record,
        "--prove": prove,
    }
    kinds = [name for name, is_given in given.items() if is_given]
    if len(kinds) > 1:
        raise InputError(f"{' and '.join(kinds)} do not go together", hint="run the command once for each")
