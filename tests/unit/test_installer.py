"""The installer's files as they travel."""

import ast
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import wheelferry
from wheelferry.bundle.zipapp import PYZ, SCRIPTS, write_installer

CLIENT = Path(wheelferry.__file__).parent / "client"


MODULES = sorted(path.relative_to(CLIENT).as_posix() for path in CLIENT.rglob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_the_client_speaks_python_3_7(name: str) -> None:
    assert ast.parse((CLIENT / name).read_text("utf-8"), feature_version=(3, 7)).body or "__init__" in name


def test_two_writings_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_installer(tmp_path / name)
    for name in (PYZ, *SCRIPTS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_application_holds_the_client_and_nothing_that_needs_more(tmp_path: Path) -> None:
    write_installer(tmp_path)
    with zipfile.ZipFile(tmp_path / PYZ) as archive:
        names = archive.namelist()
    modules = {path.relative_to(CLIENT).as_posix() for path in CLIENT.rglob("*.py")}
    assert set(names) == {
        "__main__.py",
        "wheelferry/__init__.py",
        *(f"wheelferry/client/{m}" for m in modules),
    }


def test_line_endings_are_those_of_the_system_that_reads_them(tmp_path: Path) -> None:
    write_installer(tmp_path)
    assert b"\r" not in (tmp_path / "install.sh").read_bytes()
    lines = (tmp_path / "install.cmd").read_bytes().split(b"\n")
    assert all(line.endswith(b"\r") for line in lines[:-1])
    assert all(byte < 128 for byte in (tmp_path / "install.cmd").read_bytes())


def test_the_labels_of_install_cmd_are_there(tmp_path: Path) -> None:
    """cmd finds a missing label only when it gets there."""
    lines = (CLIENT / "installer" / "install.cmd").read_text("utf-8").splitlines()
    labels = {line.strip()[1:] for line in lines if line.startswith(":")}
    words = [word for line in lines for word in line.replace("(", " ").split()]
    wanted = {word[1:] for word in words if word.startswith(":") and word[1:].isalpha()}
    assert wanted <= labels


@pytest.mark.parametrize("missing", ["sed", "cut", "dirname"])
def test_install_sh_says_which_program_is_not_there(tmp_path: Path, missing: str) -> None:
    for program in {"sed", "cut", "dirname"} - {missing}:
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    done = subprocess.run(
        [str(shutil.which("sh")), CLIENT / "installer" / "install.sh"],
        capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith(f"install.sh: there is no {missing} here")


def test_install_sh_is_posix(tmp_path: Path) -> None:
    subprocess.run(["sh", "-n", CLIENT / "installer" / "install.sh"], check=True)
