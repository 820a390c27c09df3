"""YOLO's text files: a line for each object, in fractions of the picture, and the names of the classes."""

import math
import os
import re

from wheelferry.client.common.errors import BadInput, NotPossibleHere
from wheelferry.client.common.texts import NotText, decode_text
from wheelferry.client.data.formats.jsonstream import encoding_of
from wheelferry.client.data.formats.tree import ending, join, split_of
from wheelferry.client.data.geometry import extent, finite
from wheelferry.client.data.values import Category, Picture, Thing

NAMES = ("classes.txt", "obj.names", "_darknet.labels")
_NOT_LABELS = (*NAMES, "readme.txt", "requirements.txt", "license.txt", "notes.json")
_COMMA = re.compile(r"-?\d*,\d+")
_OVER = 0.01  # what trainers forgive beyond 0 to 1
_BOX = 5  # numbers in a line: the class and a box


class Yolo(object):
    """The pictures `names` of a tree, as one split, with the label file of each."""

    named = True
    broken = False

    def __init__(self, tree, names, yaml, found):
        self.file = yaml.file
        self.categories = yaml.categories
        self._tree = tree
        self._names = names
        self._listed = yaml.listed
        self._points = yaml.points
        self._found = found

    def pictures(self, _folders):
        """One for each picture file; without a label file it is background."""
        made, known = [], set()
        for name in self._names:
            labels = label_of(name)
            known.add(labels)
            made.append(Picture(self._tree.path(name), name, labels if self._tree.has(labels) else None))
        folders = {labels.rpartition("/")[0] for labels in known}
        for file in self._tree.of("txt"):
            if file.rpartition("/")[0] in folders and file not in known and is_label(file):
                self._found.add("labels-without-picture", file)
        return made

    def things(self, pictures, options):
        """The objects of all label files."""
        for picture in pictures:
            if not picture.labels:
                continue
            if not picture.size[0]:
                picture.width = picture.height = 1  # boxes stay fractions where no picture can be opened
            for line, words in self._lines(picture.labels):
                thing = self._thing(picture, words, "line %d" % line, options)
                if thing is not None:
                    yield thing

    def _lines(self, file):
        """(number, words) of each line that is not blank."""
        try:
            with open(self._tree.path(file), "rb") as stream:
                text = decode_text(stream.read())
        except NotText as error:
            self._found.add("labels-unreadable", file, "line %d" % error.line, str(error))
            return
        except OSError as error:
            self._found.add("labels-unreadable", file, detail=error.strerror)
            return
        if encoding_of(self._tree.path(file)) != "utf-8":
            self._found.add("labels-encoding", file, detail=encoding_of(self._tree.path(file)))
        if "\r" in text:
            self._found.add("line-ends", file)
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line.split()
            else:
                self._found.add("blank-lines", file, "line %d" % number)

    def _thing(self, picture, words, where, options):
        found, file = self._found, picture.labels
        values = _numbers(words)
        if values is None:
            comma = any(_COMMA.fullmatch(word) for word in words)
            found.add("decimal-comma" if comma else "object-broken", file, where, " ".join(words)[:80])
            return None
        if len(values) < _BOX:
            found.add("object-broken", file, where, "%d numbers" % len(values))
            return None
        if not all(finite(value) for value in values):
            found.add("box-numbers", file, where, " ".join(words)[:80])
            return None
        if values[0] != int(values[0]) or values[0] < 0:
            found.add("class-number", file, where, words[0])
            return None
        number = int(values[0])
        if self._listed and number >= len(self.categories):
            found.add("category-unknown", file, where, "class %d of %d" % (number, len(self.categories)))
            return None
        return self._shape(picture, number, values[1:], where, options)

    def _shape(self, picture, number, values, where, options):
        """The object that the numbers after the class make."""
        found, file = self._found, picture.labels
        width, height = picture.size
        points = self._points
        keypoints = None
        if points and len(values) == 4 + points[0] * points[1]:
            keypoints = _keypoints(values[4:], points[1], width, height)
            values = values[:4]
        elif len(values) == 5:
            found.add("confidence", file, where)
            values = values[:4]
        if len(values) > 4 and (len(values) % 2 or len(values) < 6):
            found.add("polygon-odd", file, where, "%d numbers after the class" % len(values))
            return None
        if not all(-_OVER <= value <= 1 + _OVER for value in values):
            found.add("not-fractions", file, where, " ".join("%g" % value for value in values[:8]))
            return None
        if len(values) > 4:
            flat = [value * (height if at % 2 else width) for at, value in enumerate(values)]
            return Thing(picture, number, extent([flat]), where, outline=[flat])
        x, y, wide, high = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        corners = (x, y, wide - x, high - y)
        box = corners if options.corners else (x - wide / 2, y - high / 2, wide, high)
        thing = Thing(picture, number, box, where, keypoints=keypoints)
        thing.corners = None if options.corners else corners
        return thing


def _numbers(words):
    """The words as numbers; None when one of them is none."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _keypoints(values, dimensions, width, height):
    """Keypoints as COCO has them; without a visibility they are visible unless at (0, 0)."""
    found = []
    for at in range(0, len(values), dimensions):
        x, y = values[at] * width, values[at + 1] * height
        flag = values[at + 2] if dimensions == 3 else (0 if x == y == 0 else 2)
        found += [x, y, int(flag) if flag == int(flag) else flag]
    return found


def label_of(name):
    """The label file of a picture: below labels where the picture is below images, else beside it."""
    stem = os.path.splitext(name)[0] + ".txt"
    parts = stem.split("/")
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            return "/".join([*parts[:at], "labels", *parts[at + 1 :]])
    return stem


def is_label(file):
    """Whether the name of a text file can be one of labels."""
    return file.rpartition("/")[2].lower() not in _NOT_LABELS


class Description(object):
    """What data.yaml or classes.txt says: the names, and where the splits are."""

    def __init__(self, file=""):
        self.file = file
        self.categories = []
        self.listed = False
        self.points = None  # (how many keypoints, numbers of each)
        self.splits = {}

    def name(self, names):
        """Take `names` in their order."""
        self.listed = True
        self.categories = [Category(number, name) for number, name in enumerate(names)]


def read_names(tree, file, found):
    """The description of a data set with a file of names, one a line."""
    made = Description(file)
    try:
        with open(tree.path(file), "rb") as stream:
            text = decode_text(stream.read())
    except NotText as error:
        found.add("labels-unreadable", file, "line %d" % error.line, str(error))
        return made
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    made.name(lines)
    return made


def read_yaml(tree, file, found):
    """The description in data.yaml; None where a YAML file is something else."""
    document = _load_yaml(tree, file)
    if not isinstance(document, dict) or "names" not in document:
        return None
    made = Description(file)
    names = document["names"]
    if isinstance(names, dict):
        if all(type(number) is int and number >= 0 for number in names) and names:
            last = max(names)
            if last > 100000:
                raise BadInput("%s: class %d has a name, those before have none" % (file, last))
            names = [names.get(number) for number in range(last + 1)]
        else:
            names = list(names.values())
    if not isinstance(names, list):
        raise BadInput("%s: `names` is neither a list nor a table" % file, hint="names: [scratch, dent]")
    made.name(["" if name is None else str(name) for name in names])
    stated = document.get("nc")
    if stated is not None and stated != len(names):
        found.add("names-count", file, detail="nc is %s, names has %d" % (stated, len(names)))
    shape = document.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(type(one) is int and one > 0 for one in shape):
        made.points = tuple(shape) if shape[1] in (2, 3) else None
    if made.points:
        points = tuple("point %d" % (number + 1) for number in range(made.points[0]))
        made.categories = [category._replace(keypoints=points) for category in made.categories]
    for split in ("train", "val", "test"):
        given = document.get(split) or (document.get("valid") if split == "val" else None)
        if given:
            pictures = _pictures(tree, file, document.get("path"), given, found)
            if pictures:
                made.splits[split] = pictures
    return made


def _load_yaml(tree, file):
    try:
        import yaml
    except ImportError:
        raise NotPossibleHere(
            "%s needs PyYAML, and this Python has none" % file,
            hint="write the names of the classes to classes.txt, one a line, in place of it",
        ) from None
    try:
        with open(tree.path(file), "rb") as stream:
            return yaml.safe_load(decode_text(stream.read()))
    except NotText as error:
        raise BadInput("%s: line %d: %s" % (file, error.line, error)) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput("%s is no YAML: %s" % (file, " ".join(str(error).split())[:200])) from None


def _pictures(tree, file, path, given, found):
    """The pictures that an entry of data.yaml names: folders, or files that list pictures."""
    base = file.rpartition("/")[0]
    pictures = []
    for entry in given if isinstance(given, list) else [given]:
        place = _place(tree, base, path, entry) if isinstance(entry, str) else None
        if place is None:
            found.add("split-missing", file, detail=str(entry)[:200])
        elif ending(place) == "txt" and tree.has(place):
            pictures += _listed(tree, place, found)
        else:
            pictures += tree.below(place)
    return pictures


def _place(tree, base, path, entry):
    """The folder or list that an entry means; `path` of data.yaml is tried, then the folder of data.yaml.

    Exporters write ../train/images for a folder beside data.yaml, and paths of the machine that they ran on.
    """
    entry = entry.replace("\\", "/")
    bases = [join(base, path.replace("\\", "/"))] if isinstance(path, str) and not os.path.isabs(path) else []
    for start in [one for one in bases if one is not None] + [base]:
        for tried in (entry, entry[3:] if entry.startswith("../") else ""):
            place = join(start, tried) if tried and not tried.startswith("/") else None
            if place is not None and (tree.has(place) or tree.has_folder(place) or place == ""):
                return place
    # an absolute path: as much of its end as is there
    parts = entry.strip("/").split("/") if entry.startswith("/") or entry[1:2] == ":" else []
    for at in range(1, len(parts)):
        place = join(base, "/".join(parts[at:]))
        if place and tree.has_folder(place):
            return place
    return None


def _listed(tree, place, found):
    """The pictures that a text file lists, one a line."""
    base = place.rpartition("/")[0]
    pictures = []
    with open(tree.path(place), encoding="utf-8-sig", errors="replace") as stream:
        for line, text in enumerate(stream, 1):
            given = text.strip()
            if not given:
                continue
            name, code = tree.resolve(given, base)
            if name is None and not given.startswith("/"):
                name, code = tree.resolve(given, "")
            if code:
                found.add(code, given, "%s line %d" % (place, line))
            if name:
                pictures.append(name)
    return pictures


def guess_splits(names):
    """{split: [pictures]} by folders called train, val or test; "all" for others."""
    splits = {}  # type: dict[str, list[str]]
    for name in names:
        named = [split_of(part) for part in name.split("/")[:-1]]
        splits.setdefault(next((one for one in named if one), "all"), []).append(name)
    return splits


def unnamed(tree, names):
    """A description by the class numbers that the labels use, where no file has names."""
    last = -1
    for name in names:
        labels = label_of(name)
        if tree.has(labels):
            with open(tree.path(labels), encoding="utf-8", errors="replace") as stream:
                for line in stream:
                    values = _numbers(line.split()[:1])
                    if values and finite(values[0]) and math.floor(values[0]) == values[0] < 100000:
                        last = max(last, int(values[0]))
    made = Description()
    made.name([str(number) for number in range(last + 1)])
    return made
