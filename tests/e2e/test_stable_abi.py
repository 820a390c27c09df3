"""The sample's ops compiled once on torch's stable ABI, and run with two torches and two Pythons."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ferry import Ferry
from wheelferry.cache.uv import find_uv
from wheelferry.errors import MissingError
from wheelferry.models.wheel_info import STAMP
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
COMPILED_WITH, OLDEST = "2.13.0", "2.10.0"
COMPILERS = ("g++", "c++", "cc", "gcc", "clang", "clang++", "ld", "as", "x86_64-w64-mingw32-g++-posix")


def another_python() -> str:
    """Another CPython that torch of both releases has wheels for; the running one where there is none."""
    for python in ("3.12", "3.13", "3.11", "3.10"):
        if python != PYTHON:
            try:
                find_interpreter(python, run, uv=find_uv())
            except MissingError:
                continue
            return python
    return PYTHON


@pytest.fixture(scope="module")
def wheel(ferry: Ferry) -> Path:
    """Built in a cache whose path has a space and a letter beyond ASCII."""
    out = ferry.cache.parent / "wheels"
    ferry("build", "sample@1.0", "--stable-abi", "--python", PYTHON, "--torch", COMPILED_WITH, "--out", out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel_of_zig(ferry: Ferry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the compiler of the package index where no other is on PATH, for two Pythons at once."""
    programs, out = tmp_path_factory.mktemp("programs"), ferry.cache.parent / "zig wheels"
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if not program.name.startswith(COMPILERS) and not os.path.lexists(programs / program.name):
                (programs / program.name).symlink_to(program)
    bare = Ferry(ferry.cache, emptied=ferry.emptied, path=programs)
    options = [word for python in dict.fromkeys([PYTHON, another_python()]) for word in ("--python", python)]
    bare("build", "sample@1.0", *options, "--torch", COMPILED_WITH, "--out", out)
    (built,) = out.iterdir()
    return built


def test_the_wheel_says_which_torch_it_serves(wheel: Path) -> None:
    assert wheel.name.startswith(f"skiff-1.0+pt{COMPILED_WITH}.stable-cp310-abi3-manylinux_2_")
    with zipfile.ZipFile(wheel) as archive:
        (stamp,) = (name for name in archive.namelist() if name.endswith(f"/{STAMP}"))
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        assert json.loads(archive.read(stamp))["stable_abi"] == "2.10"
        assert "Requires-Dist: torch>=2.10" in archive.read(metadata).decode().splitlines()


def audited(*command: str | Path) -> str:
    """What an auditor of the package index says, run by uv."""
    tool: list[str | Path] = [find_uv(), "tool", "run", "--python", sys.executable, "--from"]
    done = subprocess.run([*tool, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("made", ["wheel", "wheel_of_zig"])
def test_the_auditors_of_both_abis_agree(made: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with zipfile.ZipFile(request.getfixturevalue(made)) as archive:
        module = archive.extract("skiff/_C.abi3.so", tmp_path)
    torch = audited("torch-abi-audit==0.3.0", "torch-abi-audit", module)
    for line in ("Torch ABI:   STABLE", "Min torch:   2.10.0", "CPython ABI: abi3"):
        assert line in torch
    report = ("abi3audit", "--report", "--assume-minimum-abi3", "3.10")
    (python,) = json.loads(audited("abi3audit==0.0.26", *report, module))["specs"].values()
    found = python["object"]["result"]
    assert (found["is_abi3"], found["is_abi3_baseline_compatible"]) == (True, True)
    assert found["non_abi3_symbols"] == []


@pytest.mark.parametrize(
    ("made", "torch", "python"),
    [("wheel", COMPILED_WITH, PYTHON), ("wheel_of_zig", OLDEST, another_python())],
)
def test_it_runs_unchanged_with(
    made: str, torch: str, python: str, request: pytest.FixtureRequest, ferry: Ferry, tmp_path: Path
) -> None:
    wheel: Path = request.getfixturevalue(made)
    options = ["--python", python, "--torch", torch, "--level", "smoke"]
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
