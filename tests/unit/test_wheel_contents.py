"""Reading wheels against their RECORD: every byte of every member, as installers would unpack it."""

import base64
import hashlib
import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import write_wheel
from wheelferry.system.files import CHUNK
from wheelferry.wheels import hashed
from wheelferry.wheels.hashed import HashedFile
from wheelferry.wheels.members import Members
from wheelferry.wheels.record import DIFFERS, check_contents

NAME = "leaf/data"
INFO = "leaf-1.0.dist-info"


def make(path: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED, prefix: bytes = b"") -> Path:
    """A wheel with one member of interest, RECORD included."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    with path.open("wb") as stream:
        stream.write(prefix)
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr(NAME, data)
            archive.writestr(f"{INFO}/RECORD", f"{NAME},sha256={digest},{len(data)}\n{INFO}/RECORD,,\n")
    return path


def read_once(path: Path, on_bytes: Callable[[int], None] | None = None) -> list[str]:
    """What differs from the RECORD; whatever it is, the hash of the file is right."""
    sha256, problems = check_contents(path, on_bytes=on_bytes)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return problems


def packed_data(path: Path) -> tuple[int, int]:
    """Where the member's packed bytes begin and end in the file."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(NAME)
    raw = path.read_bytes()
    lengths = struct.unpack_from("<HH", raw, entry.header_offset + 26)
    start = entry.header_offset + 30 + sum(lengths)
    return start, start + entry.compress_size


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


CONTENTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"x",
    "what cannot be packed": lambda: noise(3 * CHUNK + 7),
    "what packs a thousandfold": lambda: b"\0" * (20 * CHUNK + 3),
    "exactly one piece": lambda: noise(1000) * (CHUNK // 1000) + noise(CHUNK % 1000),
    "text": lambda: b" ".join(b"%d" % number for number in range(300_000)),
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\n"])
def test_what_fits_its_record_passes(tmp_path: Path, content: str, method: int, prefix: bytes) -> None:
    data = CONTENTS[content]()
    seen: list[int] = []
    wheel = make(tmp_path / "a.whl", data, method, prefix)
    assert read_once(wheel, on_bytes=seen.append) == []
    assert sum(seen) == wheel.stat().st_size
    with HashedFile(wheel) as raw, zipfile.ZipFile(wheel) as archive:
        pieces = list(Members(archive, raw).pieces(archive.getinfo(NAME)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces), default=0) <= CHUNK


def test_every_changed_byte_of_a_packed_member_is_found(tmp_path: Path) -> None:
    path = make(tmp_path / "a.whl", b" ".join(b"%d" % number for number in range(200)))
    whole = path.read_bytes()
    start, end = packed_data(path)
    for place in range(start, end):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        (problem,) = read_once(path)
        assert problem.startswith(NAME)


def test_a_wrong_crc_is_found_although_the_content_is_right(tmp_path: Path) -> None:
    path = make(tmp_path / "a.whl", b"text " * 100)
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02") + 16
    raw[place] ^= 1
    path.write_bytes(raw)
    with zipfile.ZipFile(path) as archive, pytest.raises(zipfile.BadZipFile):
        archive.read(NAME)
    assert read_once(path) == [f"{NAME}: unreadable (its size or CRC-32 is not the archive's)"]


@pytest.mark.parametrize(
    ("field", "change"), [("packed size", -1), ("packed size", 10**6), ("size", -1), ("size", 1)]
)
def test_a_wrong_size_is_found(tmp_path: Path, field: str, change: int) -> None:
    path = make(tmp_path / "a.whl", b"text " * 100)
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02") + {"packed size": 20, "size": 24}[field]
    (was,) = struct.unpack_from("<I", raw, place)
    struct.pack_into("<I", raw, place, was + change)
    path.write_bytes(raw)
    (problem,) = read_once(path)
    assert problem.startswith((f"{NAME}: unreadable", "not a readable wheel"))


def test_a_member_that_unpacks_to_more_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    path = make(tmp_path / "bomb.whl", b"\0" * (50 * CHUNK))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 10)
    path.write_bytes(raw)
    with HashedFile(path) as file, zipfile.ZipFile(path) as archive:
        pieces = Members(archive, file).pieces(archive.getinfo(NAME))
        seen: list[bytes] = []
        with pytest.raises(zipfile.BadZipFile, match="more than the archive says"):
            seen.extend(pieces)
    assert seen == []


def test_other_content_and_more_and_less_than_the_record_says(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "leaf", "1.0", files={NAME: b"as recorded", "leaf/gone": b""})
    whole = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            if name != "leaf/gone":
                copy.writestr(name, b"another" if name == NAME else source.read(name))
        copy.writestr("leaf/more", b"")
    path.write_bytes(whole.getvalue())
    assert sorted(read_once(path)) == [
        f"{NAME}: {DIFFERS}",
        "leaf/gone: in RECORD but not in the wheel",
        "leaf/more: not in RECORD",
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_bytes_of_a_file_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    path = make(tmp_path / "a.whl", noise(5 * CHUNK), method)
    read: list[int] = []

    class Counting(HashedFile):
        def _read_on(self, size: int) -> bool:
            before = self._hashed
            going_on = super()._read_on(size)
            read.append(self._hashed - before)
            return going_on

        def _read_again(self, *_: int) -> bytes:
            raise AssertionError

    monkeypatch.setattr("wheelferry.wheels.record.HashedFile", Counting)
    assert read_once(path) == []
    assert sum(read) == path.stat().st_size


@pytest.mark.parametrize("piece", [1, 7, 1000, 5000])
@pytest.mark.parametrize("seed", range(5))
def test_a_file_read_in_any_order_has_its_own_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, seed: int
) -> None:
    monkeypatch.setattr(hashed, "PIECE", piece)
    path = tmp_path / "data"
    data = noise(3000)
    path.write_bytes(data)
    chance = random.Random(seed)
    seen: list[int] = []
    with HashedFile(path, on_bytes=seen.append) as file:
        for _ in range(40):
            position, size = chance.randrange(3100), chance.randrange(1, 200)
            assert file.read_at(position, size) == data[position : position + size]
            some = file.some_at(position, size)
            assert data[position : position + size].startswith(some)
            assert bool(some) == (position < len(data))
        assert file.hexdigest() == hashlib.sha256(data).hexdigest()
    assert sum(seen) == len(data)


def test_a_member_whose_own_header_has_another_name_is_not_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.whl", b"text " * 100)
    path.write_bytes(path.read_bytes().replace(NAME.encode(), b"leaf/evil", 1))
    assert read_once(path) == [f"{NAME}: unreadable (its own header names it 'leaf/evil')"]


def test_members_that_overlap_are_not_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.whl", b"text " * 100, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02") + 20
    (size,) = struct.unpack_from("<I", raw, place)
    struct.pack_into("<II", raw, place, size + 1, size + 1)
    path.write_bytes(raw)
    assert read_once(path) == [f"{NAME}: unreadable (it overlaps what comes next in the archive)"]


def test_an_encrypted_member_is_not_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.whl", b"text " * 100)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    (problem,) = read_once(path)
    assert "encrypted" in problem
