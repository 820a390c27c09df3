"""matrix --prove: which cell is next, what is kept of it, and that a run goes on where another stopped."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE
from wheelferry.cache import transient
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, load_records
from wheelferry.client.common.errors import BadInput
from wheelferry.client.smoke.own_data import parse_budget
from wheelferry.errors import MissingError, MissingPythonError
from wheelferry.matrix.coverage import LINUX, Selection, Status, cells
from wheelferry.matrix.next_cell import Cell, next_cell
from wheelferry.models.planning.make_plan import plan_digest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.records import LEVELS, MAKING, Record, one_line, records_text
from wheelferry.models.report import Level
from wheelferry.models.targets import Target
from wheelferry.proving import prove as proving
from wheelferry.proving.prove import Wanted, Watcher, is_open, prove

TORCH = '[[torch]]\nversion = "2.13.0"\npython = ">=3.10,<3.15"\n'
TEXT = RECIPE.replace(TORCH, TORCH + TORCH.replace("2.13.0", "2.12.1") + TORCH.replace("2.13.0", "2.12.0"))
RECIPES = parse_recipe(TEXT, file="tiny.toml")
ALL = Selection(releases=("1.0",), platforms=(LINUX,), backends=("default",))


def cell(python: str = "3.12", torch: str = "2.13.0", *, backend: str = "default") -> Cell:
    return "1.0", Target(python=python, platform=LINUX, torch=torch, backend=backend)


def made(which: Cell, *, failed: str | None = None, level: Level = Level.SMOKE) -> Record:
    release, target = which
    return Record(
        release=release,
        target=target,
        levels=() if failed else LEVELS[: level + 1],
        failed=failed,
        reason="a compiler said no" if failed else None,
        seconds=(("bundle", 2.0), ("static", 1.0)),
        isolated=True,
        date="2026-11-30T12:00:00+00:00",
        command="wheelferry bundle …",
        plan=plan_digest(RECIPES, release, target),
        wheelferry="wheelferry 0",
        machine="x86_64",
    )


class TestTheNextCell:
    def test_brings_what_was_never_seen_before_what_was_never_seen_together(self) -> None:
        seen = [cell("3.12", "2.13.0"), cell("3.11", "2.12.1")]
        together, alone = cell("3.12", "2.12.1"), cell("3.10", "2.13.0")
        assert next_cell([together, alone], seen, [], None) == alone
        assert next_cell([together, cell("3.11", "2.12.0")], seen, [], None) == together

    def test_looks_beside_a_failure_before_it_looks_at_new_pairs(self) -> None:
        seen = [
            cell("3.12", "2.13.0"),
            cell("3.11", "2.13.0"),
            cell("3.10", "2.12.1"),
            cell("3.12", "2.12.1"),
        ]
        beside, far = cell("3.10", "2.13.0"), cell("3.11", "2.12.1")
        assert next_cell([beside, far], seen, [], None) == beside  # both are new pairs; it is the newer torch
        assert next_cell([beside, far], seen[:3], [seen[3]], None) == far

    def test_stays_with_the_torch_that_is_on_the_disk(self) -> None:
        new, old = cell("3.10", "2.13.0"), cell("3.10", "2.12.0")
        assert next_cell([new, old], [new, old], [], None) == new
        assert next_cell([new, old], [new, old], [], cell("3.12", "2.12.0")) == old


def test_a_cell_is_open_until_it_was_seen_so_far_and_closed_when_it_failed() -> None:
    def open_after(*records: Record, level: Level = Level.SMOKE) -> bool:
        (verdict,) = cells(RECIPES, records, replace(ALL, pythons=("3.12",), torches=("2.13.0",)))
        return is_open(verdict, level)

    assert open_after()
    assert not open_after(made(cell()))
    assert open_after(made(cell()), level=Level.TRAIN)
    assert open_after(made(cell(), level=Level.INSTALL))
    assert not open_after(made(cell(), failed=MAKING))
    # until the recipe says something else
    assert open_after(made(cell(), failed=MAKING).model_copy(update={"plan": "0" * 64}))


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("2h", 7200), ("1.5 h", 5400), (" 3m ", 180)]
)
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 days", "2h30m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no time"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("\n  g++: not found in /home/me/some/bin/tools\nmore\n", "g++: not found in …/tools"),
        ("C:\\Users\\me\\x\\a.cpp: no", "…/a.cpp: no"),
        ("the installer ended with 1:\nmany lines\nImportError: no such thing\n",
         "the installer ended with 1: ImportError: no such thing"),
        ("v1/2 of 3", "v1/2 of 3"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_reason_is_one_line_without_this_machines_folders(said: str, kept: str) -> None:
    assert one_line(said) == kept


class Run:
    """Proves cells of a tiny recipe with a stand-in for building and verifying one."""

    def __init__(self, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tools = replace(tools, store=Store(tmp_path / "store"))
        self.file = tmp_path / "records.json"
        self.located = LocatedRecipe(recipe=RECIPES, folder=tmp_path)
        self.tried: list[Cell] = []
        self.answer: Callable[[Cell], Record] = made
        monkeypatch.setattr(proving, "prove_cell", self._prove)
        monkeypatch.setattr(proving, "require_space", lambda *_, **__: None)

    def _prove(self, which: Cell, *_: object) -> Record:
        self.tried.append(which)
        return self.answer(which)

    def __call__(
        self,
        *,
        budget: float | None = None,
        level: Level = Level.SMOKE,
        statuses: frozenset[Status] = frozenset(),
    ) -> proving.Proven:
        wanted = Wanted(
            located=self.located,
            selection=ALL,
            level=level,
            statuses=statuses,
            budget=budget,
            file=self.file,
        )
        nobody = Watcher(before=lambda *_: None, after=lambda _: None, skipped=lambda *_: None)
        return prove(wanted, self.tools, nobody)

    def known(self) -> dict[Cell, Record]:
        return {record.cell: record for record in load_records(self.located, file=self.file)}


@pytest.fixture
def run(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, tools, monkeypatch)


def possible() -> set[Cell]:
    every = cells(RECIPES, (), ALL)
    return {(v.release, v.target) for v in every if v.status is not Status.UNSUPPORTED}


def test_every_cell_is_tried_once_and_a_second_run_does_nothing(run: Run) -> None:
    first = run()
    assert set(run.tried) == possible()
    assert len(run.tried) == len(possible())
    assert (len(first.added), first.left) == (len(possible()), 0)
    assert set(run.known()) == possible()
    run.tried.clear()
    again = run()
    assert (run.tried, again.added, again.left) == ([], (), 0)
    run(level=Level.TRAIN)
    assert set(run.tried) == possible()


def test_what_was_seen_before_a_kill_is_kept_and_the_next_run_goes_on(run: Run) -> None:
    def stop_at_third(which: Cell) -> Record:
        if len(run.tried) == 3:
            raise KeyboardInterrupt
        return made(which)

    run.answer = stop_at_third
    with pytest.raises(KeyboardInterrupt):
        run()
    done = set(run.known())
    assert len(done) == 2
    run.tried.clear()
    run.answer = made
    run()
    assert set(run.tried) == possible() - done


def test_a_failure_is_kept_with_its_reason_and_not_tried_again(run: Run) -> None:
    run.answer = lambda which: made(which, failed=MAKING if which[1].torch == "2.12.0" else None)
    run()
    bad = {which for which in possible() if which[1].torch == "2.12.0"}
    assert {which for which, record in run.known().items() if record.failed} == bad
    verdict = cells(RECIPES, run.known().values(), replace(ALL, torches=("2.12.0",), pythons=("3.12",)))[0]
    assert verdict.status is Status.FAILS
    assert verdict.reason == "no bundle could be made on 2026-11-30: a compiler said no"
    run.tried.clear()
    run()
    assert run.tried == []


def test_what_others_recorded_meanwhile_stays(run: Run) -> None:
    others = cell("3.14", "2.12.1")

    def meanwhile(which: Cell) -> Record:
        known = {**run.known(), others: made(others)}
        run.file.write_text(records_text("tiny", known.values()), "utf-8")
        return made(which)

    run.answer = meanwhile
    run()
    assert others in run.known()
    assert others not in run.tried[1:]


def test_a_budget_ends_the_run_before_a_cell_that_would_not_end_in_time(run: Run) -> None:
    # three seconds each, by their own word; the first is always tried
    proven = run(budget=2.0)
    assert (len(run.tried), proven.left) == (1, len(possible()) - 1)


def test_cells_of_a_status_are_tried_again(run: Run) -> None:
    run.answer = lambda which: made(which, failed=MAKING if which[1].python == "3.12" else None)
    run()
    run.tried.clear()
    run.answer = made
    bad = {which for which in possible() if which[1].python == "3.12"}
    proven = run(statuses=frozenset({Status.FAILS}))
    assert (set(run.tried), proven.left) == (bad, 0)
    assert not any(record.failed for record in run.known().values())


def test_cells_of_a_missing_python_are_skipped_at_once_and_not_recorded(run: Run) -> None:
    def lacks(which: Cell) -> Record:
        if which[1].python == "3.14":
            raise MissingPythonError("3.14")
        return made(which)

    run.answer = lacks
    proven = run()
    lacking = {which for which in possible() if which[1].python == "3.14"}
    assert set(proven.skipped) == lacking
    assert set(run.known()) == possible() - lacking
    assert len(run.tried) == len(possible()) - len(lacking) + 1


def test_a_missing_python_is_told_by_another_process_as_it_was() -> None:
    error = MissingPythonError("3.14")
    error.args = (f"{error} [worker tcp://a:1]",)
    told = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(told), told.hint, told.python) == (str(error), error.hint, "3.14")


def test_what_only_another_machine_compiles_is_left_to_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "has_compiler", lambda target, _: target.python != "3.12")
    proven = run()
    others = {which for which in possible() if which[1].python != "3.12"}
    assert set(run.tried) == others
    assert others < possible()
    assert (proven.left, proven.skipped) == (0, {})


def test_what_this_machine_cannot_try_is_skipped_and_not_recorded(run: Run) -> None:
    def lacks(which: Cell) -> Record:
        if which[1].python == "3.14":
            raise MissingError(f"no compiler for {which[1].name}")
        return made(which)

    run.answer = lacks
    proven = run()
    lacking = {which for which in possible() if which[1].python == "3.14"}
    assert set(proven.skipped) == lacking
    assert set(run.known()) == possible() - lacking


def test_a_host_that_goes_away_ends_the_run_and_what_was_seen_stays(run: Run) -> None:
    def lacks(which: Cell) -> Record:
        if len(run.tried) > 2:
            raise MissingError("the index does not answer")
        return made(which)

    run.answer = lacks
    with pytest.raises(MissingError, match="does not answer"):
        run()
    assert (len(run.tried), len(run.known())) == (5, 2)


def test_what_is_missing_for_every_cell_ends_the_run(run: Run) -> None:
    def lacks(which: Cell) -> Record:
        raise MissingError("the index does not answer")

    run.answer = lacks
    with pytest.raises(MissingError, match="does not answer"):
        run()
    assert len(run.tried) == 3


def test_large_files_that_came_for_a_cell_do_not_stay(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transient, "LARGE", 10)

    def add(name: str, size: int) -> str:
        path = run.file.with_name(name)
        path.write_bytes(name.encode() + b"x" * size)
        return run.tools.store.add(path).sha256

    before = add("torch that was there", 100)
    came: list[str] = []

    def download(which: Cell) -> Record:
        came.append(add(f"torch for {which[1].name}", 100))
        came.append(add(f"{len(came):02}", 0))
        return made(which)

    run.answer = download
    run()
    left = run.tools.store.object_names()
    assert before in left
    assert left == {before, *came[1::2]}


def test_a_record_is_one_line_of_the_file(run: Run) -> None:
    run()
    head, *lines, end = run.file.read_text("utf-8").splitlines()
    assert len(lines) == len(possible())
    assert all(json.loads(line.rstrip(","))["release"] == "1.0" for line in lines)
    assert (json.loads(head + end)["records"], end) == ([], "]}")
