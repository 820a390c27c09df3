"""The members of a wheel's archive, read out of a file that is hashed meanwhile, checked as installers do."""

import struct
import zipfile
from collections.abc import Iterator
from itertools import pairwise

from isal import isal_zlib

from wheelferry.system.files import CHUNK
from wheelferry.wheels.hashed import PIECE, HashedFile

# A member's own header (PKWARE's APPNOTE, 4.3.7): signature, flags, and the lengths of name and extra field.
_HEADER = struct.Struct("<4s2xH18xHH")
_SIGNATURE = b"PK\x03\x04"
_UTF8 = 0x800
# Sizes behind the data, options of the method, names in UTF-8. Others tell of what is encrypted or patched.
_PLAIN = 0x8 | 0x6 | _UTF8


class Members:
    """Reads the members of `archive`, whose file is opened once more as `raw`."""

    def __init__(self, archive: zipfile.ZipFile, raw: HashedFile) -> None:
        self._archive = archive
        self._raw = raw
        starts = sorted({entry.header_offset for entry in archive.infolist()})
        self._ends = dict(pairwise([*starts, archive.start_dir]))

    def pieces(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """The bytes of a member in pieces of at most 1 MiB; raises what `UNREADABLE` names.

        Size and CRC-32 are compared, as zipfile does: installers refuse a member with others.
        """
        if entry.flag_bits & ~_PLAIN or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return self._opened(entry)
        packed = self._packed(entry)
        return _checked(packed if entry.compress_type == zipfile.ZIP_STORED else _inflated(packed), entry)

    def _opened(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """By zipfile, which knows rarer methods of compression, and refuses what is encrypted."""
        with self._archive.open(entry) as stream:
            while piece := stream.read(CHUNK):
                yield piece

    def _packed(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """A member's bytes as they lie in the file.

        The first piece is a large one, by which whoever watches tells what the member is.
        """
        position = self._data_of(entry)
        end = position + entry.compress_size
        if end > self._ends[entry.header_offset]:
            raise zipfile.BadZipFile("it overlaps what comes next in the archive")
        piece = self._raw.read_at(position, min(PIECE, end - position))
        while piece:
            yield piece
            position += len(piece)
            piece = self._raw.some_at(position, min(PIECE, end - position))
        if position < end:
            raise EOFError("the archive ends inside of it")

    def _data_of(self, entry: zipfile.ZipInfo) -> int:
        """Where a member's bytes begin, after its own header was compared with the archive's directory."""
        header = self._raw.read_at(entry.header_offset, _HEADER.size)
        signature, flags, name_length, extra_length = _HEADER.unpack(header)
        if signature != _SIGNATURE:
            raise zipfile.BadZipFile("there is no header where the directory says")
        start = entry.header_offset + _HEADER.size
        name = self._raw.read_at(start, name_length).decode("utf-8" if flags & _UTF8 else "cp437")
        if name != entry.orig_filename:
            raise zipfile.BadZipFile(f"its own header names it {name!r}")
        return start + int(name_length) + int(extra_length)


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    """A deflated member by isal: with the hashing it takes three fifths of the time of zipfile with zlib."""
    inflate = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    for piece in packed:
        left = piece
        while left:
            yield inflate.decompress(left, CHUNK)
            left = inflate.unconsumed_tail
    yield inflate.flush()
    if not inflate.eof:
        raise zipfile.BadZipFile("its packed bytes end too early")


def _checked(pieces: Iterator[bytes], entry: zipfile.ZipInfo) -> Iterator[bytes]:
    size, crc = 0, 0
    for piece in pieces:
        size, crc = size + len(piece), isal_zlib.crc32(piece, crc)
        if size > entry.file_size:
            raise zipfile.BadZipFile("it unpacks to more than the archive says")
        yield piece
    if (size, crc) != (entry.file_size, entry.CRC):
        raise zipfile.BadZipFile("its size or CRC-32 is not the archive's")
