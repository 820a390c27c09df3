"""The folder of an installation: environments beside one another, and a pointer to the one in use.

::

    python, wheelferry       launchers
    current                  the pointer: a link to envs/N (Windows: current.txt with N)
    envs/N/                  an environment, built where it stays; complete once receipt.json is in it
    runtime/NAME/            a Python that came with a bundle
    install.pyz install.log  the installer itself, and what it did
    .wheelferry.json .lock   whose folder this is, and who works in it
    .tmp-XXXX/               only while somebody does
    .uninstalled/            Windows: what the program that uninstalled was running from; its launcher
                             removes it, or the next run of the installer
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from wheelferry.client.common.errors import BadInput, NotPossibleHere

MARKER = ".wheelferry.json"
RECEIPT = "receipt.json"
FILES = "files.txt"
LAUNCHERS = ("python", "wheelferry", "python.cmd", "wheelferry.cmd")
INSTALLER = "install.pyz"
LOG = "install.log"
LOCK = ".lock"
_ASIDE = ".part"
_TMP = ".tmp-"
UNINSTALLED = ".uninstalled"
_TRIAL = ".wheelferry-probe-"  # what a probe that was killed may leave; see profile.py
_INCOMPLETE = "incomplete"
_POINTER = "current" if os.name == "posix" else "current.txt"
# What `write_atomic` and `switch` write aside in the prefix; nothing else of that ending is ours.
_WRITTEN_ASIDE = tuple(name + _ASIDE for name in (MARKER, INSTALLER, _POINTER, *LAUNCHERS))
# Windows refuses to rename what a virus scanner is looking at. That takes moments.
_RENAME_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", errno.ENOLCK))


class Environment(object):
    """One environment of a prefix: its number, its folder, and its receipt (None while incomplete)."""

    def __init__(self, number, folder):
        self.number = number
        self.folder = folder
        self.receipt = read_json(os.path.join(folder, RECEIPT))

    @property
    def python(self):
        """Its interpreter."""
        return environment_python(self.folder)


def environment_python(folder):
    """Where a virtual environment in `folder` has its interpreter."""
    return os.path.join(folder, *(("bin", "python") if os.name == "posix" else ("Scripts", "python.exe")))


class Prefix(object):
    """The folder of one installation, at an absolute path that must stay."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.envs = self.join("envs")
        self.runtimes = self.join("runtime")
        self.tmp = ""  # while somebody is at work
        self.log = self.join(LOG)

    def join(self, *parts):
        """A path below the prefix."""
        return os.path.join(self.root, *parts)

    @property
    def is_ours(self):
        """Whether an installation was begun here."""
        return os.path.isfile(self.join(MARKER))

    def check(self):
        """Raise BadInput unless the prefix is absent, an empty folder, or an installation."""
        if self.is_ours or not os.path.lexists(self.root):
            return
        if not os.path.isdir(self.root):
            raise BadInput("%s is not a folder" % self.root, hint="choose another --prefix")
        ours = {LOCK, MARKER + _ASIDE}
        passing = (_TRIAL, _TMP, UNINSTALLED)
        found = sorted(n for n in set(os.listdir(self.root)) - ours if not n.startswith(passing))
        if found:
            raise BadInput(
                "%s holds something else than an installation: %s" % (self.root, ", ".join(found[:5])),
                hint="choose an empty or a new folder with --prefix",
            )

    @contextlib.contextmanager
    def at_work(self, console):
        """Hold the prefix alone, swept and with its log open; yields the lock's file descriptor.

        Processes inherit the descriptor: the system lets go of the lock when the last one that holds it
        ends, however it ends.
        """
        lock = self._lock(console)
        try:
            write_atomic(self.join(MARKER), '{"format": 1}\n')
            console.log.open(self.log)
            self._sweep(console)
            self.tmp = tempfile.mkdtemp(prefix=_TMP, dir=self.root)
            yield lock
        finally:
            if self.tmp:
                _remove_or_tell(self.tmp, console)
            console.log.close()
            os.close(lock)

    def _lock(self, console):
        """A descriptor of the lock file, locked; waits while another installer has it."""
        waiting = False
        while True:
            # in here, because who had the lock may have uninstalled all of it
            self.check()
            os.makedirs(self.root, exist_ok=True)
            descriptor = os.open(self.join(LOCK), os.O_RDWR | os.O_CREAT, 0o644)
            if try_lock(descriptor) and is_still(descriptor, self.join(LOCK)):
                return descriptor
            os.close(descriptor)
            if not waiting:
                console.say("another installer is at work in %s; waiting for it" % self.root)
                waiting = True
            time.sleep(0.2)

    def environments(self):
        """All environments, oldest first, incomplete ones included."""
        try:
            names = os.listdir(self.envs)
        except OSError as error:
            # the last is what Windows says of a name that cannot be
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
                raise
            return []
        numbers = sorted(int(name) for name in names if name.isdigit())
        return [Environment(number, os.path.join(self.envs, str(number))) for number in numbers]

    def current(self):
        """The environment in use; None when there is none."""
        try:
            if os.name == "posix":
                text = os.path.basename(os.readlink(self.join(_POINTER)))
            else:
                with open(self.join(_POINTER), encoding="ascii", errors="replace") as stream:
                    text = stream.read().strip()
        except OSError:
            return None
        for environment in self.environments():
            if str(environment.number) == text and environment.receipt:
                return environment
        return None

    def switch(self, environment):
        """Make `environment`, whose bytes are on the disk, the one in use: by one rename."""
        if os.name == "posix":
            aside = self.join(_POINTER + _ASIDE)
            os.symlink(os.path.join("envs", str(environment.number)), aside)
            replace(aside, self.join(_POINTER))
            _sync_folder(self.root)
        else:
            # cmd reads it
            write_atomic(self.join(_POINTER), "%d\r\n" % environment.number)

    def forget_current(self):
        """Remove the pointer: from then on nothing is installed here."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.join(_POINTER))

    def next_folder(self):
        """A folder for a new environment; its number is new, for an orphan may still write to another."""
        environments = self.environments()
        number = environments[-1].number + 1 if environments else 1
        made = os.path.join(self.tmp, "env")
        os.makedirs(made)
        write_atomic(os.path.join(made, _INCOMPLETE), "")
        folder = os.path.join(self.envs, str(number))
        os.makedirs(self.envs, exist_ok=True)
        replace(made, folder)
        return Environment(number, folder)

    def complete(self, environment, receipt):
        """Write the receipt once all else is on the disk: from then on the environment is one."""
        sync(environment.folder)
        write_json(os.path.join(environment.folder, RECEIPT), receipt)
        os.unlink(os.path.join(environment.folder, _INCOMPLETE))
        return Environment(environment.number, environment.folder)

    def discard(self, environment):
        """Take an environment out of the way at once, whatever is in it; the rest is done when it is.

        Raises PermissionError on Windows while a program runs from it, or has one of its files open.
        """
        replace(environment.folder, os.path.join(self.tmp, "env-%d" % environment.number))

    def leftover_bytes(self):
        """What the next run frees before it begins: what one that was killed left. 0 while one is at work."""
        try:
            descriptor = os.open(self.join(LOCK), os.O_RDWR)
        except OSError:
            return 0
        try:
            return self._leftover_bytes() if try_lock(descriptor) else 0
        finally:
            os.close(descriptor)

    def _leftover_bytes(self):
        seen = {}  # type: dict[tuple[int, int], int]
        total = 0
        for folder in self._leftovers():
            for name in list_files(folder):
                status = os.lstat(os.path.join(folder, *name.split("/")))
                file = status.st_dev, status.st_ino
                seen[file] = seen.get(file, 0) + 1
                if seen[file] == status.st_nlink:
                    # all its names are here: none is in an environment that stays
                    total += status.st_size
        return total

    def _leftovers(self):
        """The folders that an installer which was killed left."""
        for name in os.listdir(self.root):
            if name.startswith((_TMP, UNINSTALLED)):
                yield self.join(name)
        for environment in self.environments():
            if environment.receipt is None and os.path.exists(os.path.join(environment.folder, _INCOMPLETE)):
                yield environment.folder

    def _sweep(self, console):
        """Remove what an installer that was killed left; what cannot be removed is told and stays."""
        for folder in self._leftovers():
            _remove_or_tell(folder, console)
        for path in [self.join(name) for name in _WRITTEN_ASIDE] + [
            os.path.join(environment.folder, _INCOMPLETE) for environment in self.environments()
        ]:
            if os.path.lexists(path) and not os.path.isdir(path):
                os.unlink(path)

    def keep(self, environments, console):
        """Take every complete environment but these away, and the carried Pythons that none of them uses.

        On Windows one that is in use stays, with its Python, until the next installation; that is told.
        """
        staying = list(environments)
        for environment in self.environments():
            if environment.number not in [one.number for one in environments] and environment.receipt:
                try:
                    self.discard(environment)
                except PermissionError:
                    staying.append(environment)
                    text = "environment %d is in use by a program and stays; the next installation removes it"
                    console.warn(text % environment.number)
        used = {environment.receipt["python"]["runtime"] for environment in staying}
        for name in self.carried_pythons():
            if name not in used:
                try:
                    # renamed: half a Python under its own name would be taken for a whole one
                    replace(os.path.join(self.runtimes, name), os.path.join(self.tmp, name))
                except PermissionError:
                    console.warn("the Python %s is in use; the next installation removes it" % name)

    def carried_pythons(self):
        """The names of the folders below runtime/."""
        try:
            return sorted(os.listdir(self.runtimes))
        except FileNotFoundError:
            return []


def read_json(path):
    """The JSON document in `path`; None when it is absent or cut off."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write_json(path, document):
    """Write a JSON document as `write_atomic` does."""
    write_atomic(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def write_atomic(path, text, executable=False):
    """Write `path` aside, on the disk, and rename it into place."""
    aside = path + _ASIDE
    with open(aside, "wb") as stream:
        # paths in it must be the bytes that the system knows them by
        stream.write(os.fsencode(text))
        stream.flush()
        os.fsync(stream.fileno())
    if executable:
        os.chmod(aside, 0o755)  # noqa: S103 -- for whoever may enter the folder
    replace(aside, path)


def replace(source, destination):
    """Rename as os.replace does; on Windows again and again while something else has one of the two open.

    Raises PermissionError when that does not end within three seconds.
    """
    for seconds in _RENAME_WAITS if os.name == "nt" else ():
        try:
            os.replace(source, destination)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    os.replace(source, destination)


def unlimited(path, windows=os.name == "nt"):
    """An absolute path in the form for which Windows has no limit of 260 characters; elsewhere as it is.

    uv writes such paths into its cache, whatever the system's setting for long paths is.
    """
    if not windows or path.startswith("\\\\?\\"):
        return path
    return "\\\\?\\UNC" + path[1:] if path.startswith("\\\\") else "\\\\?\\" + path


def is_writable(folder):
    """Whether files can be made in a folder. On Windows one is made: access() does not know."""
    if os.name == "posix":
        return os.access(folder, os.W_OK)
    try:
        handle, path = tempfile.mkstemp(prefix=_TRIAL, dir=folder)
    except OSError:
        return False
    os.close(handle)
    os.unlink(path)
    return True


def remove_tree(folder):
    """Remove a folder and all below it, read-only files too; an absent one is all right."""
    folder = unlimited(os.path.abspath(folder))
    if os.path.islink(folder) or os.path.isfile(folder):
        os.unlink(folder)
    elif os.path.isdir(folder):
        try:
            shutil.rmtree(folder)
        except PermissionError:
            for root, _, names in os.walk(folder):
                for path in [root] + [os.path.join(root, name) for name in names]:
                    if not os.path.islink(path):
                        os.chmod(path, 0o700)
            shutil.rmtree(folder)


def _remove_or_tell(folder, console):
    """Remove a folder with all in it; what belongs to somebody else stays, which is told."""
    try:
        remove_tree(folder)
    except OSError as error:
        console.warn("%s stays (%s): its owner or an administrator can remove it" % (folder, error.strerror))


def sync(folder):
    """Let the system write to the disk what of the files below `folder` is in memory.

    Linux is told to write all of that file system; other disks, such as a network drive that does not
    answer, are left alone where the system can do that. Windows lets only administrators do that, so there
    each file is flushed.
    """
    if os.name != "posix":
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(_flush, [os.path.join(folder, name) for name in list_files(folder)]))
        return
    libc = ctypes.CDLL(None)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not hasattr(libc, "syncfs") or libc.syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)


def sync_until(stop, folder):
    """Write to the disk again and again until the event `stop`: then little is left to wait for.

    Not on Windows, where files that are being written would be opened one by one.
    """
    while not stop.wait(1.0):
        if os.name == "posix":
            sync(folder)


def _flush(path):
    """Write a file's bytes to the disk; one that may not be written to was not written by us."""
    with contextlib.suppress(OSError):
        descriptor = os.open(unlimited(path), os.O_RDWR)
        try:
            _write_back(descriptor)
        finally:
            os.close(descriptor)


def _write_back(descriptor):
    """Hand a file's bytes to the disk, which may still hold them in its own memory.

    That is emptied once, by the fsync of the receipt: for each file it would take minutes on a hard disk.
    """
    if sys.platform != "win32":
        os.fsync(descriptor)
        return
    import msvcrt

    # since Windows 8; Wine 8 has it not
    flush = getattr(ctypes.windll.ntdll, "NtFlushBuffersFileEx", None)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    no_sync = ctypes.c_ulong(2)  # FLUSH_FLAGS_NO_SYNC of ntifs.h
    state = (ctypes.c_void_p * 2)()  # IO_STATUS_BLOCK
    if flush is None or flush(handle, no_sync, None, 0, state) != 0:
        os.fsync(descriptor)


def list_files(folder):
    """Every file and link below `folder`, as relative paths with forward slashes, in order."""
    found = []
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        found += [os.path.relpath(os.path.join(root, name), folder) for name in names + links]
    return sorted(re.sub(r"\\", "/", name) if os.name == "nt" else name for name in found)


def write_listing(folder):
    """Write the list of all that `folder` holds into it, for the day it is uninstalled."""
    names = [*list_files(folder), FILES]
    write_atomic(os.path.join(folder, FILES), "".join("%s\n" % name for name in names))


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
                "this file system has no locks, so two of us at once could not be kept apart",
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


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
