"""A temporary folder of a program that runs, and what killed programs left of theirs.

A lock on a file in the folder tells one from the other: the system gives it back when a program ends,
however that ends.
"""

import contextlib
import os
import shutil
import tempfile

_LOCK = "in-use"


@contextlib.contextmanager
def scratch_folder(prefix):
    """A new folder below the system's for temporary files, gone when the context ends.

    `prefix` is what its name begins with; those that killed programs left are removed first.
    """
    _sweep(prefix)
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        with open(os.path.join(folder, _LOCK), "wb") as lock:
            _is_locked_by_us(lock)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(prefix):
    """Remove the folders whose program runs no more; other people's, and locked ones, stay."""
    parent = tempfile.gettempdir()
    for name in os.listdir(parent):
        folder = os.path.join(parent, name)
        if not name.startswith(prefix) or os.path.islink(folder):
            continue
        try:
            with open(os.path.join(folder, _LOCK), "r+b") as lock:
                left = _is_locked_by_us(lock)
        except OSError:  # of somebody else, without a lock, or gone meanwhile
            continue
        if left:
            shutil.rmtree(folder, ignore_errors=True)


def _is_locked_by_us(stream):
    """Lock an open file; False where another program has it locked, or this file system has no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
