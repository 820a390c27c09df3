"""What cannot be used as it was given, told in a sentence that may be shown to anybody."""


class Unfit(Exception):
    """A picture, an option or a file that cannot be used; `hint` says what to do about it.

    Neither has a path of this machine in it where it is about what came through the page. `exit_code` is the
    status of a program that ends with it.
    """

    exit_code = 2

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint


class NotHere(Unfit):
    """Something that this machine does not have."""

    exit_code = 3
