"""Pascal VOC's XML, as LabelImg writes it: one file for each picture."""

import os
import xml.etree.ElementTree as ET

from wheelferry.client.data.formats.per_picture import PerPicture
from wheelferry.client.data.formats.tree import join, split_of
from wheelferry.client.data.geometry import finite
from wheelferry.client.data.values import Picture, Thing

# The original data sets count pixels from 1; LabelImg from 0, as everybody since.
_ORIGINAL = "The VOC"


class Voc(PerPicture):
    """The XML files `files` of a tree, as one split."""

    def _picture_of(self, file):
        root = self._parse(file)
        return None if root is None else self._picture(file, root)

    def _parse(self, file):
        try:
            with open(self._tree.path(file), "rb") as stream:
                data = stream.read()
            if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
                self._found.add(
                    "labels-unreadable", file, detail="it has a document type, which labels have not"
                )
                return None
            if data[:3] == b"\xef\xbb\xbf" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
                self._found.add("labels-encoding", file)
            root = ET.fromstring(data)  # noqa: S314 -- it declares no entities
        except ET.ParseError as error:
            self._found.add("labels-unreadable", file, "line %d" % error.position[0], str(error))
        except (OSError, ValueError, LookupError) as error:
            self._found.add("labels-unreadable", file, detail=str(error))
        else:
            if root.tag == "annotation":
                return root
            self._found.add("labels-unreadable", file, detail="<%s> instead of <annotation>" % root.tag)
        return None

    def _picture(self, file, root):
        folder, _, name = file.rpartition("/")
        stem = os.path.splitext(name)[0]
        given = (root.findtext("filename") or "").strip()
        known = self._file_of(file, folder, stem, given)
        size = [_number(root.findtext("size/" + side)) or 0 for side in ("width", "height")]
        if min(size) < 1:
            self._found.add("picture-size-unstated", file)
            size = [0, 0]
        path = self._tree.path(known) if known else None
        picture = Picture(path, known or given or name, file, int(size[0]), int(size[1]))
        picture.good = known is not None
        return picture

    def _file_of(self, file, folder, stem, given):
        """The picture of a label file: the one of its name, else the one that it states."""
        beside = self._tree.near(folder, stem)
        plain = given.replace("\\", "/").rpartition("/")[2]
        if beside:
            if plain and plain != beside.rpartition("/")[2]:
                self._found.add("voc-filename", file, detail=given)
            return beside
        up = folder.rpartition("/")[0]
        code = "picture-missing"
        for place in (folder, join(up, "JPEGImages"), join(up, "images")) if given else ():
            name, odd = self._tree.resolve(given, place)
            if name:
                if odd:
                    self._found.add(odd, given, file)
                return name
            code = odd if odd == "picture-outside" else code
        self._found.add(code, given or stem, file)
        return None

    def things(self, pictures, options):
        """The objects of all files, in order."""
        quiet = Voc(self._tree, (), _Nobody())
        for picture in pictures:
            root = quiet._parse(picture.labels)
            if root is None:
                continue
            original = (root.findtext("source/database") or "").strip().startswith(_ORIGINAL)
            if original and not options.one_based:
                self._found.add("voc-one-based", picture.labels)
            first = int(original or options.one_based)
            for place, element in enumerate(root.iter("object")):
                thing = self._thing(picture, element, "object %d" % (place + 1), first)
                if thing is not None:
                    yield thing

    def _thing(self, picture, element, where, first):
        name = (element.findtext("name") or "").strip()
        where += " (%s)" % name if name else ""
        if not name:
            self._found.add("category-name", picture.labels, where)
            return None
        if (element.findtext("difficult") or "0").strip() == "1":
            self._found.add("object-difficult", picture.labels, where)
        outline = _polygon(element.find("polygon"), first)
        texts = [element.findtext("bndbox/" + side) for side in ("xmin", "ymin", "xmax", "ymax")]
        if texts == [None] * 4:
            return Thing(picture, name, None, where, outline=outline)
        values = [_number(text) for text in texts]
        if any(value is None for value in values):
            comma = any("," in (text or "") for text in texts)
            self._found.add("decimal-comma" if comma else "box-numbers", picture.labels, where, str(texts))
            return None
        left, top, right, bottom = values
        left, top = left - first, top - first
        return Thing(picture, name, (left, top, right - left, bottom - top), where, outline=outline)


class _Nobody(object):
    """Takes what was told already."""

    def add(self, *_told):
        """Nothing."""


def _polygon(element, first):
    """The outline that some exporters add: x1, y1, x2, y2 …; None without one."""
    if element is None:
        return None
    points = []
    for place in range(1, len(element) // 2 + 1):
        for axis in "xy":
            value = _number(element.findtext("%s%d" % (axis, place)))
            points.append("" if value is None else value - first)
    return [points]


def _number(text):
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if finite(value) else None


def read_splits(tree, files, found):
    """{split: [files]} as ImageSets/Main says; without one, by the folder that a file is in."""
    lists = {}
    for name in tree.of("txt"):
        parts = name.split("/")
        if "ImageSets" in parts[:-1] and split_of(parts[-1]) and "_" not in parts[-1]:
            lists[os.path.splitext(parts[-1])[0]] = name
    chosen = {split_of(stem): name for stem, name in lists.items() if stem in ("train", "val", "test")}
    if not chosen:
        return by_folder(files)
    by_stem = {os.path.splitext(file)[0].rpartition("/")[2]: file for file in files}
    splits = {}  # type: dict[str, list[str]]
    for split, listed in chosen.items():
        splits[split] = []
        with open(tree.path(listed), encoding="utf-8-sig", errors="replace") as stream:
            for line, text in enumerate(stream, 1):
                stem = text.split()[0] if text.split() else None
                if stem in by_stem:
                    splits[split].append(by_stem[stem])
                elif stem:
                    found.add("labels-missing", listed, "line %d" % line, stem)
    return splits


def by_folder(files):
    """{split: [files]} by the first folder called train, val or test in a path; "all" for others."""
    splits = {}  # type: dict[str, list[str]]
    for file in files:
        named = [split_of(part) for part in file.split("/")[:-1]]
        splits.setdefault(next((name for name in named if name), "all"), []).append(file)
    return splits
