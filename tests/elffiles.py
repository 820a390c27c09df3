"""ELF files of nothing but what the dynamic linker reads."""

import struct
from collections.abc import Mapping, Sequence

X86_64, AARCH64 = 62, 183


def elf_file(
    needed: Sequence[str] = (),
    versions: Mapping[str, Sequence[str]] | None = None,
    *,
    soname: str = "",
    interpreter: str = "",
    machine: int = X86_64,
    weak: bool = False,
    padding: int = 0,
    apart: int = 0,
    wanted: Sequence[str] = (),
    had: Sequence[str] = (),
    level: int = 0,
    gnu_hash: bool = False,
) -> bytes:
    """A shared library that needs libraries, and versions of them; `padding` bytes lie before its tables.

    `apart` bytes lie between names and table. `weak` versions and symbols are those that it does without.
    `wanted` are symbols that it leaves to others, `had` those that it has; their number is told by the older
    table of hashes, or with `gnu_hash` by the newer. `level` is the x86-64 level that its notes name.
    """
    texts = bytearray(b"\0")

    def text(name: str) -> int:
        place = len(texts)
        texts.extend(name.encode() + b"\0")
        return place

    entries = [(1, text(name)) for name in needed]
    entries += [(14, text(soname))] if soname else []
    needs = bytearray()
    libraries = list((versions or {}).items())
    for number, (library, names) in enumerate(libraries):
        size = 16 * (len(names) + 1)
        following = size if number + 1 < len(libraries) else 0
        needs += struct.pack("<HHIII", 1, len(names), text(library), 16, following)
        for place, name in enumerate(names):
            more = 16 if place + 1 < len(names) else 0
            needs += struct.pack("<IHHII", 0, 2 if weak else 0, 2, text(name), more)
    program = interpreter.encode() + b"\0"
    binding = 2 if weak else 1
    symbols = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", text(name), binding << 4, 0, section, 0, 0)
        for names, section in ((wanted, 0), (had, 1))
        for name in names
    )
    hashes = _gnu_hashes(len(wanted) + 1, len(had)) if gnu_hash else struct.pack("<II", 0, len(symbols) // 24)
    notes = _properties(level) if level else b""
    start = 64 + 4 * 56 + len(notes) + padding
    places = {"strings": start, "needs": start + len(texts)}
    places["program"] = places["needs"] + len(needs)
    places["symbols"] = places["program"] + len(program)
    places["hashes"] = places["symbols"] + len(symbols)
    places["table"] = places["hashes"] + len(hashes) + apart
    entries += [(5, places["strings"]), (10, len(texts))]
    entries += [(0x6FFFFFFE, places["needs"]), (0x6FFFFFFF, len(libraries))] if libraries else []
    if wanted or had:
        entries += [(6, places["symbols"]), (0x6FFFFEF5 if gnu_hash else 4, places["hashes"])]
    table = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (0, 0)])
    end = places["table"] + len(table)
    segments = [(1, 0, end), (2, places["table"], len(table))]
    segments += [(3, places["program"], len(program))] if interpreter else []
    segments += [(0x6474E553, 64 + 4 * 56, len(notes))] if notes else []
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0
    )
    described = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, place, place, place, size, size, 8)
        for kind, place, size in segments
    )
    tables = texts + needs + program + symbols + hashes + bytes(apart) + table
    return ((header + described).ljust(64 + 4 * 56, b"\0") + notes).ljust(start, b"\0") + tables


def _gnu_hashes(first: int, count: int) -> bytes:
    """The newer table for `count` symbols in one bucket from `first` on; nothing in it can be looked up."""
    chain = b"".join(struct.pack("<I", int(number + 1 == count)) for number in range(count))
    return struct.pack("<IIIIQI", 1, first, 1, 0, 0, first if count else 0) + chain


def _properties(level: int) -> bytes:
    """The note that names a level, behind one that names a feature of the processor (control flow)."""
    feature = struct.pack("<IIII", 0xC0000002, 4, 3, 0)
    needed = struct.pack("<IIII", 0xC0008002, 4, (1 << level) - 1, 0)
    return struct.pack("<III", 4, len(feature + needed), 5) + b"GNU\0" + feature + needed
