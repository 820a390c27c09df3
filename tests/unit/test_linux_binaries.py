"""What the ELF files of all wheels need: read as their bytes pass by, and judged for the target."""

import mmap
import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import EMPTY_ELF, TARGET, pack_bundle, write_wheel
from elffiles import AARCH64, elf_file
from wheelferry.binaries.dynamic import Dynamic, Excerpt, Gap, Mapped, read_dynamic
from wheelferry.binaries.elf import read_elf
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_system_libraries
from wheelferry.verification.linux_binaries import ElfFiles, ElfWatch
from wheelferry.verification.static import verify_static
from wheelferry.wheels.archive import check_contents

MODULE = "leaf/_x.cpython-311-x86_64-linux-gnu.so"
TOP = "_leaf.cpython-311-x86_64-linux-gnu.so"
LEAF_TAG = "cp311-cp311-manylinux_2_17_x86_64"
LEAF = f"wheelhouse/leaf-1.5-{LEAF_TAG}.whl"


def read(data: bytes, *, piece: int = 1 << 16, head: int = 1 << 20, tail: int = 1 << 20) -> Dynamic | None:
    excerpt = Excerpt(head=head, tail=tail)
    for start in range(0, len(data), piece):
        excerpt.add(data[start : start + piece])
    return read_dynamic(excerpt)


def test_what_a_file_needs_is_read() -> None:
    versions = {"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34"), "libm.so.6": ("GLIBC_2.29",)}
    data = elf_file(["libc.so.6", "libGL.so.1"], versions, soname="libx.so.3", interpreter="/lib/ld.so")
    assert read(data) == Dynamic(
        machine=62,
        needed=("libc.so.6", "libGL.so.1"),
        soname="libx.so.3",
        interpreter="/lib/ld.so",
        versions=versions,
    )


def test_a_version_that_the_linker_does_without_is_no_need() -> None:
    found = read(elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.99"]}, weak=True))
    assert found is not None
    assert found.versions == {"libc.so.6": ()}


def test_it_reads_what_pyelftools_reads() -> None:
    """Of a module that is installed here, with all that a real linker puts into a file."""
    path = Path(find_spec("pydantic_core._pydantic_core").origin)  # type: ignore[union-attr,arg-type]
    found = read(path.read_bytes(), head=1 << 30)
    with path.open("rb") as stream:
        facts = read_elf(stream)
    assert found is not None
    assert found.needed == facts.needed
    assert {name for names in found.versions.values() for name in names} == set(facts.symbol_versions)


@pytest.mark.parametrize("piece", [1, 7, 64, 1000, 1 << 20])
def test_pieces_of_any_size_will_do(piece: int) -> None:
    data = elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.28"]}, padding=3000)
    assert read(data, piece=piece) == read(data)


def test_of_a_large_file_its_ends_are_enough() -> None:
    data = elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.28"]}, padding=100_000)
    assert read(data, piece=1000, head=1000, tail=1000) == read(data)


def test_what_was_not_kept_is_said_and_read_from_the_whole_file(tmp_path: Path) -> None:
    data = elf_file(["libc.so.6"], padding=100_000) + b"\0" * 100_000
    with pytest.raises(Gap):
        read(data, piece=1000, head=1000, tail=1000)
    (tmp_path / "x").write_bytes(data)
    with (tmp_path / "x").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        assert read_dynamic(Mapped(whole)) == read(data)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", EMPTY_ELF[:60], b"MZ".ljust(100)])
def test_bytes_that_are_no_elf_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="no ELF file"):
        read(data)


def test_a_damaged_file_is_read_or_refused() -> None:
    """Any byte, any value of it that matters: nothing but what is documented comes of it."""
    good = elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.28"]}, soname="x")
    outcomes = set()
    for position in range(len(good)):
        for value in (0x00, 0x7F, 0xFF):
            changed = bytearray(good)
            changed[position] = value
            try:
                outcomes.add(type(read(bytes(changed))))
            except ValueError:
                outcomes.add(ValueError)
    assert outcomes == {Dynamic, type(None), ValueError}


def test_object_files_and_other_orders_of_bytes() -> None:
    relocatable = bytearray(EMPTY_ELF)
    struct.pack_into("<H", relocatable, 16, 1)
    assert read(bytes(relocatable)) is None
    big_endian = bytearray(EMPTY_ELF)
    big_endian[5] = 2
    struct.pack_into(">HH", big_endian, 16, 3, 22)
    found = read(bytes(big_endian))
    assert found is not None
    assert found.machine_name == "s390x"


def test_wheels_are_read_while_they_are_hashed(tmp_path: Path, tools: Tools) -> None:
    large = elf_file(["libfar.so"], padding=40 << 20) + b"\0" * (10 << 20)  # its tables lie in the middle
    gpu = elf_file(machine=190)
    files = {MODULE: elf_file(["liba.so"]), "leaf/big.so": large, "leaf/kernel.cubin": gpu, "leaf/x.txt": b"x"}
    wheel = write_wheel(tmp_path, "leaf", "1.5", tag=LEAF_TAG, files={**files, "leaf/bad.so": b"\x7fELF"})
    watch = ElfWatch()
    assert check_contents(wheel, watch=watch) == check_contents(wheel)
    found = watch.finish(wheel, tools)
    assert {name: facts.needed for name, facts in found.facts.items()} == {
        MODULE: ("liba.so",),
        "leaf/big.so": ("libfar.so",),
    }
    assert found == ElfFiles(facts=found.facts, unreadable={"leaf/bad.so": "no ELF file"})


def judged(tmp_path: Path, tools: Tools, files: Mapping[str, bytes], **options: str) -> list[str]:
    """Problems, then notes, on a bundle whose leaf has `files`; its path is left out."""
    raise NotImplementedError
