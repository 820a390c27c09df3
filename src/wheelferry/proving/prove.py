"""`matrix --prove`: which cells are left, one after the other, until nothing is left or the time is over."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.build.capability import has_compiler
from wheelferry.cache.tools import Tools
from wheelferry.cache.transient import discard_afterwards
from wheelferry.catalog import LocatedRecipe, load_records, records_file
from wheelferry.errors import MissingError, MissingPythonError, WheelferryError
from wheelferry.matrix.coverage import Selection, Status, Verdict, add_records, cells
from wheelferry.matrix.next_cell import Cell, next_cell
from wheelferry.models.records import LEVELS, Record, records_text
from wheelferry.models.report import Level
from wheelferry.proving.cell import prove_cell
from wheelferry.system.files import require_space, write_atomic
from wheelferry.verification.installation.install import DEFAULT_SETTINGS, TrialSettings

# The room that README names for the demo, which is the same work: with torch 2.13 the wheels are 2.8 GB, the
# installer asks for 5.6 GB to unpack them, and the next torch comes before the last one's are removed.
ROOM = 15_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be proven: which cells, up to which level, from which source, within how many seconds.

    With `statuses` the cells of these are tried, whether something is known of them or not; without, those
    that are open. `budget` of None is no limit. `file` is where the records are; by default in the recipe's
    folder.
    """

    located: LocatedRecipe
    selection: Selection
    level: Level
    statuses: frozenset[Status] = frozenset()
    sources: tuple[str, ...] = ()
    budget: float | None = None
    file: Path | None = None
    settings: TrialSettings = DEFAULT_SETTINGS

    @property
    def records(self) -> Path:
        """The file of records that is read and added to."""
        return self.file or records_file(self.located)

    def holds(self, verdict: Verdict) -> bool:
        """Whether a cell of the selection is to be tried."""
        return verdict.status in self.statuses if self.statuses else is_open(verdict, self.level)


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


class Run:
    """One run of proving: which cell is next, and what was seen so far; all of it is recorded at once."""

    def __init__(self, wanted: Wanted, tools: Tools, watcher: Watcher) -> None:
        self._wanted, self._tools, self._watcher = wanted, tools, watcher
        self._started = time.monotonic()
        self._added: list[Record] = []
        self._skipped: dict[Cell, str] = {}
        self._tried: list[Cell] = []
        self._left: list[Cell] = []
        self._lacked: list[str | None] = []  # by each cell that ended; None for one that was recorded

    def begin_next(self, under_way: Sequence[Cell] = ()) -> Cell | None:
        """The cell to try now, beside those that are under way; None when none is left, or no time."""
        wanted = self._wanted
        known = load_records(wanted.located, file=wanted.records)
        recipe = wanted.located.recipe
        verdicts = cells(recipe, known, wanted.selection)
        # what only another machine can compile is for that one to prove
        left = [(v.release, v.target) for v in verdicts if wanted.holds(v) and has_compiler(v.target, recipe)]
        left = [cell for cell in left if cell not in self._tried]  # what went less far is not tried again
        self._left = left
        each = _expected(self._added or known)
        if not left or _is_over(self._started, wanted.budget, each if self._tried else None):
            return None
        good, bad = _known(verdicts)
        cell = next_cell(left, [*good, *under_way], bad, self._tried[-1] if self._tried else None)
        self._tried.append(cell)
        self._watcher.before(cell, len(left), each)
        return cell

    def changes_torch(self) -> bool:
        """Whether the cell that was begun last needs another torch than the one before it."""
        return len({target.torch for _, target in self._tried[-2:]}) > 1

    def keep(self, record: Record) -> None:
        """Add a record to the file, which somebody else may have added to meanwhile."""
        recipe, file = self._wanted.located.recipe, self._wanted.records
        with self._tools.store.lock(f"records-{recipe.name}"):
            known = load_records(self._wanted.located, file=file)
            write_atomic(file, records_text(recipe.name, add_records(recipe, known, [record])))
        self._added.append(record)
        self._lacked.append(None)
        self._watcher.after(record)

    def skip(self, cell: Cell, error: WheelferryError) -> None:
        """Leave a cell as not tried, and those that lack the same; raises `error` where that are all."""
        lacking = _lacking_the_same(error, cell, self._left)
        self._skipped.update(dict.fromkeys(lacking, str(error)))
        # the one that was tried last is the one whose torch is on the disk
        self._tried[:0] = [one for one in lacking if one not in self._tried]
        self._lacked.append(str(error))
        self._watcher.skipped(cell, f"{error} (cells: {len(lacking)})")
        if _is_hopeless(error, self._lacked):
            raise error

    def result(self) -> Proven:
        """What became of it."""
        return Proven(added=tuple(self._added), skipped=self._skipped, left=len(self._left))


def prove(wanted: Wanted, tools: Tools, watcher: Watcher) -> Proven:
    """Bundle, verify and record one cell after the other, until none is left or the budget would not do.

    Everything that was seen is in the records as soon as it was seen, beside what others wrote there
    meanwhile; so a run that was stopped goes on where it was. Torch's wheels that came for a cell are
    removed when another torch is next; whatever a run that was killed left behind is, at the start. Raises
    MissingError when a host does not answer or the disk is full.
    """
    run = Run(wanted, tools, watcher)
    with discard_afterwards(tools.store) as transient:
        transient.discard()
        tools.store.remove_leftovers()
        while (cell := run.begin_next()) is not None:
            if run.changes_torch():
                transient.discard()
            require_space(tools.store.root, ROOM, purpose="proving a cell")
            try:
                record = prove_cell(
                    cell, wanted.located, wanted.level, wanted.sources, tools, wanted.settings
                )
            except MissingError as error:
                run.skip(cell, error)
            else:
                run.keep(record)
    return run.result()


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


def _lacking_the_same(error: WheelferryError, cell: Cell, left: Sequence[Cell]) -> list[Cell]:
    """The cells that lack what `cell` lacked, as far as that is known."""
    if not isinstance(error, MissingPythonError):
        return [cell]
    same = [one for one in left if (one[1].python, one[1].platform) == (error.python, cell[1].platform)]
    return list(dict.fromkeys([cell, *same]))


def _is_hopeless(error: WheelferryError, lacked: Sequence[str | None]) -> bool:
    """Whether the last three cells lacked the same thing, such as a host that does not answer.

    A Python is lacking for its own cells alone.
    """
    last = lacked[-3:]
    return not isinstance(error, MissingPythonError) and len(last) == 3 and len(set(last)) == 1
