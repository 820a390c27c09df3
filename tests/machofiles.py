"""Mach-O files for tests, put together from what they shall say."""

import hashlib
import struct
from collections.abc import Mapping, Sequence

X86_64, ARM64 = 0x01000007, 0x0100000C
OBJECT, EXECUTABLE, DYLIB, BUNDLE = 1, 2, 6, 8
_PAGE = 4096


def macho_file(
    *,
    needed: Sequence[str] = ("/usr/lib/libSystem.B.dylib",),
    optional: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    install_name: str = "",
    minimum: tuple[int, int] = (14, 0),
    platform: int = 1,
    wanted: Mapping[str, Sequence[str]] | None = None,
    weak: Sequence[str] = (),
    exported: Sequence[str] = (),
    processor: int = ARM64,
    kind: int = BUNDLE,
    chained: bool = False,
    signed: bool = True,
) -> bytes:
    """A file that leaves `wanted` names to libraries ("" for whichever has them), `weak` ones among them."""
    libraries = [*needed, *optional]
    commands = [_text_command(0xC, library, 24) for library in needed]
    commands += [_text_command(0x80000018, library, 24) for library in optional]
    commands += [_text_command(0x8000001C, path, 12) for path in search_paths]
    commands += [_text_command(0xD, install_name, 24)] if install_name else []
    commands.append(struct.pack("<IIIIII", 0x32, 24, platform, minimum[0] << 16 | minimum[1] << 8, 0, 0))
    names = [
        (name, libraries.index(library) + 1 if library else -2, name in weak)
        for library, found in (wanted or {}).items()
        for name in found
    ]
    tree = _export_tree(sorted(exported))
    bound = _chained(names) if chained else _program(names)
    size_of_commands = sum(map(len, commands)) + (32 if chained else 48) + (16 if signed else 0)
    start = 32 + size_of_commands
    if chained:
        commands.append(struct.pack("<IIII", 0x80000034, 16, start, len(bound)))
        commands.append(struct.pack("<IIII", 0x80000033, 16, start + len(bound), len(tree)))
    else:
        fields = (0, 0, start, len(bound), 0, 0, 0, 0, start + len(bound), len(tree))
        commands.append(struct.pack("<II10I", 0x80000022, 48, *fields))
    end = start + len(bound) + len(tree)
    signature_size = _signature_size(end)
    if signed:
        commands.append(struct.pack("<IIII", 0x1D, 16, end, signature_size))
    header = struct.pack(
        "<4sIIIIIII", b"\xcf\xfa\xed\xfe", processor, 0, kind, len(commands), size_of_commands, 0x85, 0
    )
    content = header + b"".join(commands) + bound + tree
    return content + (_signature(content) if signed else b"")


def fat_file(*parts: tuple[int, bytes]) -> bytes:
    """A fat file of the parts: processor and content."""
    place = 8 + 20 * len(parts)
    rows, body = b"", b""
    for processor, content in parts:
        rows += struct.pack(">IIIII", processor, 0, place + len(body), len(content), 0)
        body += content
    return b"\xca\xfe\xba\xbe" + struct.pack(">I", len(parts)) + rows + body


def _text_command(number: int, text: str, start: int) -> bytes:
    data = text.encode() + b"\0"
    size = (start + len(data) + 7) // 8 * 8
    return (struct.pack("<III", number, size, start).ljust(start, b"\0") + data).ljust(size, b"\0")


def _program(names: Sequence[tuple[str, int, bool]]) -> bytes:
    """Opcodes: the name before the library for every other one, as linkers differ."""
    program = b""
    for number, (name, ordinal, weak) in enumerate(names):
        library = bytes([0x10 | ordinal]) if ordinal >= 0 else bytes([0x30 | ordinal & 0xF])
        symbol = bytes([0x40 | weak]) + b"_" + name.encode() + b"\0"
        program += library + symbol if number % 2 else symbol + library
        program += bytes([0x51, 0x72, 0x80 | 8 & 0x7F, 0x01, 0x90])
    return program + b"\0"


def _chained(names: Sequence[tuple[str, int, bool]]) -> bytes:
    texts, rows = b"\0", b""
    for name, ordinal, weak in names:
        rows += struct.pack("<I", ordinal & 0xFF | weak << 8 | len(texts) << 9)
        texts += b"_" + name.encode() + b"\0"
    head = struct.pack("<7I", 0, 28, 28, 28 + len(rows), len(names), 1, 0)
    return head + rows + texts


def _export_tree(names: Sequence[str]) -> bytes:
    """A root with a branch for each name; none for none."""
    if not names:
        return b""
    texts = [b"_" + name.encode() + b"\0" for name in names]
    leaf = b"\x02\x00\x00\x00"  # two bytes about it, no branches
    root_size = 2 + sum(len(text) + 3 for text in texts)
    root = bytes([0, len(names)])
    for number, text in enumerate(texts):
        place = root_size + number * len(leaf)
        root += text + bytes([place & 0x7F | 0x80, place >> 7 & 0x7F | 0x80, place >> 14])
    return root + leaf * len(names)


def _signature_size(end: int) -> int:
    return 20 + 44 + 32 * ((end + _PAGE - 1) // _PAGE)


def _signature(content: bytes) -> bytes:
    pages = [content[at : at + _PAGE] for at in range(0, len(content), _PAGE)]
    hashes = b"".join(hashlib.sha256(page).digest() for page in pages)
    size = 44 + len(hashes)
    fields = (0xFADE0C02, size, 0x20100, 2, 44, 0, 0, len(pages), len(content))
    directory = struct.pack(">9I4B", *fields, 32, 2, 0, 12).ljust(44, b"\0") + hashes
    return struct.pack(">IIIII", 0xFADE0CC0, 20 + size, 1, 0, 20) + directory
