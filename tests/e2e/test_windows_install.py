"""The installer on Windows, as far as Wine is one: install.cmd, upgrade, rollback, uninstallation.

Wine stands in for Windows, and `winebox` says what stands in for what Wine has not. The Python is a genuine
CPython for Windows; the packages are tiny; uv and pip are those that a bundle for Windows brings.
"""

import json
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clients import WINDOWS, pack_client_bundle, windows_recipe
from conftest import RECIPE
from ferry import Ferry
from wheelferry.bundle.installers import collect_installers
from wheelferry.cache.pip_config import read_pip_configuration
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import Uv, find_uv
from wheelferry.catalog import LocatedRecipe
from wheelferry.models.manifest import parse_manifest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.progress import Silent
from wheelferry.system.files import sha256_file
from wheelferry.system.process import run
from wheelferry.verification.machines.windows_python import bring_python
from wheelferry.verification.machines.wine import find_compiler
from winebox import COMPILER, LOADER, Windows, windows_path

GIVEN = os.environ.get("WHEELFERRY_WINDOWS_PYTHON")
_MISSING = [name for name, there in (("Wine", LOADER), (COMPILER, shutil.which(COMPILER))) if not there]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

CARGO = "import cargo, sys; cargo.main(); print(ascii(sys.prefix))"
# What a batch file is most easily confused by. A percent sign is not among it, for Wine's cmd drops one from
# %~dp0, which Windows' does not.
STICK = "st ück (1) & it!"
PREFIX = "Prüf stand (1) & it!"


@dataclass(frozen=True)
class Sticks:
    """Bundles: `old` carries a Python, `new` has other packages and none."""

    old: Path
    new: Path


@dataclass(frozen=True)
class Place:
    """Where bundles are made: a folder, the tests' recipe, the real tools."""

    folder: Path
    located: LocatedRecipe
    tools: Tools

    def pack(self, name: str, files: dict[str, bytes], runtimes: list[str]) -> Path:
        kit = collect_installers([WINDOWS], runtimes, self.tools)[WINDOWS]
        out = self.folder / name
        return pack_client_bundle(out, self.tools, self.located, target=WINDOWS, files=files, kit=kit)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, ferry: Ferry) -> Place:
    folder = tmp_path_factory.mktemp("sticks")
    (folder / "recipes" / "tiny" / "smoke").mkdir(parents=True)
    plain = LocatedRecipe(recipe=parse_recipe(RECIPE, file="tiny.toml"), folder=folder / "recipes")
    index = read_pip_configuration(run)
    uv = Uv(program=find_uv(), run=run, index=index)
    tools = Tools(run=run, store=Store(ferry.cache), index=index, uv=uv, progress=Silent(), jobs=2)
    return Place(folder, windows_recipe(plain), tools)


@pytest.fixture(scope="module")
def new(place: Place) -> Path:
    return place.pack("new", {"a": b"1", "b": b"2"}, [])


@pytest.fixture(scope="module")
def python(place: Place, new: Path) -> Path:
    """A CPython for Windows as a zip archive, as --runtime takes it: the one given, or made of packages."""
    (entry,) = parse_manifest((new / "bundle.json").read_text("utf-8")).targets
    given = Path(GIVEN) if GIVEN else None
    found = bring_python(new, entry, given, find_compiler(run), place.folder / "work", place.tools)
    archive = place.folder / "python.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for path in sorted(found.program.parent.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                zipped.write(path, path.relative_to(found.program.parent).as_posix())
    return archive


@pytest.fixture(scope="module")
def sticks(place: Place, new: Path, python: Path) -> Sticks:
    return Sticks(old=place.pack(STICK, {"a": b"1"}, [str(python)]), new=new)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Iterator[Windows]:
    machine = Windows(tmp_path_factory.mktemp("windows"), python)
    yield machine
    machine.end()
    shutil.rmtree(machine.prefix, ignore_errors=True)


@pytest.fixture
def with_python(windows: Windows) -> dict[str, str]:
    """Variables with which Windows has a Python in PATH."""
    windows.has()
    return {"WINEPATH": r"C:\standins\python"}


def receipt_of(prefix: Path) -> dict[str, Any]:
    number = (prefix / "current.txt").read_text("ascii").strip()
    document: dict[str, Any] = json.loads((prefix / "envs" / number / "receipt.json").read_text("utf-8"))
    return document


def left_in_temp(windows: Windows) -> list[str]:
    """What is in the temporary folder; Wine's cmd leaves a file there for each FOR /F."""
    found = (windows.drive / "users").glob("*/Temp/*")
    return [path.name for path in found if not path.name.startswith("CMD")]


def is_gone(folder: Path) -> bool:
    """Whether nothing is left; an empty folder stays while a program is in it, such as Wine's console."""
    return not folder.exists() or not any(folder.iterdir())


def test_a_windows_without_python_from_the_stick_to_the_uninstallation(
    windows: Windows, sticks: Sticks, with_python: dict[str, str]
) -> None:
    windows.has("certutil", "tar")
    prefix = windows.drive / PREFIX
    said = windows.batch(sticks.old, "install.cmd", "--prefix", "C:\\" + PREFIX, "--yes")
    assert "no Python here: starting the one of the bundle" in said
    assert "2 passed" in said
    archive = next(sticks.old.glob("runtime/*.zip"))
    assert windows.calls[0] == f"certutil.py -hashfile {windows_path(archive)} SHA256"
    assert windows.calls[1].startswith(f"tar.py -xf {windows_path(archive)} -C C:\\users\\")
    assert left_in_temp(windows) == []
    receipt = receipt_of(prefix)
    assert receipt["python"]["runtime"].startswith("cpython-3.11-")
    # Wine lacks what uv needs to start
    assert "installing with pip, which is slower: uv does not run here" in said
    assert receipt["installer"]["kind"] == "pip"
    lines = windows.batch(prefix, "python.cmd", "-c", CARGO).splitlines()
    assert lines == ["cargo 1.1", ascii(f"C:\\{PREFIX}\\envs\\1")]

    windows.bring_random_numbers()
    said = windows.batch(
        sticks.new, "install.cmd", "--prefix", "C:\\" + PREFIX, "--yes",
        "--python", r"C:\standins\python\python.exe", environ=with_python,
    )  # fmt: skip
    assert receipt_of(prefix)["installer"]["kind"] == "uv"
    assert "(4 taken over)" in said
    lines = windows.batch(prefix, "python.cmd", "-c", CARGO).splitlines()
    assert lines == ["cargo 1.2", ascii(f"C:\\{PREFIX}\\envs\\2")]
    assert windows.run([prefix / "envs" / "2" / "Scripts" / "cargo.exe"]) == "cargo 1.2\n"

    windows.batch(prefix, "wheelferry.cmd", "--rollback")
    assert windows.batch(prefix, "python.cmd", "-c", CARGO).startswith("cargo 1.1\n")
    assert windows.run([prefix / "envs" / "1" / "Scripts" / "cargo.exe"]) == "cargo 1.1\n"
    assert "2 passed" in windows.batch(prefix, "wheelferry.cmd", "--verify", "smoke")
    windows.batch(prefix, "wheelferry.cmd", "--verify", "nonsense", status=2)
    windows.batch(prefix, "python.cmd", "-c", "raise SystemExit(7)", status=7)
    mine = prefix / "leaf"
    mine.mkdir()
    (mine / "__init__.py").touch()
    assert "note: this folder has a leaf of its own" in windows.batch(
        prefix, "python.cmd", "-c", "import leaf"
    )
    shutil.rmtree(mine)
    assert "note:" not in windows.batch(prefix, "python.cmd", "-c", "import leaf")

    # by the Python that goes with it, in its own folder
    assert "removed: " in windows.batch(prefix, "wheelferry.cmd", "--uninstall", "--yes")
    assert is_gone(prefix)


def test_powershell_does_what_certutil_and_tar_do_not(windows: Windows, sticks: Sticks) -> None:
    windows.has("powershell")
    said = windows.batch(sticks.old, "install.cmd", "--prefix", r"C:\nowhere", "--check")
    assert "it can be installed here" in said
    assert [call.split(" -Command ")[1].split()[0] for call in windows.calls] == [
        "(Get-FileHash",
        "$ProgressPreference",
    ]
    assert not (windows.drive / "nowhere").exists()
    assert left_in_temp(windows) == []


def test_where_nothing_computes_a_hash_that_is_said(windows: Windows, sticks: Sticks) -> None:
    """Wine's own certutil and PowerShell do nothing, and say that all went well."""
    windows.has()
    said = windows.batch(sticks.old, "install.cmd", "--check", status=3)
    assert "neither certutil nor PowerShell computes a SHA-256 here" in said


def test_what_a_closed_window_left_is_swept_away(windows: Windows, sticks: Sticks) -> None:
    windows.has()
    (user,) = [path for path in (windows.drive / "users").glob("*/Temp") if path.parent.name != "Public"]
    (user / "wheelferry-python-1" / "Lib").mkdir(parents=True)
    windows.batch(sticks.old, "install.cmd", "--check", status=3)
    assert left_in_temp(windows) == []


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("runtime/cpython-3.11-win_amd64.zip", 4, "is damaged"),
        ("bundle.json", 2, "there is no bundle.json beside it"),
        ("install.pyz", 4, "install.pyz or bundle.json is damaged"),
    ],
)
def test_a_damaged_stick_stops_install_cmd(
    windows: Windows, sticks: Sticks, tmp_path: Path, name: str, status: int, text: str
) -> None:
    windows.has("certutil", "tar")
    stick = shutil.copytree(sticks.old, tmp_path / "stick")
    if name == "bundle.json":
        (stick / name).unlink()
    else:
        (stick / name).write_bytes(b"other bytes" + (stick / name).read_bytes())
    assert text in windows.batch(stick, "install.cmd", "--check", status=status)
    assert left_in_temp(windows) == []


def test_a_python_in_path_is_enough(
    windows: Windows, sticks: Sticks, tmp_path: Path, with_python: dict[str, str]
) -> None:
    """Nothing else is there; and that Python is found as one to build on."""
    stick = shutil.copytree(sticks.new, tmp_path / "read only")
    for path in stick.rglob("*"):
        path.chmod(0o444 if path.is_file() else 0o555)
    arguments = ["--prefix", r"C:\by path", "--json"]
    before = {path.name: sha256_file(path) for path in stick.glob("*.*")}
    document = windows.batch(stick, "install.cmd", *arguments, "--quiet", environ=with_python)
    assert json.loads(document)["python"]["program"].lower() == r"c:\standins\python\python.exe"
    assert {path.name: sha256_file(path) for path in stick.glob("*.*")} == before
    windows.batch(windows.drive / "by path", "wheelferry.cmd", "--uninstall", "--yes")
    assert is_gone(windows.drive / "by path")
    for path in stick.rglob("*"):
        path.chmod(0o755)


def test_a_damaged_wheel_and_a_folder_that_cannot_be_are_refused(
    windows: Windows, sticks: Sticks, tmp_path: Path, with_python: dict[str, str]
) -> None:
    stick = shutil.copytree(sticks.new, tmp_path / "stick")
    with next(stick.glob("wheelhouse/torch-*.whl")).open("ab") as stream:
        stream.write(b"x")
    said = windows.batch(
        stick, "install.cmd", "--prefix", r"C:\damaged", "--yes", status=4, environ=with_python
    )
    assert "torch-2.13.0-cp311-cp311-win_amd64.whl has" in said
    assert not list(windows.drive.glob("damaged/envs/*"))
    for prefix, text in (
        ("C:\\" + "x" * 200, "the longest path would have"),
        ("Q:\\no such drive", "cannot be written to"),
        ("C:\\a?b", "is not a name for a folder on Windows"),
    ):
        said = windows.batch(
            sticks.new, "install.cmd", "--prefix", prefix, "--yes", status=3, environ=with_python
        )
        assert text in said
    said = windows.batch(sticks.new, "install.cmd", status=2, environ=with_python)
    # NUL, which Windows takes for a console
    assert "no answer to: Install into which folder?" in said


def _installer(stick: Path, prefix: str, *options: str) -> list[str]:
    """The command line that install.cmd ends in."""
    program = windows_path(stick / "install.pyz")
    return [r"C:\standins\python\python.exe", "-I", program, "--prefix", prefix, "--yes", *options]


def test_files_in_use_are_named_and_a_second_attempt_removes_them(
    windows: Windows, sticks: Sticks, with_python: dict[str, str]
) -> None:
    prefix = windows.drive / "in use"
    windows.run(_installer(sticks.new, r"C:\in use", "--verify", "none"))
    # Python opens files so that nobody else may remove them
    code = "import cargo, time; f = open(cargo.__file__, 'rb'); print('open', flush=True); time.sleep(120)"
    user = windows.start(["cmd", "/c", "python.cmd", "-c", code], prefix)
    assert user.stdout is not None
    assert user.stdout.readline().strip() == b"open"
    said = windows.run(_installer(sticks.new, r"C:\in use", "--uninstall"), status=3)
    assert "in use by another program" in said
    assert r"cargo\__init__.py" in said
    os.killpg(user.pid, signal.SIGKILL)
    user.communicate()
    windows.run(_installer(sticks.new, r"C:\in use", "--uninstall"))
    deadline = time.monotonic() + 200
    while prefix.exists() and time.monotonic() < deadline:
        windows.run(_installer(sticks.new, r"C:\in use", "--uninstall"))
    assert not prefix.exists()


def test_two_at_once_take_turns(windows: Windows, sticks: Sticks) -> None:
    both = [windows.start(_installer(sticks.new, r"C:\twice")) for _ in range(2)]
    said = [process.communicate()[0].decode("cp1252", "replace") for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("waiting for it" in text for text in said) == 1


def test_killed_in_the_middle_a_rerun_completes(windows: Windows, sticks: Sticks) -> None:
    """What it had started ends with it: nobody else writes to the prefix."""
    prefix = windows.drive / "killed"
    windows.run(_installer(sticks.new, r"C:\killed", "--verify", "none"))
    process = windows.start(_installer(sticks.new, r"C:\killed", "--reinstall"))
    deadline = time.monotonic() + 600
    while not list((prefix / "envs").glob("2/Scripts")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert windows.batch(prefix, "python.cmd", "-c", CARGO).startswith("cargo 1.2\n")
    windows.run(_installer(sticks.new, r"C:\killed", "--reinstall"))
    assert list(prefix.glob(".tmp-*")) == []
    assert all((env / "receipt.json").is_file() for env in (prefix / "envs").iterdir())
    assert windows.batch(prefix, "python.cmd", "-c", CARGO).startswith("cargo 1.2\n")
