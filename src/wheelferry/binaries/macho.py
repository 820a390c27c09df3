"""macOS binaries (Mach-O): what they are for, what they need, and whether their signature covers their bytes.

Read is what macOS's own loader, dyld, reads: the load commands, the names to bind and the exported names. The
readers that exist want more than that: macholib 1.16 reads every section of a file into memory, half a
gigabyte of torch's, and neither the names to bind nor the exported ones; LIEF is 12 MB of compiled code.
Layouts are those of Apple's ``mach-o/loader.h``, ``mach-o/nlist.h``, ``mach-o/fixup-chains.h`` and, for
signatures, ``cs_blobs.h`` of the kernel's sources.
"""

import hashlib
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from wheelferry.binaries.macho_names import COALESCED, Binding, read_bindings, read_chained, read_exports
from wheelferry.binaries.symbols import is_of_torch

_MAGIC = b"\xcf\xfa\xed\xfe"  # 64 bits, little-endian: every Mac since 2012
_MAGIC_32 = (b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xce")
_FAT, _FAT_64 = b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"
# Java's class files begin like a fat file; their version stands where that has the number of its parts.
_MOST_PARTS = 20

ARM64 = 0x0100000C
_PROCESSORS = {7: "i386", 0x01000007: "x86_64", 12: "arm", ARM64: "arm64", 18: "ppc", 0x01000012: "ppc64"}
_EXECUTABLE, DYLIB, BUNDLE = 2, 6, 8
_LOADED = (_EXECUTABLE, DYLIB, BUNDLE)
_MACOS_PLATFORM = 1
_PLATFORMS = {1: "macOS", 2: "iOS", 3: "tvOS", 4: "watchOS", 6: "Mac Catalyst", 7: "an iOS simulator"}

_HEADER = struct.Struct("<IiiIIIII")
_COMMAND = struct.Struct("<II")
_LOAD_DYLIB, _ID_DYLIB, _WEAK_DYLIB, _RPATH, _REEXPORT_DYLIB = 0xC, 0xD, 0x80000018, 0x8000001C, 0x8000001F
_LAZY_DYLIB, _UPWARD_DYLIB = 0x20, 0x80000023
_NEEDING = (_LOAD_DYLIB, _WEAK_DYLIB, _REEXPORT_DYLIB, _LAZY_DYLIB, _UPWARD_DYLIB)
_SIGNATURE, _DYLD_INFO, _DYLD_INFO_ONLY, _MINIMUM, _BUILD = 0x1D, 0x22, 0x80000022, 0x24, 0x32
_EXPORTS, _CHAINED = 0x80000033, 0x80000034
# A file that says more wants the reader to go round for hours.
_MOST_COMMANDS = 10_000

# Bytes of a file in memory, or mapped into it.
Data = bytes | mmap.mmap


@dataclass(frozen=True, kw_only=True, slots=True)
class MachoFacts:
    """What one Mach-O file says to dyld; of a fat file the part for arm64, if it has one.

    `processors` are those that it is for. `minimum` is the oldest macOS that it says it runs on, (0, 0) where
    it says none, and `platform` what it is for, where that is not macOS. `install_name` is what others name
    to have it loaded. `needed` are the libraries that are loaded with it, in the order in which names are
    bound to them; `optional` those of them that it does without, `search_paths` the folders that ``@rpath``
    stands for. `unsigned` says what is wrong with its signature. `wanted` are torch's names that it leaves to
    each needed library, or under "" to whichever has them; `exported` torch's names that it has for others.
    """

    processors: tuple[str, ...]
    kind: int = 0
    minimum: tuple[int, int] = (0, 0)
    platform: str = "macOS"
    install_name: str = ""
    needed: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    search_paths: tuple[str, ...] = ()
    unsigned: str = ""
    wanted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()

    @property
    def fits_arm64(self) -> bool:
        """Whether a program for Apple's processors on macOS can load it."""
        return "arm64" in self.processors and self.platform == "macOS"

    @property
    def made_for(self) -> str:
        """``x86_64``, or ``iOS on arm64``: the processors, and the system where that is not macOS."""
        processors = " and ".join(self.processors)
        return processors if self.platform == "macOS" else f"{self.platform} on {processors}"


def is_macho(start: bytes) -> bool:
    """Whether a file that begins so is a Mach-O file, thin or fat."""
    if start[:4] in (_FAT, _FAT_64):
        return len(start) >= 8 and 0 < int.from_bytes(start[4:8], "big") <= _MOST_PARTS
    return start[:4] in (_MAGIC, *_MAGIC_32)


def read_macho(data: Data) -> MachoFacts | None:
    """What a Mach-O file says; None for object files and others that are not loaded.

    Raises ValueError for bytes that are none or contradict themselves.
    """
    parts = dict(_parts(data))
    names = tuple(_PROCESSORS.get(number, hex(number)) for number in parts)
    if ARM64 not in parts:
        return MachoFacts(processors=names)
    try:
        return _facts(_Part(data, *parts[ARM64]), names)
    except (struct.error, IndexError):
        raise ValueError("its tables lead out of the file") from None


def read_names(data: Data) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """All names that a file for arm64 leaves to each library, as in `MachoFacts.wanted`, and all it exports.

    Raises ValueError as `read_macho` does.
    """
    parts = dict(_parts(data))
    if ARM64 not in parts:
        raise ValueError("it has nothing for arm64")
    try:
        part = _Part(data, *parts[ARM64])
        return _bound(part, lambda _: True), frozenset(part.exports())
    except (struct.error, IndexError):
        raise ValueError("its tables lead out of the file") from None


def _parts(data: Data) -> Iterator[tuple[int, tuple[int, int]]]:
    """Processor, and place and size in the file, of what a thin or a fat file has."""
    start = data[:8]
    if not is_macho(start):
        raise ValueError("not a Mach-O file")
    if start[:4] in _MAGIC_32:
        yield 7 if start[:4] == _MAGIC_32[0] else 18, (0, len(data))
    elif start[:4] == _MAGIC:
        yield int.from_bytes(start[4:8], "little"), (0, len(data))
    else:
        row = struct.Struct(">iiQQII" if start[:4] == _FAT_64 else ">iiIII")
        for number in range(int.from_bytes(start[4:8], "big")):
            at = 8 + number * row.size
            fields = row.unpack(data[at : at + row.size].ljust(row.size, b"\0"))
            offset, size = fields[2], fields[3]
            if offset + size > len(data) or size < _HEADER.size:
                raise ValueError("its parts lead out of the file")
            yield fields[0], (offset, size)


class _Part:
    """One processor's part of a file: its header and load commands."""

    def __init__(self, data: Data, offset: int, size: int) -> None:
        self._data, self._offset, self._size = data, offset, size
        magic, _, _, self.kind, count, length, self.flags, _ = _HEADER.unpack(self.read(0, _HEADER.size))
        if magic.to_bytes(4, "little") != _MAGIC or count > _MOST_COMMANDS:
            raise ValueError("its header contradicts itself")
        self.commands = list(self._commands(count, self.read(_HEADER.size, length)))

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there; ValueError where the part ends before."""
        if offset + size > self._size:
            raise ValueError("its tables lead out of the file")
        return self._data[self._offset + offset : self._offset + offset + size]

    @staticmethod
    def _commands(count: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        place = 0
        for _ in range(count):
            command, size = _COMMAND.unpack_from(data, place)
            if size < _COMMAND.size or place + size > len(data):
                raise ValueError("its load commands contradict one another")
            yield command, data[place : place + size]
            place += size

    def texts(self, *commands: int) -> Iterator[tuple[int, str]]:
        """The text that each of such load commands names, by the command."""
        for command, data in self.commands:
            if command in commands:
                (start,) = struct.unpack_from("<I", data, 8)
                yield command, data[start:].partition(b"\0")[0].decode("utf-8", "replace")

    def table(self, *commands: int) -> tuple[int, int] | None:
        """Place and size of what such a load command leads to."""
        for command, data in self.commands:
            if command in commands:
                offset, size = struct.unpack_from("<II", data, 8)
                return offset, size
        return None

    def bindings(self) -> Iterator[Binding]:
        """What is bound when it is loaded or first called, as dyld reads it."""
        chained = self.table(_CHAINED)
        if chained is not None:
            yield from read_chained(self.read(*chained))
        for command, data in self.commands:
            if command in (_DYLD_INFO, _DYLD_INFO_ONLY):
                fields = struct.unpack_from("<10I", data, 8)
                for offset, size in (fields[2:4], fields[6:8]):  # at loading, and at the first call
                    yield from read_bindings(self.read(offset, size))

    def exports(self) -> Iterator[str]:
        """The names that others can bind to, as dyld reads them."""
        table = self.table(_EXPORTS)
        for command, data in self.commands:
            if command in (_DYLD_INFO, _DYLD_INFO_ONLY):
                offset, size = struct.unpack_from("<10I", data, 8)[8:10]
                table = table or (offset, size)
        if table is not None and table[1]:
            yield from read_exports(self.read(*table))


def _facts(part: _Part, processors: tuple[str, ...]) -> MachoFacts | None:
    if part.kind not in _LOADED:
        return None
    platform, minimum = _built_for(part)
    needed = list(part.texts(*_NEEDING))
    return MachoFacts(
        processors=processors,
        kind=part.kind,
        minimum=minimum,
        platform=platform,
        install_name=next((text for _, text in part.texts(_ID_DYLIB)), ""),
        needed=tuple(text for _, text in needed),
        optional=frozenset(text for command, text in needed if command == _WEAK_DYLIB),
        search_paths=tuple(text for _, text in part.texts(_RPATH)),
        unsigned=_fault_of_signature(part),
        wanted=_bound(part, is_of_torch),
        exported=frozenset(filter(is_of_torch, part.exports())),
    )


def _built_for(part: _Part) -> tuple[str, tuple[int, int]]:
    """What a file is for, and the oldest release of that which it says it runs on."""
    for command, data in part.commands:
        if command == _BUILD:
            number, version = struct.unpack_from("<II", data, 8)
            return _PLATFORMS.get(number, f"platform {number}"), (version >> 16, version >> 8 & 0xFF)
    for command, data in part.commands:
        if command == _MINIMUM:
            (version,) = struct.unpack_from("<I", data, 8)
            return _PLATFORMS[_MACOS_PLATFORM], (version >> 16, version >> 8 & 0xFF)
    return _PLATFORMS[_MACOS_PLATFORM], (0, 0)


def _bound(part: _Part, wanted: Callable[[str], bool]) -> dict[str, frozenset[str]]:
    """The names for which `wanted` says so, by the library that they are left to; without weak ones."""
    libraries = [text for _, text in part.texts(*_NEEDING)]
    found: dict[str, set[str]] = {}
    for binding in part.bindings():
        if binding.weak or binding.ordinal == COALESCED or not wanted(binding.name):
            continue
        if binding.ordinal > len(libraries):
            raise ValueError(f"{binding.name} is left to a library that it does not name")
        library = libraries[binding.ordinal - 1] if binding.ordinal > 0 else ""
        found.setdefault(library, set()).add(binding.name)
    return {library: frozenset(names) for library, names in found.items()}


# ---- signatures ----

_SUPER_BLOB, _CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
# Slots of a signature that hold a directory of hashes: the first, and its like with other hashes.
_DIRECTORIES = (0, *range(0x1000, 0x1005))
_HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}
_DIRECTORY = struct.Struct(">9I4B")


def _fault_of_signature(part: _Part) -> str:
    """Why the kernel would end a program that loads the file on Apple's processors; empty for no reason.

    There every file must be signed, if only by itself ("ad hoc"): with the hashes of its pages. Who signed it
    is not looked at.
    """
    place = part.table(_SIGNATURE)
    if place is None:
        return "it has no code signature"
    blob = part.read(*place)
    try:
        magic, _, count = struct.unpack_from(">III", blob)
        slots = [struct.unpack_from(">II", blob, 12 + 8 * number) for number in range(min(count, 100))]
    except struct.error:
        return "its code signature cannot be read"
    directories = [offset for slot, offset in slots if slot in _DIRECTORIES]
    if magic != _SUPER_BLOB or not directories:
        return "its code signature cannot be read"
    return next(filter(None, (_fault_of_directory(part, blob[at:], place[0]) for at in directories)), "")


def _fault_of_directory(part: _Part, directory: bytes, end: int) -> str:
    """What does not fit the hashes that a signature has of the file's first `end` bytes."""
    try:
        fields = _DIRECTORY.unpack_from(directory)
    except struct.error:
        return "its code signature cannot be read"
    magic, hashes, count, limit = fields[0], fields[4], fields[7], fields[8]
    size, kind, page_bits = fields[9], fields[10], fields[12]
    if (
        magic != _CODE_DIRECTORY
        or kind not in _HASHES
        or _HASHES[kind][1] != size
        or not 9 <= page_bits <= 20
    ):
        return "its code signature cannot be read"
    page = 1 << page_bits
    if limit > end or count * page < limit or hashes + count * size > len(directory):
        return "its code signature is of another file"
    for number in range(count):
        piece = part.read(number * page, min(page, limit - number * page))
        stated = directory[hashes + number * size :][:size]
        if hashlib.new(_HASHES[kind][0], piece).digest()[:size] != stated:
            return "it was changed after it was signed"
    return ""
