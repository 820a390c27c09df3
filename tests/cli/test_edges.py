"""Edges that need this machine: processes, interpreters, the sandbox."""

import _ctypes
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import wheelferry
from wheelferry.binaries.elf import policy_for
from wheelferry.errors import BuildError, MissingError
from wheelferry.system.interpreters import find_interpreter, inspect_interpreter
from wheelferry.system.process import run
from wheelferry.system.sandbox import clean_environment, open_sandbox
from wheelferry.toolchains.linux import find_compiler
from wheelferry.verification.installation.install import HARNESS, INSPECT

SLEEPER = (
    "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
)


def test_output_goes_to_the_caller_the_log_and_the_listener(tmp_path: Path) -> None:
    heard: list[str] = []
    command: list[str | Path] = [
        sys.executable,
        "-c",
        "import sys; print('out', flush=True); print('err', file=sys.stderr)",
    ]
    done = run(command, step="speak", log=tmp_path / "a" / "log", on_line=heard.append)
    assert done.output == "out\nerr\n"
    assert heard == ["out", "err"]
    assert (tmp_path / "a" / "log").read_text("utf-8").endswith("out\nerr\n")


def test_a_failure_shows_the_first_errors_the_tail_and_the_log(tmp_path: Path) -> None:
    code = (
        "print('x.cpp:1: error: no such thing'); [print('line', i) for i in range(99)]; raise SystemExit(3)"
    )
    with pytest.raises(BuildError) as caught:
        run([sys.executable, "-c", code], step="compile", log=tmp_path / "log")
    said = str(caught.value)
    assert said.startswith("compile failed (exit status 3); first errors:\nx.cpp:1: error: no such thing\n")
    assert "line 98" in said
    assert "line 10\n" not in said
    assert str(tmp_path / "log") in said


def test_a_missing_program_is_named() -> None:
    with pytest.raises(MissingError, match="program not found: no-such-program"):
        run(["no-such-program"], step="try")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """SIGINT as a terminal's user has it: shells start background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interruption_ends_the_children_too() -> None:
    children: list[int] = []

    def listen(line: str) -> None:
        children.append(int(line))
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", SLEEPER], step="sleep", on_line=listen)
    deadline = time.monotonic() + 100
    while Path(f"/proc/{children[0]}").exists() and time.monotonic() < deadline:
        if "\nState:\tZ" in Path(f"/proc/{children[0]}/status").read_text("ascii"):
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{children[0]}").exists()


def test_this_python_is_found_and_a_foreign_program_is_not_one() -> None:
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_interpreter(wanted, run).version.startswith(wanted)
    assert inspect_interpreter(Path("/bin/true"), run) is None
    with pytest.raises(MissingError, match=r"no CPython 3\.99") as caught:
        find_interpreter("3.99", run)
    assert "uv python install 3.99" in (caught.value.hint or "")


def test_a_library_of_ops_is_given_to_torch_and_a_broken_module_is_not_excused(tmp_path: Path) -> None:
    """Any extension under another name is a compiled file without the init function that Python wants."""
    package = tmp_path / "p"
    package.mkdir()
    shutil.copy(_ctypes.__file__, package / "ops.so")
    (package / "broken.so").write_bytes(b"no library")
    (tmp_path / "torch.py").write_text(
        "class ops:\n    load_library = staticmethod(lambda path: print('loaded', path))\n", "utf-8"
    )
    command: list[str | Path] = [sys.executable, "-c", INSPECT, HARNESS, "p.ops", "p.broken", "p.absent"]
    done = run(command, step="look", cwd=tmp_path)
    assert f"loaded {package / 'ops.so'}" in done.output
    failed = json.loads(done.output.rpartition("\n@@")[2])["failed"]
    assert list(failed) == ["p.broken", "p.absent"]


def test_no_compiler_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingError) as caught:
        find_compiler()
    assert "g++" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("versions", "tag"),
    [
        ({"GLIBC_2.17"}, "manylinux_2_17_x86_64"),
        ({"GLIBC_2.27", "GLIBC_2.14"}, "manylinux_2_27_x86_64"),
        ({"GLIBC_2.32"}, "manylinux_2_34_x86_64"),
        ({"GLIBC_2.99"}, "linux_x86_64"),
    ],
)
def test_policies(versions: set[str], tag: str) -> None:
    assert policy_for(versions, "x86_64").tag == tag


def test_the_sandbox_has_no_way_out_and_a_clean_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    sandbox = open_sandbox(tmp_path / "home ü", run)
    if not sandbox.isolated:
        assert sandbox.evidence["reason"]
        pytest.skip(f"no network sandbox on this machine: {sandbox.evidence['reason']}")
    assert not sandbox.reaches_network
    code = (
        "import os, socket; print(sorted(os.environ)); print(os.environ['HOME']);"
        "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname());"
        "print('loopback');"
        "socket.create_connection(('1.1.1.1', 443), timeout=2)"
    )
    done = sandbox([sys.executable, "-c", code], step="look out", log=tmp_path / "log", check=False)
    assert done.returncode == 1
    assert "PIP_INDEX_URL" not in done.output
    assert "PYTHONPATH" not in done.output
    assert str(tmp_path / "home ü") in done.output
    assert "loopback" in done.output
    assert "unreachable" in done.output


def test_the_clean_environment_disables_pips_configuration(tmp_path: Path) -> None:
    assert clean_environment(tmp_path)["PIP_CONFIG_FILE"] == os.devnull


@pytest.mark.parametrize(
    "command",
    [
        ("bundle", "sample@1.0", "--python", "3.12", "--torch", "2.13.0"),
        ("lock", "sample@1.0", "--python", "3.12", "--torch", "2.13.0"),
        ("merge", "one", "two"),
    ],
    ids=" ".join,
)
def test_a_folder_below_a_file_is_refused_at_once(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "a file").touch()
    done = wheelferry(*command, "--out", tmp_path / "a file" / "bundle")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "fetch" not in done.stderr


def test_a_cache_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.touch()
    monkeypatch.setenv("WHEELFERRY_CACHE", str(cache))
    done = wheelferry(
        "lock", "sample@1.0", "--python", "3.12", "--torch", "2.13.0", "--out", tmp_path / "out"
    )
    assert done.returncode == 3
    assert f"{cache}" in done.stderr
    assert "Traceback" not in done.stderr
