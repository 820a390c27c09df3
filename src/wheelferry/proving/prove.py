"""`matrix --prove`: which cells are left, one after the other, until nothing is left or the time is over."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, load_records, records_file
from wheelferry.errors import MissingError, MissingPythonError
from wheelferry.matrix.coverage import Selection, Status, Verdict, add_records, cells
from wheelferry.matrix.next_cell import Cell, next_cell
from wheelferry.models.records import LEVELS, Record, records_text
from wheelferry.models.report import Level
from wheelferry.proving.cell import prove_cell
from wheelferry.system.files import require_space, write_atomic
from wheelferry.verification.installation.install import DEFAULT_SETTINGS, TrialSettings

# The room that README names for the demo, which is the same work: with torch 2.13 the wheels are 2.8 GB, the
# installer asks for 5.6 GB to unpack them, and the next torch comes before the last one's are removed.
_ROOM = 15_000_000_000
# A wheel of this size is torch or one of the libraries that it brings.
_LARGE = 50_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be proven: which cells, up to which level, from which source, within how many seconds.

    `budget` of None is no limit. `file` is where the records are; by default in the recipe's folder.
    """

    located: LocatedRecipe
    selection: Selection
    level: Level
    sources: tuple[str, ...] = ()
    budget: float | None = None
    file: Path | None = None
    settings: TrialSettings = DEFAULT_SETTINGS

    @property
    def records(self) -> Path:
        """The file of records that is read and added to."""
        return self.file or records_file(self.located)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proven:
    """What became of it: records that were added, cells that this machine cannot try, and those left."""

    added: tuple[Record, ...]
    skipped: dict[Cell, str]
    left: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Watcher:
    """Who is told: before a cell (how many are left, what one takes in seconds), and after it."""

    before: Callable[[Cell, int, float | None], None]
    after: Callable[[Record], None]
    skipped: Callable[[Cell, str], None]


def prove(wanted: Wanted, tools: Tools, watcher: Watcher) -> Proven:
    """Bundle, verify and record one cell after the other, until none is left or the budget would not do.

    Everything that was seen is in the records as soon as it was seen, beside what others wrote there
    meanwhile; so a run that was stopped goes on where it was. Torch's wheels that came for a cell are
    removed when another torch is next. Raises MissingError when a host does not answer or the disk is full.
    """
    started = time.monotonic()
    kept = tools.store.object_names()
    added: list[Record] = []
    skipped: dict[Cell, str] = {}
    tried: list[Cell] = []
    try:
        while True:
            known = load_records(wanted.located, file=wanted.records)
            verdicts = cells(wanted.located.recipe, known, wanted.selection)
            left = [(v.release, v.target) for v in verdicts if is_open(v, wanted.level)]
            left = [cell for cell in left if cell not in tried]  # what went less far is not tried again
            each = _expected(added or known)
            if not left or _is_over(started, wanted.budget, each if added else None):
                return Proven(added=tuple(added), skipped=skipped, left=len(left))
            cell = next_cell(left, *_known(verdicts), tried[-1] if tried else None)
            if tried and tried[-1][1].torch != cell[1].torch:
                tools.store.discard(keep=kept, larger_than=_LARGE)
            require_space(tools.store.root, _ROOM, purpose="proving a cell")
            watcher.before(cell, len(left), each)
            try:
                record = prove_cell(
                    cell, wanted.located, wanted.level, wanted.sources, tools, wanted.settings
                )
            except MissingError as error:
                lacking = _lacking_the_same(error, cell, left)
                skipped.update(dict.fromkeys(lacking, str(error)))
                tried += lacking
                watcher.skipped(cell, f"{error} (cells: {len(lacking)})")
                if _is_hopeless(error, tried, skipped):
                    raise
                continue
            tried.append(cell)
            _keep(wanted, record)
            added.append(record)
            watcher.after(record)
    finally:
        tools.store.discard(keep=kept, larger_than=_LARGE)


def is_open(verdict: Verdict, level: Level) -> bool:
    """Whether a cell is to be tried: nothing is known of it, or what is known does not go up to `level`."""
    if verdict.status is Status.UNTRIED:
        return True
    record = verdict.record
    return verdict.status is Status.BUILDS and record is not None and LEVELS[level] not in record.levels


def _known(verdicts: Sequence[Verdict]) -> tuple[list[Cell], list[Cell]]:
    """The cells that were tried and passed as far as they went, and those that failed."""
    good = [(v.release, v.target) for v in verdicts if v.status in (Status.VERIFIED, Status.BUILDS)]
    bad = [(v.release, v.target) for v in verdicts if v.status is Status.FAILS]
    return good, bad


def _expected(records: Sequence[Record]) -> float | None:
    """The seconds that a cell takes, from those that were seen; None where none says."""
    seen = [sum(seconds for _, seconds in record.seconds) for record in records if record.seconds]
    return statistics.median(seen) if seen else None


def _is_over(started: float, budget: float | None, each: float | None) -> bool:
    """Whether the next cell would probably not end within the budget; the first one is always tried."""
    if budget is None:
        return False
    return time.monotonic() - started + (each or 0.0) > budget


def _lacking_the_same(error: MissingError, cell: Cell, left: Sequence[Cell]) -> list[Cell]:
    """The cells that lack what `cell` lacked, as far as that is known."""
    if not isinstance(error, MissingPythonError):
        return [cell]
    return [one for one in left if (one[1].python, one[1].platform) == (error.python, cell[1].platform)]


def _is_hopeless(error: MissingError, tried: Sequence[Cell], skipped: Mapping[Cell, str]) -> bool:
    """Whether the last three cells lacked the same thing, such as a host that does not answer.

    A Python is lacking for its own cells alone.
    """
    if isinstance(error, MissingPythonError):
        return False
    last = [skipped.get(cell) for cell in tried[-3:]]
    return len(last) == 3 and last[0] is not None and len(set(last)) == 1


def _keep(wanted: Wanted, record: Record) -> None:
    """Add a record to the file, which somebody else may have added to meanwhile."""
    known = load_records(wanted.located, file=wanted.records)
    recipe = wanted.located.recipe
    write_atomic(wanted.records, records_text(recipe.name, add_records(recipe, known, [record])))
