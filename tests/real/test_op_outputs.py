"""Detectron2's operators on torch's stable ABI, against an ordinary build for Linux.

They are built, installed, and given the same inputs; op_outputs.py says which. Those for Windows, compiled on
Linux, run under Wine: by default two combinations of release, Python and torch are tried; with
WHEELFERRY_DEEP=1 each of eight. Of a CUDA wheel what runs without a GPU is compared: its operators on the
CPU. WHEELFERRY_OP_SEED chooses other inputs.
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from effort import DEEP
from wheelferry.cache.tools import Tools
from wheelferry.cli.session import open_tools
from wheelferry.errors import MissingError
from wheelferry.models.lock import parse_requirements
from wheelferry.models.manifest import TargetEntry, parse_manifest
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run
from wheelferry.verification.installation.client_install import install_as_client
from wheelferry.verification.installation.install import Trial, install
from wheelferry.verification.machines.runner import open_machine
from wheelferry.verification.machines.wine import find_compiler, find_wine

HERE = Path(__file__).parent
SOURCE = os.environ.get("WHEELFERRY_DETECTRON2_SOURCE")
SEED = os.environ.get("WHEELFERRY_OP_SEED", "20260")

COMBINATIONS = list(itertools.product(("v0.6", "main"), ("3.11", "3.12"), ("2.13.0", "2.10.0")))
# each release, Python and torch once; 2.10 is the first that a build for Windows on Linux can be for
FEW = [("v0.6", "3.12", "2.10.0"), ("main", "3.11", "2.13.0")]
CHOSEN = COMBINATIONS if DEEP else FEW

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not SOURCE, reason="set WHEELFERRY_DETECTRON2_SOURCE to a URL or path of the repository"
    ),
]


@pytest.fixture(scope="module")
def tools() -> Tools:
    """What the stages need."""
    return open_tools(quiet=True)


@pytest.fixture(scope="module")
def wine() -> None:
    """A skip without Wine or its compiler."""
    try:
        find_wine(run)
        find_compiler(run)
    except MissingError as error:
        pytest.skip(f"{error}; {error.hint}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone afterwards: two environments with torch are some gigabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(("release", "python", "torch"), CHOSEN)
def test_the_operators_compute_what_those_of_linux_do(
    release: str, python: str, torch: str, tools: Tools, wine: None, folder: Path
) -> None:
    inputs = folder / "inputs.npz"
    of_linux, of_windows = folder / "linux.npz", folder / "windows.npz"
    chosen = [f"detectron2@{release}", "--python", python, "--torch", torch]

    linux = bundled(folder / "linux", *chosen, "--no-stable-abi")
    environment = install_on_linux(linux, folder / "env", python, tools)
    completed(environment, HERE / "op_outputs.py", inputs, of_linux, "--make", SEED)
    windows = bundled(folder / "windows", *chosen, "--platform", "win_amd64")
    run_under_wine(windows, inputs, of_windows, folder / "wine", tools)
    assert_alike(environment, of_linux, of_windows)


def test_a_cuda_wheel_computes_on_the_cpu_what_an_ordinary_one_does(tools: Tools, folder: Path) -> None:
    """Compiled with torch 2.13.0, run with 2.11.0 too. What its kernels compute takes a GPU to show."""
    python, inputs, ordinary = "3.12", folder / "inputs.npz", folder / "ordinary.npz"
    wheels, cuda = folder / "wheels", ["--python", python, "--backend", "cu130"]
    command = [sys.executable, "-m", "wheelferry", "build", "detectron2@main", "--source", str(SOURCE), *cuda]
    build = [*command, "--torch", "2.13.0", "--cuda-arch", "9.0", "--stable-abi", "--out", str(wheels)]
    completed(*build, env={**os.environ, "PIP_FIND_LINKS": "", "NO_COLOR": "1"})
    (wheel,) = wheels.iterdir()
    plain = bundled(
        folder / "plain", "detectron2@main", "--python", python, "--torch", "2.13.0", "--no-stable-abi"
    )
    environment = install_on_linux(plain, folder / "env", python, tools)
    completed(environment, HERE / "op_outputs.py", inputs, ordinary, "--make", SEED)
    for torch in ("2.13.0", "2.11.0"):
        root = bundled(folder / torch, "detectron2@main", *cuda, "--torch", torch, "--wheel", str(wheel))
        other, computed = (
            install_on_linux(root, folder / f"env {torch}", python, tools),
            folder / f"{torch}.npz",
        )
        said = completed(
            other, "-c", "from detectron2 import _C; print(_C.has_cuda(), _C.get_cuda_version())"
        )
        assert said.split() == ["True", "CUDA", "13.0"]
        completed(other, HERE / "op_outputs.py", inputs, computed)
        assert_alike(environment, ordinary, computed)


def assert_alike(environment: Path, one: Path, other: Path) -> None:
    """What two builds computed is the same, as far as it can be."""
    compare = [environment, HERE / "op_compare.py", one, other]
    done = subprocess.run(compare, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def bundled(out: Path, *options: str) -> Path:
    """A bundle of Detectron2, not verified."""
    # find-links could have another build of the same torch
    environment = {**os.environ, "PIP_FIND_LINKS": "", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "wheelferry", "bundle", *options, "--source", str(SOURCE)]
    completed(*command, "--no-verify", "--out", str(out), env=environment)
    return out


def completed(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout


def only_target(root: Path) -> TargetEntry:
    (entry,) = parse_manifest((root / "bundle.json").read_text("utf-8")).targets
    return entry


def install_on_linux(root: Path, env: Path, python: str, tools: Tools) -> Path:
    """The Python of a new environment with the bundle's wheels.

    By uv, which links instead of copying: torch for Linux is some gigabytes.
    """
    interpreter = find_interpreter(python, tools.run, uv=tools.uv.program)
    completed(tools.uv.program, "venv", "-q", "--python", interpreter.path, env)
    completed(
        *(tools.uv.program, "pip", "install", "-q", "--python", env / "bin/python", "--no-index"),
        *("--find-links", root / "wheelhouse", "-r", root / only_target(root).requirements),
    )
    return env / "bin/python"


def run_under_wine(root: Path, inputs: Path, outputs: Path, work: Path, tools: Tools) -> None:
    """Install the bundle's target in Wine's Windows and write there what its operators compute."""
    entry = only_target(root)
    with open_machine(root, entry, work, tools) as machine:
        pins = parse_requirements((root / entry.requirements).read_text("utf-8"))
        trial = Trial(root=root, entry=entry, pins=pins, folder=work, machine=machine, tools=tools)
        installed = install(trial, install_as_client, [])
        assert (installed.problems, installed.not_tried) == ((), ()), installed.facts
        done = machine.sandbox(
            [machine.python(installed.env), HERE / "op_outputs.py", inputs, outputs],
            step="run the operators",
            log=work / "operators.log",
            check=False,
        )
    assert done.returncode == 0, done.output[-4000:]
