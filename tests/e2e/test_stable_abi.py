"""The sample's ops compiled once for Linux on torch's stable ABI, and run with two releases of torch."""

import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ferry import Ferry
from wheelferry.models.wheel_info import STAMP

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
COMPILED_WITH, OLDEST = "2.13.0", "2.10.0"


@pytest.fixture(scope="module")
def wheel(ferry: Ferry) -> Path:
    """Built in a cache whose path has a space and a letter beyond ASCII."""
    out = ferry.cache.parent / "wheels"
    ferry("build", "sample@1.0", "--stable-abi", "--python", PYTHON, "--torch", COMPILED_WITH, "--out", out)
    (built,) = out.iterdir()
    return built


def test_the_wheel_says_which_torch_it_serves(wheel: Path) -> None:
    assert wheel.name.startswith(f"skiff-1.0+pt{COMPILED_WITH}.stable-cp{PYTHON.replace('.', '')}-")
    with zipfile.ZipFile(wheel) as archive:
        (stamp,) = (name for name in archive.namelist() if name.endswith(f"/{STAMP}"))
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        assert json.loads(archive.read(stamp))["stable_abi"] == "2.10"
        assert "Requires-Dist: torch>=2.10" in archive.read(metadata).decode().splitlines()


@pytest.mark.parametrize("torch", [COMPILED_WITH, OLDEST])
def test_it_runs_unchanged_with(torch: str, wheel: Path, ferry: Ferry, tmp_path: Path) -> None:
    options = ["--python", PYTHON, "--torch", torch, "--level", "smoke"]
    said = json.loads(
        ferry("bundle", "sample@1.0", "--wheel", wheel, *options, "--out", tmp_path / "b", "--json")
    )
    assert (tmp_path / "b" / "wheelhouse" / wheel.name).read_bytes() == wheel.read_bytes()
    (target,) = said["report"]["targets"]
    levels = {level["level"]: level for level in target["levels"]}
    assert levels["install"]["facts"]["installed"]["torch"].partition("+")[0] == torch
    ops = {
        check["name"]: check["status"]
        for check in levels["smoke"]["checks"]
        if check["name"].startswith("check_ops.")
    }
    assert ops.pop("check_ops.cuda_equals_cpu") == "skipped"
    assert set(ops.values()) == {"passed"}


def of_this_test(mark: str) -> list[str]:
    """The names of the running processes that have inherited the variable."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"WHEELFERRY_TEST={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def test_ctrl_c_ends_the_compilers_and_leaves_no_mess(ferry: Ferry, tmp_path: Path) -> None:
    out = tmp_path / "wheels"
    ferry = ferry.twin(ferry.cache.parent / "stable cache", without=["build", "object"])
    command = [
        "build",
        "sample@1.0",
        "--stable-abi",
        "--python",
        PYTHON,
        "--torch",
        OLDEST,
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "wheelferry", *command],
        env={**ferry.environment, "WHEELFERRY_TEST": tmp_path.name, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while "cc1plus" not in of_this_test(tmp_path.name):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=600)[0]
    assert process.returncode == 130, said
    deadline = time.monotonic() + 600
    while of_this_test(tmp_path.name) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert of_this_test(tmp_path.name) == []
    assert list(tmp_path.iterdir()) == []
    assert list((ferry.cache / "work").iterdir()) == []
    shutil.rmtree(ferry.cache)
