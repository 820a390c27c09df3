"""What an installation into an existing environment replaces: set aside first, put back when it fails.

While it lasts, the old files lie in the folder ``.replaced`` under their numbers, with a journal of their
paths. A run that is killed leaves them there, and the next one puts them back before it does anything else.
"""

import contextlib
import glob
import os
import re
import shutil

from wheelferry.client.common.files import read_json, remove_tree, write_json
from wheelferry.client.installer.distributions import distribution_name, rows_of
from wheelferry.client.installer.wheels import Layout, dist_info, files_of  # noqa: F401 -- Layout in comments

_METADATA = re.compile(r"(?P<name>.+?)(-[^-]+)*\.(dist-info|egg-info|egg-link)$")


class Replaced(object):
    """The files that make way for an installation into the environment in `folder`, kept in `records`."""

    def __init__(self, folder, records):
        self.folder = os.path.realpath(folder)
        self.aside = os.path.join(records, ".replaced")
        self.journal = os.path.join(self.aside, "journal.json")

    def set_aside(self, names, wheels, layout, others=()):
        """Move what is there of the packages `names`, and what lies where new files go.

        Those are the files of `wheels`, and `others`. Packages without a list of their files (conda's and
        apt's, or damaged ones) make way as far as that.
        """
        new = [path for wheel in wheels for path in files_of(wheel, layout)] + list(others)
        old = {path for name in sorted(names) for path in _files_of_package(name, layout)}
        old.update(path for path in new if os.path.lexists(path) and not _is_folder(path))
        document = {
            "old": sorted(path for path in old if path.startswith(self.folder + os.sep)),
            "new": new,
            "metadata": [dist_info(wheel, layout) for wheel in wheels],
            "keep": sorted({layout.purelib, layout.platlib, layout.scripts}),
        }
        os.makedirs(self.aside, exist_ok=True)
        write_json(self.journal, document)
        for number, path in enumerate(document["old"]):
            shutil.move(path, self._kept(number))
        # an empty .dist-info would still count as a package
        remove_empty(document["old"], self.folder, document["keep"])

    def put_back(self):
        """Make the environment what it was before `set_aside`; returns whether there was anything to do."""
        document = read_json(self.journal)
        if document is None:  # there is nothing, or a kill came before the first file was moved
            remove_tree(self.aside)
            return False
        self._remove_new(document)
        for number, path in enumerate(document["old"]):
            if os.path.lexists(self._kept(number)):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                shutil.move(self._kept(number), path)
        remove_tree(self.aside)
        return True

    def clear(self):
        """Remove what was installed so far, so that another installer can start again."""
        document = read_json(self.journal)
        if document is not None:
            self._remove_new(document)

    def forget(self):
        """Keep what was installed: the old files go."""
        remove_tree(self.aside)

    def _kept(self, number):
        return os.path.join(self.aside, "%d" % number)

    def _remove_new(self, document):
        """Remove every file that an installer has put there; an old one that was not yet moved stays."""
        # of a run that was killed while it moved, or while it put back
        unmoved = {
            path for number, path in enumerate(document["old"]) if not os.path.lexists(self._kept(number))
        }
        written = [path for folder in document["metadata"] for path in _files_below(folder)]
        remove_files(path for path in document["new"] + written if path not in unmoved)
        remove_empty(document["new"] + written, self.folder, document["keep"])


def remove_files(paths):
    """Remove files, with the byte code of those that are Python's; absent ones are all right."""
    for path in paths:
        for each in [path, *_byte_code(path)]:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(each)


def remove_empty(paths, root, keep):
    """Remove the folders below `root` that held the files `paths`, when nothing but old byte code is left.

    The folders `keep` stay, empty or not.
    """
    folders = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder.startswith(root + os.sep) and folder not in folders and folder not in keep:
            folders.add(folder)
            folder = os.path.dirname(folder)
        if not os.path.lexists(path):
            remove_files(_byte_code(path))
    for folder in sorted(folders, key=len, reverse=True):
        for each in (os.path.join(folder, "__pycache__"), folder):
            with contextlib.suppress(OSError):  # it is not empty, or was never there
                os.rmdir(each)


def _byte_code(path):
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    if ending != ".py":
        return []
    return glob.glob(os.path.join(glob.escape(folder), "__pycache__", glob.escape(stem) + ".*.pyc"))


def _files_of_package(name, layout):
    """The files of an installed package, by whatever list of them there is, and its metadata."""
    found = []  # type: list[str]
    for site in {layout.purelib, layout.platlib}:
        for entry in os.listdir(site) if os.path.isdir(site) else ():
            match = _METADATA.match(entry)
            if match and distribution_name(match.group("name")) == name:
                path = os.path.join(site, entry)
                found += _files_below(path) if _is_folder(path) else [path]
                found += _listed(path, site)
    return [path for path in found if os.path.lexists(path) and not _is_folder(path)]


def _listed(metadata, site):
    """The files that a package's own list names: RECORD, or installed-files.txt of old tools."""
    record, old = os.path.join(metadata, "RECORD"), os.path.join(metadata, "installed-files.txt")
    if os.path.isfile(record):
        return [os.path.normpath(os.path.join(site, row[0])) for row in rows_of(record)]
    if os.path.isfile(old):
        with open(old, encoding="utf-8", errors="surrogateescape") as stream:
            return [os.path.normpath(os.path.join(metadata, line.rstrip("\n"))) for line in stream]
    return []


def _files_below(folder):
    return [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]


def _is_folder(path):
    return os.path.isdir(path) and not os.path.islink(path)
