"""The files of a data set: listed once, and found by the names that labels give them."""

import os
import re
import unicodedata

from wheelferry.client.common.errors import BadInput
from wheelferry.client.common.files import unlimited

PICTURES = ("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "dib", "tif", "tiff", "webp", "gif", "ppm", "pgm")
# What folders and lists of splits are called, and what they are called here.
_SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_WORDS = re.compile(r"[a-z]+")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:|\\\\")


def ending(name):
    """The ending of a name, in small letters, without the dot."""
    return os.path.splitext(name)[1][1:].lower()


def split_of(name):
    """train, val or test where a word of `name` says so; else None."""
    for word in _WORDS.findall(name.lower()):
        if word in _SPLITS:
            return _SPLITS[word]
    return None


class Tree(object):
    """All files below a folder by their relative paths with slashes; hidden ones are not looked at."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.names = sorted(_walk(self.root))
        self._exact = set(self.names)
        self._folded = {}  # type: dict[str, str]
        for name in self.names:
            self._folded.setdefault(_fold(name), name)
        self._by_stem = None

    def path(self, name):
        """Where the file `name` is."""
        return unlimited(os.path.join(self.root, *name.split("/")))

    def has(self, name):
        """Whether there is a file of exactly that relative path."""
        return name in self._exact

    def of(self, *endings):
        """The names with one of these endings."""
        return [name for name in self.names if ending(name) in endings]

    def below(self, folder):
        """The pictures in a folder and below it; "" is all of the tree."""
        start = folder + "/" if folder else ""
        return [name for name in self.names if name.startswith(start) and ending(name) in PICTURES]

    def has_folder(self, folder):
        """Whether files lie in a folder or below it."""
        return any(name.startswith(folder + "/") for name in self.names)

    def resolve(self, given, base=""):
        """(name, code): the file that labels in the folder `base` call `given`; code says what is odd.

        The name is None where there is none: the code is picture-missing or picture-outside.
        """
        wanted = given
        code = None
        if "\\" in given and not self.has(join(base, given)):
            wanted, code = given.replace("\\", "/"), "picture-slashes"
        if _ABSOLUTE.match(given) or _ABSOLUTE.match(wanted):
            return None, "picture-outside"
        name = join(base, wanted)
        if name is None:
            return None, "picture-outside"
        if self.has(name):
            return name, code
        other = self._folded.get(_fold(name))
        return (other, "picture-case") if other else (None, "picture-missing")

    def near(self, folder, stem):
        """The picture called `stem` for a label file in `folder`: beside it, else in a folder for pictures.

        Without one there, the only one of that name in the tree. None when there is none, or several.
        """
        if self._by_stem is None:
            self._by_stem = {}
            for name in self.below(""):
                self._by_stem.setdefault(_fold(os.path.splitext(name)[0].rpartition("/")[2]), []).append(name)
        candidates = self._by_stem.get(_fold(stem), [])
        exact = [name for name in candidates if os.path.splitext(name)[0].rpartition("/")[2] == stem]
        candidates = exact or candidates
        up = folder.rpartition("/")[0]
        for place in (folder, join(up, "JPEGImages"), join(up, "images"), join(up, "Images")):
            there = [name for name in candidates if name.rpartition("/")[0] == place]
            if there:
                return there[0]
        return candidates[0] if len(candidates) == 1 else None


def join(base, name):
    """A relative path with slashes from `base`, with . and .. resolved; None when it leads out."""
    parts = []  # type: list[str]
    for part in (base + "/" + name).split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _walk(root):
    """The relative paths of all files; pipes, devices and links to nothing are none."""
    seen = set()
    waiting = [("", root)]
    while waiting:
        inside, folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above it
            continue
        seen.add(real)
        try:
            entries = list(os.scandir(unlimited(folder)))
        except OSError as error:
            told = "%s cannot be read: %s" % (folder, error.strerror)
            raise BadInput(told, hint="whose folder is it?") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append((inside + entry.name + "/", entry.path))
            elif entry.is_file():
                yield inside + entry.name


def _fold(name):
    return unicodedata.normalize("NFC", name).casefold()
