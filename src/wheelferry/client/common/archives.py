"""Unpacking archives: a tar or a zip file into a folder, and nothing of it anywhere else.

`tarfile` knows no filters before Python 3.12, so what may be in an archive is decided here.
"""

import errno
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib

from wheelferry.client.common.errors import Damaged
from wheelferry.client.common.paths import is_device

try:
    from lzma import LZMAError as _LzmaError
except ImportError:  # a Python that was built without it; tarfile then says that it cannot read .xz
    _LzmaError = EOFError  # type: ignore

CHUNK = 1 << 20
_ZIP = b"PK\x03\x04"
# What the standard library raises for bytes that are not an archive.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    _LzmaError,
    EOFError,
    struct.error,
    RuntimeError,  # a zip file with a compression that zipfile does not know, or with a password
    ValueError,  # numbers and names that cannot be, dates among them
    OverflowError,
)
_MOST_LINKS = 40  # that are followed one after another, as in Linux
_MOST_FOLDERS = 200  # in one path; os.makedirs calls itself for each
_HEADERS = (b"L", b"K", b"x", b"g", b"X")  # kinds of entries that only say something of the next one
_LONGEST_HEADER = 1 << 20  # bytes of a name or of an extended header, which tarfile reads at once
# An archive may always unpack to so much, and beyond that to so many times its size, each entry counted as
# a block of the disk at least. Wheels, Pythons and images give 2 to 4 times theirs, annotations in JSON 30.
_ALWAYS_ALLOWED = 1 << 30
_MOST_GROWTH = 200
_BLOCK = 4096
_ON_WINDOWS = os.name == "nt"
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[ .]$')
_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class _Entry(object):
    """One entry of an archive: `kind` is file, folder, symlink, hardlink or other."""

    def __init__(self, name, kind, executable=False, target="", modified=None, open_content=None):
        self.name = name
        self.kind = kind
        self.executable = executable
        self.target = target
        self.modified = modified
        self.open_content = open_content


def is_about_content(error):
    """Whether an OSError says that an archive is damaged, and not that the disk refuses something.

    gzip and bz2 raise one without a number, zipfile seeks to places that no file has.
    """
    return error.errno in (None, errno.EINVAL)


class _Member(tarfile.TarInfo):
    """An entry of a tar whose extended header is not read when it is larger than any can be."""

    def _proc_member(self, archive):
        # the one method that tarfile means to be overridden
        if self.type in _HEADERS and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError("a header of %d bytes" % self.size)
        return super(_Member, self)._proc_member(archive)  # type: ignore


class _Room(object):
    """How much an archive may still become on the disk."""

    def __init__(self, path):
        self._path = path
        self._left = most_bytes(os.path.getsize(path))

    def take(self, size):
        """Count `size` bytes; Damaged when that is more than any honest archive of this size holds."""
        self._left -= size
        if self._left < 0:
            raise Damaged(
                "%s grows to more than %d times its size: a bomb" % (self._path, _MOST_GROWTH),
                hint="do not use this archive",
            )


def most_bytes(packed):
    """How much an archive of `packed` bytes may unpack to."""
    return max(_ALWAYS_ALLOWED, packed * _MOST_GROWTH)


def windows_objection(part):
    """Why Windows cannot hold a file or folder called `part`; None when it can.

    Source: learn.microsoft.com, "Naming Files, Paths, and Namespaces". Windows does not complain: ``nul`` is
    thrown away.
    """
    if is_device(part):
        return "%s is a device" % part
    return "not a name on Windows" if _NOT_ON_WINDOWS.search(part) else None


def unpack_archive(path, folder, on_bytes=None):
    """Unpack the tar (plain, gzip, bzip2, xz) or zip archive `path` into `folder`.

    Returns what was written, files and links, as paths relative to `folder` with forward slashes.
    Executable files stay executable, symbolic links stay links; owners, special bits and times of zip
    files do not count. Raises Damaged for an archive that cannot be read, and for one with an entry that
    would land or lead outside of `folder`, that is there already, or that is not a file, folder or link, and
    for one that grows beyond measure. After an error a part of it is there. `on_bytes` hears of each piece
    that is written.
    """
    os.makedirs(folder, exist_ok=True)
    written = {}  # type: dict[str, str]
    links = {}
    room = _Room(path)
    try:
        for entry in _entries(path):
            parts = _parts(entry.name, path)
            room.take(_BLOCK)
            if not parts:
                continue  # the folder itself
            destination = os.path.join(folder, *parts)
            if entry.kind == "folder":
                _make_folder(destination, entry, path)
                continue
            _make_folder(os.path.dirname(destination), entry, path)
            if entry.kind == "file":
                _write(entry, destination, path, room, on_bytes)
            elif entry.kind == "hardlink":
                _link(entry, destination, folder, written, path)
            elif entry.kind == "symlink":
                links[tuple(parts)] = entry
            else:
                raise _refused(path, entry.name, "is neither a file nor a folder nor a link")
            written["/".join(parts)] = entry.kind
    except BROKEN as error:
        raise Damaged("%s cannot be unpacked: %s" % (path, error or "it ends early")) from None
    except OSError as error:
        if not is_about_content(error):
            raise
        raise Damaged("%s cannot be unpacked: %s" % (path, error)) from None
    # last, so that nothing is written through one of them
    _make_links(links, folder, path)
    return list(written)


def _entries(path):
    with open(path, "rb") as stream:
        start = stream.read(len(_ZIP))
    return _zip_entries(path) if start == _ZIP else _tar_entries(path)


def _tar_entries(path):
    with tarfile.open(path, "r:*", tarinfo=_Member) as archive:
        for member in archive:
            if member.isreg():
                kind = "file"
            elif member.isdir():
                kind = "folder"
            elif member.issym():
                kind = "symlink"
            else:
                kind = "hardlink" if member.islnk() else "other"
            yield _Entry(
                member.name,
                kind,
                executable=bool(member.mode & 0o100),
                target=member.linkname,
                modified=member.mtime,
                open_content=lambda member=member: archive.extractfile(member),
            )
        # to the very end, where the compression keeps its checksum
        while archive.fileobj.read(CHUNK):
            pass


def _zip_entries(path):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            kind, target = "file", ""
            if member.filename.endswith("/"):
                kind = "folder"
            elif member.flag_bits & 1:
                raise Damaged("%s: %s is encrypted" % (path, member.filename))
            elif stat.S_ISLNK(mode):
                if member.file_size > _LONGEST_HEADER:
                    raise _refused(path, member.filename, "is a link with %d bytes" % member.file_size)
                kind, target = "symlink", archive.read(member).decode("utf-8", "replace")
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                kind = "other"
            yield _Entry(
                member.filename,
                kind,
                executable=bool(mode & 0o100),
                target=target,
                open_content=lambda member=member: archive.open(member),
            )


def _parts(name, path):
    """The steps of an entry's name; Damaged when they lead out of the folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if _is_elsewhere(name) or ".." in parts or "\0" in name:
        raise _refused(path, name, "leads out of the folder")
    if len(parts) > _MOST_FOLDERS:
        raise _refused(path, name[:80], "lies in %d folders" % len(parts))
    objections = [windows_objection(part) for part in parts] if _ON_WINDOWS else []
    if any(objections):
        raise _refused(path, name, "cannot be: %s" % next(filter(None, objections)))
    return parts


def _is_elsewhere(name):
    """Whether a name counts from somewhere else than the folder, or has marks that Windows reads so."""
    return name.startswith("/") or (_ON_WINDOWS and any(mark in name for mark in ":\\"))


def _make_folder(folder, entry, path):
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _refused(path, entry.name, "is a file and a folder at once") from None


def _write(entry, destination, path, room, on_bytes):
    try:
        handle = os.open(destination, _EXCLUSIVE, 0o777 if entry.executable else 0o666)
    except FileExistsError:
        raise _refused(path, entry.name, "is there already") from None
    with os.fdopen(handle, "wb") as sink, entry.open_content() as content:
        while True:
            piece = content.read(CHUNK)
            if not piece:
                break
            room.take(len(piece))
            sink.write(piece)
            if on_bytes:
                on_bytes(len(piece))
    if entry.modified is not None:
        # byte code that travels is valid for sources of exactly this time
        os.utime(destination, (entry.modified, entry.modified))


def _link(entry, destination, folder, written, path):
    """A second name of a file that was unpacked before."""
    parts = _parts(entry.target, path)
    source = os.path.join(folder, *parts)
    if written.get("/".join(parts)) not in ("file", "hardlink"):
        raise _refused(path, entry.name, "is a link to %s, which is not a file before it" % entry.target)
    try:
        os.link(source, destination)
    except FileExistsError:
        raise _refused(path, entry.name, "is there already") from None
    except OSError:  # a file system without links
        shutil.copy2(source, destination)


def _make_links(links, folder, path):
    """Make the symbolic links, once it is clear for all of them that they end inside."""
    ends = {parts: _end_of(parts, links) for parts in links}
    for parts, end in ends.items():
        if end is None:
            entry = links[parts]
            raise _refused(path, entry.name, "is a link that leads out of the folder, to %s" % entry.target)
    for parts, end in ends.items():
        destination = os.path.join(folder, *parts)
        try:
            os.symlink(links[parts].target, destination)
        except FileExistsError:
            raise _refused(path, links[parts].name, "is there already") from None
        except OSError:  # Windows without the right to make them
            _copy_instead(os.path.join(folder, *end), destination)


def _end_of(parts, links):
    """Where a path ends, as steps below the folder, following `links`; None when outside or nowhere.

    Step by step, as the system does it: ``a/link/..`` is not ``a`` when the link leads elsewhere.
    """
    seen = []  # type: list[str]
    waiting = list(reversed(parts))
    followed = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            if not seen:
                return None
            seen.pop()
        elif part not in ("", "."):
            seen.append(part)
            link = links.get(tuple(seen))
            if link:
                followed += 1
                if followed > _MOST_LINKS or _is_elsewhere(link.target):
                    return None
                seen.pop()
                waiting.extend(reversed(link.target.split("/")))
    return seen


def _copy_instead(source, destination):
    if os.path.isdir(source):
        shutil.copytree(source, destination)
    elif os.path.isfile(source):
        shutil.copy2(source, destination)


def _refused(path, name, reason):
    return Damaged("%s: the entry %r %s" % (path, name, reason), hint="do not use this archive")
