"""matrix --prove --scheduler: cells on two workers, a worker that dies, Ctrl-C."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters import LocalCluster, is_running, until
from proving_yard import JOB, TORCHES, ProvingYard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal, and looks into /proc")

# What a test puts before the build of the project; `FOLDER` is a place for its marks.
_BACKEND = """
import os, pathlib, signal, time

FOLDER = pathlib.Path({folder!r})
at_once = build_wheel

def ancestors():
    process = os.getpid()
    while process > 1:
        yield process
        status = pathlib.Path(f"/proc/{{process}}/status").read_text()
        process = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))

def end_worker():
    for process in ancestors():
        command = pathlib.Path(f"/proc/{{process}}/cmdline").read_bytes()
        if b"dask" in command and b"worker" in command:
            os.kill(process, signal.SIGKILL)

def build_wheel(*arguments, **options):
    mark = FOLDER / str(len(list(FOLDER.iterdir())))
    mark.write_text(str(os.getpid()))
    {first}
    return at_once(*arguments, **options)
"""


class Place:
    """A yard, and a cluster whose workers have its index and a store each."""

    def __init__(self, folder: Path, cluster: LocalCluster, *, first: str = "pass") -> None:
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.yard = ProvingYard(folder / "yard", backend=_BACKEND.format(folder=str(self.marks), first=first))
        self.cluster = cluster
        self.job = [*JOB, "--scheduler", cluster.address]

    def add(self, *names: str) -> None:
        for name in names:
            store = {"WHEELFERRY_CACHE": str(self.store(name))}
            self.cluster.add(name, variables={**self.yard.environment, **store})

    def store(self, name: str) -> Path:
        return self.yard.folder / f"store-{name}"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    (tmp_path / "cluster").mkdir()
    with LocalCluster(tmp_path / "cluster") as started:
        yield started


def test_cells_are_proven_on_both_workers_and_recorded_here(tmp_path: Path, cluster: LocalCluster) -> None:
    place = Place(tmp_path, cluster)
    place.add("a", "b")
    said = place.yard.run(*place.job)
    assert sorted(place.yard.records()) == sorted(TORCHES), said
    assert f"{len(TORCHES)} cells tried, 0 of them failed; 0 left to try" in said
    for name in ("a", "b"):
        assert any((place.store(name) / "keys" / "build").iterdir())
        assert place.yard.large(place.store(name)) == []
        assert list((place.store(name) / "work").iterdir()) == []
    again = place.yard.run(*place.job)
    assert "0 cells tried, 0 of them failed; 0 left to try" in again


def test_a_worker_that_dies_gives_its_cell_to_another_one(tmp_path: Path, cluster: LocalCluster) -> None:
    place = Place(tmp_path, cluster, first="mark.name == '0' and end_worker()")
    place.add("a", "b")
    said = place.yard.run(*place.job)
    assert sorted(place.yard.records()) == sorted(TORCHES), said
    ended = [name for name, process in cluster.workers.items() if process.poll() is not None]
    assert len(ended) == 1


def test_a_cell_that_ends_two_workers_is_left_as_not_tried(tmp_path: Path, cluster: LocalCluster) -> None:
    place = Place(tmp_path, cluster, first="end_worker()")
    place.add("a", "b", "c")
    said = place.yard.run(*place.job, "--torch", TORCHES[0])
    assert "cannot be tried here: 2 workers ended while they were at it" in said
    assert "0 cells tried, 0 of them failed; 0 left to try; 1 cannot be tried here" in said
    assert place.yard.records() == []
    assert len([process for process in cluster.workers.values() if process.poll() is None]) == 1


def test_ctrl_c_ends_what_the_workers_do_and_the_next_run_goes_on(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    place = Place(tmp_path, cluster, first="mark.name == '1' and time.sleep(300)")
    place.add("a")
    process = place.yard.start(*place.job)
    until(lambda: (place.marks / "1").is_file(), cluster.log("a"))
    time.sleep(0.5)
    slow = int((place.marks / "1").read_text("utf-8"))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    until(lambda: not is_running(slow), cluster.log("a"), seconds=60)
    assert len(place.yard.records()) == 1
    said = place.yard.run(*place.job)
    assert sorted(place.yard.records()) == sorted(TORCHES), said
    assert place.yard.large(place.store("a")) == []
