"""Cells made by workers: what comes back is checked, compared and kept; a worker's failure is one cell's."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import RECIPE, TARGET, write_wheel
from wheelferry.build.cells import Outcome
from wheelferry.build.compile import Built
from wheelferry.build.prepare import CompiledAgainst
from wheelferry.build.strategy import BuildStrategies, BuildStrategy
from wheelferry.cache.source import Source
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.distributed import fan_out as stage
from wheelferry.distributed.cluster import Task, Worker
from wheelferry.distributed.fan_out import differing, fan_out
from wheelferry.distributed.source_archive import SourceArchive
from wheelferry.distributed.worker import BuildResult, BuildTask, describe_builder
from wheelferry.errors import BuildError, InputError, IntegrityError, MissingError, WheelferryError
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.progress import Silent
from wheelferry.system.interpreters import Interpreter

PYTHONS = ("3.10", "3.11", "3.12")
TORCH = CompiledAgainst(version="2.13.0", sha256="ab" * 32)
A, B = "tcp://a:1", "tcp://b:1"


class Watching(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Ring:
    """A cluster in this process: tasks are done when their results are asked for."""

    address = "tcp://scheduler:8786"

    def __init__(self, facts: Mapping[str, object] | None = None, *, threads: int = 1) -> None:
        own = describe_builder()
        self.facts = facts or {A: own, B: own}
        self.threads = threads
        self.started: list[Task] = []
        self._waiting: list[Task] = []

    def workers(self) -> tuple[Worker, ...]:
        return tuple(Worker(address=name, host="one", threads=self.threads) for name in self.facts)

    def ask(self, function: Callable[[], object]) -> Mapping[str, object]:
        assert function is describe_builder
        return self.facts

    def share(self, value: object, *, name: str) -> object:
        assert name.endswith("0" * 64)
        return value

    def start(self, task: Task) -> None:
        self.started.append(task)
        self._waiting.append(task)

    def finished(self) -> Iterator[tuple[Task, object]]:
        while self._waiting:
            task = self._waiting.pop(0)
            worker = next(name for name in self.facts if name not in task.avoided)
            try:
                made = task.function(*task.arguments)
                yield task, replace(made, worker=worker) if isinstance(made, BuildResult) else made
            except WheelferryError as error:
                yield task, error


class Bench:
    """What the workers do here: wheels whose bytes hang on the cell, and on whatever a test changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orders: list[BuildTask] = []
        self.changes: dict[int, dict[str, Any]] = {}
        self.errors: dict[str, WheelferryError] = {}

    def __call__(self, build_task: BuildTask, packed: SourceArchive) -> BuildResult:
        number = len(self.orders)
        self.orders.append(build_task)
        assert packed.data
        python = build_task.cell.target.python
        if python in self.errors:
            raise self.errors[python]
        key = hashlib.sha256(python.encode()).hexdigest()
        tag = f"cp{python.replace('.', '')}"
        path = write_wheel(
            self.folder, "tiny", build_task.cell.wheel_version, tag=f"{tag}-{tag}-linux_x86_64"
        )
        data = path.read_bytes()
        held = key in build_task.held and not build_task.anew
        made = BuildResult(
            key=key,
            toolchain=f"CPython {python}; g++ 12",
            inputs={"wheel.whl": "cd" * 32},
            wheel=None
            if held
            else Entry(sha256=hashlib.sha256(data).hexdigest(), filename=path.name, size=len(data)),
            data=None if held else data,
            torch=TORCH,
            on_stable_abi=False,
            environment_key="e",
            worker="",
            seconds=1.0,
        )
        return replace(made, **self.changes.get(number, {}))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "made")


@pytest.fixture(autouse=True)
def _python(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(python: str, *_: object, **__: object) -> Interpreter:
        return Interpreter(path=Path("python"), version=python, headers=Path("include"))

    monkeypatch.setattr(stage, "find_interpreter", found)


def a_plan() -> Plan:
    recipe = parse_recipe(RECIPE, file="tiny.toml")
    return make_plan(recipe, "1.0", [replace(TARGET, python=python) for python in PYTHONS])


def spread(tools: Tools, bench: Bench, ring: Ring | None = None, **options: Any) -> Outcome[Built]:
    plan = a_plan()
    folder = tools.store.root.parent / "source"
    folder.mkdir(exist_ok=True)
    (folder / "setup.py").write_text("", "utf-8")
    return fan_out(
        plan,
        plan.cells,
        BuildStrategies(by_target={cell.target: BuildStrategy.NATIVE for cell in plan.cells}, prebuilt={}),
        Source(location=folder, identity="0" * 64, epoch=0, kind="folder"),
        tools,
        cluster=ring or Ring(),
        work=bench,
        **options,
    )


def only_error(outcome: Outcome[Built]) -> WheelferryError:
    (((_, error)),) = outcome.failed
    return error


def test_the_wheels_come_back_in_the_order_of_the_plan(tools: Tools, bench: Bench) -> None:
    outcome = spread(tools, bench)
    assert [built.cell.target.python for built in outcome.done] == list(PYTHONS)
    assert outcome.failed == ()
    for built in outcome.done:
        assert tools.store.take(built.wheel.sha256) is not None
        assert (built.torch, built.environment_key) == (TORCH, "e")
    keys = tools.store.keys("build")
    assert {tools.store.recall("build", key) for key in keys} == {built.wheel for built in outcome.done}


def test_an_order_has_its_cell_alone_and_no_assets(tools: Tools, bench: Bench) -> None:
    spread(tools, bench, jobs=3)
    assert [[cell.target.python for cell in build_task.plan.cells] for build_task in bench.orders] == [
        [python] for python in PYTHONS
    ]
    assert {
        (build_task.jobs, build_task.strategy, build_task.plan.assets) for build_task in bench.orders
    } == {(3, BuildStrategy.NATIVE, ())}
    assert bench.orders[0].beside == {"one": 2}


def test_what_the_store_has_is_not_sent_again(tools: Tools, bench: Bench) -> None:
    first = spread(tools, bench)
    second = spread(tools, bench)
    assert [built.wheel for built in second.done] == [built.wheel for built in first.done]
    assert [len(build_task.held) for build_task in bench.orders] == [0, 0, 0, 3, 3, 3]


def test_a_key_whose_wheel_is_gone_is_asked_for_again(tools: Tools, bench: Bench) -> None:
    first = spread(tools, bench)
    lost = first.done[1].wheel
    tools.store.path(lost.sha256).unlink()
    second = spread(tools, bench)
    assert [built.wheel for built in second.done] == [built.wheel for built in first.done]
    assert tools.store.take(lost.sha256) is not None
    assert [build_task.held for build_task in bench.orders[6:]] == [()]


def test_a_failing_cell_leaves_the_others(tools: Tools, bench: Bench) -> None:
    bench.errors["3.11"] = BuildError("it did not compile [worker tcp://a:1]")
    outcome = spread(tools, bench)
    assert [built.cell.target.python for built in outcome.done] == ["3.10", "3.12"]
    ((cell, error),) = outcome.failed
    assert (cell.target.python, error) == ("3.11", bench.errors["3.11"])


def test_two_builders_that_agree(tools: Tools, bench: Bench) -> None:
    ring = Ring()
    outcome = spread(tools, bench, ring, builders=2)
    assert len(outcome.done) == 3
    assert [build_task.anew for build_task in bench.orders] == [False] * 3 + [True] * 3
    assert [task.avoided for task in ring.started] == [frozenset()] * 3 + [frozenset({A})] * 3
    assert len({task.name for task in ring.started}) == 6


def test_two_builders_that_disagree_are_named(tools: Tools, bench: Bench, tmp_path: Path) -> None:
    other = write_wheel(tmp_path / "other", "tiny", "1.0", tag="cp310-cp310-linux_x86_64", files={"x": b"y"})
    data = other.read_bytes()
    entry = Entry(sha256=hashlib.sha256(data).hexdigest(), filename=other.name, size=len(data))
    bench.changes[3] = {"wheel": entry, "data": data}
    own = describe_builder()
    ring = Ring({A: own, B: {**own, "zlib": "9.9"}})
    outcome = spread(tools, bench, ring, builders=2)
    assert [built.cell.target.python for built in outcome.done] == ["3.11", "3.12"]
    error = only_error(outcome)
    assert isinstance(error, IntegrityError)
    key = hashlib.sha256(b"3.10").hexdigest()
    for word in (key, entry.sha256, A, B, f"zlib: {own['zlib']} ({A}); 9.9 ({B})"):
        assert word in str(error)
    # what is in dispute is not used by the next run either
    assert tools.store.recall("build", key) is None


def test_builders_with_other_tools_are_no_mismatch(tools: Tools, bench: Bench) -> None:
    bench.changes[4] = {"key": "ff" * 32, "toolchain": "CPython 3.11; g++ 13"}
    error = only_error(spread(tools, bench, builders=2))
    assert isinstance(error, MissingError)
    assert f"tool 2: g++ 12 ({A}); g++ 13 ({B})" in str(error)
    assert "wheel.whl" not in str(error)


def test_a_worker_that_disagrees_with_our_own_store(tools: Tools, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "tiny-1.0-py3-none-any.whl"
    file.write_bytes(b"another one")
    entry = tools.store.add(file)
    key = hashlib.sha256(b"3.12").hexdigest()
    tools.store.remember("build", key, entry)
    # the worker was not told, as when another command of this machine has just built it
    whole = bench(an_order("3.12"), SourceArchive(kind="folder", identity="", epoch=0, sha256="", data=b"x"))
    bench.orders.clear()
    bench.changes[2] = {"wheel": whole.wheel, "data": whole.data}
    error = only_error(spread(tools, bench))
    assert isinstance(error, IntegrityError)
    assert "this machine's store" in str(error)
    assert entry.sha256 in str(error)
    assert tools.store.recall("build", key) == entry


def an_order(python: str) -> BuildTask:
    plan = a_plan()
    (cell,) = (cell for cell in plan.cells if cell.target.python == python)
    return BuildTask(
        plan=replace(plan, cells=(cell,)),
        strategy=BuildStrategy.NATIVE,
        held=(),
        anew=False,
        jobs=1,
        beside={},
        cuda_home=None,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": b"damaged"}, f"from {A}: tiny-.*SHA-256 is"),
        ({"data": None}, f"{A} sent no wheel"),
        ({"wheel": Entry(sha256="0", filename="../tiny.whl", size=1)}, "does not stay inside"),
    ],
)
def test_what_is_not_the_wheel_is_not_kept(
    change: dict[str, Any], said: str, tools: Tools, bench: Bench
) -> None:
    bench.changes[0] = change
    outcome = spread(tools, bench)
    with pytest.raises(IntegrityError, match=said):
        raise only_error(outcome)
    assert len(outcome.done) == len(tools.store.keys("build")) == 2
    assert list((tools.store.root / "work").iterdir()) == []


def test_workers_that_are_no_help_end_it_before_it_begins(tools: Tools, bench: Bench) -> None:
    own = describe_builder()
    ring = Ring({A: {**own, "wheelferry": "0.0.1"}, B: ModuleNotFoundError("No module named 'wheelferry'")})
    with pytest.raises(MissingError, match=r"a:1: wheelferry 0\.0\.1, here .*\n.*b:1: ModuleNotFoundError"):
        spread(tools, bench, ring)
    assert bench.orders == []


def test_workers_that_differ_are_told(tools: Tools, bench: Bench) -> None:
    own = describe_builder()
    progress = Watching()
    ring = Ring({A: own, B: {**own, "compiler": "g++ 99"}}, threads=4)
    assert len(spread(replace(tools, progress=progress), bench, ring).done) == 3
    assert f"g++ 99 ({B})" in progress.warnings[0]
    assert ["builds 4 targets at once" in warning for warning in progress.warnings] == [False, True, True]


def test_more_builders_than_workers(tools: Tools, bench: Bench) -> None:
    with pytest.raises(InputError, match="--builders 3 needs as many workers"):
        spread(tools, bench, builders=3)


def test_what_is_the_same_for_all_does_not_differ() -> None:
    assert list(differing({"a": {"x": "1", "y": "2"}, "b": {"x": "1", "y": "3"}})) == ["y: 2 (a); 3 (b)"]
    assert list(differing({"a": {"x": "1"}, "b": {}})) == ["x: 1 (a); none (b)"]
    assert list(differing({"a": {"x": "1"}})) == []
