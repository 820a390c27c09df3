"""Checking wheels against their RECORD, while the whole file is hashed in the same pass."""

import base64
import csv
import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isal import isal_zlib

from wheelferry.system.files import CHUNK
from wheelferry.wheels.archive import UNREADABLE, find_dist_info, find_unsafe, read_text

DIFFERS = "hash differs from RECORD"
# Bytes of a deflated member that are read at once: what they become stays in the processor's cache.
_PACKED_PIECE = 1 << 17
# From the start of a member's own header to the lengths of the name and the extra field that end it.
_NAME_LENGTH_AT = 26
_UNSIGNED = ("RECORD", "RECORD.jws", "RECORD.p7s")


class HashedFile(io.FileIO):
    """A file whose bytes are hashed as they are read, each once, whatever is read in which order."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._digest = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size) or b""
        if start <= self._hashed < start + len(data):
            self._digest.update(memoryview(data)[self._hashed - start :])
            self._hashed = start + len(data)
        return data

    def go(self, position: int) -> None:
        """As `seek`, and read what lies on the way there and was not read yet."""
        if self._hashed < position:
            self.seek(self._hashed)
            while self._hashed < position and self.read(min(CHUNK, position - self._hashed)):
                pass
        self.seek(position)

    def hexdigest(self) -> str:
        """The SHA-256 of the whole file."""
        self.go(os.fstat(self.fileno()).st_size)
        return self._digest.hexdigest()


# What sees each file of a wheel pass by: its name and its pieces, which it passes on.
Watch = Callable[[str, Iterator[bytes]], Iterator[bytes]]


def check_contents(
    path: Path, *, on_bytes: Callable[[int], None] | None = None, watch: Watch | None = None
) -> tuple[str, list[str]]:
    """Read a wheel once: the SHA-256 of the file, and what in it differs from its RECORD.

    One line for each difference, none if all is well; `on_bytes` hears of the bytes that it unpacks, and
    through `watch` go all files that RECORD has a hash of.
    """
    with HashedFile(path) as raw:
        try:
            with zipfile.ZipFile(path) as archive:
                problems = list(_compare_record(path, archive, raw, on_bytes, watch))
        except UNREADABLE as error:
            problems = [f"not a readable wheel: {error}"]
        return raw.hexdigest(), problems


def record_problems(path: Path, *, on_bytes: Callable[[int], None] | None = None) -> list[str]:
    """Compare every file of a wheel with its RECORD; one line for each difference, none if all is well."""
    return check_contents(path, on_bytes=on_bytes)[1]


def _compare_record(
    path: Path,
    archive: zipfile.ZipFile,
    raw: HashedFile,
    on_bytes: Callable[[int], None] | None,
    watch: Watch | None,
) -> Iterable[str]:
    yield from find_unsafe(path, archive)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    info = find_dist_info(path, names)
    record = {
        row[0]: row for row in csv.reader(io.StringIO(read_text(archive, f"{info}/RECORD"))) if len(row) > 1
    }
    unsigned = {f"{info}/{name}" for name in _UNSIGNED}
    for name in sorted(set(record) - set(names)):
        yield f"{name}: in RECORD but not in the wheel"
    for name in names:
        row = record.get(name)
        if row is None:
            if name not in unsigned:
                yield f"{name}: not in RECORD"
            continue
        if name in unsigned:
            continue
        try:
            algorithm = row[1].partition("=")[0] or "sha256"
            pieces = read_pieces(archive, raw, archive.getinfo(name))
            stated = _hash(watch(name, pieces) if watch else pieces, algorithm, on_bytes)
        except UNREADABLE as error:
            yield f"{name}: unreadable ({error})"
            continue
        if row[1] != stated:
            yield f"{name}: {DIFFERS}"


def _hash(pieces: Iterable[bytes], algorithm: str, on_bytes: Callable[[int], None] | None) -> str:
    digest = hashlib.new(algorithm)
    for piece in pieces:
        digest.update(piece)
        if on_bytes:
            on_bytes(len(piece))
    return f"{algorithm}={base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}"


def read_pieces(archive: zipfile.ZipFile, raw: HashedFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of an archive's member in pieces of at most 1 MiB; raises what `UNREADABLE` names.

    `raw` is the archive's file, opened once more.
    """
    # opening compares the member's own header with the directory's, and refuses what is encrypted
    with archive.open(entry) as stream:
        if entry.compress_type != zipfile.ZIP_DEFLATED:
            while piece := stream.read(CHUNK):
                yield piece
            return
    yield from _inflated(raw, entry)


def _inflated(raw: HashedFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """A deflated member by isal, which with the hashing takes three fifths of the time of zipfile with zlib.

    As zipfile does, it compares the CRC-32: installers refuse a member whose CRC is wrong.
    """
    raw.go(entry.header_offset + _NAME_LENGTH_AT)
    name_length, extra_length = struct.unpack("<HH", raw.read(4))
    raw.go(raw.tell() + name_length + extra_length)
    inflate, left, size, crc = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS), entry.compress_size, 0, 0
    while left:
        packed = raw.read(min(_PACKED_PIECE, left))
        if not packed:
            raise EOFError("the archive ends inside of it")
        left -= len(packed)
        while packed:
            piece = inflate.decompress(packed, CHUNK)
            size, crc = size + len(piece), isal_zlib.crc32(piece, crc)
            if size > entry.file_size:
                raise zipfile.BadZipFile("it unpacks to more than the archive says")
            packed = inflate.unconsumed_tail
            yield piece
    piece = inflate.flush()
    size, crc = size + len(piece), isal_zlib.crc32(piece, crc)
    yield piece
    if not inflate.eof or (size, crc) != (entry.file_size, entry.CRC):
        raise zipfile.BadZipFile("its size or CRC-32 is not the archive's")
