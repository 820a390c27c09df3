"""matrix --prove, killed at random: no half records, nothing large left behind, and the next run goes on."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from effort import SEED, trials
from proving_yard import JOB, TORCHES, ProvingYard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

KILLS = trials(3, 30)


def test_a_killed_run_leaves_nothing_half_and_nothing_large(tmp_path: Path) -> None:
    yard = ProvingYard(tmp_path / "y ard ü")
    chance = random.Random(f"{SEED} prove")
    seen: list[str] = []
    for _ in range(KILLS):
        process = yard.start(*JOB)
        time.sleep(chance.uniform(0.5, 12.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = yard.records()
        assert set(seen) <= set(now)
        seen = now
    said = yard.run(*JOB)
    assert sorted(yard.records()) == sorted(TORCHES), said
    assert yard.large() == []
    assert list((yard.cache / "work").iterdir()) == []
    assert list((yard.cache / "transient").iterdir()) == []
    started = time.monotonic()
    said = yard.run(*JOB)
    assert "0 cells tried, 0 of them failed; 0 left to try" in said
    assert time.monotonic() - started < 20


def test_two_runs_on_one_store_do_not_take_files_from_each_other(tmp_path: Path) -> None:
    yard = ProvingYard(tmp_path / "yard")
    both = [yard.start(*JOB) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(yard.records()) == sorted(TORCHES)
    assert yard.large() == []
