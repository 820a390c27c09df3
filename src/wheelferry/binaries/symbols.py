"""The symbols of torch in ELF files: which a file leaves to torch's libraries, and which it has.

torch's symbols have no versions, and its C++ names hold the types of their arguments: a module that was
compiled against another torch asks for names that this one does not have, and fails when it is loaded.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym
_HASH, _STRINGS, _SYMBOLS, _STRINGS_SIZE, _GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_MOST_SYMBOLS = 5_000_000

# The namespaces of torch, and its C functions: those of its stable ABI and those around Python's objects.
_NAMESPACES = b"2at|3c10|5torch|6caffe2"
_OF_TORCH = re.compile(
    rb"_Z(?:T[ISV])?N[KVRO]*(?:" + _NAMESPACES + rb")\d|(?:(?:aoti_torch|torch)_|THP[A-Z])\w+\0"
)
_OF_TORCH_AS_TEXT = re.compile(_OF_TORCH.pattern.decode().replace(r"\0", r"\Z"))
# Where none of these stands among the names of a file, none of its names is torch's.
_SIGNS = (b"2at", b"3c10", b"5torch", b"6caffe2", b"torch_", b"THP")

# Reads bytes of the file: offset and size.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchNames:
    """The symbols of torch that a file leaves to others, without weak ones; and those that it has itself."""

    wanted: frozenset[str] = frozenset()
    had: frozenset[str] = frozenset()


def read_torch_names(read: Read, table: Mapping[int, int], place: Callable[[int], int]) -> TorchNames:
    """Read what the dynamic linker's `table` leads to; `place` turns an address into a place in the file.

    Raises ValueError for tables that contradict themselves, and what `read` raises.
    """
    if not {_STRINGS, _STRINGS_SIZE, _SYMBOLS} <= table.keys():
        return TorchNames()
    names = read(place(table[_STRINGS]), table[_STRINGS_SIZE])
    if not any(sign in names for sign in _SIGNS):
        return TorchNames()
    count = _count(read, table, place)
    if count > _MOST_SYMBOLS:
        raise ValueError("it has more symbols than any honest file")
    symbols = read(place(table[_SYMBOLS]), count * _SYMBOL.size)
    wanted, had = set(), set()
    for name, info, _, section, _, _ in _SYMBOL.iter_unpack(symbols[: len(symbols) // 24 * 24]):
        binding = info >> 4
        if binding not in (_GLOBAL, _WEAK, _UNIQUE) or not _OF_TORCH.match(names, name):
            continue
        if section:
            had.add(_text(names, name))
        elif binding != _WEAK:
            wanted.add(_text(names, name))
    return TorchNames(wanted=frozenset(wanted), had=frozenset(had))


def is_of_torch(name: str) -> bool:
    """Whether a symbol is one of torch's."""
    return _OF_TORCH_AS_TEXT.match(name) is not None


def _text(names: bytes, start: int) -> str:
    end = names.find(b"\0", start)
    return names[start : end if end >= 0 else len(names)].decode("ascii", "replace")


def _count(read: Read, table: Mapping[int, int], place: Callable[[int], int]) -> int:
    """How many symbols there are: the older table of hashes says it, the newer one ends with the last."""
    if _HASH in table:
        return int(struct.unpack("<II", read(place(table[_HASH]), 8))[1])
    if _GNU_HASH not in table:
        return 0
    start = place(table[_GNU_HASH])
    buckets, first, words, _ = struct.unpack("<IIII", read(start, 16))
    chains = start + 16 + 8 * words + 4 * buckets
    last = max(struct.unpack(f"<{buckets}I", read(chains - 4 * buckets, 4 * buckets)), default=0)
    if last < first:
        return int(first)  # it has none for others
    while True:
        piece = read(chains + 4 * (last - first), 4 * 256)
        for (value,) in struct.iter_unpack("<I", piece[: len(piece) // 4 * 4]):
            last += 1
            if value & 1:
                return int(last)
        if len(piece) < 4 * 256:
            raise ValueError("its tables lead out of the file")


_NESTED = re.compile(r"_Z(T[ISV])?N[KVRO]*")
_KINDS = {"TI": "the type ", "TS": "the type ", "TV": "the class "}
_MICROSOFT = re.compile(r"\?(?:\?[0-9A-Z_])?([\w@]+?)@@")


def readable(symbol: str) -> str:
    """``c10::detail::torchCheckFail`` for a C++ function's symbol, without arguments; else the symbol."""
    if named := _MICROSOFT.match(symbol):
        return "::".join(reversed(named[1].split("@")))
    start = _NESTED.match(symbol)
    if start is None:
        return symbol
    rest, parts = symbol[start.end() :], []
    while digits := re.match(r"\d+", rest):
        size = int(digits[0])
        parts.append(rest[digits.end() :][:size])
        rest = rest[digits.end() + size :]
    return _KINDS.get(start[1] or "", "") + "::".join(parts) if parts else symbol
