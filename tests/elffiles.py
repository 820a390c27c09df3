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
) -> bytes:
    """A shared library that needs libraries, and versions of them; `padding` bytes lie before its tables.

    `apart` bytes lie between names and table. `weak` versions are those that it does without.
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
    start = 64 + 3 * 56 + padding
    places = {"strings": start, "needs": start + len(texts)}
    places["program"] = places["needs"] + len(needs)
    places["table"] = places["program"] + len(program) + apart
    entries += [(5, places["strings"]), (10, len(texts))]
    entries += [(0x6FFFFFFE, places["needs"]), (0x6FFFFFFF, len(libraries))] if libraries else []
    table = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (0, 0)])
    end = places["table"] + len(table)
    segments = [(1, 0, end), (2, places["table"], len(table))]
    segments += [(3, places["program"], len(program))] if interpreter else []
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0
    )
    described = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, place, place, place, size, size, 8)
        for kind, place, size in segments
    )
    return (header + described).ljust(start, b"\0") + texts + needs + program + bytes(apart) + table
