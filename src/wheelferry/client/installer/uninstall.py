"""Uninstalling: exactly what the installer wrote goes; what a person put there stays, and is named.

Windows removes no program that runs, and the one that uninstalls may run from the prefix. But it renames
one: so what is in use moves to one folder, which the launcher removes when the program has ended.
"""

import contextlib
import os
import stat

from wheelferry.client.common.errors import NotPossibleHere
from wheelferry.client.common.files import list_files, read_json, remove_tree
from wheelferry.client.installer.prefix import (
    ACCEPTED,
    FILES,
    INSTALLER,
    LAUNCHERS,
    LOCK,
    LOG,
    MARKER,
    RECEIPT,
    UNINSTALLED,
)

WHEELFERRY_CMD = "wheelferry.cmd"


def uninstall(prefix, console):
    """Remove the installation in `prefix`; returns the files that are left, because they are not ours.

    Raises NotPossibleHere when some of ours stay because another program has them open (on Windows).
    """
    if not prefix.is_ours:
        raise NotPossibleHere(
            "nothing is installed in %s" % prefix.root, hint="name the folder with --prefix"
        )
    aside = prefix.join(UNINSTALLED)
    with prefix.at_work(console):
        busy = []  # type: list[str]
        # what the launcher needs goes last, so that the same command goes on after being killed
        for environment in _last(prefix.environments(), prefix.current()):
            remove_tree(os.path.join(environment.folder, "report"))
            busy += _remove_listed(environment.folder, aside)
            _remove(os.path.join(environment.folder, RECEIPT))
        for name in prefix.carried_pythons():
            busy += _remove_listed(os.path.join(prefix.runtimes, name), aside)
        _refuse_busy(busy, "--prefix", prefix.root)
        for folder in (prefix.envs, prefix.runtimes):
            _remove_empty(folder)
        prefix.forget_current()
        console.log.close()
        for name in (*LAUNCHERS, LOG, INSTALLER):
            if not (name == WHEELFERRY_CMD and finished_by_launcher()):
                _remove(prefix.join(name))
        _remove(prefix.join(MARKER))
        work = os.path.relpath(prefix.tmp, prefix.root)
        passing = [LOCK, work, UNINSTALLED]
        if finished_by_launcher():
            os.makedirs(aside, exist_ok=True)
            passing.append(WHEELFERRY_CMD)
        left = [name for name in list_files(prefix.root) if not name.startswith(tuple(passing))]
        if os.name == "posix":
            # while it is held; whoever waits for it sees that it is gone and starts anew
            _remove(prefix.join(LOCK))
    _remove(prefix.join(LOCK))
    with contextlib.suppress(OSError):
        os.rmdir(prefix.root)
    return left


def finished_by_launcher():
    """Whether wheelferry.cmd started us, which then removes the folder of what was in use, and itself."""
    return bool(os.name == "nt" and os.environ.get("WHEELFERRY_FINISHES"))


def _refuse_busy(busy, option, root):
    """Raise NotPossibleHere when installed files are in use; their list stays, for the next attempt."""
    if busy:
        raise NotPossibleHere(
            "%d files are in use by another program and stay:\n%s"
            % (len(busy), "\n".join("  %s" % path for path in busy[:10])),
            hint='end that program, then say, where the bundle lies: install.cmd %s "%s" --uninstall'
            % (option, root),
        )


def _last(environments, current):
    """The environments with the one in use at the end."""
    number = current.number if current else None
    return sorted(environments, key=lambda environment: environment.number == number)


def uninstall_from(existing, console):
    """Remove what was installed into an existing environment; the rest of that is none of our business."""
    prefix = existing.records
    if not prefix.is_ours:
        raise NotPossibleHere("nothing was installed into %s" % existing.folder)
    with prefix.at_work(console):
        receipt = read_json(prefix.join(RECEIPT))
        if receipt is None:
            raise NotPossibleHere(
                "the installation into %s was not completed; what belongs to it is not known"
                % existing.folder,
                hint="install it again, then uninstall",
            )
        names = _read_listing(prefix.join(FILES))
        _refuse_busy(_remove_listed(existing.folder, None, prefix.join(FILES)), "--into", existing.folder)
        _remove_emptied(existing, names)
        for name, version in sorted(receipt["replaced"].items()):
            console.warn("%s %s was there before and does not come back" % (name, version))
        for name in receipt["kept"]:
            console.say("%s stays: it was there before, in the same version" % name)
    for name in os.listdir(prefix.root):
        if name != ACCEPTED:
            remove_tree(prefix.join(name))
    with contextlib.suppress(OSError):
        os.rmdir(prefix.root)
    return [os.path.join(os.path.basename(prefix.root), name) for name in list_files(prefix.root)]


def _read_listing(listing):
    try:
        with open(listing, "rb") as stream:
            return os.fsdecode(stream.read()).split("\n")[:-1]
    except FileNotFoundError:
        return []


def _remove_listed(folder, aside, listing=None):
    """Remove the files below `folder` that are listed, and what Python and iopath made of them.

    Returns those that are in use and could not be moved to the folder `aside` either. The list goes last,
    when there are none.
    """
    listing = listing or os.path.join(folder, FILES)
    names = _read_listing(listing)
    listed = set(names)
    busy = [name for name in names if name != FILES and not _remove(_below(folder, name), aside)]
    for name in list_files(folder) if names else ():
        if _made_of(name) in listed:
            _remove(_below(folder, name), aside)
    if not busy:
        _remove(listing)
    return [_below(folder, name) for name in busy]


def _below(folder, name):
    return os.path.join(folder, *name.split("/"))


def _made_of(name):
    """The file that `name` was made from: byte code from a source, a lock beside an asset; else empty."""
    parent, _, base = name.rpartition("/")
    if base.endswith(".pyc") and (parent == "__pycache__" or parent.endswith("/__pycache__")):
        return parent[: -len("__pycache__")] + base.split(".")[0] + ".py"
    if name.startswith("assets/") and base.endswith(".lock"):
        return name[: -len(".lock")]
    return ""


def _remove(path, aside=None):
    """Remove a file; False when Windows does not let us, and it cannot be moved to the folder `aside` either.

    Elsewhere what may not be removed belongs to somebody else: it stays, and is told with the rest.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except PermissionError:
        return os.name != "nt" or _remove_stubborn(path, aside)
    return True


def _remove_stubborn(path, aside):
    """As `_remove`, for a file that is read-only, or a program or library that is loaded."""
    try:
        os.chmod(path, stat.S_IWRITE)
        os.unlink(path)
    except PermissionError:
        if aside is None:
            return False
        try:
            os.makedirs(aside, exist_ok=True)
            os.replace(path, os.path.join(aside, "%d" % len(os.listdir(aside))))
        except PermissionError:
            return False
    return True


def _remove_emptied(existing, names):
    """Remove the folders of `names` that are empty now; the environment's own folders stay."""
    own = (existing.site + os.sep, os.path.join(existing.folder, "assets"))
    folders = {os.path.dirname(os.path.join(existing.folder, *name.split("/"))) for name in names}
    folders |= {os.path.join(folder, "__pycache__") for folder in folders}
    for folder in sorted(folders, key=len, reverse=True):
        while folder.startswith(own):
            try:
                os.rmdir(folder)
            except OSError:
                break
            folder = os.path.dirname(folder)


def _remove_empty(folder):
    """Remove the folders below `folder`, and itself, that hold nothing any more."""
    for root, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(root)
