"""Fan out: the cells of a plan, each made by a worker of a Dask cluster, its wheel brought into the store."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from wheelferry.build.cells import Outcome, each_cell
from wheelferry.build.compile import Built, stamped_architectures
from wheelferry.build.dependencies.prefetch import for_metadata, require_closure
from wheelferry.build.strategy import BuildStrategies
from wheelferry.cache.source import Source
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.distributed.cluster import Task, Worker
from wheelferry.distributed.source_archive import SourceArchive, pack_source
from wheelferry.distributed.worker import BuildResult, BuildTask, describe_builder, run_task
from wheelferry.errors import InputError, IntegrityError, MissingError, WheelferryError
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.progress import Progress
from wheelferry.system.files import contained
from wheelferry.system.interpreters import Interpreter, find_interpreter

# What must be the same on all workers and here: the code, and the system that it decides for.
_COMMON = ("wheelferry", "system")
_HERE = "this machine's store"


class Workers(Protocol):
    """What is needed of a cluster; `wheelferry.distributed.cluster.Cluster` is one."""

    address: str

    def workers(self) -> tuple[Worker, ...]:
        """The workers that are there now."""
        ...

    def ask(self, function: Callable[[], object]) -> Mapping[str, object]:
        """What `function` returns on each worker, or the exception that it ended with."""
        ...

    def share(self, value: object, *, name: str) -> object:
        """Something that many tasks need."""
        ...

    def start(self, task: Task) -> None:
        """Have the task done by some worker."""
        ...

    def finished(self) -> Iterator[tuple[Task, object]]:
        """Each started task as it ends, with its result or error."""
        ...


def fan_out(
    plan: Plan,
    cells: Sequence[Cell],
    strategies: BuildStrategies,
    source: Source,
    tools: Tools,
    *,
    cluster: Workers,
    builders: int = 1,
    jobs: int | None = None,
    ahead: bool = False,
    work: Callable[[BuildTask, SourceArchive], BuildResult | WheelferryError] = run_task,
) -> Outcome[Built]:
    """The wheels of `cells`, as `build.cells.build_here` makes them, each by a worker of the cluster.

    With more than one of `builders` so many workers make each wheel, and must agree. `jobs` is how many
    compilations a cell may run at once, None for what the worker's machine allows; `work` is what a worker
    does. With `ahead` a cell for which what it requires does not fit together is given to none of them.
    Raises MissingError when a worker cannot build for us, InputError for more builders than workers.
    """
    workers = cluster.workers()
    tools.progress.stage(f"build {plan.title} with {cluster.address}, workers: {len(workers)}")
    if builders > len(workers):
        raise InputError(
            f"--builders {builders} needs as many workers, {cluster.address} has {len(workers)}",
            hint=f"start more: dask worker {cluster.address} --nthreads 1",
        )
    facts = ask_workers(cluster, workers, tools.progress)
    # the lock will need them, on this machine, for sdists
    found: Outcome[tuple[Cell, Interpreter]] = each_cell(
        [(cell, cell) for cell in cells],
        lambda cell, _: (cell, find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)),
    )
    if ahead:
        resolvable: Outcome[tuple[Cell, Interpreter]] = each_cell(
            [(cell, (cell, interpreter)) for cell, interpreter in found.done],
            lambda _, one: _resolvable(plan, one, strategies, source, tools),
        )
        found = replace(resolvable, failed=(*found.failed, *resolvable.failed))
    packed = cluster.share(pack_source(source), name=f"wheelferry-source-{source.identity}")
    held, beside = tools.store.keys("build"), tasks_by_host(workers)
    in_flight = _InFlight(cluster=cluster, work=work, source=packed, builders=builders)
    for cell, interpreter in found.done:
        build_task = BuildTask(
            plan=replace(plan, cells=(cell,), assets=()),
            strategy=strategies.by_target[cell.target],
            held=held,
            anew=False,
            jobs=jobs,
            beside=beside,
            cuda_home=tools.cuda_home,
            compiler=tools.compiler,
        )
        in_flight.begin(_Item(build_task=build_task, interpreter=interpreter))
    finished = in_flight.finish(facts, tools)
    by_target = {built.cell.target: built for built in finished.done}
    ordered = (by_target[cell.target] for cell in cells if cell.target in by_target)
    return Outcome(done=tuple(ordered), failed=(*found.failed, *finished.failed))


def _resolvable(
    plan: Plan,
    one: tuple[Cell, Interpreter],
    strategies: BuildStrategies,
    source: Source,
    tools: Tools,
) -> tuple[Cell, Interpreter]:
    """The cell and its Python, once all that it requires is known to fit together."""
    asked = for_metadata(plan, *one, tools)
    require_closure(plan, asked, source, tools, given=strategies.dependencies)
    return one


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A cell under way, and what was made of it so far: by one worker, and by others to compare."""

    build_task: BuildTask
    interpreter: Interpreter
    made: tuple[BuildResult, ...] = ()

    @property
    def cell(self) -> Cell:
        return self.build_task.cell

    @property
    def name(self) -> str:
        """Unique to what is asked for: two who ask for the same have it done once."""
        digest = hashlib.sha256(repr((self.build_task, len(self.made))).encode()).hexdigest()
        return f"wheelferry-{self.cell.target.name}-{digest[:32]}"


class _InFlight:
    """The tasks that the cluster has, and the item that each belongs to."""

    def __init__(
        self,
        *,
        cluster: Workers,
        work: Callable[[BuildTask, SourceArchive], BuildResult | WheelferryError],
        source: object,
        builders: int,
    ) -> None:
        self._cluster, self._work, self._source, self._builders = cluster, work, source, builders
        self._items: dict[str, _Item] = {}

    def begin(self, item: _Item) -> None:
        """Give the cluster one more task of the item, for a worker that has not made it yet."""
        self._items[item.name] = item
        avoided = frozenset(made.worker for made in item.made)
        self._cluster.start(
            Task(
                name=item.name,
                function=self._work,
                arguments=(item.build_task, self._source),
                avoided=avoided,
            )
        )

    def finish(self, facts: Mapping[str, Mapping[str, str]], tools: Tools) -> Outcome[Built]:
        """Wait for all tasks, and for those that they lead to; the wheels as they came, and what failed."""
        done: list[Built] = []
        failed: list[tuple[Cell, WheelferryError]] = []
        with tools.progress.task("build", total=len(self._items)) as task:
            for finished, result in self._cluster.finished():
                item = self._items.pop(finished.name)
                try:
                    item = _receive(item, result, facts, tools)
                    if len(item.made) < self._builders:
                        self.begin(item)
                        continue
                    done.append(_accept(item, tools))
                except WheelferryError as error:
                    failed.append((item.cell, error))
                task.advance()
        return Outcome(done=tuple(done), failed=tuple(failed))


def ask_workers(
    cluster: Workers, workers: Sequence[Worker], progress: Progress
) -> Mapping[str, Mapping[str, str]]:
    """What decides which wheels each worker makes; a worker that cannot help this machine is an error."""
    answers = cluster.ask(describe_builder)
    own = describe_builder()
    problems = []
    facts: dict[str, Mapping[str, str]] = {}
    for address, answer in sorted(answers.items()):
        if not isinstance(answer, Mapping):
            problems.append(f"{address}: {answer!r}")
            continue
        facts[address] = answer
        problems += [
            f"{address}: {name} {answer.get(name)}, here {own[name]}"
            for name in _COMMON
            if answer.get(name) != own[name]
        ]
    if problems:
        raise MissingError(
            "workers that cannot build for this machine:\n" + "\n".join(problems),
            hint=f"install wheelferry[dask]=={own['wheelferry']} for them, on {own['system']}",
        )
    for line in differing(facts):
        progress.warn(f"the workers differ, so their wheels may have other keys; {line}")
    for worker in workers:
        if worker.threads > 1 and not worker.declared:
            progress.warn(
                f"{worker.address} builds {worker.threads} targets at once; --nthreads 1 for one at a time"
            )
    return facts


def differing(answers: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """One line for each thing that is not the same for all: ``glibc: 2.36 (a, b); 2.39 (c)``."""
    for name in dict.fromkeys(name for answer in answers.values() for name in answer):
        holders: dict[str, list[str]] = {}
        for who, answer in answers.items():
            holders.setdefault(answer.get(name, "none"), []).append(who)
        if len(holders) > 1:
            yield f"{name}: " + "; ".join(f"{what} ({', '.join(who)})" for what, who in holders.items())


def tasks_by_host(workers: Iterable[Worker]) -> Mapping[str, int]:
    """How many cells each machine may build at once."""
    count: Counter[str] = Counter()
    for worker in workers:
        count[worker.host] += 1 if worker.declared else worker.threads
    return dict(count)


def _receive(item: _Item, result: object, facts: Mapping[str, Mapping[str, str]], tools: Tools) -> _Item:
    """The item with one more result, which must agree with the earlier ones; the next one is a new build."""
    if isinstance(result, WheelferryError):
        raise result
    if not isinstance(result, BuildResult):
        raise IntegrityError(f"a worker answered with {type(result).__name__}, not with a wheel")
    known = tools.store.recall("build", result.key)
    if result.wheel is None:
        if known is None:
            # what the store remembered is gone, or was damaged: then the bytes are needed
            return replace(item, build_task=replace(item.build_task, held=()))
        tools.progress.note(f"{known.filename} is in the store")
        made = replace(result, wheel=known, worker=_HERE)
    else:
        _bring(result, tools.store)
        tools.progress.note(f"{result.wheel.filename} from {result.worker}, {result.seconds:.0f} s")
        made = replace(result, data=None)
        if known is not None:
            _require_same(item.cell, replace(made, wheel=known, worker=_HERE), made, facts)
    for earlier in item.made:
        _require_same(item.cell, earlier, made, facts)
        if earlier.worker == made.worker:
            tools.progress.warn(
                f"{item.cell.target.name}: {made.worker} was the only worker left, and built it twice"
            )
    return replace(item, made=(*item.made, made), build_task=replace(item.build_task, anew=True))


def _bring(made: BuildResult, store: Store) -> None:
    """Put the bytes of a worker's wheel into the store; IntegrityError when they are not what it says."""
    if made.wheel is None or made.data is None:
        raise IntegrityError(f"{made.worker} sent no wheel for {made.key}")
    with store.workspace("brought") as work:
        file = contained(work, made.wheel.filename)
        file.write_bytes(made.data)
        try:
            store.add(file, expected=made.wheel.sha256)
        except IntegrityError as error:
            raise IntegrityError(f"from {made.worker}: {error}", hint="run the command again") from None


def _require_same(
    cell: Cell, one: BuildResult, other: BuildResult, facts: Mapping[str, Mapping[str, str]]
) -> None:
    """Raise IntegrityError unless both made the same bytes, MissingError when they cannot be compared."""
    who = {made.worker: _identity(made) for made in (one, other)}
    if one.key != other.key:
        raise MissingError(
            f"{cell.target.name}: {one.worker} and {other.worker} cannot be compared, they build with "
            "different things:\n" + "\n".join(differing(who)),
            hint="give all workers the same system image and index, or leave --builders out",
        )
    if one.wheel is None or other.wheel is None or one.wheel.sha256 == other.wheel.sha256:
        return
    unlike = list(differing({name: facts[name] for name in who if name in facts}))
    raise IntegrityError(
        f"{cell.target.name}: two builders of {one.wheel.filename}, build key {one.key}, disagree:\n"
        f"{one.worker}: SHA-256 {one.wheel.sha256}\n{other.worker}: SHA-256 {other.wheel.sha256}"
        + "".join(f"\nthe workers differ in {line}" for line in unlike),
        hint="do not ship it before you know why; `wheelferry cache verify` on each side finds a damaged "
        "store, --builders 2 builds anew on two workers",
    )


def _identity(made: BuildResult) -> Mapping[str, str]:
    """The inputs of a build key in which two builders can differ: tools and wheels by their names."""
    tools = {f"tool {number}": part for number, part in enumerate(made.toolchain.split("; "), 1)}
    return {**tools, **made.inputs}


def _accept(item: _Item, tools: Tools) -> Built:
    """The cell's wheel, remembered under its key, as if it had been built here."""
    made = item.made[0]
    if made.wheel is None:
        raise IntegrityError(f"{made.worker} sent no wheel for {made.key}")
    if tools.store.recall("build", made.key) is None:
        tools.store.remember("build", made.key, made.wheel)
    return Built(
        cell=item.cell,
        wheel=made.wheel,
        torch=made.torch,
        on_stable_abi=made.on_stable_abi,
        environment_key=made.environment_key,
        interpreter=item.interpreter,
        cuda_architectures=stamped_architectures(tools.store.path(made.wheel.sha256)),
    )
