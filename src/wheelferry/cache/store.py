"""The store: everything downloaded or built, by SHA-256, plus what led to it.

Layout below the root (``WHEELFERRY_CACHE``, else the user's cache folder)::

    objects/ab/abcd…     the bytes, read-only
    partial/abcd….part   downloads under way, continued after an interruption
    keys/<kind>/<key>    which object a build key or an sdist gave, what was read out of a wheel
                         (``contents``), as JSON below its own SHA-256
    sources/             git clones, and folders that another machine sent
    machines/            what runs others' targets here: a Python for Windows, Wine's drive C, Arm's root
    logs/ work/ locks/   build logs, scratch folders of running commands, lock files
"""

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from wheelferry.errors import IntegrityError, MissingError
from wheelferry.system.files import copy_aside, link_or_copy, remove_tree, rename, sha256_file, write_atomic
from wheelferry.system.leftovers import hold, is_leftover, new_token

# Seconds after which a file that is written aside and renamed at once is that of a killed process.
_FORGOTTEN = 3600.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What a key leads to: an object, and the file name it goes by."""

    sha256: str
    filename: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """How much lies in the store: number of files and bytes by part."""

    root: Path
    objects: int
    object_bytes: int
    builds: int
    sources: int
    source_bytes: int
    partial_bytes: int


class Store:
    """A content-addressed store on disk; safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = root / "objects"
        self.partial = root / "partial"
        self.sources = root / "sources"
        self.logs = root / "logs"
        self.machines = root / "machines"
        self._keys = root / "keys"
        self._hashed: dict[str, tuple[int, int, int]] = {}

    def path(self, sha256: str) -> Path:
        """Where the object `sha256` is, or would be."""
        return self.objects / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the object is there (its bytes are checked when it is used)."""
        return self.path(sha256).is_file()

    def take(self, sha256: str, *, on_bytes: Callable[[int], None] | None = None) -> Path | None:
        """The object's path after re-hashing it; a damaged one is removed and counts as absent.

        What this process hashed before, and nobody touched since, is not hashed again.
        """
        path = self.path(sha256)
        try:
            identity = _identity(path)
            if self._hashed.get(sha256) == identity:
                if on_bytes:
                    on_bytes(path.stat().st_size)
                return path
            if sha256_file(path, on_bytes=on_bytes) == sha256:
                self._hashed[sha256] = identity
                return path
            if _identity(path) != identity:  # another process has replaced it meanwhile
                return self.take(sha256)
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return None

    def add(self, source: Path, *, expected: str | None = None) -> Entry:
        """Move `source` into the store; IntegrityError when its hash is not `expected`."""
        digest = sha256_file(source)
        if expected is not None and digest != expected:
            raise IntegrityError(f"{source.name}: SHA-256 is {digest}, expected {expected}")
        entry = Entry(sha256=digest, filename=source.name, size=source.stat().st_size)
        self.adopt(source, digest)
        return entry

    def adopt(self, source: Path, sha256: str) -> Path:
        """Move `source`, whose hash was just taken, to its place; read-only from then on."""
        final = self.path(sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        _protect(source)
        try:
            rename(source, final)
        except OSError:  # another file system; or, on Windows, somebody is reading this very object
            if not final.is_file() or sha256_file(final) != sha256:
                copy_aside(source, final)
                _protect(final)
            source.unlink()
        return final

    def place(self, sha256: str, destination: Path) -> None:
        """Give the object a second name at `destination` (hard link, else copy)."""
        link_or_copy(self.path(sha256), destination)

    def remember(self, kind: str, key: str, entry: Entry) -> None:
        """Record that `key` of `kind` (``build``, ``sdist``) gave `entry`."""
        self.remember_text(kind, key, json.dumps(asdict(entry), indent=1))

    def recall(self, kind: str, key: str) -> Entry | None:
        """What `key` gave earlier, if its object is still there and whole."""
        entry = _read_entry(self.recall_text(kind, key) or "")
        return entry if entry and self.take(entry.sha256) else None

    def remember_text(self, kind: str, key: str, text: str) -> None:
        """Record a text, such as a lock, under `key`."""
        write_atomic(self._keys / kind / key, _sealed(text))

    def recall_text(self, kind: str, key: str) -> str | None:
        """The text recorded under `key`; one that was damaged is as good as absent."""
        try:
            return _unsealed((self._keys / kind / key).read_bytes())
        except FileNotFoundError:
            return None

    def keys(self, kind: str) -> tuple[str, ...]:
        """The keys of `kind` that something is recorded under; their objects may be gone."""
        folder = self._keys / kind
        # what is being written has a name with a dot
        names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def forget(self, kind: str, key: str) -> None:
        """Drop what is recorded under `key`."""
        (self._keys / kind / key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, name: str, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep other processes away from `name` for the length of the context."""
        file = self.lock_file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            if on_wait:
                on_wait()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def lock_file(self, name: str) -> Path:
        """The file whose lock keeps other processes away from `name`."""
        return self.root / "locks" / f"{name}.lock"

    @contextlib.contextmanager
    def workspace(self, purpose: str, *, plain_path: bool = False, room: int | None = None) -> Iterator[Path]:
        """A scratch folder on the store's file system, removed at the end whatever happens.

        With `plain_path` its name has no white space and only ASCII, in the system's temporary
        folder if need be: compiler flags are split at spaces, and no quoting survives setuptools.
        With `room` its path has at most so many characters, at the top of the drive if need be; raises
        MissingError where no such folder can be made.
        """
        token = new_token()
        with hold(self.lock_file(f"{purpose}-{token}")):
            folder = _scratch(self.root / "work", purpose, token, plain_path=plain_path, room=room)
            try:
                yield folder
            finally:
                remove_tree(folder, ignore_errors=True)

    def log_path(self, name: str) -> Path:
        """A new log file, named for its purpose and the time."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return self.logs / f"{stamp}-{os.getpid()}-{name}.log"

    def usage(self) -> Usage:
        """Count what is there."""
        objects = list(self._object_files())
        return Usage(
            root=self.root,
            objects=len(objects),
            object_bytes=sum(p.stat().st_size for p in objects),
            builds=sum(path.parent.name == "build" for path in self._key_files()),
            sources=len(list(self.sources.iterdir())) if self.sources.is_dir() else 0,
            source_bytes=_size_below(self.sources),
            partial_bytes=_size_below(self.partial),
        )

    def object_names(self) -> frozenset[str]:
        """The SHA-256 of every object that is there."""
        return frozenset(path.name for path in self._object_files())

    def discard(self, *, keep: Collection[str], larger_than: int) -> int:
        """Remove objects of more than so many bytes, but those in `keep` and those that a bundle links to."""
        freed = 0
        for path in list(self._object_files()):
            status = path.stat()
            if path.name not in keep and status.st_size > larger_than and status.st_nlink == 1:
                path.unlink(missing_ok=True)
                freed += status.st_size
        return freed

    def damaged(self, *, on_bytes: Callable[[int], None] | None = None) -> list[str]:
        """Re-hash every object and record; remove those whose bytes are wrong and return their names."""
        bad = []
        for path in self._object_files():
            if sha256_file(path, on_bytes=on_bytes) != path.name:
                path.unlink(missing_ok=True)
                bad.append(path.name)
        for path in list(self._key_files()):
            if _unsealed(path.read_bytes()) is None:
                path.unlink(missing_ok=True)
                bad.append(path.relative_to(self.root).as_posix())
        return bad

    def prune(self, *, older_than: float = 0.0) -> int:
        """Remove objects that no bundle links to and that are older than so many seconds; bytes freed.

        Interrupted downloads of that age go too, the logs, what was read out of wheels, and the scratch
        folders of killed processes.
        """
        freed = 0
        now = time.time()
        limit = now - older_than
        for path in list(self._object_files()):
            status = path.stat()
            if status.st_nlink == 1 and status.st_mtime <= limit:
                freed += status.st_size
                path.unlink()
        for folder in (self.partial, self.machines, self._keys / "environment", self._keys / "contents"):
            freed += _remove_old(folder, limit)
        # somebody may be writing the newest, and the folder of a running build must stay
        freed += _remove_old(self.logs, min(limit, now - _FORGOTTEN))
        freed += self.remove_leftovers(changed_before=limit)
        return freed + self._prune_written_aside(min(limit, now - _FORGOTTEN))

    def remove_leftovers(self, *, changed_before: float = math.inf) -> int:
        """Remove the scratch folders of killed processes, if last changed before a time; the bytes freed."""
        freed = 0
        for path in _children(self.root / "work"):
            lock_file = self.lock_file(path.name)
            if path.stat().st_mtime <= changed_before and is_leftover(lock_file, exists=True):
                freed += _remove(path)
                lock_file.unlink(missing_ok=True)
        return freed

    def _prune_written_aside(self, limit: float) -> int:
        freed = 0
        for path in [*self.objects.glob("*/.*.part"), *self._keys.glob("*/.*.part")]:
            status = path.stat()
            if status.st_mtime <= limit:
                freed += status.st_size
                path.unlink()
        return freed

    def _object_files(self) -> Iterator[Path]:
        return _visible_files(self.objects)

    def _key_files(self) -> Iterator[Path]:
        return _visible_files(self._keys)


def _visible_files(root: Path) -> Iterator[Path]:
    """The files in the folders of `root`, without those that are being written."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        yield from (p for p in sorted(folder.iterdir()) if not p.name.startswith("."))


def _read_entry(text: str) -> Entry | None:
    """A recorded entry; one that another version wrote is as good as absent."""
    try:
        entry = Entry(**json.loads(text))
        return entry if _SHA256.fullmatch(entry.sha256) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _sealed(text: str) -> str:
    """A record as it is written: damage to one must not name another object, or another file name."""
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _unsealed(raw: bytes) -> str | None:
    """The text of a record; None when it is not, byte for byte, what was written."""
    stated, _, text = raw.partition(b"\n")
    return text.decode() if hashlib.sha256(text).hexdigest().encode() == stated else None


def _protect(path: Path) -> None:
    """Make an object read-only; not on Windows, where nobody could then delete any of its names."""
    if os.name == "posix":
        path.chmod(0o444)


def _scratch(work: Path, purpose: str, token: str, *, plain_path: bool, room: int | None) -> Path:
    """A new folder in `work`, or elsewhere if its path would not do."""
    candidates = [work, Path(tempfile.gettempdir()), Path(work.anchor)]
    for parent in candidates:
        is_top = parent.parent == parent
        # at the top of a drive beside other people's folders, and as short as can be
        folder = parent / f"{'wf' if is_top else purpose}-{token}"
        if (room is not None and len(str(folder)) > room) or (plain_path and not _is_plain(parent)):
            continue
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except PermissionError:
            continue
        return folder
    raise MissingError(
        f"no folder for the build: its path may have {room} characters, without spaces and in ASCII",
        hint="set WHEELFERRY_CACHE to a folder with a short and plain name (on Windows, C:\\wf for example)",
    )


def _is_plain(path: Path) -> bool:
    text = str(path)
    return text.isascii() and not any(character.isspace() for character in text)


def default_root() -> Path:
    """``WHEELFERRY_CACHE`` if set, else the user's cache folder."""
    configured = os.environ.get("WHEELFERRY_CACHE")
    if not configured:
        return Path(platformdirs.user_cache_dir("wheelferry"))
    # absolute, because programs are started elsewhere and told of files in it
    return Path(configured).expanduser().absolute()


def _size_below(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(p.lstat().st_size for p in path.rglob("*") if not p.is_dir()) if path.is_dir() else 0


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _remove_old(folder: Path, limit: float) -> int:
    """Remove what lies in `folder` and was last changed before `limit`, in seconds; the bytes freed."""
    return sum(_remove(path) for path in _children(folder) if path.stat().st_mtime <= limit)


def _remove(path: Path) -> int:
    size = _size_below(path)
    remove_tree(path) if path.is_dir() else path.unlink()
    return size
