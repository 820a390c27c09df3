"""Wheels as archives: what no honest one has, and unpacking."""

import mmap
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from isal import isal_zlib

from wheelferry.client.common.archives import is_about_content, most_bytes
from wheelferry.errors import IntegrityError
from wheelferry.system.files import CHUNK

Read = TypeVar("Read")

_ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # typed as an instance
# What zipfile, zlib, isal and the metadata parsers raise for bytes that are not a wheel.
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, _ISAL_ERROR, struct.error,
    KeyError, ValueError, EOFError, OSError, RuntimeError, OverflowError,
)  # fmt: skip
LARGEST_TEXT = 1 << 26  # bytes of METADATA or RECORD; that of a wheel with 100 000 files has 10 MB


def read_text(archive: zipfile.ZipFile, name: str) -> str:
    """A text of a wheel; ValueError for one that is larger than any can be, and would fill the memory."""
    size = archive.getinfo(name).file_size
    if size > LARGEST_TEXT:
        raise ValueError(f"{name} has {size} bytes")
    return archive.read(name).decode("utf-8")


def find_dist_info(path: Path, names: Iterable[str]) -> str:
    """The name of the one .dist-info folder of a wheel; ValueError when it has none or several."""
    folders = {name.split("/", 1)[0] for name in names if name.split("/", 1)[0].endswith(".dist-info")}
    if len(folders) != 1:
        raise ValueError(f"{path.name}: has {len(folders)} .dist-info folders instead of one")
    return folders.pop()


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel into `folder`.

    Raises IntegrityError for one that cannot be read, that has a name twice or one that would leave the
    folder, or that grows beyond measure.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for problem in find_unsafe(wheel, archive):
                raise IntegrityError(f"{wheel.name}: {problem}", hint="do not use this wheel")
            archive.extractall(folder)
    except UNREADABLE as error:
        if isinstance(error, OSError) and not is_about_content(error):
            raise
        raise IntegrityError(f"{wheel.name}: not a readable wheel: {error}") from None


def find_unsafe(wheel: Path, archive: zipfile.ZipFile) -> Iterable[str]:
    """What keeps a wheel from being unpacked anywhere, one line for each."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if sum(entry.file_size for entry in entries) > most_bytes(wheel.stat().st_size):
        yield "unpacks to more than any honest wheel of its size"
    for name in (
        sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else ()
    ):
        yield f"{name}: stands in the archive twice"
    for name in names:
        if _leaves(name):
            yield f"{name!r}: leads out of the environment"


def _leaves(name: str) -> bool:
    """Whether an entry would land beside the folder that a wheel is unpacked to, on any system."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name


def read_unpacked(
    archive: zipfile.ZipFile, member: str, work: Path, read: Callable[[mmap.mmap], Read]
) -> Read:
    """`read` on a member that lies unpacked for as long."""
    with tempfile.TemporaryFile(dir=work) as unpacked:
        with archive.open(member) as stream:
            shutil.copyfileobj(stream, unpacked, CHUNK)
        unpacked.flush()
        with mmap.mmap(unpacked.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read(data)
