"""labelme's JSON: one file for each picture."""

import base64
import json
import math
import os

from wheelferry.client.common.texts import NotText, decode_text
from wheelferry.client.data import pillow
from wheelferry.client.data.formats import rle
from wheelferry.client.data.formats.jsonstream import encoding_of
from wheelferry.client.data.formats.per_picture import PerPicture
from wheelferry.client.data.geometry import are_finite, extent, finite
from wheelferry.client.data.values import Picture, Thing

_CORNERS = 32  # of the polygon that stands for a circle
_WITHOUT_AREA = ("line", "linestrip", "point", "points")
_LEAST = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2, "oriented_rectangle": 4}


class Labelme(PerPicture):
    """The JSON files `files` of a tree, as one split."""

    def _picture_of(self, file):
        try:
            document = self._read(file)
        except NotText as error:
            self._found.add("labels-unreadable", file, "line %d" % error.line, str(error))
            return None
        except json.JSONDecodeError as error:
            self._found.add("labels-unreadable", file, "line %d" % error.lineno, error.msg)
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._found.add("labels-unreadable", file, detail=str(error))
            return None
        if encoding_of(self._tree.path(file)) != "utf-8":
            self._found.add("labels-encoding", file)
        return self._picture(file, document)

    def _read(self, file):
        with open(self._tree.path(file), "rb") as stream:
            document = json.loads(decode_text(stream.read()))
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            raise ValueError("it has no list `shapes`")
        return document

    def _picture(self, file, document):
        folder, _, name = file.rpartition("/")
        given = document.get("imagePath")
        given = given if isinstance(given, str) and "\0" not in given else ""
        known, code = self._tree.resolve(given, folder) if given else (None, "picture-missing")
        embedded = known is None and _is_base64(document.get("imageData")) and code != "picture-outside"
        if embedded:
            self._found.add("picture-embedded", given or name, file)
        elif code:
            self._found.add(code, given or name, file)
        size = [
            document.get(side) if finite(document.get(side)) else 0 for side in ("imageWidth", "imageHeight")
        ]
        if min(size) < 1:
            self._found.add("picture-size-unstated", file)
            size = [0, 0]
        path = self._tree.path(known) if known else None
        shown = known or given.replace("\\", "/").rpartition("/")[2] or os.path.splitext(name)[0] + ".png"
        picture = Picture(path, shown, file, int(size[0]), int(size[1]), embedded=embedded)
        picture.good = known is not None or embedded
        if embedded:
            picture.path = self._tree.path(file)
        return picture

    def things(self, pictures, _options):
        """The objects of all files; shapes of one group are one object."""
        for picture in pictures:
            for thing in self._of_picture(picture):
                yield thing

    def _of_picture(self, picture):
        groups = {}
        for place, shape in enumerate(self._read(picture.labels)["shapes"]):
            where = "shapes[%d]" % place
            thing = self._thing(picture, shape, where)
            if thing is None:
                continue
            group = shape.get("group_id")
            if not isinstance(group, (int, str)) or isinstance(thing.outline, dict):
                yield thing
            elif (group, thing.category) not in groups:
                groups[group, thing.category] = thing
            else:
                self._found.add("shape-group", picture.labels, where, "group %s" % group)
                _join(groups[group, thing.category], thing)
        for thing in groups.values():
            yield thing

    def _thing(self, picture, shape, where):
        found, labels = self._found, picture.labels
        if not isinstance(shape, dict):
            found.add("object-broken", labels, where)
            return None
        name = shape.get("label")
        if not isinstance(name, str) or not name.strip():
            found.add("category-name", labels, where)
            return None
        where += " (%s)" % name
        kind = shape.get("shape_type") or "polygon"
        if not isinstance(kind, str):
            kind = type(kind).__name__  # which is no kind
        if kind in _WITHOUT_AREA:
            found.add("shape-without-area", labels, where, kind)
            return None
        if kind not in _LEAST:
            found.add("shape-kind", labels, where, kind[:60])
            return None
        points = shape.get("points")
        if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
            found.add("shape-broken", labels, where, "its points are no pairs")
            return None
        if not all(are_finite(point) for point in points):
            found.add("polygon-numbers" if kind == "polygon" else "box-numbers", labels, where)
            return None
        return self._made(picture, name.strip(), kind, points, shape, where)

    def _made(self, picture, name, kind, points, shape, where):
        flat = [value for point in points for value in point]
        if len(points) < _LEAST[kind]:
            # two points of a polygon are a polygon too short; those of other kinds are no shape at all
            code = "polygon-short" if kind == "polygon" else "shape-broken"
            self._found.add(code, picture.labels, where, "%d points" % len(points))
            return None
        if kind in ("polygon", "oriented_rectangle"):
            return Thing(picture, name, extent([flat]), where, outline=[flat])
        if kind == "circle":
            self._found.add("shape-circle", picture.labels, where)
            (x, y), edge = points[0], points[1]
            radius = math.hypot(edge[0] - x, edge[1] - y)
            turns = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
            flat = [v for turn in turns for v in (x + radius * math.cos(turn), y + radius * math.sin(turn))]
            return Thing(picture, name, extent([flat]), where, outline=[flat])
        thing = Thing(picture, name, extent([flat]), where)  # its corners may be drawn in any order
        if kind == "mask":
            thing.outline = self._mask(picture, shape, points[0], where)
            if thing.outline is None:
                return None
            if rle.area(thing.outline["counts"]):
                thing.box = rle.extent(thing.outline["counts"], picture.size[1])
        return thing

    def _mask(self, picture, shape, corner, where):
        pillow.require("a shape that is a mask")
        width, height = picture.size
        if not width:
            return None  # its size is not known, which is told
        try:
            data = base64.b64decode(shape.get("mask") or "", validate=True)
            counts = pillow.runs_of(data, width, height, round(corner[0]), round(corner[1]))
        except (ValueError, TypeError, pillow.Unfit) as error:
            self._found.add("shape-broken", picture.labels, where, "its mask is no picture: %s" % error)
            return None
        return {"size": [height, width], "counts": counts}


def _join(thing, other):
    """Make one object of two shapes of a group."""
    boxes = [(x, y, x + width, y + height) for x, y, width, height in (thing.box, other.box)]
    thing.box = extent([boxes[0] + boxes[1]])
    thing.outline = thing.outline + other.outline if thing.outline and other.outline else None


def _is_base64(value):
    return isinstance(value, str) and len(value) > 0
