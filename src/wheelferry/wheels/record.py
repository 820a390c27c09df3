"""Checking wheels against their RECORD, while the whole file is hashed in the same pass."""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wheelferry.wheels.archive import UNREADABLE, find_dist_info, find_unsafe, read_text
from wheelferry.wheels.hashed import HashedFile
from wheelferry.wheels.members import Members

DIFFERS = "hash differs from RECORD"
_UNSIGNED = ("RECORD", "RECORD.jws", "RECORD.p7s")

# What sees each file of a wheel pass by: its name and its pieces, which it passes on.
Watch = Callable[[str, Iterator[bytes]], Iterator[bytes]]


def check_contents(
    path: Path, *, on_bytes: Callable[[int], None] | None = None, watch: Watch | None = None
) -> tuple[str, list[str]]:
    """Read a wheel once: the SHA-256 of the file, and what in it differs from its RECORD.

    One line for each difference, none if all is well; `on_bytes` hears of the bytes of the file that are
    read, and through `watch` go all files that RECORD has a hash of.
    """
    with HashedFile(path, on_bytes=on_bytes) as raw:
        try:
            with zipfile.ZipFile(path) as archive:
                problems = list(_compare_record(path, archive, raw, watch))
        except UNREADABLE as error:
            problems = [f"not a readable wheel: {error}"]
        return raw.hexdigest(), problems


def record_problems(path: Path) -> list[str]:
    """Compare every file of a wheel with its RECORD; one line for each difference, none if all is well."""
    return check_contents(path)[1]


def _compare_record(
    path: Path, archive: zipfile.ZipFile, raw: HashedFile, watch: Watch | None
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
    members = Members(archive, raw)
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
            pieces = members.pieces(archive.getinfo(name))
            stated = _hash(watch(name, pieces) if watch else pieces, algorithm)
        except UNREADABLE as error:
            yield f"{name}: unreadable ({error})"
            continue
        if row[1] != stated:
            yield f"{name}: {DIFFERS}"


def _hash(pieces: Iterable[bytes], algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    for piece in pieces:
        digest.update(piece)
    return f"{algorithm}={base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}"
