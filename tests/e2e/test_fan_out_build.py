"""The sample's wheels built on two workers: one is killed, all come back, the same as those built here."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clusters import LocalCluster, two_workers, until
from ferry import Ferry
from wheelferry.cache.store import Store

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.12.0", "2.13.0")
# Python only: no compiler, no torch, so that many cells take seconds each.
CELLS = ["--without-ops", "--python", PYTHON, *(word for torch in TORCH for word in ("--torch", torch))]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with two_workers(tmp_path) as started:
        yield started


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def client(tmp_path: Path) -> Ferry:
    return Ferry(tmp_path / "store of the client")


def test_a_worker_killed_half_way_costs_only_its_cell(cluster: LocalCluster, tmp_path: Path) -> None:
    out, ferry = tmp_path / "wheels", client(tmp_path)
    command = ["build", "sample@1.0", *CELLS, "--scheduler", cluster.address, "--out", str(out), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "wheelferry", *command],
        env=ferry.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    at_work = tmp_path / "store-b" / "work"
    until(lambda: at_work.is_dir() and any(at_work.glob("build-*")), cluster.log("b"))
    cluster.kill("b")
    said, progress = process.communicate(timeout=600)
    assert process.returncode == 0, progress
    assert len(json.loads(said)["wheels"]) == len(TORCH)
    here = tmp_path / "built here"
    Ferry(tmp_path / "another store")("build", "sample@1.0", *CELLS, "--out", here)
    assert contents(out) == contents(here)
    # the next run needs the workers only to say which wheels these are
    ferry(*command[:-1], "--builders", "1")
    assert contents(out) == contents(here)


def test_two_builders_make_the_same_bytes(cluster: LocalCluster, tmp_path: Path) -> None:
    options = ["--without-ops", "--python", PYTHON, "--torch", TORCH[-1], "--builders", "2"]
    ferry = client(tmp_path)
    ferry("build", "sample@1.0", *options, "--scheduler", cluster.address, "--out", tmp_path / "wheels")
    logs = [list((tmp_path / f"store-{name}" / "logs").glob("*-build-*")) for name in ("a", "b")]
    assert [len(found) for found in logs] == [1, 1]


def test_a_store_that_was_tampered_with_is_found(cluster: LocalCluster, tmp_path: Path) -> None:
    """A worker whose store has other bytes under the key than the other worker makes."""
    options = ["--without-ops", "--python", PYTHON, "--torch", TORCH[-1]]
    first = client(tmp_path)
    first("build", "sample@1.0", *options, "--scheduler", cluster.address, "--out", tmp_path / "one")
    (key,) = (path for name in ("a", "b") for path in (tmp_path / f"store-{name}").glob("keys/build/*"))
    store, other = Store(key.parents[2]), tmp_path / "other"
    entry = store.recall("build", key.name)
    assert entry is not None
    (wheel,) = (tmp_path / "one").iterdir()
    other.write_bytes(wheel.read_bytes() + b"\0")
    changed = replace(entry, sha256=store.add(other).sha256, size=entry.size + 1)
    store.remember("build", key.name, changed)
    # a client that has neither
    command = ["build", "sample@1.0", *options, "--scheduler", cluster.address, "--builders", "2"]
    said = Ferry(tmp_path / "fresh")(*command, "--out", tmp_path / "two", status=4)
    for word in (key.name, changed.sha256, entry.sha256):
        assert word in said
    assert not (tmp_path / "two").exists()


def test_ctrl_c_leaves_no_compiler_on_a_worker(tmp_path: Path) -> None:
    """Ops for Windows, because their torch is small to download."""
    with LocalCluster(tmp_path) as cluster:
        cluster.add("a", variables={"WHEELFERRY_CACHE": str(tmp_path / "store-a")})
        options = ["--platform", "win_amd64", "--python", PYTHON, "--torch", TORCH[-1]]
        options += ["--scheduler", cluster.address]
        process = subprocess.Popen(
            [sys.executable, "-m", "wheelferry", "build", "sample@1.0", *options, "--out", f"{tmp_path}/out"],
            env=client(tmp_path).environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        worker = cluster.workers["a"].pid
        while "cc1plus" not in below(worker):
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=600)[1].count("interrupted") == 1
        assert process.returncode == 130
        until(lambda: below(worker) == [], cluster.log("a"))
        until(lambda: list((tmp_path / "store-a" / "work").iterdir()) == [], cluster.log("a"))
        assert not (tmp_path / "out").exists()


def below(process: int) -> list[str]:
    """The names of the processes that one has started, and those that these have."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        names[int(folder.name)], parents[int(folder.name)] = name, int(rest.split()[1])
    found, todo = [], [process]
    while todo:
        one = todo.pop()
        children = [number for number, parent in parents.items() if parent == one]
        found += [names[number] for number in children]
        todo += children
    return found
