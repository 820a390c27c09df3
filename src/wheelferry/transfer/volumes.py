"""How a bundle is laid out over volumes: one tar archive, cut where a medium is full. No I/O."""

import re
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from wheelferry.errors import InputError

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[kKMGT]?)(?P<binary>i?)B?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_LEAST = 64 << 10  # bytes of the bundle that a volume should have room for, beside what lies with it


def parse_size(text: str) -> int:
    """A number of bytes from ``4GB`` (10^9) or ``4GiB`` (2^30); raises InputError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a size", hint="write it as in 4GB, 4GiB or 650MB")
    base = 1024 if match["binary"] else 1000
    return int(float(match["number"]) * base ** _POWERS[match["unit"]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file in the archive: what stands before its bytes, where those begin, and what fills up their end."""

    path: str
    size: int
    header: bytes
    begins: int
    padding: int


def archive(files: Iterable[tuple[str, int]]) -> tuple[list[Member], bytes]:
    """The members of an archive of `files` (path and size), in that order, and what ends it.

    The same files give the same bytes: without owners and times, and with the modes that a bundle has.
    """
    members = []
    position = 0
    for path, size in files:
        info = tarfile.TarInfo(path)
        info.size = size
        info.mode = 0o755 if path.endswith(".sh") else 0o644
        header = info.tobuf(tarfile.PAX_FORMAT, encoding="utf-8", errors="strict")
        begins = position + len(header)
        padding = -size % _BLOCK
        members.append(Member(path=path, size=size, header=header, begins=begins, padding=padding))
        position = begins + size + padding
    return members, _END


def cut(total: int, limit: int, beside: Callable[[int], int]) -> list[tuple[int, int]]:
    """Where to cut `total` bytes, as first byte and size of each volume.

    Each medium, its volume and what lies beside it, stays below `limit` bytes; `beside` tells the latter for
    a number of volumes. Raises InputError when there is no room.
    """
    count = 1
    while True:
        room = limit - 1 - beside(count)
        if room < _LEAST:
            least = beside(count) + _LEAST + 1
            raise InputError(f"volumes of {limit} bytes are too small", hint=f"give at least {least}B")
        needed = max(1, -(-total // room))
        if needed <= count:
            break
        count = needed
    places = [*range(0, total, room), total]
    return [(begin, end - begin) for begin, end in pairwise(places)]


def volume_name(number: int) -> str:
    """The file of the volume `number`, from 1."""
    return f"bundle.tar.{number:03}"


def folder_name(number: int, count: int) -> str:
    """The folder of the volume `number` of `count`: what goes to one medium."""
    return f"{number:0{len(str(count))}}-of-{count}"
