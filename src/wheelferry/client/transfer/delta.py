"""Applying a delta: the new bundle, from the old one and what it lacked. Neither of the two is changed."""

import os

from wheelferry.client.common.bundle import find_damage, read_manifest
from wheelferry.client.common.documents import read_sealed
from wheelferry.client.common.errors import BadInput, Damaged
from wheelferry.client.transfer.trees import (
    PartialTree,
    Tree,
    fill,
    find_beside,
    listed,
    parse_files,
    refuse_overlap,
)

FORMAT = 1
NAME = "delta.json"
FILES = "files"  # where the delta has what the old bundle lacks
OLD, DELTA = "old", "delta"
_COPY = "copy the delta again from where it was made"


class Delta(object):
    """A delta's folder, and what its document says.

    `files` are those of the new bundle, `carried` those of them that the delta brings, by their paths there,
    `companions` what lies beside to apply it; all with size and SHA-256. `sources` says for each file of the
    new bundle where it comes from: (OLD or DELTA, its path there).
    """

    def __init__(self, root, document):
        path = os.path.join(root, NAME)
        self.root = root
        self.digest = document["digest"]
        self.files = parse_files(_get(document, "files", list, path), path)
        self.companions = parse_files(_get(document, "companions", list, path), path)
        self.old = _identity(document, OLD, path)
        self.new = _identity(document, "new", path)
        self.sources = {item["path"]: (item.get("from"), item.get("source")) for item in document["files"]}
        wrong = [
            name
            for name, (place, source) in self.sources.items()
            if place not in (OLD, DELTA) or not isinstance(source, str)
        ]
        if wrong:
            raise Damaged("%s does not say where %s comes from" % (path, wrong[0]), hint=_COPY)
        shipped = {source: name for name, (place, source) in self.sources.items() if place == DELTA}
        self.carried = parse_files([dict(self._item(n), path=source) for source, n in shipped.items()], path)

    def _item(self, name):
        size, sha256 = self.files[name]
        return {"path": name, "size": size, "sha256": sha256}


def open_delta(root):
    """The delta in `root`. Raises BadInput when there is none, Damaged when its document was altered."""
    path = os.path.join(root, NAME)
    try:
        return Delta(root, read_sealed(path, FORMAT, "delta's document", _COPY))
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(
            "%s is not a delta: it has no %s" % (root, NAME), hint="give the folder that delta --out made"
        ) from None


def apply_delta(root, old, out, console):
    """Make the new bundle in `out` of the delta in `root` and the bundle in `old`; returns plain values.

    Raises BadInput for another old bundle than the delta was made for, and Damaged with the names of all
    files that are not what they should be; what was right is kept for the next run.
    """
    delta = open_delta(root)
    _check_base(delta, old)
    for given in (root, old):
        refuse_overlap(out, given)
    console.say("%s, from %s" % (_title(delta.new), _title(delta.old)))
    partial = PartialTree(out, delta.digest)
    result = {
        "bundle": partial.out,
        "digest": delta.new["digest"],
        "files": len(delta.files),
        "bytes": sum(size for size, _ in delta.files.values()),
        "carried": Tree(root, delta.carried).size,
    }
    if partial.is_done(delta.files, console):
        console.say("%s is complete already" % partial.out)
        return result
    with partial.at_work(delta.files):
        whole = Tree(partial.tree, delta.files)
        partial.require_space(whole.size)
        with console.task("look at what is there", whole.size) as task:
            lacking = [name for name, _ in find_damage(whole, delta.files, task.advance)]
        part = Tree(partial.tree, {name: delta.files[name] for name in lacking})
        problems = find_beside(Tree(root, delta.companions), console, "check the delta")
        with console.task("copy files", part.size) as task:
            problems += fill(part, {name: _source(delta, old, name) for name in lacking}, task.advance)
        if problems:
            raise Damaged(
                "these files are not what they should be:\n%s" % listed(problems),
                hint="bring them again; the same command continues with what is right, in %s"
                % partial.folder,
            )
        partial.finish(delta.files)
    return result


def _check_base(delta, old):
    """Raise unless the bundle in `old` is the one that the delta needs, with what it takes from there."""
    manifest = read_manifest(old)
    if manifest["digest"] != delta.old["digest"]:
        if manifest["digest"] == delta.new["digest"]:
            raise BadInput("%s is the new bundle already: %s" % (old, _title(delta.new)))
        raise BadInput(
            "this delta is for another bundle than %s: it needs %s" % (old, _title(delta.old)),
            hint="give that bundle, or ask for a delta from %s" % _title(manifest),
        )
    there = {item["path"]: (item["size"], item["sha256"]) for item in manifest["files"]}
    for name, (place, source) in delta.sources.items():
        if place == OLD and there.get(source) != delta.files[name]:
            raise Damaged(
                "%s takes a file from the old bundle that the old bundle does not have: %s"
                % (delta.root, source)
            )


def _source(delta, old, name):
    place, source = delta.sources[name]
    return Tree(old if place == OLD else delta.root, {}).path(source)


def _get(document, name, kind, path):
    if not isinstance(document.get(name), kind):
        raise Damaged("%s has no %s" % (path, name), hint=_COPY)
    return document[name]


def _identity(document, name, path):
    identity = _get(document, name, dict, path)
    if not all(isinstance(identity.get(key), str) for key in ("recipe", "release", "digest")):
        raise Damaged("%s does not say which the %s bundle is" % (path, name), hint=_COPY)
    return identity


def _title(bundle):
    return "%s@%s (%s)" % (bundle["recipe"], bundle["release"], bundle["digest"][:12])
