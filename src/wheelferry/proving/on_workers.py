"""`matrix --prove --scheduler`: cells beside one another, each proven by a worker of a Dask cluster."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wheelferry import __version__
from wheelferry.cache.store import Store
from wheelferry.cache.transient import TransientFiles, discard_afterwards
from wheelferry.catalog import LocatedRecipe, shipped_folder
from wheelferry.distributed.cluster import Cluster, Task, counting_ends
from wheelferry.distributed.fan_out import ask_workers, tasks_by_host
from wheelferry.distributed.worker import do_task, open_worker_tools
from wheelferry.errors import BuildError, MissingError, WheelferryError
from wheelferry.matrix.next_cell import Cell
from wheelferry.models.records import Record
from wheelferry.models.report import Level
from wheelferry.proving.cell import prove_cell
from wheelferry.proving.prove import ROOM, Proven, Run, Wanted, Watcher
from wheelferry.system.files import require_space
from wheelferry.system.leftovers import new_token
from wheelferry.verification.installation.install import TrialSettings

if TYPE_CHECKING:  # for their names alone
    from wheelferry.cache.tools import Tools
    from wheelferry.system.process import Group

# A cell that ended so many workers is given to no other.
_DEATHS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ProveTask:
    """One cell to prove, with all that this takes but the source and the files beside the recipe.

    Those are at the same place on the worker; of a `shipped` recipe they are in the worker's own wheelferry.
    `run` names the run that the cell is part of; `beside` says how many tasks each host may have at once.
    """

    run: str
    cell: Cell
    located: LocatedRecipe
    shipped: bool
    level: Level
    sources: tuple[str, ...]
    settings: TrialSettings
    beside: Mapping[str, int]
    version: str = __version__

    @property
    def name(self) -> str:
        """Unique to the cell of this run."""
        release, target = self.cell
        return f"wheelferry-prove-{self.run}-{release}-{target.name}"


def prove_on(wanted: Wanted, tools: "Tools", watcher: Watcher, cluster: Cluster) -> Proven:
    """As `prove`, with as many cells at once as the workers take; each is recorded here as soon as it ends.

    A worker that dies gives its cell to another one; a cell during which two died is skipped. Raises
    MissingError when a worker is not like this machine, when none is left, and as `prove` does.
    """
    workers = cluster.workers()
    ask_workers(cluster, workers, tools.progress)
    run, token = Run(wanted, tools, watcher), new_token()
    under_way: dict[str, Cell] = {}

    def begin() -> None:
        beside = tasks_by_host(cluster.workers())
        while len(under_way) < sum(beside.values()):
            cell = run.begin_next(tuple(under_way.values()))
            if cell is None:
                return
            one = _task(token, cell, wanted, beside)
            under_way[one.name] = cell
            cluster.start(Task(name=one.name, function=prove_on_worker, arguments=(one,)))

    try:
        begin()
        for finished, result in cluster.finished():
            cell = under_way.pop(finished.name)
            if isinstance(result, Record):
                run.keep(result)
            elif isinstance(result, MissingError | BuildError):
                run.skip(cell, result)
            else:
                raise result
            begin()
    finally:
        cluster.cancel()
        with contextlib.suppress(OSError):  # workers that cannot be asked tidy up when they are next used
            cluster.ask(end_run)
    return run.result()


def _task(token: str, cell: Cell, wanted: Wanted, beside: Mapping[str, int]) -> ProveTask:
    return ProveTask(
        run=token,
        cell=cell,
        located=wanted.located,
        shipped=wanted.located.folder == shipped_folder().resolve(),
        level=wanted.level,
        sources=wanted.sources,
        settings=wanted.settings,
        beside=beside,
    )


# ------------------------------------------------------------------------------------------- on a worker


def prove_on_worker(task: ProveTask) -> Record | WheelferryError:
    """Prove the cell with the worker's own store and package index; errors are as of `run_task`."""
    with counting_ends(task.name) as deaths:
        if deaths >= _DEATHS:
            return MissingError(f"{deaths} workers ended while they were at it; their logs may say why")
        return do_task(lambda group: _prove(task, group), version=task.version)


def _prove(task: ProveTask, group: "Group") -> Record:
    folder = shipped_folder().resolve() if task.shipped else task.located.folder
    if not folder.is_dir():
        raise MissingError(f"the recipe's folder {folder} is not here", hint="share it, at the same place")
    tools = open_worker_tools(group, jobs=None, beside=task.beside)
    with _CURRENT.cell(task, tools.store):
        require_space(tools.store.root, ROOM, purpose="proving a cell")
        located = replace(task.located, folder=folder)
        return prove_cell(task.cell, located, task.level, task.sources, tools, task.settings)


class _WorkersRun:
    """The large files in this worker's store between the cells of a run; many need the same torch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._transient: TransientFiles | None = None
        self._run = self._torch = ""
        self._cells = 0

    @contextlib.contextmanager
    def cell(self, task: ProveTask, store: Store) -> Iterator[None]:
        """While a cell is proven: torch's files of the one before have gone, if it needs another torch."""
        torch = task.cell[1].torch
        with self._lock:
            if task.run != self._run:  # who asked for the run before was killed
                self._end()
                self._transient = self._stack.enter_context(discard_afterwards(store))
                self._run = task.run
                store.remove_leftovers()
            if self._transient is not None and torch != self._torch and not self._cells:
                self._transient.discard()
            self._torch = torch
            self._cells += 1
        try:
            yield
        finally:
            with self._lock:
                self._cells -= 1

    def end(self) -> None:
        """The run is over: nothing large stays."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._stack.close()
        self._transient, self._run = None, ""


_CURRENT = _WorkersRun()


def end_run() -> None:
    """Called on each worker when a run is over."""
    _CURRENT.end()
