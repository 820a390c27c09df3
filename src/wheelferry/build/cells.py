"""Several cells of a plan, compiled beside one another; one that fails leaves the others usable."""

import contextlib
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from wheelferry.build.compile import Built, compile_wheel
from wheelferry.build.dependencies.lock import lock, require_resolvable
from wheelferry.build.dependencies.prefetch import (
    as_prepared,
    fetching_ahead,
    require_closure,
    require_joint_closure,
)
from wheelferry.build.prebuilt import take_prebuilt
from wheelferry.build.prepare import Prepared, prepare
from wheelferry.build.strategy import BuildStrategies
from wheelferry.build.variables import NVCC_MEMORY
from wheelferry.cache.source import Source
from wheelferry.cache.tools import Tools, default_jobs
from wheelferry.errors import WheelferryError
from wheelferry.models.lock import Lock
from wheelferry.models.planning.joining import joined_cell
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.targets import Target
from wheelferry.progress import Labelled
from wheelferry.system.process import Group
from wheelferry.system.threads import result_of

Result = TypeVar("Result")
Failures = tuple[tuple[Cell, WheelferryError], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A cell that is ready to be packed: its lock, and the built wheels that are in it.

    `further` are those of the bundle's projects beside the first.
    """

    built: Built
    lock: Lock
    further: tuple[Built, ...] = ()

    @property
    def wheels(self) -> tuple[Built, ...]:
        """The wheels of all projects, in the order of `Plan.projects`."""
        return (self.built, *self.further)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectBuild:
    """One project of a bundle, and what its wheels are made of; `source` is None where all are given."""

    plan: Plan
    strategies: BuildStrategies
    source: Source | None


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[Result]):
    """What became of the cells: the results, and the error of each cell that failed."""

    done: tuple[Result, ...]
    failed: Failures = ()

    @classmethod
    def together(cls, outcomes: Iterable["Outcome[Result]"]) -> "Outcome[Result]":
        """What became of the cells of all `outcomes`."""
        every = list(outcomes)
        return cls(
            done=tuple(result for one in every for result in one.done),
            failed=tuple(failure for one in every for failure in one.failed),
        )

    def raise_failures(self) -> None:
        """Raise one error that names every failed cell, with the exit code of the first."""
        if not self.failed:
            return
        first = self.failed[0][1]
        if not self.done and len(self.failed) == 1:
            raise first
        told = "\n".join(f"{cell.target.name}: {error}" for cell, error in self.failed)
        hints = dict.fromkeys(error.hint for _, error in self.failed if error.hint)
        # the kind that has the exit code: those below it speak of one thing, such as one Python
        kind = next(one for one in type(first).__mro__ if "exit_code" in vars(one))
        raise kind(
            f"{len(self.failed)} of {len(self.failed) + len(self.done)} targets failed:\n{told}",
            hint="; ".join((*hints, "the wheels of the other targets are kept for the next run")),
        )


BuildCells = Callable[[Plan, Sequence[Cell], BuildStrategies, Source, Tools], Outcome[Built]]


def build_here(
    plan: Plan,
    cells: Sequence[Cell],
    strategies: BuildStrategies,
    source: Source,
    tools: Tools,
    *,
    ahead: bool = False,
) -> Outcome[Built]:
    """The wheels of `cells`, made on this machine: environments in turn, wheels beside one another.

    With `ahead`, for whoever locks them afterwards, what the wheels will require is fetched meanwhile, and a
    cell for which it does not fit together is not compiled.
    """
    ready: Outcome[Prepared] = each_cell(
        [(cell, cell) for cell in cells],
        lambda _, cell: prepare(plan, cell, strategies.by_target[cell.target], source, tools),
    )
    if ahead:
        resolvable: Outcome[Prepared] = each_cell(
            [(prepared.cell, prepared) for prepared in ready.done],
            lambda _, prepared: _resolvable(plan, prepared, strategies, source, tools),
        )
        ready = replace(resolvable, failed=(*ready.failed, *resolvable.failed))
    tools.progress.stage(f"build {plan.title}")
    meanwhile = fetching_ahead(plan, ready.done, source, tools) if ahead else contextlib.nullcontext()
    with meanwhile:
        built = _compile(plan, ready.done, source, tools)
    return Outcome(done=built.done, failed=(*ready.failed, *built.failed))


def _resolvable(
    plan: Plan, prepared: Prepared, strategies: BuildStrategies, source: Source, tools: Tools
) -> Prepared:
    """The cell, once all that it requires fits together; of what is built already the lock will tell it."""
    if tools.store.recall("build", prepared.key) is None:
        require_closure(plan, as_prepared(prepared), source, tools, given=strategies.dependencies)
    return prepared


def build_cells(
    plan: Plan,
    strategies: BuildStrategies,
    source: Source | None,
    tools: Tools,
    build: BuildCells = build_here,
) -> Outcome[Built]:
    """The wheel of every cell: the given ones, and those that `build` makes, here or on a cluster.

    `source` may be None when all wheels are given.
    """
    given: Outcome[Built] = each_cell(
        [
            (cell, strategies.prebuilt[cell.target])
            for cell in plan.cells
            if cell.target in strategies.prebuilt
        ],
        lambda cell, path: take_prebuilt(plan, cell, path, tools),
    )
    made = [cell for cell in plan.cells if cell.target not in strategies.prebuilt]
    if source is None or not made:
        return given
    built = build(plan, made, strategies, source, tools)
    return Outcome(done=(*given.done, *built.done), failed=(*given.failed, *built.failed))


def lock_cells(
    projects: Sequence[ProjectBuild], tools: Tools, build: BuildCells = build_here
) -> Outcome[Locked]:
    """The wheels and the lock of every target; what is required of it is resolved before anything is built.

    All `projects` are for the same targets, and the first one's plan is that of the bundle. A target fails
    with the first of its wheels that does.
    """
    first = projects[0]
    given = first.strategies.dependencies
    possible: Outcome[Target] = each_cell(
        [(cell, number) for number, cell in enumerate(first.plan.cells)],
        lambda _, number: _require_possible(projects, number, tools),
    )
    built = _build_each(projects, possible.done, tools, build)
    locked: Outcome[Locked] = each_cell(
        [(wheels[0].cell, wheels) for wheels in built.done],
        lambda _, wheels: Locked(
            built=wheels[0],
            lock=lock(first.plan, wheels[0], tools, given=given, further=wheels[1:]),
            further=wheels[1:],
        ),
    )
    return replace(locked, failed=(*possible.failed, *built.failed, *locked.failed))


def _require_possible(projects: Sequence[ProjectBuild], number: int, tools: Tools) -> Target:
    """The target of that number in each plan, once all that its wheels will require fits together."""
    first, cells = projects[0], [project.plan.cells[number] for project in projects]
    given = first.strategies.dependencies
    together = joined_cell(cells)
    require_resolvable(first.plan, together, tools, given=given)
    if len(projects) > 1:
        sources = [
            project.strategies.prebuilt.get(cell.target) or project.source
            for project, cell in zip(projects, cells, strict=True)
        ]
        wheels = zip([project.plan for project in projects], cells, sources, strict=True)
        require_joint_closure(together, list(wheels), tools, given=given)
    return together.target


def _build_each(
    projects: Sequence[ProjectBuild], targets: Container[Target], tools: Tools, build: BuildCells
) -> Outcome[tuple[Built, ...]]:
    """The wheels of every project for those of `targets` for which none fails, by target."""
    done: dict[Target, tuple[Built, ...]] = {
        cell.target: () for cell in projects[0].plan.cells if cell.target in targets
    }
    failed: list[tuple[Cell, WheelferryError]] = []
    for project in projects:
        cells = tuple(cell for cell in project.plan.cells if cell.target in done)
        plan = replace(project.plan, cells=cells)
        outcome = build_cells(plan, project.strategies, project.source, tools, build)
        failed += outcome.failed
        done = {one.cell.target: (*done[one.cell.target], one) for one in outcome.done}
    return Outcome(done=tuple(done.values()), failed=tuple(failed))


def at_once(cells: Iterable[Prepared], jobs: int) -> int:
    """How many cells to compile beside one another: at most one a job, fewer where nvcc's memory is short."""
    wanted = list(cells)
    if any(prepared.cell.cuda for prepared in wanted):
        jobs = min(jobs, default_jobs(memory_each=NVCC_MEMORY))
    return min(len(wanted), jobs)


def _compile(plan: Plan, cells: tuple[Prepared, ...], source: Source, tools: Tools) -> Outcome[Built]:
    if len(cells) > 1:
        return _compile_beside(plan, cells, source, tools)
    return each_cell(
        [(prepared.cell, prepared) for prepared in cells],
        lambda _, prepared: compile_wheel(plan, prepared, source, tools),
    )


def _compile_beside(plan: Plan, cells: tuple[Prepared, ...], source: Source, tools: Tools) -> Outcome[Built]:
    group = Group(tools.run)
    workers = at_once(cells, tools.jobs)

    def compile_one(prepared: Prepared) -> Built:
        own = replace(
            tools,
            run=group.run,
            uv=replace(tools.uv, run=group.run),
            jobs=tools.jobs // workers,
            progress=Labelled(tools.progress, prepared.cell.target.name),
        )
        return compile_wheel(plan, prepared, source, own)

    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        futures = [(prepared.cell, pool.submit(compile_one, prepared)) for prepared in cells]
        return each_cell(futures, lambda _, future: result_of(future))
    except BaseException:
        group.end()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


Item = TypeVar("Item")


def each_cell(items: Iterable[tuple[Cell, Item]], work: Callable[[Cell, Item], Result]) -> Outcome[Result]:
    """`work` on each cell and its item; what it raises on purpose is kept beside the cell's name."""
    done: list[Result] = []
    failed: list[tuple[Cell, WheelferryError]] = []
    for cell, item in items:
        try:
            done.append(work(cell, item))
        except WheelferryError as error:
            failed.append((cell, error))
    return Outcome(done=tuple(done), failed=tuple(failed))
