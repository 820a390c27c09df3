"""What Windows asks of code that runs on Linux as well; these tests run on both, and under Wine."""

import os
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from wheelferry.bundle.zipapp import write_pyz
from wheelferry.cache.download import _local_path
from wheelferry.cache.source import Source, export, longest_path, unfit_for_windows
from wheelferry.cache.store import Store
from wheelferry.cache.tools import default_jobs
from wheelferry.client.probe.machine import memory
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.system import files, interpreters
from wheelferry.system import sandbox as sandboxes
from wheelferry.system.files import contained, remove_tree, rename
from wheelferry.system.interpreters import inspect_interpreter, program_in
from wheelferry.system.process import Completed, run
from wheelferry.system.sandbox import clean_environment
from wheelferry.system.threads import result_of


class Answering:
    """A runner that gives one answer, and keeps the commands."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str | Path], **_: Any) -> Completed:
        self.commands.append([str(part) for part in command])
        return Completed(returncode=0, output=self.output)


# ---- files ----


def test_a_rename_waits_for_whoever_has_the_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    really, tries = Path.replace, []

    def held(self: Path, target: Path) -> Path:
        tries.append(self)
        if len(tries) < 3:
            raise PermissionError(13, "in use")
        return really(self, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(files, "_RENAME_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(files, "_ON_WINDOWS", False)
    with pytest.raises(PermissionError):
        rename(tmp_path / "new", tmp_path / "old")
    tries.clear()
    monkeypatch.setattr(files, "_ON_WINDOWS", True)
    rename(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    assert len(tries) == 3


def test_read_only_files_are_removed_with_their_folder(tmp_path: Path) -> None:
    (tmp_path / "clone" / "pack").mkdir(parents=True)
    (tmp_path / "clone" / "pack" / "objects.idx").touch()
    (tmp_path / "clone" / "pack" / "objects.idx").chmod(0o444)
    remove_tree(tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "C:/Windows/x", "c:x", "../x", "a\\..\\..\\x"])
def test_no_name_leads_out_on_either_system(name: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="does not stay inside"):
        contained(tmp_path, name)


def test_the_installer_has_the_same_bytes_wherever_it_is_made(tmp_path: Path) -> None:
    write_pyz(tmp_path / "install.pyz")
    with zipfile.ZipFile(tmp_path / "install.pyz") as archive:
        assert {entry.create_system for entry in archive.infolist()} == {3}
        assert not any(b"\r\n" in archive.read(entry) for entry in archive.infolist())


# ---- the store ----


def test_an_object_that_is_there_and_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "one").write_bytes(b"same")
    entry = store.add(tmp_path / "one")
    (tmp_path / "two").write_bytes(b"same")

    def refuse(source: Path, destination: Path) -> None:
        raise PermissionError(13, f"{destination} is in use")

    monkeypatch.setattr("wheelferry.cache.store.rename", refuse)
    assert store.add(tmp_path / "two").sha256 == entry.sha256
    assert store.path(entry.sha256).read_bytes() == b"same"
    assert not (tmp_path / "two").exists()


def test_the_names_of_an_object_can_be_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "one").write_bytes(b"same")
    entry = store.add(tmp_path / "one")
    store.place(entry.sha256, tmp_path / "other")
    (tmp_path / "other").unlink()
    assert store.prune() == 4


def test_a_workspace_has_the_room_it_was_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / ("long" * 20))
    with store.workspace("build") as folder:
        assert folder.parent == store.root / "work"
    room = len(str(folder)) - 1
    with store.workspace("build", plain_path=True, room=room) as folder:
        assert folder.is_dir()
        assert len(str(folder)) <= room
    assert not folder.exists()


def test_no_room_at_all_says_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(MissingError, match="may have 5 characters") as caught,
        Store(tmp_path).workspace("build", room=5),
    ):
        pass
    assert "WHEELFERRY_CACHE" in (caught.value.hint or "")


# ---- processes ----


def test_what_is_no_program_is_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "tool.exe").write_bytes(b"\x7fELF")
    (tmp_path / "tool.exe").chmod(0o755)
    with pytest.raises(MissingError, match=r"ask: .*tool\.exe does not start"):
        run([tmp_path / "tool.exe"], step="ask")


def test_a_result_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelferry.system.threads.WAKE_SECONDS", 0.01)
    go = Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: go.wait(5) and "done")
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(result_of, future)
            go.set()
            assert waiting.result() == "done"


def test_jobs_follow_cores_and_memory() -> None:
    assert (memory() or 0) > 100_000_000
    assert default_jobs(memory_each=1) >= 1
    assert default_jobs(memory_each=1 << 60) == 1


CONNECTED = '{"connections": {"1.1.1.1:443": "connected", "pypi.org:443": "gaierror: failed"}}'
REFUSED = '{"connections": {"1.1.1.1:443": "PermissionError: [WinError 10013]", "pypi.org:443": "gaierror"}}'
SHUT = "Domain True Block\nPrivate True Block\nPublic True Block\n"


@pytest.mark.parametrize(
    ("firewall", "probe", "isolated", "reason"),
    [
        (SHUT, REFUSED, True, None),
        (SHUT.replace("\n", "\r\n"), REFUSED, True, None),
        # one profile that lets all out is enough, and so is one that is off
        (SHUT.replace("Public True Block", "Public True Allow"), REFUSED, False, "not shut by every profile"),
        (SHUT.replace("Public True", "Public False"), REFUSED, False, "not shut by every profile"),
        ("", REFUSED, False, "does not say that it is shut"),
        # whatever it says: something answered
        (SHUT, CONNECTED, False, "1.1.1.1:443 answered"),
        (SHUT, None, False, "not shut by every profile"),
    ],
)
def test_a_firewall_isolates_when_it_says_so_and_nothing_gets_out(
    firewall: str, probe: str | None, isolated: bool, reason: str | None, tmp_path: Path
) -> None:
    def answer(command: Sequence[str | Path], *, step: str, **_: Any) -> Completed:
        if step == "ask the firewall":
            assert str(command[0]).endswith("powershell.exe")
            return Completed(returncode=0, output=firewall)
        return Completed(returncode=0 if probe else 1, output=probe or "Python does not start")

    sandbox = sandboxes._behind_firewall(tmp_path, answer)
    assert sandbox.isolated is isolated
    assert not sandbox.reaches_network
    assert (reason or "") in sandbox.evidence.get("reason", "")
    assert ("firewall" in sandbox.kind) is isolated
    assert sandbox.evidence["firewall"] == {
        words[0]: " ".join(words[1:]) for words in map(str.split, firewall.splitlines())
    }


def test_without_powershell_nothing_is_said_of_the_firewall(tmp_path: Path) -> None:
    def answer(command: Sequence[str | Path], *, step: str, **_: Any) -> Completed:
        if step == "ask the firewall":
            raise MissingError(f"{step}: program not found")
        return Completed(returncode=0, output=REFUSED)

    sandbox = sandboxes._behind_firewall(tmp_path, answer)
    assert (sandbox.isolated, sandbox.evidence["firewall"]) == (False, {})


def test_the_environment_of_an_untouched_account_starts_python(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    code = "import os,socket,tempfile;socket.socket().close();print(tempfile.gettempdir());print('\\u2192')"
    done = run([sys.executable, "-c", code], step="ask", env=clean_environment(tmp_path))
    folder, arrow = done.output.splitlines()
    assert os.path.realpath(folder) == os.path.realpath(tmp_path / "tmp")
    assert arrow == "→"


# ---- Pythons ----


@pytest.mark.parametrize(
    ("platform", "taken"),
    [("linux-x86_64", True), ("win-amd64", True), ("win32", False), ("win-arm64", False)],
)
def test_a_python_for_another_processor_is_none(platform: str, taken: bool) -> None:
    answer = (
        f'{{"implementation": "CPython", "version": "3.11.9", "platform": "{platform}", '
        '"headers": "/x", "compile": {}, "free_threaded": false}'
    )
    assert (inspect_interpreter(Path("python"), Answering(answer)) is not None) == taken


def test_the_launcher_names_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of `py -0p`: docs.python.org, "Python Launcher for Windows"."""
    listing = (
        " -V:3.12 *        C:\\Program Files\\Python312\\python.exe\n"
        " -V:3.11          C:\\Users\\Jürgen\\Python311\\python.exe\n"
    )
    machine = Answering(listing)
    found = [str(path) for path in interpreters._on_windows(machine)]
    assert found[:2] == [r"C:\Program Files\Python312\python.exe", r"C:\Users\Jürgen\Python311\python.exe"]
    assert machine.commands == [["py", "-0p"]]


def test_a_machine_without_the_launcher() -> None:
    def absent(command: Sequence[str | Path], **_: Any) -> Completed:
        raise MissingError(f"no {command[0]}")

    assert all(path.name == "python.exe" for path in interpreters._on_windows(absent))


def test_the_program_of_an_environment_is_where_venv_puts_it(tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], step="venv")
    assert program_in(tmp_path / "env").is_file()


# ---- names ----


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("src/aux.c", "aux.c is a device"),
        ("NUL", "NUL is a device"),
        ("conout$.txt", "conout$.txt is a device"),
        ("docs/com1.txt", "com1.txt is a device"),
        ("a/what?.txt", "not a name on Windows"),
        ("a./b", "not a name on Windows"),
        ("trailing ", "not a name on Windows"),
    ],
)
def test_names_that_windows_cannot_hold(name: str, reason: str) -> None:
    assert unfit_for_windows(["setup.py", name]) == [f"{name}: {reason}"]


def test_names_that_windows_takes_for_one() -> None:
    assert unfit_for_windows(["README", "readme", "auxiliary.c", "a/.gitignore"]) == [
        "readme: the same name as README"
    ]


def test_a_tree_that_windows_cannot_hold_is_not_exported_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(location=tmp_path, identity="0" * 40, epoch=0, kind="git")
    monkeypatch.setattr("wheelferry.cache.source.ON_WINDOWS", True)
    with pytest.raises(InputError, match=r"cannot hold:\nkernels/aux\.cu: aux\.cu is a device"):
        export(source, tmp_path / "tree", Answering("setup.py\0kernels/aux.cu\0"))


def test_the_longest_path_of_a_source(tmp_path: Path) -> None:
    (tmp_path / "pack" / "deep").mkdir(parents=True)
    (tmp_path / "pack" / "deep" / "file.cpp").touch()
    folder = Source(location=tmp_path, identity="", epoch=0, kind="folder")
    assert longest_path(folder, Answering("")) == len("pack/deep/file.cpp")
    clone = Source(location=tmp_path, identity="0" * 40, epoch=0, kind="git")
    assert longest_path(clone, Answering("setup.py\0csrc/ä.cpp\0")) == len("csrc/ä.cpp")


def test_files_behind_a_url(tmp_path: Path) -> None:
    path = tmp_path / "a file.whl"
    assert _local_path(path.as_uri()) == path
    assert _local_path("https://host/a.whl") is None
