"""What the ELF files of all wheels need: read as their bytes pass by, and judged for the target."""

import mmap
import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import EMPTY_ELF, locked, pack_bundle, write_wheel
from elffiles import AARCH64, elf_file
from wheelferry.binaries.dynamic import Dynamic, Excerpt, Gap, Mapped, read_dynamic
from wheelferry.binaries.elf import read_elf
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, shipped_system_libraries
from wheelferry.verification.static.level import verify_static
from wheelferry.verification.static.linux_binaries import ElfFiles, ElfWatch
from wheelferry.wheels.record import check_contents

MODULE = "extra/_x.cpython-311-x86_64-linux-gnu.so"
TOP = "_extra.cpython-311-x86_64-linux-gnu.so"
TAG = "cp311-cp311-manylinux_2_17_x86_64"


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
    data = elf_file(["libc.so.6"], padding=100_000, apart=100_000) + bytes(100_000)
    with pytest.raises(Gap):
        read(data, piece=1000, head=1000, tail=1000)
    (tmp_path / "x").write_bytes(data)
    with (tmp_path / "x").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        assert read_dynamic(Mapped(whole)) == read(data)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", EMPTY_ELF[:60], b"MZ".ljust(100)])
def test_bytes_that_are_no_elf_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an ELF file"):
        read(data)


def test_a_damaged_file_is_read_or_refused() -> None:
    """Any byte, any value of it that matters: nothing but what is documented comes of it."""
    good = elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.28"]}, soname="x")
    outcomes: set[type] = set()
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
    large = elf_file(["libfar.so"], padding=33 << 20, apart=2 << 20) + bytes(
        10 << 20
    )  # its tables lie in the middle
    gpu = elf_file(machine=190)
    files = {
        MODULE: elf_file(["liba.so"]),
        "leaf/big.so": large,
        "leaf/kernel.cubin": gpu,
        "leaf/x.txt": b"x",
    }
    wheel = write_wheel(tmp_path, "leaf", "1.5", tag=TAG, files={**files, "leaf/bad.so": b"\x7fELF"})
    watch = ElfWatch()
    assert check_contents(wheel, watch=watch) == check_contents(wheel)
    found = watch.finish(wheel, tools)
    assert {name: facts.needed for name, facts in found.facts.items()} == {
        MODULE: ("liba.so",),
        "leaf/big.so": ("libfar.so",),
    }
    assert found == ElfFiles(facts=found.facts, unreadable={"leaf/bad.so": "not an ELF file"})


NAME = "extra"


class Judge:
    """Verifies a bundle to which a wheel with some files was added."""

    def __init__(self, tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
        self.folder = tmp_path
        self.tools = tools
        self.located = located

    def __call__(
        self, files: Mapping[str, bytes], *, name: str = NAME, tag: str = TAG
    ) -> tuple[list[str], list[str]]:
        """The problems and the notes about it, without its path."""
        wheel = locked(write_wheel(self.folder, name, "1.0", tag=tag, files=files), self.tools.store)
        made = self.folder / "made"
        bundle = pack_bundle(self.folder / "b", made, self.tools, self.located, more=[wheel])
        opened, problems = verify_static(bundle, self.tools)
        assert opened is not None
        return [str(p).split(": ", 1)[1] for p in problems], [note.message for note in opened.notes]


@pytest.fixture
def judge(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Judge:
    return Judge(tmp_path, tools, located)


def test_what_the_platform_and_other_wheels_have_is_fine(judge: Judge) -> None:
    needed = ["libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "libstdc++.so.6", "liba-1.so.2", "libb.so.1"]
    files = {
        MODULE: elf_file(needed, {"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.17"]}),
        "extra.libs/liba-1.so.2": elf_file(),
        "extra/other.so": elf_file(soname="libb.so.1"),
        "extra/kernel.cubin": elf_file(["nothing.so"], machine=190),
    }
    assert judge(files) == ([], [])


@pytest.mark.parametrize(
    ("version", "library"),
    [("GLIBC_2.34", "libc.so.6"), ("GLIBC_2.99", "libc.so.6"), ("GLIBCXX_3.4.29", "libstdc++.so.6")],
)
def test_a_newer_glibc_than_the_targets(version: str, library: str, judge: Judge) -> None:
    files = {"extra/tool": elf_file([library], {library: ["GLIBC_2.2.5", version]}), MODULE: elf_file()}
    said = f"extra/tool needs {version}, which manylinux_2_28_x86_64 does not promise [GLIBC]"
    assert judge(files) == ([said], [])


def test_a_newer_glibc_in_a_wheel_for_any_platform(judge: Judge) -> None:
    needing = elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.34"]})
    said = "needs GLIBC_2.34, which manylinux_2_28_x86_64 does not promise"
    notes = [f"extra/attach.so {said}: what it is for fails on a client with an older glibc"]
    assert judge({"extra/attach.so": needing}, tag="py2.py3-none-any") == ([], notes)
    # a module is what the wheel is for, whatever its tag says
    assert judge({MODULE: needing}, tag="py3-none-any") == ([f"{MODULE} {said} [GLIBC]"], [])


def test_a_newer_libstdcxx_that_the_wheel_brings(judge: Judge) -> None:
    versions = {"libstdc++-1.so.6": ["GLIBCXX_3.4.29"]}
    files = {MODULE: elf_file(["libstdc++-1.so.6"], versions), "extra.libs/libstdc++-1.so.6": elf_file()}
    assert judge(files) == ([], [])


def test_a_tag_that_promises_less_than_the_files_need_but_the_target_enough(judge: Judge) -> None:
    files = {MODULE: elf_file(["libc.so.6"], {"libc.so.6": ["GLIBC_2.28"]})}
    assert judge(files) == (
        [],
        [f"{MODULE} needs GLIBC_2.28: newer than its tag says, but every such target has it"],
    )


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (elf_file(machine=AARCH64), "aarch64"),
        (elf_file(["libc.musl-x86_64.so.1"]), "musl, another C library"),
        (elf_file(interpreter="/lib/ld-musl-x86_64.so.1"), "musl, another C library"),
    ],
)
def test_files_for_other_systems(data: bytes, kind: str, judge: Judge) -> None:
    said = f"made for {kind}, the target is manylinux_2_28_x86_64"
    assert judge({MODULE: data, "extra/libhelper.so": data}) == (
        [f"{said}: {MODULE} [MACHINE]"],
        [f"{said}: extra/libhelper.so"],
    )


@pytest.mark.parametrize("where", [TOP, f"extra-1.0.data/platlib/{TOP}", MODULE])
def test_a_library_that_nobody_brings(where: str, judge: Judge) -> None:
    """At the top it is imported as it is; below, it is the only module that the package has."""
    said = f"{where} needs libfoo.so.3, which no wheel brings [LIBRARY]"
    assert judge({where: elf_file(["libfoo.so.3", "libc.so.6"])}) == ([said], [])


def test_a_library_that_only_one_of_several_modules_needs(judge: Judge) -> None:
    """As numba has modules for TBB and OpenMP, of which it takes what is there."""
    pool = "extra/pool.cpython-311-x86_64-linux-gnu.so"
    files = {
        MODULE: elf_file(),
        pool: elf_file(["libfoo.so.3", "libbar.so.1"]),
        "extra/p.so": elf_file(["libfoo.so.3"]),
    }
    said = f"{pool}, extra/p.so need libbar.so.1, libfoo.so.3, which no wheel brings: what loads them fails"
    assert judge(files) == ([], [said])


@pytest.mark.parametrize(
    ("name", "more"), [("opencv_python", "; opencv-python-headless needs none of X11 and OpenGL"), (NAME, "")]
)
def test_libraries_of_a_desktop_are_noted_with_what_brings_them(name: str, more: str, judge: Judge) -> None:
    files = {MODULE: elf_file(["libGL.so.1", "libxcb.so.1", "libc.so.6"])}
    said = (
        f"{MODULE} needs libGL.so.1, libxcb.so.1 of the client's system, which a server may lack; "
        f"Debian's packages: libgl1, libxcb1{more}"
    )
    assert judge(files, name=name) == ([], [said])


def test_what_the_driver_and_python_have_is_noted(judge: Judge) -> None:
    files = {MODULE: elf_file(["libcuda.so.1", "libpython3.11.so.1.0"])}
    assert judge(files) == (
        [],
        [
            f"{MODULE} needs libcuda.so.1: the driver of an NVIDIA GPU has it",
            f"{MODULE} needs libpython3.11.so.1.0: not every Python has its library beside it",
        ],
    )


def test_a_file_that_cannot_be_read_is_noted(judge: Judge) -> None:
    assert judge({"extra/x.so": b"\x7fELF"}) == ([], ["extra/x.so cannot be read: not an ELF file"])


def test_the_table_of_system_libraries() -> None:
    table = shipped_system_libraries()
    assert table.packages["libGL.so.1"] == "libgl1"
    assert all(".so" in library for library in table.packages)
