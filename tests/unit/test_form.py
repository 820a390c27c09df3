"""The form of wheels: what pip and uv stop at, and what they install though nobody can use it."""

import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TARGET, write_wheel
from elffiles import elf_file
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.verification.static.form import check_form
from wheelferry.verification.static.ownership import check_owners
from wheelferry.wheels.read import read_wheel

WINDOWS = replace(TARGET, platform="win_amd64")
OWN, OTHER = "cpython-311-x86_64-linux-gnu", "cpython-310-x86_64-linux-gnu"


def found(info: WheelInfo, target: Target = TARGET) -> list[str]:
    """Codes, "note" for a note."""
    return [getattr(getattr(one, "code", None), "name", "note") for one in check_form("x", info, target)]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., WheelInfo]:
    def make(**files: bytes) -> WheelInfo:
        return read_wheel(write_wheel(tmp_path, "leaf", "1.0", files=files))

    return make


def test_an_honest_wheel(read: Callable[..., WheelInfo]) -> None:
    files = {
        "leaf/_c.abi3.so": elf_file(),
        "leaf-1.0.data/scripts/go": b"#!python\n",
        f"leaf/_d.{OWN}.so": b"",
    }
    assert found(read(**files)) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"wheel_version": "2.0"}, "METADATA"),
        ({"wheel_version": "1.9"}, None),
        ({"dist_info": "other-1.0.dist-info"}, "NAME"),
        ({"dist_info": "LEAF-1.0.dist-info"}, None),
        ({"entry_points": "[console_scripts]\n../go = leaf:main\n"}, "SCRIPT"),
        ({"entry_points": "[console_scripts]\nC:\\..\\go = leaf:main\n"}, "SCRIPT"),
        ({"entry_points": "[console_scripts]\ngo = leaf:main\n"}, None),
        ({"links": ("leaf/libx.so",)}, "LIBRARY"),
        ({"links": ("leaf/README",)}, "note"),
    ],
)
def test_what_installers_refuse_or_change(
    read: Callable[..., WheelInfo], change: dict[str, object], code: str | None
) -> None:
    assert found(replace(read(), **change)) == ([code] if code else [])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["leaf-1.0.data/strange/go", "leaf-1.0.data/go"])
def test_a_file_for_a_place_that_nobody_knows(read: Callable[..., WheelInfo], name: str) -> None:
    assert found(read(**{name: b""})) == ["METADATA"]


@pytest.mark.parametrize(
    ("marker", "code"), [("", ["REQUIREMENT"]), ("; extra == 'x'", []), ("; os_name == 'nt'", [])]
)
def test_a_requirement_with_an_address(tmp_path: Path, marker: str, code: list[str]) -> None:
    requires = [f"twig @ https://index.example/twig-1.0-py3-none-any.whl {marker}"]
    assert found(read_wheel(write_wheel(tmp_path, "leaf", "1.0", requires=requires))) == code


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([f"leaf/_c.{OTHER}.so"], ["PYTHON"]),
        (["leaf/_c.cpython-311-darwin.so"], ["PYTHON"]),
        (["leaf/_c.cpython-311-x86_64-linux-musl.so"], ["PYTHON"]),
        (["leaf/_c.cp311-win_amd64.pyd"], ["PYTHON"]),
        ([f"leaf/_c.{OTHER}.so", f"leaf/_c.{OWN}.so"], []),
        ([f"leaf/_c.{OTHER}.so", "leaf/_c.py"], []),
        ([f"leaf/_c.{OTHER}.so", "leaf/_c.abi3.so"], []),
        ([f"leaf/_c.{OTHER}.so", f"leaf/_d.{OWN}.so"], ["note"]),
        (["leaf/libplain.so"], []),
    ],
)
def test_modules_that_the_targets_python_does_not_look_for(
    read: Callable[..., WheelInfo], files: list[str], expected: list[str]
) -> None:
    assert found(read(**dict.fromkeys(files, b""))) == expected


@pytest.mark.parametrize(("python", "tag"), [("3.7", "cpython-37m"), ("3.8", "cpython-38")])
def test_an_old_pythons_modules_are_its_own(read: Callable[..., WheelInfo], python: str, tag: str) -> None:
    target = replace(TARGET, python=python)
    assert found(read(**{f"leaf/_c.{tag}-x86_64-linux-gnu.so": b""}), target) == []
    assert found(read(**{f"leaf/_c.{OWN}.so": b""}), target) == ["PYTHON"]


def test_the_same_for_windows(read: Callable[..., WheelInfo]) -> None:
    assert found(read(**{"leaf/_c.cp311-win_amd64.pyd": b""}), WINDOWS) == []
    assert found(read(**{"leaf/_c.cp312-win_amd64.pyd": b""}), WINDOWS) == ["PYTHON"]


def test_a_symbolic_link_is_seen_in_the_archive(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "leaf", "1.0")
    link = zipfile.ZipInfo("leaf/libx.so")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, b"libx.so.1")
    assert found(read_wheel(wheel)) == ["LIBRARY"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("both.py", "both/__init__.py", ["note"]),
        ("both.py", "both/part.py", ["note"]),
        (f"both.{OWN}.so", "both/__init__.py", ["note"]),
        ("space/both.py", "space/both/__init__.py", ["note"]),
        ("tests.py", "tests/test_it.py", ["note"]),
        ("both.txt", "both/__init__.py", []),
        ("libboth.so.1", "libboth/x.txt", []),
        ("one-1.0.data/data/share/both.py", "two-1.0.data/data/share/both/x.py", []),
    ],
)
def test_a_module_and_a_package_of_one_name(
    tmp_path: Path, one: str, other: str, expected: list[str]
) -> None:
    wheels = {
        name: read_wheel(write_wheel(tmp_path, name, "1.0", files={file: b""}))
        for name, file in (("one", one), ("two", other))
    }
    findings = list(check_owners(wheels, TARGET))
    assert [getattr(getattr(one, "code", None), "name", "note") for one in findings] == expected
    assert list(check_owners({"one": wheels["one"]}, TARGET)) == []


def test_a_module_that_is_made_to_be_hidden(tmp_path: Path) -> None:
    wheels = {
        f"wheelhouse/{path.name}": read_wheel(path)
        for path in (
            write_wheel(tmp_path, "pytest", "9.2.0", files={"py.py": b""}),
            write_wheel(tmp_path, "py", "1.11.0"),
        )
    }
    assert list(check_owners(wheels, TARGET)) == []
