"""Everything wheelferry raises on purpose: one root, whose subclasses own an exit code."""

import errno
from collections.abc import Iterable

# What the machine refuses, whatever was running: no space, no permission, too long a name or file, a file
# where a folder should be.
_OF_THE_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
}

_MOST_TOLD = 20


class WheelferryError(Exception):
    """What failed and where; `hint` says what to do next. Caught once, at the CLI's edge."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(WheelferryError):
    """The user asked for something that cannot be: unknown recipe, release out of range, malformed file."""

    exit_code = 2


def raise_all(errors: Iterable[InputError]) -> None:
    """Raise one error of all that the user can put right at once; none when there is nothing wrong."""
    found = list(errors)
    if not found:
        return
    told = [str(error) for error in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        told.append(f"and {len(found) - _MOST_TOLD} more like these")
    hints = dict.fromkeys(error.hint for error in found[:_MOST_TOLD] if error.hint)
    raise InputError("\n".join(told), hint="\n".join(hints) or None)


class MissingError(WheelferryError):
    """Something is missing on this machine: a compiler, a Python, the git host, the index, disk space."""

    exit_code = 3


class MissingPythonError(MissingError):
    """There is no CPython `python` (``3.12``) on this machine."""

    def __init__(self, python: str) -> None:
        super().__init__(
            f"no CPython {python} on this machine (looked at PATH, pyenv and uv)",
            hint=f"install one, for example: uv python install {python}",
        )
        self.python = python


class IntegrityError(WheelferryError):
    """Bytes are not the expected ones: a hash, a moved tag, a damaged store."""

    exit_code = 4


class BuildError(WheelferryError):
    """A build or an installation failed; the message carries the tail of its log and the log's path."""

    exit_code = 5


class Interrupted(WheelferryError):
    """The user pressed Ctrl-C; what was complete stays in the store."""

    exit_code = 130


def refused_by_machine(error: OSError) -> MissingError | None:
    """The error for a file that the machine refuses; None for an error of another kind."""
    if error.errno not in _OF_THE_MACHINE:
        return None
    return MissingError(
        f"{error.strerror}: {error.filename or 'while writing'}",
        hint="free some space or choose another folder (--out, WHEELFERRY_CACHE)",
    )
