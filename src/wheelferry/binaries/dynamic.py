"""What the dynamic linker of Linux reads of a binary, out of bytes that pass by once.

A few kilobytes of a library say what it needs; the rest, a gigabyte of some, need not be kept or read again.
pyelftools wants a file to seek in and the table of sections, which stripped files may lack.
"""

import mmap
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wheelferry.binaries.processor_notes import LARGEST, read_x86_level
from wheelferry.binaries.symbols import TorchNames, read_torch_names

MAGIC = b"\x7fELF"
X86_64, AARCH64 = 62, 183
_MACHINES = {
    2: "sparc", 3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", X86_64: "x86_64",
    AARCH64: "aarch64", 190: "an NVIDIA GPU", 224: "an AMD GPU", 243: "riscv", 247: "bpf", 258: "loongarch",
}  # fmt: skip
# Code for GPUs and the kernel is data: no dynamic linker sees it.
_NO_PROCESSORS = (190, 224, 247)

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_NEED = struct.Struct("<HHIII")  # Elf64_Verneed
_NEEDED_VERSION = struct.Struct("<IHHII")  # Elf64_Vernaux
_LOAD, _DYNAMIC, _INTERPRETER, _PROPERTIES = 1, 2, 3, 0x6474E553
_NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME, _VERNEED, _VERNEED_COUNT = 1, 5, 10, 14, 0x6FFFFFFE, 0x6FFFFFFF
_WEAK = 2  # the linker does without such a version where the library is there
_LONGEST_NAME = 4096
# A file that says more wants the reader to go round for hours.
_MOST_LIBRARIES, _MOST_VERSIONS = 1000, 1000

# Most binaries are smaller than head and tail together. Larger ones have their names and versions near the
# start, or at the end where a tool such as patchelf moved them.
_HEAD = 32 << 20
_TAIL = 8 << 20


class Gap(Exception):
    """What is asked for passed by and was not kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dynamic:
    """What one ELF file says to the dynamic linker.

    `machine` is a number of the ELF specification. `needed` are the libraries that are loaded with it,
    `versions` what it needs of each (``{"libc.so.6": ("GLIBC_2.28",)}``), without what it can do without.
    `interpreter` is the dynamic linker that a program names. `torch_names` are the symbols of torch that it
    leaves to others, or has. `x86_level` is the x86-64 level that it says it needs (3 for x86-64-v3), 0 where
    it says nothing. Of other machines than those of 64 bits and little-endian bytes nothing but the machine
    is read.
    """

    machine: int
    needed: tuple[str, ...] = ()
    soname: str = ""
    interpreter: str = ""
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    torch_names: TorchNames = field(default_factory=TorchNames)
    x86_level: int = 0

    @property
    def machine_name(self) -> str:
        """``aarch64``; a number for a machine that nobody here has heard of."""
        return _MACHINES.get(self.machine, str(self.machine))

    @property
    def is_musl(self) -> bool:
        """Whether it was linked against musl, another C library than the glibc of manylinux."""
        return any("musl" in name for name in (self.interpreter, *self.needed))

    @property
    def is_for_a_processor(self) -> bool:
        """Whether a processor runs it: code for a GPU comes as ELF files too."""
        return self.machine not in _NO_PROCESSORS


class Bytes(Protocol):
    """Where the bytes of a file come from."""

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there, fewer where the file ends."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """All bytes of a file that is mapped into memory."""

    data: mmap.mmap

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there, fewer where the file ends."""
        return self.data[offset : offset + size]


class Excerpt:
    """Of bytes that pass by: the first, the last, and those where the table for the dynamic linker lies."""

    def __init__(self, *, head: int = _HEAD, tail: int = _TAIL) -> None:
        self._head = head
        self._tail = tail
        self._size = 0
        self._kept: list[tuple[int, bytes]] = []
        self._last: deque[tuple[int, bytes]] = deque()
        self._last_size = 0
        self._table: tuple[int, int] | None = None

    def add(self, piece: bytes) -> None:
        """The next bytes."""
        start, self._size = self._size, self._size + len(piece)
        if start < self._head:
            self._kept.append((start, piece))
            if start == 0:
                self._table = _table_place(piece)
            return
        if self._table and start < sum(self._table) and self._size > self._table[0]:
            self._kept.append((start, piece))
        self._last.append((start, piece))
        self._last_size += len(piece)
        while self._last_size - len(self._last[0][1]) >= self._tail:
            self._last_size -= len(self._last.popleft()[1])

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there, fewer where the file ends; raises Gap for what was not kept."""
        end = min(offset + size, self._size)
        found = b""
        for start, piece in (*self._kept, *self._last):
            at = offset + len(found)
            if start <= at < min(end, start + len(piece)):
                found += piece[at - start : end - start]
        if offset + len(found) < end:
            raise Gap
        return found


def _text(file: Bytes, offset: int) -> str:
    """The text there, up to its NUL; raises ValueError where it has no end."""
    for size in (64, _LONGEST_NAME):
        data, nul, _ = file.read(offset, size).partition(b"\0")
        if nul:
            return data.decode("utf-8", "replace")
    raise ValueError("a name has no end")


def read_dynamic(file: Bytes) -> Dynamic | None:
    """What an ELF file says to the dynamic linker; None for object files and others that are not loaded.

    Raises ValueError for bytes that are no ELF file or contradict themselves, and Gap where `file` did not
    keep what it takes.
    """
    start = file.read(0, _HEADER.size)
    if len(start) < _HEADER.size or not start.startswith(MAGIC):
        raise ValueError("not an ELF file")
    kind, machine = struct.unpack_from(">HH" if start[5] == 2 else "<HH", start, 16)
    if kind not in (2, 3):  # ET_EXEC, ET_DYN
        return None
    if not _is_read(start):
        return Dynamic(machine=machine)
    try:
        return _read(file, machine)
    except struct.error:
        raise ValueError("its tables lead out of the file") from None


def _is_read(header: bytes) -> bool:
    """Whether a file has 64 bits and little-endian bytes."""
    return header[4:6] == b"\x02\x01"


def _segments(header: bytes, table: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, place in the file, address, and size in the file of each segment."""
    fields = _HEADER.unpack_from(header)
    size, count = fields[9], fields[10]
    for number in range(count):
        kind, _, offset, address, _, length, _, _ = _SEGMENT.unpack_from(table, number * size)
        yield kind, offset, address, length


def _table_place(start: bytes) -> tuple[int, int] | None:
    """Where the dynamic linker's table lies, and its size, by the first bytes of a file; None if they do
    not say."""
    if len(start) < _HEADER.size or not _is_read(start):
        return None
    try:
        table = start[_HEADER.unpack_from(start)[5] :]
        for kind, offset, _, size in _segments(start, table):
            if kind == _DYNAMIC:
                return offset, size
    except struct.error:
        pass  # the segments are described further behind: `read` will say that something is missing
    return None


def _read(file: Bytes, machine: int) -> Dynamic:
    header = file.read(0, _HEADER.size)
    fields = _HEADER.unpack(header)
    segments = list(_segments(header, file.read(fields[5], fields[9] * fields[10])))
    interpreter = next((_text(file, offset) for kind, offset, _, _ in segments if kind == _INTERPRETER), "")
    table = [entry for kind, *place in segments if kind == _DYNAMIC for entry in _entries(file, *place)]
    values = dict(table)
    level = _x86_level(file, segments) if machine == X86_64 else 0
    if _STRINGS not in values:
        return Dynamic(machine=machine, interpreter=interpreter, x86_level=level)

    def place(address: int) -> int:
        for kind, offset, first, size in segments:
            if kind == _LOAD and first <= address < first + size:
                return offset + address - first
        raise ValueError("its tables lead out of the file")

    strings = place(values[_STRINGS])
    versions: dict[str, tuple[str, ...]] = {}
    if _VERNEED in values:
        versions = dict(_versions(file, place(values[_VERNEED]), values.get(_VERNEED_COUNT, 0), strings))
    return Dynamic(
        machine=machine,
        needed=tuple(_text(file, strings + value) for tag, value in table if tag == _NEEDED),
        soname=_text(file, strings + values[_SONAME]) if _SONAME in values else "",
        interpreter=interpreter,
        versions=versions,
        torch_names=read_torch_names(file.read, values, place),
        x86_level=level,
    )


def x86_level_at_start(start: bytes) -> int:
    """The x86-64 level that a file names in notes near its start; 0 where it names none there."""
    if len(start) < _HEADER.size or not start.startswith(MAGIC) or not _is_read(start):
        return 0
    fields = _HEADER.unpack_from(start)
    if fields[2] != X86_64:
        return 0
    try:
        segments = list(_segments(start, start[fields[5] :]))
    except struct.error:
        return 0
    places = [(offset, size) for kind, offset, _, size in segments if kind == _PROPERTIES]
    return max((read_x86_level(start[offset : offset + size]) for offset, size in places), default=0)


def _x86_level(file: Bytes, segments: Iterable[tuple[int, int, int, int]]) -> int:
    """The level that the notes about properties name."""
    places = [(offset, size) for kind, offset, _, size in segments if kind == _PROPERTIES]
    return max((read_x86_level(file.read(offset, min(size, LARGEST))) for offset, size in places), default=0)


def _entries(file: Bytes, offset: int, _address: int, size: int) -> Iterator[tuple[int, int]]:
    """Tags and values of the dynamic linker's table, up to the tag 0 that ends it."""
    data = file.read(offset, size)
    for tag, value in _ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]):
        if tag == 0:
            return
        yield tag, value


def _versions(file: Bytes, offset: int, count: int, strings: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The versions that are needed of each library."""
    for number in range(count):
        if number == _MOST_LIBRARIES:
            raise ValueError("it needs versions of more libraries than any honest file")
        _, versions, name, first, following = _NEED.unpack(file.read(offset, _NEED.size))
        yield _text(file, strings + name), tuple(_names(file, offset + first, versions, strings))
        if not following:
            return
        offset += following


def _names(file: Bytes, offset: int, count: int, strings: int) -> Iterator[str]:
    if count > _MOST_VERSIONS:
        raise ValueError("it needs more versions of a library than any honest file")
    for _ in range(count):
        _, flags, _, name, following = _NEEDED_VERSION.unpack(file.read(offset, _NEEDED_VERSION.size))
        if not flags & _WEAK:
            yield _text(file, strings + name)
        if not following:
            return
        offset += following
