"""Everything wheelferry raises on purpose: one root, whose subclasses own an exit code."""


class WheelferryError(Exception):
    """What failed and where; `hint` says what to do next. Caught once, at the CLI's edge."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(WheelferryError):
    """The user asked for something that cannot be: unknown recipe, release out of range, malformed file."""

    exit_code = 2


class MissingError(WheelferryError):
    """Something is missing on this machine: a compiler, a Python, the git host, the index, disk space."""

    exit_code = 3


class IntegrityError(WheelferryError):
    """Bytes are not the expected ones: a hash, a moved tag, a damaged store."""

    exit_code = 4


class BuildError(WheelferryError):
    """A build or an installation failed; the message carries the tail of its log and the log's path."""

    exit_code = 5


class Interrupted(WheelferryError):
    """The user pressed Ctrl-C; what was complete stays in the store."""

    exit_code = 130
