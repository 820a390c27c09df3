"""Folders of files with known hashes: written aside, continued after a kill, put in place by one rename."""

import contextlib
import hashlib
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any  # noqa: F401 -- in comments, for Python 3.7

from wheelferry.client.common.bundle import CHUNK, find_damage
from wheelferry.client.common.errors import BadInput, Damaged, NotPossibleHere
from wheelferry.client.common.files import list_files, read_json, remove_tree, replace, unlimited, write_json
from wheelferry.client.common.flush import sync
from wheelferry.client.common.locks import is_still, try_lock
from wheelferry.client.common.paths import find_faults

_STATE, _LOCK, _TREE = "state.json", "lock", "tree"
_OURS = {_STATE, _STATE + ".part", _LOCK, _TREE}
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SHOWN = 20  # problems in one message


class Unreadable(Exception):
    """A file that should be read is missing, or the medium refuses; the text says which of the two."""


class Tree(object):
    """A folder, and what is to be in it: `files` has size in bytes and SHA-256 of each by its path."""

    def __init__(self, root, files):
        self.root = root
        self.files = files

    def path(self, name):
        """Where the file `name` is on this machine."""
        return unlimited(os.path.join(os.path.abspath(self.root), *name.split("/")))

    @property
    def size(self):
        """The bytes of all files."""
        return sum(size for size, _ in self.files.values())


def parse_files(items, document):
    """Size and SHA-256 by path, from a list in the document at `document`.

    Raises Damaged when it is not such a list, and for paths that lead out of the folder, or that not every
    system can have.
    """
    try:
        files = {item["path"]: (check_size(item["size"]), item["sha256"]) for item in items}
        faults = find_faults([item["path"] for item in items])
        faults += ["%s has no SHA-256" % ascii(n) for n, (_, sha) in files.items() if not _SHA256.match(sha)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged("%s has no proper list of files: %s" % (document, error)) from None
    if faults:
        raise Damaged(
            "%s names files that are not allowed:\n%s" % (document, listed(faults)), hint="do not use it"
        )
    return files


def check_size(value):
    """A number of bytes; ValueError for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError("%r is not a number of bytes" % (value,))
    return value


def listed(problems):
    """Problems as lines of a message; of very many the first ones and their number."""
    lines = ["  %s" % problem for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append("  and %d more" % (len(problems) - _SHOWN))
    return "\n".join(lines)


def find_beside(tree, console, title):
    """What is wrong with all files of `tree`, as texts with their full paths."""
    with console.task(title, tree.size) as task:
        found = find_damage(tree, tree.files, task.advance)
    return ["%s %s" % (tree.path(name), reason) for name, reason in found]


def refuse_overlap(out, given):
    """Raise BadInput when one of two folders is the other, or lies in it."""
    one, other = (os.path.normcase(os.path.realpath(path)) for path in (out, given))
    if os.path.join(one, "").startswith(os.path.join(other, "")) or os.path.join(other, "").startswith(
        os.path.join(one, "")
    ):
        raise BadInput(
            "%s is, holds or lies in %s, which is read" % (out, given), hint="choose another --out"
        )


class PartialTree(object):
    """The folder ``.NAME.part`` beside the result NAME, in which it grows.

    `making` names the result: what an interrupted run has left is continued only for the same one. `state`
    are plain values that outlive a kill.
    """

    def __init__(self, out, making):
        self.out = os.path.abspath(out)
        self.making = making
        name = os.path.basename(self.out)
        if not name:
            raise BadInput("%s is not a folder that can be made" % out, hint="choose another --out")
        self.folder = unlimited(os.path.join(os.path.dirname(self.out), ".%s.part" % name))
        self.tree = os.path.join(self.folder, _TREE)
        self.state = {}  # type: dict[str, Any]
        self._finished = False

    def is_done(self, files, console):
        """Whether the result is in its place already, byte for byte; BadInput when something else is."""
        if not os.path.lexists(self.out):
            return False
        if not os.path.isdir(self.out) or os.path.islink(self.out):
            raise BadInput("%s is there and is not a folder" % self.out, hint="choose another --out")
        names = list_files(unlimited(self.out))
        if not names:
            return False
        if set(names) != set(files) or find_beside(Tree(self.out, files), console, "look at %s" % self.out):
            raise BadInput(
                "%s is there already, and is not what would be made" % self.out,
                hint="choose another --out, or remove that folder",
            )
        self._discard()
        return True

    @contextlib.contextmanager
    def at_work(self, files):
        """Hold the folder alone, with no other files in its tree than those of `files`."""
        lock = self._lock()
        try:
            self._resume(files)
            yield
        finally:
            os.close(lock)
            if self._finished:
                self._discard()

    def require_space(self, needed):
        """Raise NotPossibleHere unless there is room for `needed` more bytes than there are in the tree."""
        there = sum(os.lstat(os.path.join(self.tree, name)).st_size for name in list_files(self.tree))
        free = shutil.disk_usage(self.folder).free
        if free < needed - there:
            raise NotPossibleHere(
                "%d MB are needed for %s, but only %d MB are free"
                % ((needed - there) // 1000000 + 1, self.out, free // 1000000),
                hint="free some space, or choose another --out",
            )

    def keep(self, **values):
        """Add to the state, after all that the tree holds is on the disk."""
        sync(self.folder)
        self.state.update(values)
        write_json(self._join(_STATE), dict(self.state, making=self.making))

    def finish(self, files):
        """Put the complete tree into its place."""
        for name in files:
            if name.endswith(".sh"):
                # FAT carries no such bit, so nothing else can say it
                os.chmod(os.path.join(self.tree, *name.split("/")), 0o755)  # noqa: S103 -- a program
        sync(self.folder)
        if os.path.isdir(self.out):
            _remove_empty(self.out)
        replace(self.tree, unlimited(self.out))
        self._finished = True

    def _join(self, name):
        return os.path.join(self.folder, name)

    def _lock(self):
        while True:
            self._check_ours()
            os.makedirs(self.folder, exist_ok=True)
            try:
                descriptor = os.open(self._join(_LOCK), os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:
                continue  # whoever worked in it has just finished, and removed it
            if not try_lock(descriptor):
                os.close(descriptor)
                raise NotPossibleHere(
                    "another program is writing %s" % self.out, hint="wait for them, or choose another --out"
                )
            if is_still(descriptor, self._join(_LOCK)):
                return descriptor
            os.close(descriptor)

    def _check_ours(self):
        """Raise BadInput when the folder's name is taken by something that no earlier run left."""
        if not os.path.lexists(self.folder):
            return
        if (
            os.path.islink(self.folder)
            or not os.path.isdir(self.folder)
            or set(os.listdir(self.folder)) - _OURS
        ):
            raise BadInput(
                "%s is in the way: it is not what an interrupted run has left" % self.folder,
                hint="move it away, or choose another --out",
            )

    def _resume(self, files):
        """Take over what is there for the same result; nothing else stays in the tree."""
        state = read_json(self._join(_STATE))
        if isinstance(state, dict) and state.get("making") == self.making:
            self.state = state
        else:
            remove_tree(self.tree)
        if os.path.islink(self.tree):
            os.unlink(self.tree)
        os.makedirs(self.tree, exist_ok=True)
        for name in list_files(self.tree):
            path = os.path.join(self.tree, *name.split("/"))
            if name not in files or os.path.islink(path):
                os.unlink(path)
        for name in files:
            folder = os.path.dirname(os.path.join(self.tree, *name.split("/")))
            os.makedirs(folder, exist_ok=True)
        self.keep()

    def _discard(self):
        self._check_ours()
        remove_tree(self.folder)


def _remove_empty(folder):
    """Remove a folder in which there is nothing but folders."""
    for root, _, _ in os.walk(folder, topdown=False):
        os.rmdir(root)


def pieces(path):
    """The bytes of a file in pieces of up to 1 MiB, each valid until the next.

    Raises Unreadable when they cannot be had.
    """
    if not os.path.isfile(path):
        raise Unreadable("is missing")
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    try:
        stream = open(path, "rb", buffering=0)  # noqa: SIM115 -- closed below; only its opening is guarded
    except OSError as error:
        raise Unreadable("cannot be read (%s)" % error.strerror) from None
    with stream:
        while True:
            try:
                size = stream.readinto(buffer)
            except OSError as error:
                raise Unreadable("cannot be read (%s)" % error.strerror) from None
            if not size:
                return
            yield view[:size]


def fill(tree, sources, on_bytes):
    """Copy every file of `tree` from ``sources[name]``, hashed on its way; folders are there already.

    Returns what is wrong with sources, as texts that begin with their paths. Ctrl-C ends it within a piece.
    """
    stopped = threading.Event()

    def bring(name):
        size, sha256 = tree.files[name]
        digest = hashlib.sha256()
        seen = 0
        try:
            with open(tree.path(name), "wb") as sink:
                for piece in pieces(sources[name]):
                    seen += len(piece)
                    if seen > size or stopped.is_set():
                        break
                    digest.update(piece)
                    sink.write(piece)
                    on_bytes(len(piece))
        except Unreadable as error:
            return "%s %s" % (sources[name], error)
        if seen != size:
            return "%s has %d bytes instead of %d" % (sources[name], os.path.getsize(sources[name]), size)
        if digest.hexdigest() != sha256:
            return "%s has other content than was packed" % sources[name]
        return None

    # the largest first, so that none of them is left alone at the end
    ordered = sorted(tree.files, key=lambda name: -tree.files[name][0])
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        try:
            return sorted(found for found in pool.map(bring, ordered) if found)
        finally:
            stopped.set()
