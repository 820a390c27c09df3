"""Files: hashing, atomic writes, hard links, free space, folders that appear whole or not at all."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

from wheelferry.client.common.sizes import human_size
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.system.leftovers import hold, is_leftover, new_token

CHUNK = 1 << 20
_ON_WINDOWS = os.name == "nt"
# Seconds between attempts to rename, on Windows, a file that a virus scanner or an indexer has just opened.
_RENAME_PAUSES = (0.02, 0.1, 0.4, 1.0)


def sha256_file(path: Path, *, on_bytes: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file, read in pieces of 1 MiB; `on_bytes` hears of each piece."""
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            digest.update(view[:size])
            if on_bytes:
                on_bytes(size)
    return digest.hexdigest()


def tree_hash(folder: Path) -> str:
    """One SHA-256 over all files below `folder`: their relative paths and contents, in path order.

    Byte-code folders do not count: Python writes them when a test imports the sources.
    """
    digest = hashlib.sha256()
    for path in sorted(files_below(folder), key=lambda p: p.relative_to(folder).as_posix()):
        relative = path.relative_to(folder)
        if "__pycache__" not in relative.parts:
            digest.update(f"{relative.as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """Every file (or link) below `folder`, folders excluded, in path order."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(root) / name


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `path` aside and rename it into place, so that it is never seen half-written."""
    raw = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
        # mkstemp makes private files; what is written here is meant to be read
        Path(temporary).chmod(0o644)
        rename(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def rename(source: Path, destination: Path) -> None:
    """Rename a file or folder over what is there; Windows refuses while somebody has either open."""
    for pause in _RENAME_PAUSES if _ON_WINDOWS else ():
        try:
            source.replace(destination)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    source.replace(destination)


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder with all in it; read-only files too, such as git's, which Windows does not delete."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if not ignore_errors:
            raise
    except OSError:
        for path in files_below(folder):
            if not path.is_symlink() and not path.stat().st_mode & stat.S_IWUSR:
                path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        shutil.rmtree(folder, ignore_errors=ignore_errors)


def link_or_copy(source: Path, destination: Path) -> None:
    """Give `source`'s bytes a second name, by hard link where the file system can, else by copy."""
    try:
        os.link(source, destination)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        copy_aside(source, destination)


def copy_aside(source: Path, destination: Path) -> None:
    """Copy into a temporary name beside `destination`, then rename."""
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, temporary)
        rename(temporary, destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def folder_aside(final: Path) -> Iterator[Path]:
    """A new folder beside `final`; renamed to `final` (replacing it) on success, removed on failure."""
    final.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(final)
    temporary = final.with_name(f".{final.name}.{new_token()}.part")
    with hold(_lock_beside(temporary)):
        temporary.mkdir()
        temporary.chmod(0o755)
        try:
            yield temporary
            _swap(temporary, final)
        except BaseException:
            remove_tree(temporary, ignore_errors=True)
            raise


def _lock_beside(temporary: Path) -> Path:
    return temporary.with_name(f"{temporary.name}.lock")


def _swap(new: Path, final: Path) -> None:
    """Rename `new` to `final`; a folder already there is moved away first and removed afterwards."""
    old = new.with_name(new.name + ".old")
    if final.exists():
        rename(final, old)
    try:
        rename(new, final)
    except BaseException:
        if old.exists():
            rename(old, final)
        raise
    if old.exists():
        remove_tree(old)


def clear_leftovers(final: Path) -> None:
    """Remove what killed processes left beside `final`; what they had moved away for it comes back."""
    # earlier versions had the number of their process in the name, and no lock
    ours = re.compile(rf"(\.{re.escape(final.name)}\.(?:\d+-)?\w+\.part)(?:\.old|\.lock)?", re.ASCII)
    names = [path.name for path in final.parent.iterdir()] if final.parent.is_dir() else []
    for name in sorted({match[1] for match in map(ours.fullmatch, names) if match}):
        new, old = final.with_name(name), final.with_name(f"{name}.old")
        lock_file = _lock_beside(new)
        if not is_leftover(lock_file, exists=new.exists() or old.exists()):
            continue
        with contextlib.suppress(FileNotFoundError):  # somebody else clears, too
            if old.exists() and not final.exists():
                rename(old, final)
        for path in (new, old):
            remove_tree(path, ignore_errors=True)
        lock_file.unlink(missing_ok=True)


def contained(root: Path, relative: str) -> Path:
    """`root / relative`, or IntegrityError when that would leave `root`."""
    path = root / relative
    # by the rules of both systems: on Windows /x leads to the top of the drive, and c:x to another
    rooted = relative.startswith("/") or PureWindowsPath(relative).drive
    if rooted or ".." in Path(relative).parts or "\\" in relative:
        raise IntegrityError(f"{relative!r} does not stay inside {root}")
    return path


def require_space(folder: Path, needed: int, *, purpose: str) -> None:
    """Raise MissingError when the file system of `folder` has fewer than `needed` bytes free."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise MissingError(
            f"{purpose} needs {human_size(needed)}, but only {human_size(free)} are free at {existing}",
            hint="free some space (wheelferry cache prune), or choose another --out or WHEELFERRY_CACHE",
        )


def check_folder(folder: Path, *, option: str) -> None:
    """Raise InputError when `folder` is none, or cannot be made in what it lies in."""
    existing = folder.absolute()
    while not (existing.exists() or existing.is_symlink()):
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"{existing} is not a folder", hint=f"choose another place for {option}")
    if not os.access(existing, os.W_OK):
        raise InputError(f"{existing} is not writable", hint=f"choose another place for {option}")


def same_file_system(one: Path, other: Path) -> bool:
    """Whether two paths lie on one file system; the parents of what does not exist yet decide."""
    devices = []
    for path in (one, other):
        existing = path
        while not existing.exists():
            existing = existing.parent
        devices.append(existing.stat().st_dev)
    return devices[0] == devices[1]
