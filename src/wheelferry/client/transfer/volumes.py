"""Joining volumes: the bundle that was split, written in place while they are read. They are not changed.

The volumes, one after the other, are one tar archive; the index says where in it each file begins, so nothing
of the archive itself is believed.
"""

import bisect
import hashlib
import os
from typing import Any  # noqa: F401 -- in comments, for Python 3.7

from wheelferry.client.common.bundle import find_damage
from wheelferry.client.common.documents import read_sealed
from wheelferry.client.common.errors import BadInput, Damaged, NotPossibleHere, Stop
from wheelferry.client.transfer.trees import (
    PartialTree,
    Tree,
    Unreadable,
    check_size,
    listed,
    parse_files,
    pieces,
    refuse_overlap,
)

FORMAT = 1
NAME = "volumes.json"
_AGAIN = "bring it again from where it was split; the same command continues with the volumes that were right"
_COMPANION = "every medium has the same one; or give the volumes themselves instead of their folders"


class Index(object):
    """What is known of a set of volumes, from any of its copies.

    `files` are those of the bundle, `volumes` those of the set, `companions` what lies beside each volume;
    all with size and SHA-256 by path, `volumes` in order. `begins` says where in the archive a file begins.
    """

    def __init__(self, path, document):
        self.digest = document["digest"]
        self.files = parse_files(document.get("files"), path)
        self.volumes = parse_files(document.get("volumes"), path)
        self.companions = parse_files(document.get("companions"), path)
        try:
            self.title = "%(recipe)s@%(release)s" % document["bundle"]
            self.bundle = document["bundle"]["digest"]
            places = sorted(
                (check_size(item["begins"]), self.files[item["path"]][0], item["path"])
                for item in document["files"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged("%s is not an index of volumes: %s" % (path, error)) from None
        self.begins = {name: begin for begin, _, name in places}
        # those that have bytes, in the order of the archive
        self._names = [name for _, size, name in places if size]
        self._ends = [begin + size for begin, size, _ in places if size]
        self._check_places(path)

    def _check_places(self, path):
        reached = 0
        for name in self._names:
            if self.begins[name] < reached:
                raise Damaged("%s has two files in one place: %s" % (path, name))
            reached = self.begins[name] + self.files[name][0]
        if reached > sum(size for size, _ in self.volumes.values()):
            raise Damaged("%s has files beyond the end of the volumes" % path)

    def first_byte(self, volume):
        """Where in the archive a volume begins."""
        names = list(self.volumes)
        return sum(self.volumes[name][0] for name in names[: names.index(volume)])

    def slices(self, begin, end):
        """(file, where in it, first byte, last byte + 1) for what lies from `begin` to `end`."""
        for number in range(bisect.bisect_right(self._ends, begin), len(self._ends)):
            name = self._names[number]
            start, stop = max(begin, self.begins[name]), min(end, self._ends[number])
            if self.begins[name] >= end:
                return
            yield name, start - self.begins[name], start - begin, stop - begin

    def volumes_of(self, name):
        """The volumes that a file's bytes lie in."""
        begin, end = self.begins[name], self.begins[name] + self.files[name][0]
        found = []
        reached = 0
        for volume, (size, _) in self.volumes.items():
            if reached < end and begin < reached + size:
                found.append(volume)
            reached += size
        return found


def open_index(folder):
    """The index in a folder, or None when it has none. Raises Damaged for one that was altered."""
    path = os.path.join(folder, NAME)
    try:
        return Index(path, read_sealed(path, FORMAT, "list of volumes", _COMPANION))
    except (FileNotFoundError, NotADirectoryError):
        return None


class _Found(object):
    """What lies in the folders that were given: an index, places to look for volumes, and what is wrong."""

    def __init__(self, index, folders, files, problems):
        self.index = index
        self.folders = folders
        self._files = files
        self.problems = problems

    def places(self, volume):
        """Every file that may be the volume of that name."""
        found = [path for path in self._files if os.path.basename(path) == volume]
        found += [os.path.join(folder, volume) for folder in self.folders]
        return [path for path in dict.fromkeys(found) if os.path.isfile(path)]

    def media(self):
        """The folders that a volume or the index lies in."""
        places = [place for volume in self.index.volumes for place in self.places(volume)]
        places += [os.path.join(folder, NAME) for folder in self.folders]
        return list(dict.fromkeys(os.path.dirname(os.path.abspath(p)) for p in places if os.path.isfile(p)))


def find_volumes(given, beside=()):
    """The set of volumes in `given`: volumes, folders with them, or folders with such folders.

    In the folders `beside` only volumes of the same set are looked for.
    Raises BadInput when there is no index, or when there are several sets.
    """
    folders = list(dict.fromkeys(inner for path in given for inner in _folders(path)))
    files = [path for path in given if os.path.isfile(path)]
    found = {}  # type: dict[str, Any]
    problems = []  # type: list[str]
    aside = []  # type: list[str]
    for folder in dict.fromkeys(folders + [os.path.dirname(os.path.abspath(path)) for path in files]):
        try:
            index = open_index(folder)
        except Stop as error:
            # of a volume that was given by itself nothing else need be right
            (problems if folder in folders else aside).append(str(error))
            continue
        if index is not None:
            found.setdefault(index.digest, (folder, index))
    if len(found) > 1:
        sets = ["  %s: %s" % (folder, index.title) for folder, index in found.values()]
        raise BadInput(
            "these are volumes of different sets:\n%s" % "\n".join(sets), hint="give those of one set"
        )
    if not found and problems + aside:
        raise Damaged("\n".join(problems + aside), hint=_COMPANION)
    if not found:
        raise BadInput(
            "there is no %s in %s" % (NAME, ", ".join(given)),
            hint="give the folders that split --out made, as they are on the media",
        )
    index = next(iter(found.values()))[1]
    for folder in beside:
        folders += [inner for inner in _folders(folder) if _is_of(index, inner)]
    return _Found(index, folders, files, problems)


def _folders(path):
    """A folder and those in it; nothing for what is not a folder."""
    if not os.path.isdir(path):
        if not os.path.isfile(path):
            raise BadInput("%s is not there" % path, hint="is the medium in its drive, and mounted?")
        return []
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise NotPossibleHere("%s cannot be read (%s)" % (path, error.strerror)) from None
    inner = [os.path.join(path, name) for name in names]
    return [path] + [folder for folder in inner if os.path.isdir(folder)]


def _is_of(index, folder):
    try:
        other = open_index(folder)
    except Stop:
        return False
    return other is not None and other.digest == index.digest


def join(found, out, console):
    """Write the bundle to `out` from the volumes that were found; returns plain values.

    Raises Damaged that names each bad volume, and NotPossibleHere that names each missing one, after all
    others have been written; the next run continues with those.
    """
    index = found.index
    for folder in found.media():
        refuse_overlap(out, folder)
    partial = PartialTree(out, index.digest)
    whole = Tree(partial.tree, index.files)
    result = {
        "bundle": partial.out,
        "digest": index.bundle,
        "files": len(index.files),
        "bytes": whole.size,
        "volumes": len(index.volumes),
    }
    if partial.is_done(index.files, console):
        console.say("%s is complete already" % partial.out)
        return result
    problems = found.problems + _companions(found, console)
    with partial.at_work(index.files):
        partial.require_space(whole.size)
        done = [name for name in index.volumes if name in partial.state.get("done", [])]
        written = []
        for name in index.volumes:
            if name in done:
                continue
            places = found.places(name)
            refused = []  # type: list[str]
            for place in places:
                reason = _write_volume(index, name, place, whole, console)
                if reason is None:
                    written.append(name)
                    done.append(name)
                    partial.keep(done=done)
                    for other in refused:
                        console.warn(other)
                    break
                refused.append("%s %s" % (place, reason))
            else:
                problems += refused
        if problems:
            raise Damaged("these are not what they should be:\n%s" % listed(problems), hint=_AGAIN)
        _require_all(index, done, partial)
        _check_earlier(index, written, whole, partial, console)
        for name, (size, _) in index.files.items():
            if not size:
                open(whole.path(name), "wb").close()
        partial.finish(index.files)
    return result


def _companions(found, console):
    """What is wrong with what lies beside the volumes; what is not there is not needed."""
    known = found.index.companions
    problems = []
    with console.task("check what lies beside the volumes") as task:
        # a README.txt elsewhere is somebody else's
        for folder in [one for one in found.folders if os.path.isfile(os.path.join(one, NAME))]:
            there = [name for name in known if os.path.lexists(os.path.join(folder, name))]
            wrong = find_damage(Tree(folder, known), there, task.advance)
            problems += ["%s %s" % (os.path.join(folder, name), reason) for name, reason in wrong]
    return problems


def _write_volume(index, name, place, whole, console):
    """Write a volume's bytes to the files that they are of; why it is not the volume, or None."""
    size, sha256 = index.volumes[name]
    seen = os.path.getsize(place)
    if seen != size:
        return "has %d bytes instead of %d" % (seen, size)
    digest = hashlib.sha256()
    position = index.first_byte(name)
    sink = _Sink(whole)
    try:
        with console.task("read %s" % place, size) as task:
            for piece in pieces(place):
                digest.update(piece)
                for file, offset, first, last in index.slices(position, position + len(piece)):
                    sink.write(file, offset, piece[first:last])
                position += len(piece)
                task.advance(len(piece))
    except Unreadable as error:
        return str(error)
    finally:
        sink.close()
    return None if digest.hexdigest() == sha256 else "has other content than was written"


class _Sink(object):
    """Writes to the files of a tree, of which one at a time is open."""

    def __init__(self, tree):
        self._tree = tree
        self._name = None
        self._stream = None  # type: Any

    def write(self, name, offset, data):
        if name != self._name:
            self.close()
            # neither emptied, for another volume may have written to it, nor taken for granted
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._stream = os.fdopen(os.open(self._tree.path(name), flags, 0o666), "r+b")
            self._name = name
        self._stream.seek(offset)
        self._stream.write(data)

    def close(self):
        if self._stream is not None:
            self._stream.close()
        self._stream = self._name = None


def _require_all(index, done, partial):
    """Raise NotPossibleHere that names the volumes which are not there yet."""
    names = list(index.volumes)
    missing = [name for name in names if name not in done]
    if missing:
        shown = ["%s (%d of %d)" % (name, names.index(name) + 1, len(names)) for name in missing]
        raise NotPossibleHere(
            "still missing of %s: %s; what is there is kept in %s"
            % (index.title, ", ".join(shown), partial.folder),
            hint="bring in the next medium and give the same command with its folder",
            details={"missing": missing},
        )


def _check_earlier(index, written, whole, partial, console):
    """Read again what an earlier run has written: since then somebody, or the disk, may have changed it."""
    names = [name for name in index.files if not set(index.volumes_of(name)) <= set(written)]
    with console.task("check what was there", sum(index.files[name][0] for name in names)) as task:
        wrong = [
            name for name, _ in find_damage(whole, [n for n in names if index.files[n][0]], task.advance)
        ]
    again = {volume for name in wrong for volume in index.volumes_of(name)}
    if again:
        partial.keep(done=[name for name in index.volumes if name not in again])
        raise Damaged(
            "%s was changed since an earlier run wrote it"
            % ", ".join(whole.path(name) for name in wrong[:5]),
            hint="give the same command with the folders of %s" % ", ".join(sorted(again)),
        )
