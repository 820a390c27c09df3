"""matrix --prove, killed at random: no half records, nothing large left behind, and the next run goes on."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from clients import PYTHON
from conftest import write_wheel
from effort import SEED, trials
from wheelferry.cache.guests import LARGE
from yard import Yard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

TORCHES = ("2.11.0", "2.12.0", "2.12.1", "2.13.0")
JOB = ["matrix", "./tiny.toml", "--prove", "--python", PYTHON, "--level", "static"]
KILLS = trials(3, 30)


class ProvingYard(Yard):
    """A project without compiled modules, for four torch releases of which each counts as large."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        recipe = self.folder / "tiny.toml"
        text = recipe.read_text("utf-8")
        build = next(line for line in text.splitlines() if line.startswith("build = "))
        row = text[text.index("[[torch]]") : text.index("[releases")]
        rows = "".join(row.replace("2.13.0", torch) for torch in TORCHES)
        recipe.write_text(text.replace(build, "build = { python_only = true }").replace(row, rows), "utf-8")
        tag = f"cp{PYTHON.replace('.', '')}-cp{PYTHON.replace('.', '')}-manylinux_2_17_x86_64"
        for torch in TORCHES:
            files = {"torch/version.py": b"cuda = None\n", "torch/ballast": os.urandom(LARGE + 1)}
            write_wheel(self.index, "torch", torch, tag=tag, files=files)

    def records(self) -> list[str]:
        """The torch of every cell that is recorded; the file is whole, or not there."""
        file = self.folder / "tiny" / "records.json"
        found = json.loads(file.read_text("utf-8"))["records"] if file.exists() else []
        assert all(record["levels"] == ["static"] for record in found), found
        return [record["target"]["torch"] for record in found]

    def large(self) -> list[Path]:
        """Large files in the cache, whatever for."""
        return [p for p in self.cache.rglob("*") if p.is_file() and p.stat().st_size > LARGE]


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
    assert list((yard.cache / "guests").iterdir()) == []
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
