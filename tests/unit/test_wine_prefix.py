"""Wine: paths, environment, prefixes and what it lacks, without starting it."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from wheelferry.errors import MissingError
from wheelferry.system.process import Completed
from wheelferry.system.sandbox import Sandbox
from wheelferry.verification.machines import wine as module
from wheelferry.verification.machines.wine import (
    SETUP,
    Wine,
    copy_prefix,
    definition,
    find_compiler,
    find_wine,
    serving,
    unloadable,
    windows_path,
    wine_environment,
)


class Recorded:
    """A runner that starts nothing: it notes commands and gives answers by the program's name."""

    def __init__(self, answers: Mapping[str, str] | None = None) -> None:
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.answers = answers or {}

    def __call__(self, command: Sequence[str | Path], **options: Any) -> Completed:
        self.commands.append([str(part) for part in command])
        self.environments.append(options.get("env") or {})
        return Completed(returncode=0, output=self.answers.get(Path(command[0]).name, ""))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there; no packages elsewhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(module, "_PACKAGED", ())
    return folder


def program(folder: Path, name: str) -> None:
    (folder / name).write_text("", "utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("path", "spelled"),
    [("/", "Z:\\"), ("/home/a b/ü.py", "Z:\\home\\a b\\ü.py"), ("/a//b/", "Z:\\a\\b")],
)
def test_paths_are_spelled_as_windows_reads_them(path: str, spelled: str) -> None:
    assert windows_path(PurePosixPath(path)) == spelled


def test_a_relative_path_has_no_spelling() -> None:
    with pytest.raises(ValueError, match="relative"):
        windows_path(PurePosixPath("a/b"))


def test_a_command_in_the_sandbox_names_files_in_the_runners_way(tmp_path: Path) -> None:
    run = Recorded()
    sandbox = Sandbox(
        prefix=("unshare", "--"),
        kind="",
        isolated=True,
        evidence={},
        home=tmp_path,
        run=run,
        environment={"WINEPREFIX": "/p"},
        loader=("wine64",),
        spell=windows_path,
    )
    sandbox([Path("/py/python.exe"), "-c", "print('/x')", Path("/out")], step="", log=tmp_path / "log")
    assert run.commands == [["unshare", "--", "wine64", "Z:\\py\\python.exe", "-c", "print('/x')", "Z:\\out"]]
    assert run.environments == [{"WINEPREFIX": "/p"}]


def test_nothing_of_the_callers_environment_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PIP_FIND_LINKS", "DISPLAY", "TMPDIR", "WINEPATH"):
        monkeypatch.setenv(name, "/somewhere")
    found = wine_environment(Path("/p"), Path("/h"))
    assert "/somewhere" not in found.values()
    assert found["WINEPREFIX"] == "/p"
    assert found["HOME"] == "/h"
    assert found["PIP_CONFIG_FILE"] == "nul"
    assert "OMP_NUM_THREADS" not in found
    assert wine_environment(Path("/p"), Path("/h"), "2")["OMP_NUM_THREADS"] == "2"


def test_wine_starts_nothing_beside_the_program() -> None:
    rules = wine_environment(Path("/p"), Path("/h"))["WINEDLLOVERRIDES"].split(";")
    off = {name for rule in rules if rule.endswith("=") for name in rule[:-1].split(",")}
    assert off == {"mscoree", "mshtml", "winemenubuilder.exe", "winedbg.exe", "wbemprox"}


def test_wine_is_found_on_path_with_its_version(programs: Path) -> None:
    for name in ("wine64", "wine", "wineserver"):
        program(programs, name)
    found = find_wine(Recorded({"wine64": "wine-8.0 (Debian 8.0~repack-4)\n"}))
    assert found == Wine(loader=programs / "wine64", server=programs / "wineserver", version="8.0")


def test_without_wine_the_command_that_installs_it_is_named(programs: Path) -> None:
    program(programs, "wine64")  # its server is missing
    with pytest.raises(MissingError) as raised:
        find_wine(Recorded())
    assert SETUP in str(raised.value.hint)


def test_what_only_looks_like_wine_is_refused(programs: Path) -> None:
    for name in ("wine64", "wineserver"):
        program(programs, name)
    with pytest.raises(MissingError, match="not Wine: it says 'hello'"):
        find_wine(Recorded({"wine64": "hello\n"}))


def test_the_compiler_goes_by_several_names(programs: Path) -> None:
    program(programs, "x86_64-w64-mingw32-gcc-win32")
    found = find_compiler(Recorded({"x86_64-w64-mingw32-gcc-win32": "12.0.0\n"}))
    assert (found.program.name, found.version) == ("x86_64-w64-mingw32-gcc-win32", "12.0.0")
    (programs / "x86_64-w64-mingw32-gcc-win32").unlink()
    with pytest.raises(MissingError) as raised:
        find_compiler(Recorded())
    assert SETUP in str(raised.value.hint)


def test_complex_functions_are_ours_and_the_rest_is_passed_on() -> None:
    text = definition(["cabs", "crealf", "calloc"])
    assert text.splitlines() == [
        "LIBRARY ucrtbase.dll",
        "EXPORTS",
        '  "cabs"',
        '  "crealf"',
        '  "calloc" = ucrtw."calloc"',
    ]


def test_each_use_has_a_registry_of_its_own(tmp_path: Path) -> None:
    template = tmp_path / "template"
    system = template / "drive_c" / "windows" / "system32"
    system.mkdir(parents=True)
    (system / "kernel32.dll").write_bytes(b"code")
    (template / "system.reg").write_text("registry", "utf-8")
    (template / "wineserver").write_text("wine-abc", "utf-8")
    (template / "dosdevices").mkdir()
    (template / "dosdevices" / "z:").symlink_to("/")
    copy_prefix(template, tmp_path / "used")
    used = tmp_path / "used"
    linked = used / "drive_c" / "windows" / "system32" / "kernel32.dll"
    assert linked.stat().st_ino == (system / "kernel32.dll").stat().st_ino
    assert (used / "system.reg").stat().st_ino != (template / "system.reg").stat().st_ino
    assert (used / "dosdevices" / "z:").readlink() == Path("/")
    assert not (used / "wineserver").exists()


def test_the_server_ends_with_what_needed_it(tmp_path: Path) -> None:
    run = Recorded()
    wine = Wine(loader=Path("wine64"), server=Path("wineserver"), version="8.0")
    environment = {"WINEPREFIX": str(tmp_path / "prefix")}

    def press_ctrl_c() -> None:
        with serving(wine, environment, run):
            assert run.commands == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()
    assert run.commands == [["wineserver", "-k"]]
    assert run.environments == [environment]


def test_a_wine_without_a_dll_cannot_load_what_needs_it() -> None:
    binaries = {
        "cv2/cv2.pyd": ["KERNEL32.dll", "MFPlat.DLL", "helper.dll"],
        "cv2.libs/helper.dll": ["kernel32.dll"],
        "films/films.pyd": ["reader.dll"],
        "films/Reader.dll": ["mf.dll"],
        "torch/torch.pyd": ["KERNEL32.dll", "c10.dll"],
        "lonely/lonely.pyd": ["msvcp140.dll"],  # what its bundle should have brought
        "torch/lib/c10.dll": [],
    }
    windows_own = {"mfplat.dll", "mf.dll"}
    reasons = unloadable(binaries, lambda name: name.lower() in windows_own, "8.0")
    because_of_mf = "Wine: films/Reader.dll needs mf.dll, which Wine 8.0 has not"
    assert reasons == {
        "cv2/cv2.pyd": "Wine: cv2/cv2.pyd needs MFPlat.DLL, which Wine 8.0 has not",
        "films/Reader.dll": because_of_mf,
        "films/films.pyd": because_of_mf,
    }
