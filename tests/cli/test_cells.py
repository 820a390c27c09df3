"""Several cells beside one another: processes that end together, failures that name their cell."""

import sys
import threading
import time

import pytest

from conftest import TARGET
from wheelferry.build.cells import Outcome
from wheelferry.errors import BuildError, Interrupted, MissingError, WheelferryError
from wheelferry.models.planning.plan import Cell
from wheelferry.models.targets import Target
from wheelferry.system.process import Group, run


def cell(python: str) -> Cell:
    target = Target(python=python, platform=TARGET.platform, torch=TARGET.torch, backend="cpu")
    return Cell(
        target=target,
        torchvision=None,
        build_requires=(),
        environment=(),
        substitutions=(),
        requirements=(),
        constraints=(),
        wheel_version="1",
    )


def test_ending_a_group_ends_what_runs_and_refuses_what_comes() -> None:
    group = Group(run)
    errors: list[WheelferryError] = []

    def work() -> None:
        try:
            group.run(
                [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"], step="sleep"
            )
        except WheelferryError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    group.end()
    for thread in threads:
        thread.join(timeout=30)
    assert time.monotonic() - started < 30
    assert len(errors) == 2
    with pytest.raises(Interrupted):
        group.run([sys.executable, "-c", "pass"], step="one more")


def test_no_failure_raises_nothing() -> None:
    outcome = Outcome(done=("a",))
    outcome.raise_failures()
    assert outcome.failed == ()


def test_the_only_cell_fails_with_its_own_error() -> None:
    error = BuildError("no compiler here", hint="install one")
    with pytest.raises(BuildError, match=r"^no compiler here$"):
        Outcome[str](done=(), failed=((cell("3.11"), error),)).raise_failures()


def test_failures_name_their_cells_and_say_what_is_left() -> None:
    failed = (
        (cell("3.11"), MissingError("no CPython 3.11", hint="install it")),
        (cell("3.12"), BuildError("it did not compile")),
    )
    with pytest.raises(MissingError) as caught:
        Outcome(done=("a wheel",), failed=failed).raise_failures()
    text = str(caught.value)
    assert text.startswith("2 of 3 targets failed:")
    assert "cp311-manylinux_2_28_x86_64-torch2_13_0-cpu: no CPython 3.11" in text
    assert "cp312-manylinux_2_28_x86_64-torch2_13_0-cpu: it did not compile" in text
    assert caught.value.hint == "install it; the wheels of the other targets are kept for the next run"
