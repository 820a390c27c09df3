"""Uninstalling: exactly what the installer wrote goes; what a person put there stays, and is named."""

import contextlib
import os

from wheelferry.client import prefix as places
from wheelferry.client.errors import NotPossibleHere
from wheelferry.client.prefix import FILES, RECEIPT, list_files, read_json, remove_tree


def uninstall(prefix, console):
    """Remove the installation in `prefix`; returns the files that are left, because they are not ours."""
    if not prefix.is_ours:
        raise NotPossibleHere(
            "nothing is installed in %s" % prefix.root, hint="name the folder with --prefix"
        )
    with prefix.at_work(console):
        # what the launcher needs goes last, so that the same command goes on after being killed
        for environment in _last(prefix.environments(), prefix.current()):
            remove_tree(os.path.join(environment.folder, "report"))
            _remove_listed(environment.folder, os.path.join(environment.folder, FILES))
            _remove(os.path.join(environment.folder, RECEIPT))
        for name in prefix.carried_pythons():
            _remove_listed(os.path.join(prefix.runtimes, name), os.path.join(prefix.runtimes, name, FILES))
        for folder in (prefix.envs, prefix.runtimes):
            _remove_empty(folder)
        prefix.forget_current()
        console.log.close()
        for path in (*map(prefix.join, places.LAUNCHERS), prefix.log, prefix.join(places.INSTALLER)):
            _remove(path)
        _remove(prefix.join(places.MARKER))
        work = os.path.relpath(prefix.tmp, prefix.root)
        left = [name for name in list_files(prefix.root) if not name.startswith((places.LOCK, work))]
        if os.name == "posix":
            # while it is held; whoever waits for it sees that it is gone and starts anew
            _remove(prefix.join(places.LOCK))
    _remove(prefix.join(places.LOCK))
    with contextlib.suppress(OSError):
        os.rmdir(prefix.root)
    return left


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
        names = _remove_listed(existing.folder, prefix.join(FILES))
        _remove_emptied(existing, names)
        for name, version in sorted(receipt["replaced"].items()):
            console.warn("%s %s was there before and does not come back" % (name, version))
        for name in receipt["kept"]:
            console.say("%s stays: it was there before, in the same version" % name)
    remove_tree(prefix.root)
    return []


def _remove_listed(folder, listing):
    """Remove the files below `folder` that `listing` names, and what Python and iopath made of them.

    Returns the names. The list itself goes last.
    """
    try:
        with open(listing, "rb") as stream:
            names = os.fsdecode(stream.read()).split("\n")[:-1]
    except FileNotFoundError:
        return []
    listed = set(names)
    for name in names:
        if name != FILES:
            _remove(os.path.join(folder, *name.split("/")))
    for name in list_files(folder):
        if _made_of(name) in listed:
            _remove(os.path.join(folder, *name.split("/")))
    _remove(listing)
    return names


def _made_of(name):
    """The file that `name` was made from: byte code from a source, a lock beside an asset; else empty."""
    parent, _, base = name.rpartition("/")
    if base.endswith(".pyc") and (parent == "__pycache__" or parent.endswith("/__pycache__")):
        return parent[: -len("__pycache__")] + base.split(".")[0] + ".py"
    if name.startswith("assets/") and base.endswith(".lock"):
        return name[: -len(".lock")]
    return ""


def _remove(path):
    # what belongs to somebody else stays, and is told with the rest
    with contextlib.suppress(FileNotFoundError, PermissionError):
        os.unlink(path)


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
