"""Folders of running commands, and what killed ones left: the lock beside a folder tells one from the other.

The system gives a lock back when its process ends, however that ends; and a lock on a shared drive is seen by
other machines and containers, where the number of a process means nothing.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

# Seconds for which a lock file without its folder may be that of a process that is about to make it.
_ABOUT_TO_MAKE = 60.0


def new_token() -> str:
    """Eight characters that no other folder has in its name."""
    return secrets.token_hex(4)


@contextlib.contextmanager
def hold(lock_file: Path) -> Iterator[None]:
    """Hold a lock file, which nobody else has, for the length of the context; then it is removed."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    # on a file system without locks nobody can tell who is alive, and `is_leftover` says no
    with contextlib.suppress(OSError):
        lock.acquire(timeout=0)
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # Windows refuses while somebody looks at it
            lock_file.unlink(missing_ok=True)


def is_leftover(lock_file: Path, *, exists: bool) -> bool:
    """Whether nobody holds the lock of a folder any more; `exists` says whether the folder is there.

    Where that cannot be told it is not: a file system without locks keeps its leftovers.
    """
    if not lock_file.exists():
        return True
    if not exists and time.time() - lock_file.stat().st_mtime < _ABOUT_TO_MAKE:
        return False
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except OSError:  # Timeout is one
        return False
    lock.release()
    return True
