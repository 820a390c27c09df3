"""`matrix --prove`: from options to cells, and what is told of each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wheelferry.cli.console import print_json, print_line
from wheelferry.cli.render.matrix import Asked, read_references
from wheelferry.cli.session import open_tools
from wheelferry.client.smoke.own_data import parse_budget
from wheelferry.errors import InputError
from wheelferry.matrix.coverage import ARM, Selection, Status
from wheelferry.matrix.next_cell import Cell
from wheelferry.models.records import Record
from wheelferry.models.report import Level
from wheelferry.models.targets import DEFAULT_BACKEND, parse_platform
from wheelferry.proving.prove import Proven, Wanted, Watcher, prove
from wheelferry.system.this_machine import default_platform
from wheelferry.verification.installation.install import TrialSettings
from wheelferry.verification.machines.runner import Runner

if TYPE_CHECKING:  # for their names alone
    from wheelferry.cache.tools import Tools
    from wheelferry.cli.commands.matrix import CellChoice, Proving


# The platform that each runner adds to this machine's own.
_RUN_BY = {"wine": "win_amd64", "qemu": ARM}


def prove_cells(
    named: Sequence[str],
    choice: "CellChoice",
    proving: "Proving",
    statuses: Sequence[str],
    *,
    file: Path | None,
    as_json: bool,
) -> None:
    """Prove the cells of one recipe, those of `statuses` anew. Exit code 1 where a cell failed.

    Without --backend and --platform they are those that this machine builds and runs from the index alone.
    """
    budget = parse_budget(proving.budget) if proving.budget is not None else None
    asked = read_references(
        named,
        python=choice.python,
        torch=choice.torch,
        backend=choice.backend,
        platform=choice.platform,
        records=file,
    )
    if len(asked) != 1:
        raise InputError("--prove is for one recipe", hint="name it: wheelferry matrix RECIPE --prove")
    if Status.UNSUPPORTED in statuses:
        raise InputError("--prove cannot try what is unsupported", hint="leave out --status unsupported")
    (one,) = asked
    wanted = Wanted(
        located=one.located,
        selection=_provable(one, choice, proving),
        level=Level[proving.level.value.upper()],
        statuses=frozenset(map(Status, statuses)),
        sources=tuple(proving.source or ()),
        budget=budget,
        file=file,
        settings=TrialSettings(runner=Runner(proving.runner.value) if proving.runner else None),
    )
    tools, watcher = open_tools(quiet=proving.quiet), _silent() if as_json else _telling()
    proven = (
        prove(wanted, tools, watcher)
        if proving.scheduler is None
        else _prove_with(proving.scheduler, wanted, tools, watcher)
    )
    if as_json:
        print_json(_document(proven, wanted))
    else:
        _summarise(proven, wanted)
    if any(record.failed for record in proven.added):
        raise typer.Exit(1)


def _prove_with(scheduler: str, wanted: Wanted, tools: "Tools", watcher: Watcher) -> Proven:
    from wheelferry.distributed.cluster import connect
    from wheelferry.proving.on_workers import prove_on

    with connect(scheduler, tools.progress) as cluster:
        return prove_on(wanted, tools, watcher, cluster)


def _provable(one: Asked, choice: "CellChoice", proving: "Proving") -> Selection:
    own = parse_platform(default_platform(), host_glibc_minor=None)
    platforms = (own, *((_RUN_BY[proving.runner.value],) if proving.runner else ()))
    selection = one.selection
    if not choice.backend:
        selection = replace(selection, backends=(DEFAULT_BACKEND,))
    if not choice.platform:
        selection = replace(selection, platforms=platforms)
    return selection


def _silent() -> Watcher:
    return Watcher(before=lambda *_: None, after=lambda _: None, skipped=lambda *_: None)


def _telling() -> Watcher:
    return Watcher(before=_before, after=_after, skipped=lambda _, reason: _skipped(reason))


def _before(cell: Cell, left: int, each: float | None) -> None:
    release, target = cell
    long = f", about {each:.0f} s each" if each is not None else ""
    print_line(f"{left} to try{long}; now {release} {target.name}")


def _after(record: Record) -> None:
    took = sum(seconds for _, seconds in record.seconds)
    told = f"FAILED ({record.failed}): {record.reason}" if record.failed else f"{record.levels[-1]} passed"
    print_line(f"  {told}{f', {took:.0f} s' if took else ''}")


def _skipped(reason: str) -> None:
    print_line(f"  cannot be tried here: {reason}")


def _summarise(proven: Proven, wanted: Wanted) -> None:
    failed = sum(record.failed is not None for record in proven.added)
    text = f"{len(proven.added)} cells tried, {failed} of them failed; {proven.left} left to try"
    print_line(f"{text}{f'; {len(proven.skipped)} cannot be tried here' if proven.skipped else ''}")
    if proven.added:
        print_line(f"records: {wanted.records}")


def _document(proven: Proven, wanted: Wanted) -> dict[str, object]:
    return {
        "records": str(wanted.records),
        "added": [record.model_dump(mode="json") for record in proven.added],
        "skipped": [
            {"release": release, "target": target.name, "reason": reason}
            for (release, target), reason in proven.skipped.items()
        ],
        "left": proven.left,
    }
