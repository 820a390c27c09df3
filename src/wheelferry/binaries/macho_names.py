"""The names in macOS binaries: which a file leaves to its libraries, and which it has for others.

They lie in tables of their own, which dyld reads; the table of symbols is for debuggers, and may be missing
or say something else (zig 0.17 writes that names of Python are the module's own there). In newer files the
names to bind are listed for chains of places (fixup-chains.h); in others a small program binds them
(``BIND_OPCODE_…`` in loader.h). Exported names are a tree of their beginnings.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_NAMES = 5_000_000
_LONGEST_NAME = 100_000

# Opcodes of bindings: the upper half of a byte, whose lower half is an argument.
_DONE, _ORDINAL, _LONG_ORDINAL, _SPECIAL_ORDINAL, _NAME, _KIND = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50
_ADDEND, _SEGMENT, _ADD_ADDRESS, _BIND, _BIND_AND_ADD, _BIND_SCALED, _BIND_MANY = (
    0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0,
)  # fmt: skip
_THREADED = 0xD0
_BINDING = (_BIND, _BIND_AND_ADD, _BIND_SCALED, _BIND_MANY)
# How many numbers of variable length follow an opcode.
_NUMBERS = {_ADDEND: 1, _SEGMENT: 1, _ADD_ADDRESS: 1, _BIND_AND_ADD: 1, _BIND_MANY: 2}
_WEAK_IMPORT = 1
# The ordinal of a name that several files may have, this one among them: dyld takes the first.
COALESCED = -3


@dataclass(frozen=True, slots=True)
class Binding:
    """A name without its leading underscore, and the needed library that it is left to.

    `ordinal` counts from 1; 0 is the file itself, -1 the program, -2 whichever file has it, `COALESCED`
    such a one or itself. A `weak` one may be missing.
    """

    name: str
    ordinal: int
    weak: bool


def read_bindings(program: bytes) -> Iterator[Binding]:
    """What a program of opcodes binds; raises ValueError for what is none."""
    place, ordinal, name, weak = 0, 0, b"", False
    told: Binding | None = None
    while place < len(program):
        opcode, argument = program[place] & 0xF0, program[place] & 0x0F
        place += 1
        if opcode == _ORDINAL:
            ordinal = argument
        elif opcode == _LONG_ORDINAL:
            ordinal, place = _number(program, place)
        elif opcode == _SPECIAL_ORDINAL:
            ordinal = argument - 16 if argument else 0
        elif opcode == _NAME:
            end = _end_of_name(program, place)
            name, weak = program[place:end], bool(argument & _WEAK_IMPORT)
            place = end + 1
        elif opcode == _THREADED and argument == 0:
            _, place = _number(program, place)
        elif opcode in _NUMBERS:
            for _ in range(_NUMBERS[opcode]):
                _, place = _number(program, place)
        elif opcode not in (_DONE, _KIND, _BIND, _BIND_SCALED, _THREADED):
            raise ValueError(f"its names to bind cannot be read (opcode {opcode:#x})")
        # name and library may be set in either order before
        if opcode in _BINDING and name:
            binding = Binding(_text(name), ordinal, weak)
            if binding != told:
                yield binding
            told = binding


# Formats of imports: size of a row, and how its first number holds ordinal (lowest bits) and weakness.
_ROWS = {1: (4, 8, "<I"), 2: (8, 8, "<I"), 3: (16, 16, "<Q")}


def read_chained(table: bytes) -> Iterator[Binding]:
    """The imports of a table of chained fixups; raises ValueError for what is none."""
    _, _, imports, names, count, kind, packed = struct.unpack_from("<7I", table)
    if kind not in _ROWS or packed or count > _MOST_NAMES:
        raise ValueError("its names to bind are in a form that nobody here knows")
    size, bits, form = _ROWS[kind]
    for number in range(count):
        (row,) = struct.unpack_from(form, table, imports + number * size)
        ordinal = row & ((1 << bits) - 1)
        if ordinal >= (1 << bits) - 15:
            ordinal -= 1 << bits
        weak = bool(row >> bits & 1)
        # behind the weakness come 23 bits with the place of the name, or 15 that nobody uses and then 32
        start = names + (row >> 32 if kind == 3 else row >> bits + 1)
        yield Binding(_text(table[start : _end_of_name(table, start)]), ordinal, weak)


def read_exports(tree: bytes) -> Iterator[str]:
    """The names in a tree of exports; raises ValueError for one that leads nowhere or in circles."""
    todo = [(0, b"")]
    seen = set()
    while todo:
        place, name = todo.pop()
        if place in seen or place >= len(tree) or len(name) > _LONGEST_NAME:
            raise ValueError("its table of exported names contradicts itself")
        seen.add(place)
        size, place = _number(tree, place)
        if size:
            yield _text(name)
        place += size
        if place >= len(tree):
            raise ValueError("its table of exported names leads out of the file")
        branches = tree[place]
        place += 1
        for _ in range(branches):
            end = _end_of_name(tree, place)
            following, after = _number(tree, end + 1)
            todo.append((following, name + tree[place:end]))
            place = after


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number of variable length (ULEB128), and what comes behind it."""
    value = shift = 0
    while shift < 70:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("a number in its tables has no end")


def _end_of_name(data: bytes, start: int) -> int:
    end = data.find(b"\0", start, start + _LONGEST_NAME)
    if end < 0:
        raise ValueError("a name has no end")
    return end


def _text(name: bytes) -> str:
    return name.removeprefix(b"_").decode("utf-8", "replace")
