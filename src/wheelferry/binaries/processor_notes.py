"""What an ELF file says of the processor that it needs: the notes of GNU properties.

Few builds have it written (``-Wl,-z,x86-64-v3``); glibc 2.33 and later refuse to load such a file on a lesser
processor. The properties of AArch64 (branch targets, pointer authentication) are no needs: every processor
runs code with them. Source: the x86-64 psABI, "Program Property"; GNU gABI extensions, ".note.gnu.property".
"""

import struct

_NOTE = struct.Struct("<III")
_PROPERTY = struct.Struct("<II")
_PROPERTIES_NOTE = 5  # NT_GNU_PROPERTY_TYPE_0
_ISA_NEEDED = 0xC0008002  # GNU_PROPERTY_X86_ISA_1_NEEDED: a bit for each level, the lowest for the baseline
_LEVELS = 4

# No honest file says more.
LARGEST = 4096


def read_x86_level(notes: bytes) -> int:
    """The x86-64 level that the notes of a file name (3 for x86-64-v3), 0 where they name none."""
    level, place = 0, 0
    while place + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, place)
        name = notes[place + _NOTE.size :][:name_size]
        start = place + _NOTE.size + _aligned(name_size, 4)
        if kind == _PROPERTIES_NOTE and name == b"GNU\0":
            level = max(level, _needed(notes[start : start + size]))
        place = start + _aligned(size, 8)
    return level


def _needed(properties: bytes) -> int:
    level, place = 0, 0
    while place + _PROPERTY.size <= len(properties):
        kind, size = _PROPERTY.unpack_from(properties, place)
        value = properties[place + _PROPERTY.size :][:size]
        if kind == _ISA_NEEDED and len(value) == 4:
            bits = int.from_bytes(value, "little") & ((1 << _LEVELS) - 1)
            level = max(level, bits.bit_length())
        place += _PROPERTY.size + _aligned(size, 8)
    return level


def _aligned(size: int, to: int) -> int:
    return (size + to - 1) // to * to
