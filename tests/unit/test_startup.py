"""Code of wheels that runs whenever Python starts: found, told by verify and inspect, known or not."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from setuptools.namespaces import Installer

from conftest import locked, pack_bundle, write_wheel
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.inspection.inspect import inspect
from wheelferry.progress import Silent
from wheelferry.verification.static.level import verify_static
from wheelferry.wheels.read import read_wheel
from wheelferry.wheels.startup import StartupCode, startup_code


def found(folder: Path, files: Mapping[str, bytes], name: str = "nosy") -> list[tuple[str, str]]:
    """The files and lines of a wheel's code that runs at the start."""
    wheel = write_wheel(folder, name, "1", files=files)
    return [(code.file, code.line) for code in startup_code(wheel, read_wheel(wheel))]


@pytest.mark.parametrize(
    ("file", "content", "lines"),
    [
        ("a.pth", b"import boot\n", ["import boot"]),
        ("a.pth", b"import\tboot\r\nfolder\r\nimport more\r\n", ["import\tboot", "import more"]),
        ("a.pth", b"\xef\xbb\xbfimport boot", ["import boot"]),
        ("a.pth", b"# import boot\n\n import boot\nimported\nfrom boot import x\n", []),
        ("a.pth", b"import boot\nimport boot\n", ["import boot"]),
        ("nosy-1.data/purelib/a.pth", b"import boot\n", ["import boot"]),
        ("nosy-1.data/platlib/a.pth", b"import boot\n", ["import boot"]),
        ("nosy-1.data/data/lib/python3.12/site-packages/a.pth", b"import boot\n", ["import boot"]),
        ("nosy-1.data/data/Lib/site-packages/a.pth", b"import boot\n", ["import boot"]),
        ("nosy-1.data/data/share/a.pth", b"import boot\n", []),
        ("nosy/a.pth", b"import boot\n", []),
        ("a.start", b"# why\nboot:main\n\n", ["boot:main"]),
        ("sitecustomize.py", b"", [""]),
        ("usercustomize.py", b"", [""]),
        ("sitecustomize/__init__.py", b"", [""]),
        ("sitecustomize.cpython-312-x86_64-linux-gnu.so", b"", [""]),
        ("sitecustomize/more.py", b"", []),
        ("nosy/sitecustomize.py", b"", []),
        ("sitecustomized.py", b"", []),
    ],
)
def test_what_runs_when_python_starts(tmp_path: Path, file: str, content: bytes, lines: list[str]) -> None:
    assert found(tmp_path, {file: content}) == [(file, line) for line in lines]


def namespace_line(name: str) -> str:
    """The line for a namespace package, by what wrote such lines into wheels and still can."""
    writer = object.__new__(Installer)  # without the project that it is made for
    return str(writer._gen_nspkg_line(name)).strip()


def harmless(folder: Path, line: str, name: str = "nosy") -> str:
    """Why a line of a wheel called `name` is known to be harmless; empty if it is not."""
    wheel = write_wheel(folder, name, "1", files={"x.pth": f"{line}\n".encode()})
    (code,) = startup_code(wheel, read_wheel(wheel))
    return code.harmless


@pytest.mark.parametrize("name", ["google", "zope", "google.cloud", "a.b.c"])
def test_namespace_packages_are_known_by_whatever_name(tmp_path: Path, name: str) -> None:
    assert "make a package of several wheels' folders" in harmless(tmp_path, namespace_line(name))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("importlib.util')", "evil')"),
        ("mp.append(p)", "mp.append(p);import evil"),
        ("find_spec('google'", "find_spec('evil'"),
        ("*('google',)", "*('google',evil())"),
    ],
)
def test_a_line_that_only_looks_like_it_is_not(tmp_path: Path, old: str, new: str) -> None:
    line = namespace_line("google")
    assert old in line
    assert harmless(tmp_path, line.replace(old, new, 1)) == ""


def test_a_line_is_known_in_the_wheel_of_its_package_only(tmp_path: Path) -> None:
    line = "import pywin32_bootstrap"
    assert "where the DLLs of pywin32 lie; read in 306, 312" in harmless(tmp_path, line, "pywin32")
    assert harmless(tmp_path, line, "other") == ""
    assert harmless(tmp_path, f"{line}, evil", "pywin32") == ""


def test_a_long_line_is_shortened_and_one_that_is_known_has_its_reason_instead() -> None:
    long = "import " + "x" * 500
    code = StartupCode(file="a.pth", line=long)
    assert str(code) == f"a.pth runs code whenever Python starts: import {'x' * 93}…"
    known = StartupCode(file="a.pth", line=long, harmless="it is known")
    assert str(known) == "a.pth runs code whenever Python starts (harmless: it is known)"
    module = StartupCode(file="sitecustomize.py", line="")
    assert str(module) == "sitecustomize.py runs code whenever Python starts"


def test_verify_and_inspect_tell_it(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    files = {"nosy.pth": b"import nosy.boot\n", "sitecustomize.py": b""}
    wheel = locked(write_wheel(tmp_path / "made", "nosy", "1", files=files), tools.store)
    bundle = pack_bundle(tmp_path / "bundle", tmp_path / "made", tools, located, more=[wheel])
    opened, problems = verify_static(bundle, tools)
    assert problems == []
    assert opened is not None
    assert [str(note) for note in opened.notes] == [
        "wheelhouse/nosy-1-py3-none-any.whl: nosy.pth runs code whenever Python starts: import nosy.boot",
        "wheelhouse/nosy-1-py3-none-any.whl: sitecustomize.py runs code whenever Python starts",
    ]
    told = {package.title: package.startup for package in inspect(bundle, Silent()).packages}
    assert [code.file for code in told["nosy 1"]] == ["nosy.pth", "sitecustomize.py"]
    assert told["leaf 1.5"] == ()
