"""The sample project's Windows bundle, made on Linux and run by a Windows Python under Wine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from browser import require_browser
from conftest import TARGET
from ferry import Ferry
from pages import DRIVER, check_page
from wheelferry.cli.session import open_tools
from wheelferry.errors import MissingError
from wheelferry.models.manifest import TargetEntry, parse_manifest
from wheelferry.system.files import tree_hash
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run
from wheelferry.verification.installation.client_install import install_as_client
from wheelferry.verification.installation.install import Trial
from wheelferry.verification.machines.runner import open_machine
from wheelferry.verification.machines.wine import find_compiler, find_wine

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CP = PYTHON.replace(".", "")
TORCH = "2.13.0"
TARGET_OPTIONS = ["--platform", "win_amd64", "--python", PYTHON, "--torch", TORCH]


@pytest.fixture(scope="module", autouse=True)
def wine() -> None:
    """Wine and mingw-w64; where `.ci/run` has installed them, their absence is a failure."""
    try:
        find_wine(run)
        find_compiler(run)
    except MissingError as error:
        if os.environ.get("WHEELFERRY_TESTS_NEED_WINE"):
            raise
        pytest.skip(f"{error}; {error.hint}")


@pytest.fixture(scope="module")
def bundle(ferry: Ferry) -> Path:
    """A packed bundle for Windows, its ops compiled here; its name has a space and a letter beyond ASCII."""
    out = ferry.cache.parent / "w ü"
    ferry("bundle", "sample@1.0", *TARGET_OPTIONS, "--app", "app", "--no-verify", "--out", out)
    return out


def test_all_levels_pass_under_a_windows_python_without_a_network(ferry: Ferry, bundle: Path) -> None:
    report = json.loads(ferry("verify", bundle, "--runner", "wine", "--json"))
    assert report["passed"]
    (target,) = report["targets"]
    assert target["runner"].startswith("Wine ")
    levels = {level["level"]: level for level in target["levels"]}
    assert {name: level["passed"] for name, level in levels.items()} == {
        "install": True,
        "smoke": True,
        "train": True,
    }
    facts = levels["install"]["facts"]
    assert facts["python"].startswith(f"{PYTHON}.")
    assert facts["python_origin"].startswith("assembled")
    assert facts["programs"] == ["app"]
    assert {"msvc-runtime", "msvc_runtime"} & set(facts["installed"])  # as pip spells it, then and now
    smoke = {check["name"]: check["status"] for check in levels["smoke"]["checks"]}
    ops = {name: status for name, status in smoke.items() if name.startswith("check_ops.")}
    assert ops.pop("check_ops.cuda_equals_cpu") == "skipped"
    assert set(ops.values()) == {"passed"}
    assert {check["name"]: check["status"] for check in levels["train"]["checks"]} == {
        "check_train.train": "passed",
        "check_processes.two_train_as_one": "passed",
    }
    isolation = target["isolation"]
    if isolation["isolated"]:
        seen = isolation["evidence"]["connections"]
        assert {name for name in seen if name.startswith("Windows")} != set()
        assert "connected" not in seen.values()


def test_the_page_is_served_by_a_windows_python(
    ferry: Ferry, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed as on the client, and seen by the same browser as the page of Linux."""
    require_browser()
    monkeypatch.setenv("WHEELFERRY_CACHE", str(ferry.cache))
    tools = open_tools(quiet=True)
    (entry,) = parse_manifest((bundle / "bundle.json").read_text("utf-8")).targets
    with open_machine(bundle, entry, tmp_path / "work", tools) as machine:
        trial = Trial(
            root=bundle, entry=entry, pins={}, folder=tmp_path / "work", machine=machine, tools=tools
        )
        installed = install_as_client(trial)
        assert installed.complete, installed.problems
        # Wine's server makes the sockets of its programs, in the namespace that it was started in
        run([find_wine(run).server, "-k"], step="end Wine", env=machine.sandbox.environment, check=False)
        prefix = installed.env.parent.parent
        account = [f"{name}={value}" for name, value in machine.sandbox.environment.items()]
        program: list[str | Path] = [
            machine.python(installed.env),
            "-I",
            prefix / "install.pyz",
            "--prefix",
            prefix,
            "app",
        ]
        start = [part if isinstance(part, str) else machine.sandbox.spell(part) for part in program]
        done = subprocess.run(
            [
                *machine.sandbox.prefix, sys.executable, DRIVER, tmp_path / "seen",
                "env", "-i", *account, *machine.sandbox.loader, *start,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        check_page(seen, prefix / "accepted")
        assert any("Windows" in fact for fact in seen["facts"] if fact.startswith("System"))


def test_without_a_runner_the_target_is_read_but_not_run(ferry: Ferry, bundle: Path) -> None:
    said = ferry("verify", bundle, status=3)
    assert f"not run: cp{CP}-win_amd64-torch2_13_0-" in said
    assert "try --runner wine" in said


def test_without_ops_the_wheel_is_pure_python(ferry: Ferry, tmp_path: Path) -> None:
    ferry("build", "sample@1.0", *TARGET_OPTIONS, "--without-ops", "--out", tmp_path)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"skiff-1.0+pt{TORCH}.noops-cp{CP}-none-win_amd64.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert {Path(name).suffix for name in archive.namelist()} <= {".py", ".pth", ".txt", ".json", ""}


def test_a_python_of_another_version_is_refused(ferry: Ferry, bundle: Path, tmp_path: Path) -> None:
    for name in ("python.exe", "python39.dll"):
        (tmp_path / name).write_bytes(b"MZ")
    said = ferry("verify", bundle, "--runner", "wine", "--windows-python", tmp_path, status=2)
    assert "is Python 3.9" in said


def test_ctrl_c_leaves_no_wine_and_no_mess(ferry: Ferry, bundle: Path) -> None:
    before = tree_hash(bundle)
    ferry = ferry.twin(bundle.parent / "wine cache")
    process = subprocess.Popen(
        [sys.executable, "-m", "wheelferry", "verify", bundle, "--runner", "wine", "--level", "install"],
        env=ferry.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "start the Windows Python" in line:
            break
    (work,) = (ferry.cache / "work").glob("verify-*")
    while not list(work.glob("*/wine/drive_c/client/envs/1")):  # the environment is being made
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(600) == 130, "".join(seen) + process.stdout.read()
    process.stdout.close()
    deadline = time.monotonic() + 600
    while wine_processes(ferry.cache) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert wine_processes(ferry.cache) == []
    assert list((ferry.cache / "work").glob("verify-*")) == []
    assert tree_hash(bundle) == before
    shutil.rmtree(ferry.cache)


def wine_processes(cache: Path) -> list[str]:
    """Command lines of programs of Wine whose prefix is in `cache`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"WINEPREFIX={cache}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.mark.parametrize("python", ["3.8", "3.13"])
def test_a_python_of_other_versions_is_assembled(
    python: str, ferry: Ferry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each starts, and has the modules that installing and training need."""
    monkeypatch.setenv("WHEELFERRY_CACHE", str(ferry.cache))
    tools = open_tools(quiet=True)
    try:
        find_interpreter(python, tools.run, uv=tools.uv.program)
    except MissingError as error:
        pytest.skip(f"its standard library would be that of this machine's: {error}")
    entry = TargetEntry(
        target=replace(TARGET, python=python, platform="win_amd64"),
        requirements="",
        pylock="",
        built="",
        extensions=(),
    )
    code = (
        "import bz2, ctypes, hashlib, lzma, multiprocessing, socket, sqlite3, ssl, venv;"
        "print(ssl.OPENSSL_VERSION, sqlite3.connect(':memory:').execute('select 6 * 7').fetchone())"
    )
    with open_machine(tmp_path, entry, tmp_path / "work", tools) as machine:
        assert str(machine.facts["python"]).startswith(f"{python}.")
        done = machine.sandbox([machine.base, "-c", code], step="import", log=tmp_path / "log", check=False)
    assert done.returncode == 0, done.output
    assert "OpenSSL" in done.output
    assert "(42,)" in done.output


def test_wine_computes_with_complex_numbers(
    ferry: Ferry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Wine's own ucrtbase lacks is there, and exits and streams are passed on."""
    monkeypatch.setenv("WHEELFERRY_CACHE", str(ferry.cache))
    entry = TargetEntry(
        target=replace(TARGET, python=PYTHON, platform="win_amd64"),
        requirements="",
        pylock="",
        built="",
        extensions=(),
    )
    script = tmp_path / "with a space ü.py"
    script.write_text(COMPLEX, "utf-8")
    with open_machine(tmp_path, entry, tmp_path / "work", open_tools(quiet=True)) as machine:
        done = machine.sandbox([machine.base, script], step="compute", log=tmp_path / "log", check=False)
    assert (done.returncode, done.output) == (42, "(0.0, 2.0) (0.0, 3.0) 5.0\n")


# A complex float is eight bytes in a register, a complex double is passed by reference.
COMPLEX = """
import ctypes, struct, sys
library = ctypes.CDLL("ucrtbase")
library.csqrtf.restype, library.csqrtf.argtypes = ctypes.c_uint64, [ctypes.c_uint64]
(packed,) = struct.unpack("Q", struct.pack("ff", -4, 0))
class Double(ctypes.Structure):
    _fields_ = [("real", ctypes.c_double), ("imag", ctypes.c_double)]
library.csqrt.restype, library.csqrt.argtypes = Double, [Double]
library.cabs.restype, library.cabs.argtypes = ctypes.c_double, [Double]
root = library.csqrt(Double(-9, 0))
print(struct.unpack("ff", struct.pack("Q", library.csqrtf(packed))), (root.real, root.imag),
    library.cabs(Double(3, 4)))
sys.exit(42)
"""
