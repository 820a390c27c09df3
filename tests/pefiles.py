"""Windows DLLs made by hand: the least that has a machine, import tables, exports and sections."""

import struct
from collections.abc import Iterable, Mapping, Sequence

AMD64, X86, ARM64 = 0x8664, 0x14C, 0xAA64

# learn.microsoft.com, "PE Format": alignments that every linker uses, and the sizes of its structures.
_PAGE, _BLOCK = 0x1000, 0x200
_HEADERS = 0x400
_TABLE = 0x1000  # where the first section, which has all tables, lies in memory
_DIRECTORIES = 16
_IMPORT, _DELAYED = struct.Struct("<IIIII"), struct.Struct("<IIIIIIII")
_BY_ORDINAL = 1 << 63


def pe_file(
    imports: Iterable[str] | Mapping[str, Iterable[str]] = ("KERNEL32.dll",),
    delayed: Iterable[str] = (),
    *,
    machine: int = AMD64,
    exports: Sequence[str] = (),
    managed: bool = False,
    device_code: bytes = b"",
) -> bytes:
    """A DLL that imports function 1 of each of `imports`, and of each of `delayed` at its first call.

    A mapping says which functions, by their names.
    """
    tables = _Tables()
    directories = [(0, 0)] * _DIRECTORIES
    if imports:
        functions = imports if isinstance(imports, Mapping) else dict.fromkeys(imports, ())
        rows = [tables.import_row(name, functions[name]) for name in functions]
        directories[1] = tables.add(b"".join(rows) + bytes(_IMPORT.size))
    if names := list(delayed):
        rows = [tables.delayed_row(name) for name in names]
        directories[13] = tables.add(b"".join(rows) + bytes(_DELAYED.size))
    if exports:
        directories[0] = tables.add(tables.export_table(exports))
    if managed:
        directories[14] = tables.add(struct.pack("<IHH", 72, 2, 5).ljust(72, b"\0"))
    sections = [(b".rdata", bytes(tables.data))]
    if device_code:
        sections.append((b".nv_fatb", device_code))
    return _assemble(machine, directories, sections)


class _Tables:
    """The contents of one section, with the addresses that they will have in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, data: bytes) -> tuple[int, int]:
        """Append data; its address and size, as a data directory has them."""
        self.data += bytes(-len(self.data) % 8)
        address = _TABLE + len(self.data)
        self.data += data
        return address, len(data)

    def text(self, text: str) -> int:
        """The address of a text that ends with a NUL."""
        return self.add(text.encode("ascii") + b"\0")[0]

    def _thunks(self, functions: Iterable[str] = ()) -> int:
        # a name stands behind two bytes that hint at its place among the exports
        named = [self.add(b"\0\0" + name.encode("ascii") + b"\0")[0] for name in functions]
        thunks = named or [_BY_ORDINAL | 1]
        return self.add(struct.pack(f"<{len(thunks) + 1}Q", *thunks, 0))[0]

    def import_row(self, dll: str, functions: Iterable[str]) -> bytes:
        """A row of the import table."""
        names = list(functions)
        return _IMPORT.pack(self._thunks(names), 0, 0, self.text(dll), self._thunks(names))

    def delayed_row(self, dll: str) -> bytes:
        """A row of the table of delayed imports, whose first field says that it has addresses from 0 on."""
        handle = self.add(bytes(8))[0]
        return _DELAYED.pack(1, self.text(dll), handle, self._thunks(), self._thunks(), 0, 0, 0)

    def export_table(self, names: Sequence[str]) -> bytes:
        """An export table of functions that all lie at one address."""
        count = len(names)
        functions = self.add(struct.pack("<I", _TABLE) * count)[0]
        texts = self.add(struct.pack(f"<{count}I", *map(self.text, names)))[0]
        ordinals = self.add(struct.pack(f"<{count}H", *range(count)))[0]
        own = self.text("made.dll")
        return struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, own, 1, count, count, functions, texts, ordinals)


def _assemble(
    machine: int, directories: Sequence[tuple[int, int]], sections: list[tuple[bytes, bytes]]
) -> bytes:
    wide = machine != X86
    optional = 112 if wide else 96
    rows, body = b"", b""
    address = _TABLE
    for name, data in sections:
        padded = data + bytes(-len(data) % _BLOCK)
        rows += name.ljust(8, b"\0")
        rows += struct.pack("<IIII", len(data), address, len(padded), _HEADERS + len(body))
        rows += struct.pack("<IIHHI", 0, 0, 0, 0, 0x40000040)
        body += padded
        address += len(data) + -len(data) % _PAGE
    header = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    header += struct.pack("<HHIIIHH", machine, len(sections), 0, 0, 0, optional + 8 * _DIRECTORIES, 0x2022)
    header += struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 14, 0, 0, len(body), 0, 0, _TABLE)
    header += struct.pack(
        "<QII" if wide else "<IIII", *([0x180000000] if wide else [0, 0x10000000]), _PAGE, _BLOCK
    )
    header += struct.pack("<HHHHHHIIIIHH", 6, 0, 0, 0, 6, 0, 0, address, _HEADERS, 0, 2, 0x160)
    header += struct.pack(
        "<QQQQII" if wide else "<IIIIII", 0x100000, 0x1000, 0x100000, 0x1000, 0, _DIRECTORIES
    )
    header += b"".join(struct.pack("<II", *entry) for entry in directories) + rows
    return header.ljust(_HEADERS, b"\0") + body
