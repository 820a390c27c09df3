"""`index` from the command line, served by Python's own web server to pip and uv."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv as uv_package

from clients import HERE
from conftest import pack_bundle, wheelferry
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe


@pytest.fixture
def shipped(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """A bundle that this machine can install from."""
    return pack_bundle(tmp_path / "a bündle", tmp_path / "made", tools, located, [HERE])


@pytest.fixture
def server(tmp_path: Path, shipped: Path) -> Iterator[tuple[str, Path]]:
    """The address of the index, served by `python -m http.server`, and the server's log."""
    out = tmp_path / "an índex"
    done = wheelferry("index", shipped, "--out", out, "-q")
    assert done.returncode == 0, done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "access.log"
    command = [sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, "--directory", out], stdout=stream, stderr=stream)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        assert process.poll() is None, "the server ended"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server did not answer within ten seconds")


def requests_of(log: Path) -> list[tuple[str, str]]:
    """Path and status of every request, in order."""
    lines = [line.split('"') for line in log.read_text("utf-8").splitlines() if '"GET ' in line]
    return [(line[1].split()[1], line[2].split()[0]) for line in lines]


def _alone(tmp_path: Path) -> dict[str, str]:
    """An environment without the user's configuration and caches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(tmp_path / "uv")}


def check_requests(log: Path) -> None:
    """All found, each wheel once, its metadata before it."""
    seen = requests_of(log)
    assert {status for _, status in seen} == {"200"}
    paths = [path for path, _ in seen]
    wheels = [path for path in paths if path.endswith(".whl")]
    assert sorted(path.split("/")[-1].split("-")[0] for path in wheels) == ["leaf", "tiny", "torch", "twig"]
    for path in wheels:
        assert paths.index(f"{path}.metadata") < paths.index(path)


def test_pip_installs_from_it(server: tuple[str, Path], tmp_path: Path) -> None:
    address, log = server
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--isolated", "--no-cache-dir"]
    command += ["--target", str(target)]
    command += ["--index-url", f"{address}/simple/", "tiny"]
    done = subprocess.run(command, env=_alone(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name.split("-")[0] for path in target.glob("*.dist-info")} == {
        "leaf",
        "tiny",
        "torch",
        "twig",
    }
    check_requests(log)


def test_uv_installs_from_it(server: tuple[str, Path], tmp_path: Path) -> None:
    address, log = server
    command: list[str] = [uv_package.find_uv_bin(), "pip", "install", "--target", str(tmp_path / "site")]
    command += ["--python", sys.executable, "--index-url", f"{address}/simple/", "tiny"]
    done = subprocess.run(command, env=_alone(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_requests(log)


def test_a_lock_is_installed_by_its_address(server: tuple[str, Path], tmp_path: Path) -> None:
    address, log = server
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--isolated", "--no-cache-dir"]
    command += ["--target", str(target)]
    command += ["--index-url", f"{address}/simple/", "--require-hashes"]
    command += ["-r", f"{address}/locks/tiny-1.0/requirements.{HERE.name}.txt"]
    done = subprocess.run(command, env=_alone(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(target.glob("*.dist-info"))) == 4
    assert {status for _, status in requests_of(log)} == {"200"}


def test_what_is_said_of_it(shipped: Path, tmp_path: Path) -> None:
    done = wheelferry("index", shipped, "--out", tmp_path / "index", "--json", "-q")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["out"] == str(tmp_path / "index")
    assert f"locks/tiny-1.0/requirements.{HERE.name}.txt" in document["locks"]
    assert len(document["files"]) == 6
    assert document["bytes"] == sum(p.stat().st_size for p in (tmp_path / "index" / "files").glob("*.whl"))
    again = wheelferry("index", shipped, "--out", tmp_path / "index", "-q")
    assert "6 projects, 6 files" in again.stdout
    assert f"http://SERVER/locks/tiny-1.0/requirements.{HERE.name}.txt" in again.stdout


def test_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = wheelferry("index", tmp_path / "empty", "--out", tmp_path / "index", "--json")
    assert done.returncode == 2
    assert "is not a bundle" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "index").exists()
