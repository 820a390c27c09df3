"""What the installer raises on purpose; each owns its exit code, the same ones that wheelferry has."""


class Stop(Exception):
    """What failed and where; `hint` says what to do next. Caught once, at the command line.

    `details` are plain values that --json adds.
    """

    exit_code = 1

    def __init__(self, message, hint=None, details=None):
        super().__init__(message)
        self.hint = hint
        self.details = details


class SmokeFailed(Stop):
    """The installation was completed, and its own checks say that it does not work."""


class BadInput(Stop):
    """The user asked for something that cannot be: no such target, a folder that holds something else."""

    exit_code = 2


class NotPossibleHere(Stop):
    """This machine lacks something: a Python, disk space, a permission, a driver."""

    exit_code = 3


class Damaged(Stop):
    """Bytes are not those that were packed."""

    exit_code = 4


class InstallFailed(Stop):
    """An installer failed; the message carries the tail of what it said."""

    exit_code = 5


class Interrupted(Stop):
    """Ctrl-C or SIGTERM. What was there before is there still."""

    exit_code = 130
