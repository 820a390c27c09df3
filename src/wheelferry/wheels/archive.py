"""Reading wheels, checking them against their RECORD, and rewriting those built here."""

import base64
import csv
import hashlib
import io
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from isal import isal_zlib
from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.client.common.archives import is_about_content, most_bytes
from wheelferry.errors import BuildError, IntegrityError
from wheelferry.models.manifest import Footprint
from wheelferry.models.wheel_info import STAMP, Member, WheelInfo, path_length
from wheelferry.system.files import CHUNK
from wheelferry.system.process import CommandRunner
from wheelferry.wheels.licences import Terms, licence_files

_ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # typed as an instance
# What zipfile, zlib, isal and the metadata parsers raise for bytes that are not a wheel.
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, _ISAL_ERROR, struct.error,
    KeyError, ValueError, EOFError, OSError, RuntimeError, OverflowError,
)  # fmt: skip
LARGEST_TEXT = 1 << 26  # bytes of METADATA or RECORD; that of a wheel with 100 000 files has 10 MB
DIFFERS = "hash differs from RECORD"
# Bytes of a deflated member that are read at once: what they become stays in the processor's cache.
_PACKED_PIECE = 1 << 17
# From the start of a member's own header to the lengths of the name and the extra field that end it.
_NAME_LENGTH_AT = 26
_UNSIGNED = ("RECORD", "RECORD.jws", "RECORD.p7s")


def read_wheel(path: Path) -> WheelInfo:
    """Read a wheel's metadata; raises IntegrityError when it is not a well-formed wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            info = _dist_info(path, names)
            text = _read_text(archive, f"{info}/METADATA")
            metadata = HeaderParser().parsestr(text)
            wheel = _headers(archive, f"{info}/WHEEL")
            stamp = _read_text(archive, f"{info}/{STAMP}").encode() if f"{info}/{STAMP}" in names else None
            points = f"{info}/entry_points.txt"
            return WheelInfo(
                name=canonicalize_name(metadata["Name"] or ""),
                version=Version(metadata["Version"] or ""),
                tags=frozenset(tag for text in wheel.get_all("Tag", []) for tag in parse_tag(text)),
                requires=tuple(Requirement(text) for text in metadata.get_all("Requires-Dist", [])),
                requires_python=metadata["Requires-Python"] or "",
                extras=tuple(metadata.get_all("Provides-Extra", [])),
                files={
                    entry.filename: Member(entry.file_size, entry.CRC, entry.compress_type)
                    for entry in archive.infolist()
                    if not entry.is_dir()
                },
                metadata=text,
                entry_points=_read_text(archive, points) if points in names else "",
                stamp=stamp,
            )
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None


def read_metadata(path: Path) -> bytes:
    """The METADATA file of a wheel, byte for byte; raises IntegrityError when it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_text(archive, f"{_dist_info(path, archive.namelist())}/METADATA").encode()
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None


def read_terms(path: Path) -> Terms:
    """What a wheel says of its licence; raises IntegrityError when it is not a well-formed wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            info = _dist_info(path, names)
            metadata = _headers(archive, f"{info}/METADATA")
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None
    return Terms(
        expression=metadata["License-Expression"] or "",
        text=metadata["License"] or "",
        classifiers=tuple(metadata.get_all("Classifier", [])),
        files=licence_files(names, info, metadata.get_all("License-File", [])),
    )


def read_members(path: Path, names: Iterable[str], *, limit: int) -> dict[str, bytes]:
    """Files out of a wheel by their names; raises IntegrityError for one of more than `limit` bytes."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                size = archive.getinfo(name).file_size
                if size > limit:
                    raise IntegrityError(f"{path.name}: {name} has {size} bytes, which no text there has")
                found[name] = archive.read(name)
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None
    return found


def torch_cuda(path: Path) -> str | None:
    """The CUDA version that a torch wheel is built with (``13.0``), None for one without CUDA.

    Read from ``torch/version.py``, which every torch since 0.4 has; raises IntegrityError without it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = _read_text(archive, "torch/version.py")
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: no readable torch wheel: {error}") from None
    match = re.search(r"^cuda\b[^=]*=\s*(?:'([\d.]+)'|None)", text, re.MULTILINE)
    if match is None:
        raise IntegrityError(f"{path.name}: torch/version.py does not say which CUDA it is built with")
    return ".".join(match[1].split(".")[:2]) if match[1] else None


def unpacked_size(path: Path) -> int:
    """How many bytes a wheel's files have; 0 for one that cannot be read. Only progress wants it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except UNREADABLE:
        return 0


def footprint(wheels: Iterable[Path], *, windows: bool = False) -> Footprint:
    """What `wheels` take once they are installed, by what their archives say; byte code not counted.

    The longest path counts from the environment's folder, as `path_length` counts it.
    """
    size, files, longest = 0, 0, 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        size += sum(entry.file_size for entry in entries)
        files += len(entries)
        longest = max([longest, *(path_length(entry.filename, windows=windows) for entry in entries)])
    return Footprint(bytes=size, files=files, longest_path=longest)


class _HashedFile(io.FileIO):
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
    with _HashedFile(path) as raw:
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
    raw: _HashedFile,
    on_bytes: Callable[[int], None] | None,
    watch: Watch | None,
) -> Iterable[str]:
    yield from _unsafe(path, archive)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    info = _dist_info(path, names)
    record = {
        row[0]: row for row in csv.reader(io.StringIO(_read_text(archive, f"{info}/RECORD"))) if len(row) > 1
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
            pieces = _pieces(archive, raw, archive.getinfo(name))
            stated = _hash(watch(name, pieces) if watch else pieces, algorithm, on_bytes)
        except UNREADABLE as error:
            yield f"{name}: unreadable ({error})"
            continue
        if row[1] != stated:
            yield f"{name}: {DIFFERS}"


def _read_text(archive: zipfile.ZipFile, name: str) -> str:
    """A text of a wheel; ValueError for one that is larger than any can be, and would fill the memory."""
    size = archive.getinfo(name).file_size
    if size > LARGEST_TEXT:
        raise ValueError(f"{name} has {size} bytes")
    return archive.read(name).decode("utf-8")


def _hash(pieces: Iterable[bytes], algorithm: str, on_bytes: Callable[[int], None] | None) -> str:
    digest = hashlib.new(algorithm)
    for piece in pieces:
        digest.update(piece)
        if on_bytes:
            on_bytes(len(piece))
    return f"{algorithm}={base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}"


def _headers(archive: zipfile.ZipFile, name: str) -> "Message[str, str]":
    return HeaderParser().parsestr(_read_text(archive, name))


def _pieces(archive: zipfile.ZipFile, raw: _HashedFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
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


def _inflated(raw: _HashedFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
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


def _dist_info(path: Path, names: Iterable[str]) -> str:
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
            for problem in _unsafe(wheel, archive):
                raise IntegrityError(f"{wheel.name}: {problem}", hint="do not use this wheel")
            archive.extractall(folder)
    except UNREADABLE as error:
        if isinstance(error, OSError) and not is_about_content(error):
            raise
        raise IntegrityError(f"{wheel.name}: not a readable wheel: {error}") from None


def _unsafe(wheel: Path, archive: zipfile.ZipFile) -> Iterable[str]:
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


def amend_metadata(folder: Path, *, version: str, requires: Iterable[str], stamp: bytes) -> None:
    """Set the version, add requirements and put our stamp into the .dist-info of an unpacked wheel."""
    (info,) = folder.glob("*.dist-info")
    path = info / "METADATA"
    head, separator, body = path.read_text("utf-8").partition("\n\n")
    lines = [f"Version: {version}" if line.startswith("Version:") else line for line in head.splitlines()]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    path.write_text("\n".join(lines) + separator + body, "utf-8")
    (info / STAMP).write_bytes(stamp)
    name = info.name.split("-", 1)[0]
    info.rename(folder / f"{name}-{version}.dist-info")
    for data in folder.glob("*.data"):  # scripts and headers; the wheel's version is in its name too
        data.rename(folder / f"{name}-{version}.data")


def retag(folder: Path, platform: str) -> None:
    """Replace the platform part of every tag in the WHEEL file of an unpacked wheel."""
    (info,) = folder.glob("*.dist-info")
    path = info / "WHEEL"
    lines = []
    for line in path.read_text("utf-8").splitlines():
        key, _, value = line.partition(": ")
        if key == "Tag" and not value.endswith("-any"):
            line = f"Tag: {value.rsplit('-', 1)[0]}-{platform}"
        if line not in lines or not line:
            lines.append(line)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def set_tag(folder: Path, tag: str) -> None:
    """Give an unpacked wheel one tag, whatever it had."""
    (info,) = folder.glob("*.dist-info")
    path = info / "WHEEL"
    kept = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("Tag:")]
    path.write_text("\n".join([*kept, f"Tag: {tag}"]) + "\n", "utf-8")


def pack(folder: Path, out: Path, run: CommandRunner, *, epoch: int) -> Path:
    """Pack an unpacked wheel with pypa's ``wheel``: RECORD made anew, file order and dates fixed."""
    for path in folder.rglob("*"):
        # the builder's umask must not reach the archive
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    out.mkdir(parents=True, exist_ok=True)
    run(
        [sys.executable, "-m", "wheel", "pack", folder, "--dest-dir", out],
        step=f"pack {folder.name}",
        env={**_plain_environment(), "SOURCE_DATE_EPOCH": str(max(epoch, 315_532_800))},
    )
    wheels = list(out.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"packing {folder} gave {len(wheels)} wheels instead of one")
    return wheels[0]


def _plain_environment() -> Mapping[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
