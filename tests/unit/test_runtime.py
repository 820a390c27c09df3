"""Archives of Pythons for --runtime: what is taken, and what is refused with the reason."""

import re
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from machofiles import DYLIB, EXECUTABLE, X86_64, macho_file
from wheelferry.binaries.elf import ElfFacts
from wheelferry.bundle.runtime import (
    Carried,
    find_program,
    missing_libraries,
    needed_glibc,
    require_servant,
    take_archive,
)
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError
from wheelferry.models.manifest import Footprint, Runtime
from wheelferry.models.targets import Target


def tar(path: Path, names: Iterable[str], content: bytes = b"#!/bin/sh\nexit 3\n") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            file = path.with_name("member")
            file.write_bytes(content)
            file.chmod(0o755)
            archive.add(file, name)
    return path


def zipped(path: Path, names: Iterable[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"MZ")
    return path


@pytest.mark.parametrize(
    ("names", "program"),
    [
        (["python/bin/python3.12", "python/bin/idle3"], "python/bin/python3.12"),
        (["./bin/python3.9", "deep/er/bin/python3.8"], "bin/python3.9"),
        (["python/bin/python3.12-config", "python/bin/python3.12"], "python/bin/python3.12"),
    ],
)
def test_the_program_in_a_tar_archive(tmp_path: Path, names: list[str], program: str) -> None:
    assert find_program(tar(tmp_path / "p.tar.gz", names)) == program


@pytest.mark.parametrize("name", ["python.exe", "tools/python.exe", "python/python.exe"])
def test_the_program_in_a_zip_archive(tmp_path: Path, name: str) -> None:
    assert find_program(zipped(tmp_path / "p.nupkg", [name, "other/deeper/python.exe"])) == name


@pytest.mark.parametrize("name", ["p.tar.zst", "p.tar.xz", "p.exe"])
def test_what_a_bare_system_cannot_unpack_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not one of"):
        find_program(tmp_path / name)


def test_an_archive_without_a_python_or_without_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no Python in it"):
        find_program(tar(tmp_path / "p.tar.gz", ["bin/perl"]))
    (tmp_path / "q.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="cannot be read"):
        find_program(tmp_path / "q.tar.gz")
    (tmp_path / "q.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match="cannot be read"):
        find_program(tmp_path / "q.zip")


def test_a_python_that_does_not_start_is_refused(tmp_path: Path, tools: Tools) -> None:
    with pytest.raises(InputError, match="does not start or lacks modules"):
        take_archive(tar(tmp_path / "p.tar.gz", ["bin/python3.12"]), tools)
    with pytest.raises(InputError, match="no such file"):
        take_archive(tmp_path / "absent.tar.gz", tools)


def test_a_python_for_windows_is_told_by_its_library(tmp_path: Path, tools: Tools) -> None:
    names = ["tools/python.exe", "tools/python312.dll", "tools/python3.dll", "tools/Lib/venv/__init__.py"]
    carried = take_archive(zipped(tmp_path / "python.3.12.4.nupkg", names), tools)
    assert carried.runtime.path == "runtime/cpython-3.12-win_amd64.zip"
    assert carried.runtime.program == "tools/python.exe"
    assert carried.serves(Target(python="3.12", platform="win_amd64", torch="2.13.0", backend="cpu"))
    assert not carried.serves(target("3.12"))


def test_an_embeddable_python_is_refused(tmp_path: Path, tools: Tools) -> None:
    names = ["python.exe", "python312.dll", "python312.zip", "python312._pth"]
    with pytest.raises(InputError, match="no venv"):
        take_archive(zipped(tmp_path / "python-3.12.4-embed-amd64.zip", names), tools)


def target(python: str, platform: str = "manylinux_2_28_x86_64") -> Target:
    return Target(python=python, platform=platform, torch="2.13.0", backend="default")


def carried(version: str, glibc: int = 17, system: str = "linux_x86_64") -> Carried:
    footprint = Footprint(bytes=1, files=1, longest_path=1)
    runtime = Runtime(path="runtime/x", program="bin/python3.1", version=version, footprint=footprint)
    entry = Entry(sha256="0" * 64, filename="x", size=1)
    return Carried(entry=entry, runtime=runtime, system=system, oldest=glibc)


@pytest.mark.parametrize(
    ("version", "system", "wanted", "serves"),
    [
        ("3.12.4", "linux_x86_64", target("3.12"), True),
        ("3.1.4", "linux_x86_64", target("3.12"), False),
        ("3.12.4", "linux_aarch64", target("3.12"), False),
        ("3.12.4", "linux_aarch64", target("3.12", "manylinux_2_28_aarch64"), True),
        ("3.12", "win_amd64", target("3.12", "win_amd64"), True),
        ("3.12", "win_amd64", target("3.12"), False),
    ],
)
def test_which_target_a_python_serves(version: str, system: str, wanted: Target, serves: bool) -> None:
    assert carried(version, system=system).serves(wanted) is serves


def test_a_python_that_needs_more_than_its_target_promises_is_refused() -> None:
    require_servant(carried("3.12.4", glibc=28), "p.tar.gz", [target("3.12"), target("3.11")])
    with pytest.raises(InputError, match=r"needs glibc 2\.36, cp312-manylinux_2_28"):
        require_servant(carried("3.12.4", glibc=36), "p.tar.gz", [target("3.12")])
    with pytest.raises(InputError, match="serves no target"):
        require_servant(carried("3.10.1"), "p.tar.gz", [target("3.12")])


def facts(*needed: str, versions: Iterable[str] = ()) -> ElfFacts:
    return ElfFacts(symbol_versions=dict.fromkeys(versions, ()), needed=needed, search_paths=())


def test_libraries_that_a_bare_system_may_lack() -> None:
    tree = {
        "bin/python3.12": facts("libpython3.12.so.1.0", "libc.so.6", "libm.so.6"),
        "lib/libpython3.12.so.1.0": facts("ld-linux-x86-64.so.2"),
        "lib/python3.12/lib-dynload/_ssl.so": facts("libssl.so.3", "libc.so.6"),
        "lib/python3.12/lib-dynload/_tkinter.so": facts("libtk8.6.so"),
    }
    assert missing_libraries(tree) == {"libssl.so.3": ["_ssl.so"]}


def test_the_newest_glibc_counts_as_a_number() -> None:
    tree = {
        "a": facts(versions=["GLIBC_2.9", "GLIBC_2.2.5", "GLIBCXX_3.4.30"]),
        "b": facts(versions=["GLIBC_2.17"]),
    }
    assert needed_glibc(tree) == 17
    assert needed_glibc({}) == 0


def test_python_build_standalone_for_windows_becomes_a_zip_file(tmp_path: Path, tools: Tools) -> None:
    names = ["python/python.exe", "python/python313.dll", "python/Lib/venv/__init__.py"]
    archive = tar(tmp_path / "cpython-3.13-x86_64-pc-windows-msvc-install_only.tar.gz", names, b"MZ")
    one = take_archive(archive, tools)
    assert one.runtime.path == "runtime/cpython-3.13-win_amd64.zip"
    assert one.runtime.program == "python/python.exe"
    with zipfile.ZipFile(tools.store.path(one.entry.sha256)) as packed:
        assert sorted(packed.namelist()) == sorted(names)
    assert take_archive(archive, tools).entry == one.entry


def macs_archive(folder: Path, **changes: Any) -> Path:
    """An archive as python-build-standalone's for macOS is, with a program that says `changes`."""
    tree = folder / "tree" / "python"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib/python3.12/venv").mkdir(parents=True)
    (tree / "lib/python3.12/venv/__init__.py").write_text("")
    program = {
        "needed": ["@executable_path/../lib/libpython3.12.dylib"],
        "kind": EXECUTABLE,
        "minimum": (11, 0),
    }
    (tree / "bin/python3.12").write_bytes(macho_file(**{**program, **changes}))
    (tree / "lib/libpython3.12.dylib").write_bytes(macho_file(kind=DYLIB, minimum=(11, 0)))
    path = folder / "python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, "python")
    return path


def test_a_python_for_macos_is_known_by_its_files(tmp_path: Path, tools: Tools) -> None:
    found = take_archive(macs_archive(tmp_path), tools)
    assert (found.runtime.version, found.system, found.oldest) == ("3.12", "macosx_arm64", 11)
    mac = target("3.12", "macosx_14_0_arm64")
    assert found.serves(mac)
    assert not found.serves(target("3.12", "manylinux_2_28_aarch64"))
    require_servant(found, "python.tar.gz", [mac])


def test_a_python_for_a_newer_macos_is_refused(tmp_path: Path, tools: Tools) -> None:
    found = take_archive(macs_archive(tmp_path, minimum=(15, 0)), tools)
    with pytest.raises(InputError, match="needs macOS 15, cp312-macosx_14_0_arm64"):
        require_servant(found, "python.tar.gz", [target("3.12", "macosx_14_0_arm64")])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processor": X86_64}, "bin/python3.12 in the archive is for x86_64, not for arm64 and macOS"),
        ({"signed": False}, "it has no code signature"),
        ({"needed": ["/opt/homebrew/lib/libintl.8.dylib"]}, "libintl.8.dylib, which no Mac has to have"),
    ],
)
def test_a_python_that_a_mac_would_not_start(
    changes: dict[str, Any], said: str, tmp_path: Path, tools: Tools
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        take_archive(macs_archive(tmp_path, **changes), tools)
