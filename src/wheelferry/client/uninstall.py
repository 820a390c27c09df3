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
        # first of all: half an installation must not be in use
        prefix.forget_current()
        for environment in prefix.environments():
            remove_tree(os.path.join(environment.folder, "report"))
            _remove_listed(environment.folder, os.path.join(environment.folder, FILES))
            _remove(os.path.join(environment.folder, RECEIPT))
        for name in prefix.carried_pythons():
            _remove_listed(os.path.join(prefix.runtimes, name), os.path.join(prefix.runtimes, name, FILES))
        for folder in (prefix.envs, prefix.runtimes):
            _remove_empty(folder)
        for name in (*places.LAUNCHERS, places.INSTALLER, places.MARKER):
            _remove(prefix.join(name))
        console.log.close()
        _remove(prefix.log)
        left = [name for name in list_files(prefix.root) if name != places.LOCK]
        if os.name == "posix":
            # while it is held; whoever waits for it sees that it is gone and starts anew
            _remove(prefix.join(places.LOCK))
    _remove(prefix.join(places.LOCK))
    with contextlib.suppress(OSError):
        os.rmdir(prefix.root)
    return left


def uninstall_from(existing, console):
    """Remove what was installed into an existing environment; the rest of that is none of our business."""
    prefix = existing.records
    if not prefix.is_ours:
        raise NotPossibleHere("nothing was installed into %s" % existing.folder)
    with prefix.at_work(console):
        receipt = read_json(prefix.join(RECEIPT)) or {"replaced": {}}
        _remove_listed(existing.folder, prefix.join(FILES))
        _remove_empty(existing.site)
        for name, version in sorted(receipt["replaced"].items()):
            console.warn("%s %s was there before and does not come back" % (name, version))
    remove_tree(prefix.root)
    return []


def _remove_listed(folder, listing):
    """Remove the files below `folder` that `listing` names, and what Python and iopath made of them."""
    try:
        with open(listing, encoding="utf-8", errors="surrogateescape") as stream:
            names = stream.read().splitlines()
    except FileNotFoundError:
        return
    listed = set(names)
    for name in names:
        if name != FILES:
            _remove(os.path.join(folder, *name.split("/")))
    for name in list_files(folder):
        if _made_of(name) in listed:
            _remove(os.path.join(folder, *name.split("/")))
    _remove(listing)


def _made_of(name):
    """The file that `name` was made from: byte code from a source, a lock beside an asset; else empty."""
    parent, _, base = name.rpartition("/")
    if base.endswith(".pyc") and (parent == "__pycache__" or parent.endswith("/__pycache__")):
        return parent[: -len("__pycache__")] + base.split(".")[0] + ".py"
    if name.startswith("assets/") and base.endswith(".lock"):
        return name[: -len(".lock")]
    return ""


def _remove(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_empty(folder):
    """Remove the folders below `folder`, and itself, that hold nothing any more."""
    for root, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(root)
