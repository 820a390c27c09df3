"""Locks on files, held by a process until it ends."""

import errno
import os

from wheelferry.client.common.errors import NotPossibleHere

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", errno.ENOLCK))


def try_lock(descriptor):
    """Lock an open file for this process and those that inherit it; False while another has it locked."""
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            raise NotPossibleHere(
                "this file system has no locks, so two installations at once could damage each other",
                hint="choose a folder on a local disk",
            ) from None
        return True
    import msvcrt

    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True


def is_still(descriptor, path):
    """Whether the file that was locked is the one that others would lock now, and was not removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
