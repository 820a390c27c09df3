"""Work in threads: one that fails, or is stopped, ends what runs beside it."""

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import TARGET
from wheelferry.build.dependencies import prefetch
from wheelferry.cache.source import Source
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import Interrupted
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.progress import Silent, Stoppable, Task
from wheelferry.system.threads import side_by_side


def test_results_come_in_the_order_of_the_calls() -> None:
    met = threading.Barrier(2, timeout=60)  # broken unless both run at once

    def one() -> int:
        met.wait()
        return 1

    def two() -> int:
        met.wait()
        return 2

    assert side_by_side([one, two], on_failure=lambda: None) == [1, 2]


def test_a_failure_ends_what_the_others_wait_for() -> None:
    ended = threading.Event()

    def fails() -> None:
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        side_by_side([fails, lambda: ended.wait(60)], on_failure=ended.set)
    assert ended.is_set()


def test_without_a_failure_nothing_is_ended() -> None:
    assert side_by_side([lambda: 1], on_failure=lambda: pytest.fail("ended")) == [1]


class Noting(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, title: str) -> None:
        self.said.append(f"stage {title}")

    def task(
        self, title: str, *, total: int | None = None, unit: str = "steps"
    ) -> AbstractContextManager[Task]:
        self.said.append(f"task {title}")
        return super().task(title, total=total, unit=unit)

    def note(self, message: str) -> None:
        self.said.append(f"note {message}")


def test_work_that_was_told_to_stop_does_so_at_its_next_word() -> None:
    stop, inner = threading.Event(), Noting()
    progress = Stoppable(inner, stop)
    with progress.task("download", unit="bytes") as task:
        task.total(10)
        task.advance(5)
        stop.set()
        with pytest.raises(Interrupted):
            task.advance(5)
    with pytest.raises(Interrupted), progress.task("another"):
        pytest.fail("it was begun")
    progress.note("over")
    assert inner.said == ["task download", "note over"]


def test_the_stage_is_that_of_the_work_beside_it() -> None:
    inner = Noting()
    Stoppable(inner, threading.Event()).stage("build")
    assert inner.said == []


def test_a_failure_breaks_off_what_is_fetched_meanwhile(
    tools: Tools, located: LocatedRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def fetch(_plan: object, _prepared: object, _source: object, tools: Tools) -> None:
        for _ in range(600):
            try:
                with tools.progress.task("download") as task:
                    task.advance()
            except Interrupted:
                seen.append("broken off")
                raise
            threading.Event().wait(0.1)
        seen.append("not broken off in a minute")

    monkeypatch.setattr(prefetch, "_fetch", fetch)
    plan = make_plan(located.recipe, "1.0", [TARGET])
    source = Source(location=Path("nowhere"), identity="0" * 64, epoch=0, kind="folder")
    waiting: Any = SimpleNamespace(key="0" * 64, cell=plan.cells[0])
    with (
        pytest.raises(RuntimeError, match="no compiler"),
        prefetch.fetching_ahead(plan, [waiting], source, tools),
    ):
        raise RuntimeError("no compiler")
    assert seen == ["broken off"]
