"""Every file has one owner: what several wheels install to one path, and what an environment has already."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TARGET, write_wheel
from wheelferry.models.problems import Note, Problem
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.verification.static.ownership import check_owners, check_scripts
from wheelferry.wheels.read import read_wheel

LINUX = TARGET
WINDOWS = replace(TARGET, platform="win_amd64")


@pytest.fixture
def wheels(tmp_path: Path) -> "Wheels":
    return Wheels(tmp_path)


class Wheels(dict[str, WheelInfo]):
    """Wheels of a target by their paths in the bundle."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def add(self, name: str, files: Mapping[str, str], *, version: str = "1.0", scripts: str = "") -> None:
        """A wheel with `files`, besides its own ``NAME/__init__.py``, and the console scripts `scripts`."""
        contents = {path.replace("DATA", f"{name}-{version}.data"): text for path, text in files.items()}
        if scripts:
            contents[f"{name}-{version}.dist-info/entry_points.txt"] = f"[console_scripts]\n{scripts}\n"
        path = write_wheel(
            self._folder, name, version, files={path: text.encode() for path, text in contents.items()}
        )
        self[f"wheelhouse/{path.name}"] = read_wheel(path)

    def owners(self, target: Target = LINUX) -> list[Problem | Note]:
        return list(check_owners(self, target))

    def scripts(self, target: Target = LINUX) -> list[str]:
        return [str(problem) for problem in check_scripts(self, target)]


def only(findings: list[Problem | Note], kind: type[Problem] | type[Note]) -> str:
    """The text of the only finding, which is of that kind."""
    (finding,) = findings
    assert isinstance(finding, kind)
    return str(finding)


def test_wheels_of_their_own_have_nothing_to_tell(wheels: Wheels) -> None:
    wheels.add("a", {"a/x.py": "a", "a/b/y.py": "a", "DATA/data/share/a.txt": "a"}, scripts="a = a:main")
    wheels.add("b", {"b.py": "b", "space/b.py": "b"})
    wheels.add("c", {"space/c.py": "a namespace package"}, scripts="c = c:main")
    for target in (LINUX, WINDOWS):
        assert wheels.owners(target) == []
        assert wheels.scripts(target) == []


def test_the_same_file_with_other_content(wheels: Wheels) -> None:
    wheels.add("a", {f"cv2/{number}.py": "a" for number in range(5)})
    wheels.add("b", {f"cv2/{number}.py": "a" if number == 4 else "b" for number in range(5)})
    assert only(wheels.owners(), Problem) == (
        "wheelhouse/a-1.0-py3-none-any.whl: installs 5 files that b-1.0-py3-none-any.whl installs too, 4 "
        "of them with other content: cv2/0.py, cv2/1.py, cv2/2.py and 1 more. "
        "Installers say nothing, and the client gets those of either, or a mixture: "
        "leave out one of the packages (--exclude) [SAME_FILE]"
    )


def test_the_same_file_with_the_same_content(wheels: Wheels) -> None:
    wheels.add("a", {"space/__init__.py": "namespace", "space/a.py": ""})
    wheels.add("b", {"space/__init__.py": "namespace", "space/b.py": ""})
    assert only(wheels.owners(), Note) == (
        "wheelhouse/a-1.0-py3-none-any.whl: installs a file that b-1.0-py3-none-any.whl installs too, "
        "with the same content: space/__init__.py"
    )


UNREAD = ("LICENSE", "License.txt", "README.md", "CHANGELOG.rst", "tests/__init__.py", "docs/conf.py")


def test_what_no_program_reads_is_a_note(wheels: Wheels) -> None:
    wheels.add("a", dict.fromkeys(UNREAD, "a"))
    wheels.add("b", dict.fromkeys(UNREAD, "b"))
    text = only(wheels.owners(), Note)
    assert "installs 6 files that b-1.0-py3-none-any.whl installs too, with other content, which no" in text


@pytest.mark.parametrize("path", ["license.py", "tests.py", "a/tests/x.py", "readme_x.py"])
def test_but_only_what_is_called_so_there(wheels: Wheels, path: str) -> None:
    wheels.add("a", {"LICENSE": "a", path: "a"})
    wheels.add("b", {"LICENSE": "b", path: "b"})
    assert "2 files that b-1.0-py3-none-any.whl installs too, 1 of them with other" in only(
        wheels.owners(), Problem
    )


def test_three_owners_of_a_file(wheels: Wheels) -> None:
    for name in "abc":
        wheels.add(name, {"shared.py": "c" if name == "c" else "ab"})
    wheels.add("d", {"other.py": ""})
    assert "a file that b-1.0-py3-none-any.whl and c-1.0-py3-none-any.whl install too, with other" in only(
        wheels.owners(), Problem
    )


def test_pairs_are_told_apart(wheels: Wheels) -> None:
    wheels.add("a", {"x.py": "a", "y.py": "a"})
    wheels.add("b", {"x.py": "b"})
    wheels.add("c", {"y.py": "a"})
    problem, note = wheels.owners()
    assert (type(problem), type(note)) == (Problem, Note)
    assert "b-1.0" in str(problem)
    assert "x.py" in str(problem)
    assert "c-1.0" in str(note)
    assert "y.py" in str(note)


def test_a_wheel_in_two_versions(wheels: Wheels) -> None:
    wheels.add("a", {"a/version.py": "1"}, version="1.0")
    wheels.add("a", {"a/version.py": "2"}, version="2.0")
    text = only(wheels.owners(), Problem)
    assert text.startswith("wheelhouse/a-1.0-py3-none-any.whl: installs 2 files that a-2.0-py3-none-any.whl")
    assert "1 of them with other content: a/version.py" in text


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("DATA/purelib/x.py", "x.py", "x.py"),
        ("DATA/platlib/x.py", "DATA/purelib/x.py", "x.py"),
        ("DATA/scripts/tool", "DATA/data/bin/tool", "bin/tool"),
        ("DATA/data/lib/python3.11/site-packages/x.py", "x.py", "x.py"),
        ("DATA/data/share/x", "DATA/data/share/x", "share/x"),
    ],
)
def test_files_count_where_they_land(wheels: Wheels, first: str, second: str, shown: str) -> None:
    wheels.add("a", {first: "a"})
    wheels.add("b", {second: "b"})
    assert f"content: {shown}. " in only(wheels.owners(), Problem)


def test_headers_have_a_folder_for_each_project(wheels: Wheels) -> None:
    wheels.add("a", {"DATA/headers/x.h": "a"})
    wheels.add("b", {"DATA/headers/x.h": "b"})
    assert wheels.owners() == []


@pytest.mark.parametrize("platform", ["win_amd64", "macosx_14_0_arm64"])
def test_names_that_differ_in_case_are_the_same_on_windows_and_macos(platform: str, wheels: Wheels) -> None:
    wheels.add("a", {"Shared/X.py": "a"})
    wheels.add("b", {"shared/x.py": "b"})
    assert wheels.owners() == []
    assert "content: Shared/X.py and shared/x.py. " in only(
        wheels.owners(replace(WINDOWS, platform=platform)), Problem
    )


def test_one_wheel_that_installs_a_file_twice(wheels: Wheels) -> None:
    wheels.add("a", {"x.py": "root", "DATA/purelib/x.py": "purelib", "Y.py": "", "y.py": "other"})
    assert "several of its own files to the same place: x.py" in only(wheels.owners(), Note)
    assert "place: x.py, Y.py and y.py" in only(wheels.owners(WINDOWS), Note)


@pytest.mark.parametrize("order", [("file", "folder"), ("folder", "file")])
def test_a_file_where_another_wheel_has_a_folder(wheels: Wheels, order: tuple[str, str]) -> None:
    for name in order:
        wheels.add(name, {"thing": "", "other": ""} if name == "file" else {"thing/deep/x.py": ""})
    text = only(wheels.owners(), Problem)
    assert text.startswith(
        "wheelhouse/file-1.0-py3-none-any.whl: installs thing as a file, folder-1.0-py3-none-any.whl as a fol"
    )


def test_scripts_of_one_name(wheels: Wheels) -> None:
    wheels.add("a", {}, scripts="tool = a.cli:main\nown = a:main")
    wheels.add("b", {}, scripts="tool = b:main")
    assert (
        "same name as b-1.0-py3-none-any.whl: bin/tool starts a.cli:main, in b-1.0-py3-none-any.whl b:main. "
        in (only(wheels.owners(), Problem))
    )


def test_scripts_of_one_name_that_start_the_same(wheels: Wheels) -> None:
    wheels.add("a", {}, scripts="tool = shared:main")
    wheels.add("b", {}, scripts="# as a does\ntool=shared : main [extra]")
    assert "has the same scripts as b-1.0-py3-none-any.whl, which start the same: bin/tool" in (
        only(wheels.owners(), Note)
    )


def test_a_script_in_a_wheel_and_one_of_an_entry_point(wheels: Wheels) -> None:
    wheels.add("a", {"DATA/scripts/tool": "#!python"})
    wheels.add("b", {}, scripts="tool = b:main")
    assert "with other content: bin/tool" in only(wheels.owners(), Problem)
    assert wheels.owners(WINDOWS) == [], "there the one is tool, the other tool.exe"


def test_scripts_that_differ_in_case(wheels: Wheels) -> None:
    wheels.add("a", {}, scripts="Tool = a:main")
    wheels.add("b", {"DATA/scripts/tool.exe": "MZ"})
    assert wheels.owners() == []
    assert "content: Scripts/Tool.exe and Scripts/tool.exe" in only(wheels.owners(WINDOWS), Problem)


ON_LINUX = {
    "DATA/scripts/python": "interpreter",
    "DATA/scripts/python3": "interpreter",
    "DATA/data/bin/python3.11": "interpreter",
    "DATA/scripts/pip": "pip",
    "DATA/scripts/pip3.11": "pip",
    "DATA/scripts/activate": "script that activates it",
    "DATA/scripts/activate.fish": "script that activates it",
    "DATA/scripts/deactivate": "script that activates it",
    "DATA/data/pyvenv.cfg": "configuration",
}
ON_WINDOWS = {
    "DATA/scripts/Python.EXE": "interpreter",
    "DATA/scripts/pythonw.exe": "interpreter",
    "DATA/data/scripts/python.exe": "interpreter",
    "DATA/scripts/PIP.bat": "pip",
    "DATA/scripts/Activate.ps1": "script that activates it",
    "DATA/scripts/deactivate.bat": "script that activates it",
}


@pytest.mark.parametrize(
    ("target", "file", "what"),
    [*((LINUX, *pair) for pair in ON_LINUX.items()), *((WINDOWS, *pair) for pair in ON_WINDOWS.items())],
)
def test_what_the_environment_has_is_not_replaced(
    wheels: Wheels, target: Target, file: str, what: str
) -> None:
    wheels.add("a", {file: "evil"})
    (text,) = wheels.scripts(target)
    assert f"takes the place of the environment's own {what} [SCRIPT]" in text


def test_nor_by_an_entry_point(wheels: Wheels) -> None:
    wheels.add("a", {}, scripts="python = a:main\npip3 = a:main\nfine = a:main")
    assert len(wheels.scripts(LINUX)) == 2
    assert len(wheels.scripts(WINDOWS)) == 2


def test_pip_may_be_pip(wheels: Wheels) -> None:
    wheels.add("pip", {}, scripts="pip = pip:main\npip3 = pip:main\npip3.11 = pip:main")
    assert wheels.scripts() == []


def test_names_that_only_begin_so_are_fine(wheels: Wheels) -> None:
    names = ("activate-global-python-argcomplete", "python-config", "pip-compile", "ipython3", "pythonic")
    wheels.add("a", {f"DATA/scripts/{name}": "" for name in names})
    wheels.add("b", {"bin/python": "in site-packages", "pyvenv.cfg": "there too", "DATA/data/x/pip": ""})
    assert wheels.scripts() == []
    assert wheels.scripts(WINDOWS) == []
