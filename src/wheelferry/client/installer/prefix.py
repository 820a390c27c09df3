"""The folder of an installation: environments beside one another, and a pointer to the one in use.

::

    python, wheelferry       launchers
    current                  the pointer: a link to envs/N (Windows: current.txt with N)
    envs/N/                  an environment, built where it stays; complete once receipt.json is in it
    runtime/NAME/            a Python that came with a bundle
    install.pyz install.log  the installer itself, and what it did
    .wheelferry.json .lock   whose folder this is, and who works in it
    .tmp-XXXX/               only while somebody installs
    accepted/                records that people made with the bundle's programs; never removed
    .uninstalled/            Windows: what the program that uninstalled was running from; its launcher
                             removes it, or the next run of the installer
"""

import contextlib
import errno
import os
import tempfile
import time

from wheelferry.client.common.errors import BadInput
from wheelferry.client.common.files import (
    ASIDE,
    TRIAL,
    list_files,
    read_json,
    remove_tree,
    replace,
    write_atomic,
    write_json,
)
from wheelferry.client.common.flush import sync, sync_folder
from wheelferry.client.common.locks import is_still, try_lock

MARKER = ".wheelferry.json"
RECEIPT = "receipt.json"
FILES = "files.txt"
LAUNCHERS = ("python", "wheelferry", "python.cmd", "wheelferry.cmd")
INSTALLER = "install.pyz"
LOG = "install.log"
LOCK = ".lock"
_TMP = ".tmp-"
UNINSTALLED = ".uninstalled"
# What people accepted by their name, written by programs of the bundle: it outlives every environment.
ACCEPTED = "accepted"
_INCOMPLETE = "incomplete"
_POINTER = "current" if os.name == "posix" else "current.txt"
# What `write_atomic` and `switch` write aside in the prefix; nothing else of that ending is ours.
_WRITTEN_ASIDE = tuple(name + ASIDE for name in (MARKER, INSTALLER, _POINTER, *LAUNCHERS))


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
        ours = {LOCK, MARKER + ASIDE, ACCEPTED}
        passing = (TRIAL, _TMP, UNINSTALLED)
        found = sorted(n for n in set(os.listdir(self.root)) - ours if not n.startswith(passing))
        if found:
            raise BadInput(
                "%s holds something other than an installation: %s" % (self.root, ", ".join(found[:5])),
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
            aside = self.join(_POINTER + ASIDE)
            os.symlink(os.path.join("envs", str(environment.number)), aside)
            replace(aside, self.join(_POINTER))
            sync_folder(self.root)
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
        """Remove what a killed installer left; a message names what cannot be removed."""
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


def _remove_or_tell(folder, console):
    """Remove a folder with everything in it; files of other owners stay, and a message names them."""
    try:
        remove_tree(folder)
    except OSError as error:
        console.warn("%s stays (%s): its owner or an administrator can remove it" % (folder, error.strerror))


def write_listing(folder):
    """Write the list of all that `folder` holds into it, for the day it is uninstalled."""
    names = [*list_files(folder), FILES]
    write_atomic(os.path.join(folder, FILES), "".join("%s\n" % name for name in names))
