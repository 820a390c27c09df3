"""What is wrong with one object: box, outline, keypoints, and what COCO's evaluation reads of it."""

from wheelferry.client.data import geometry
from wheelferry.client.data.formats import rle
from wheelferry.client.data.geometry import are_finite, finite, is_id

TASKS = ("boxes", "masks", "keypoints")
_EDGE = 1.0  # pixels beyond the border that come from rounding and are not told
_FEW = 4  # boxes from which on their order is judged
_BEYOND = 0.2  # share of boxes that lie beyond the picture when corners are read as corner and size


class Order(object):
    """Whether the boxes of a split are two corners, although the format has something else."""

    def __init__(self):
        self.boxes = 0
        self.beyond = 0
        self.fit = 0
        self.proven = 0

    def look(self, thing, size):
        """Take in one box."""
        if thing.corners is None or size[0] <= 1:
            return
        left, top, width, height = thing.corners
        right, bottom = left + width, top + height
        self.boxes += 1
        inside = min(left, top) >= -_EDGE and right <= size[0] + _EDGE and bottom <= size[1] + _EDGE
        self.fit += inside and width > 0 and height > 0
        self.beyond += _beyond(thing.box, size) > _EDGE
        if isinstance(thing.outline, list) and thing.outline and all(_is_polygon(p) for p in thing.outline):
            around = geometry.extent(thing.outline)
            self.proven += _near(thing.corners, around) and not _near(thing.box, around)

    @property
    def is_wrong(self):
        """Whether all boxes fit as two corners, and too many do not as they should be."""
        if not self.boxes or self.fit < self.boxes:
            return False
        return self.proven > 0 or (self.boxes >= _FEW and self.beyond >= _BEYOND * self.boxes)


class Objects(object):
    """Looks at the objects of one split; `found` is told, `task` is one of TASKS or None."""

    def __init__(self, found, task, file):
        self._found = found
        self._task = task
        self._file = file
        self._ids = set()
        self._seen = set()
        self._unnamed = set()
        self.order = Order()
        self.outlined = 0
        self.plain = 0

    def look(self, thing, category):
        """Whether `thing` is fit to be trained on; what a conversion would change of it is changed.

        `category` is its Category.
        """
        size = thing.picture.size
        if thing.stated is not None and not self._stated(thing):
            return False
        self.order.look(thing, size)
        counts = self._outline(thing, size)
        if not self._box(thing, size, counts):
            return False
        self._keypoints(thing, size, category)
        self._area(thing, counts)
        self._twice(thing)
        if thing.outline is None:
            self.plain += 1
        else:
            self.outlined += 1
        if self._task == "masks" and thing.outline is None:
            self._tell("outline-missing", thing)
            return False
        if self._task == "keypoints" and thing.keypoints is None and not thing.crowd:
            self._tell("keypoints-missing", thing)
            return False
        return True

    def _tell(self, code, thing, detail=""):
        self._found.add(code, thing.picture.labels or self._file, thing.where, detail)

    def _stated(self, thing):
        """Look at what COCO's evaluation reads: the id, iscrowd, ignore."""
        stated = thing.stated
        number = stated.get("id")
        if not is_id(number):
            self._tell("object-id", thing, repr(number)[:60])
        elif number in self._ids:
            self._tell("object-id-twice", thing)
        else:
            self._ids.add(number)
            if number == 0:
                self._tell("object-id-zero", thing)
        crowd = stated.get("iscrowd")
        if crowd in (0, 1) and not isinstance(crowd, (bool, float)):
            thing.crowd = crowd
        else:
            self._tell(
                "crowd-value", thing, "it is %s" % repr(crowd)[:60] if crowd is not None else "missing"
            )
            thing.crowd = 0
        if thing.crowd and isinstance(thing.outline, list):
            self._tell("crowd-outline", thing)
        if stated.get("ignore"):
            self._tell("object-ignored", thing)
            return False
        return True

    def _outline(self, thing, size):
        """Leave in `thing` the outline that is sound; returns the counts of a run-length code."""
        outline, thing.outline = thing.outline, None
        if outline is None:
            return None
        if isinstance(outline, dict):
            return self._code(thing, outline, size)
        if not isinstance(outline, list):
            self._tell("outline-kind", thing, type(outline).__name__)
            return None
        if are_finite(outline):
            self._tell("polygon-flat", thing)
            outline = [outline]
        sound = [polygon for polygon in outline if self._polygon(thing, polygon)]
        if sound and size[0] > 1:
            beyond = _beyond(geometry.extent(sound), size)
            if beyond > _EDGE:
                self._tell("polygon-beyond", thing, "by %.1f pixels" % beyond)
            if beyond > 0:
                clipped = [geometry.clip_polygon(polygon, size) for polygon in sound]
                sound = [polygon for polygon in clipped if geometry.polygon_area(polygon) > 0]
        thing.outline = sound or None
        return None

    def _polygon(self, thing, polygon):
        if not are_finite(polygon):
            self._tell("polygon-numbers", thing, repr(polygon)[:80])
        elif len(polygon) % 2:
            self._tell("polygon-odd", thing, "%d numbers" % len(polygon))
        elif len(polygon) < 6:
            self._tell("polygon-short", thing, "%d points" % (len(polygon) // 2))
        elif geometry.polygon_area(polygon) == 0:
            self._tell("polygon-empty", thing)
        else:
            return True
        return False

    def _code(self, thing, outline, size):
        try:
            counts = rle.counts_of(outline)
        except rle.NotRle as error:
            self._tell("rle-broken", thing, str(error))
            return None
        if size[0] > 1 and outline["size"] != [size[1], size[0]]:
            self._tell("rle-size", thing, "%s, the picture has %s" % (outline["size"], [size[1], size[0]]))
            return None
        if not rle.area(counts):
            self._tell("rle-empty", thing)
            return None
        if not thing.crowd:
            self._tell("rle-object", thing)
        thing.outline = outline
        return counts

    def _box(self, thing, size, counts):
        around = None
        if thing.outline is not None:
            if counts is None:
                around = geometry.extent(thing.outline)
            else:
                around = rle.extent(counts, thing.outline["size"][0])
        if thing.box is None:
            self._tell("box-missing", thing)
            thing.box = around
            return around is not None
        width, height = thing.box[2:]
        if width < 0 or height < 0:
            self._tell("box-reversed", thing, _told(thing.box))
            return False
        if width == 0 or height == 0:
            self._tell("box-empty", thing, _told(thing.box))
            return False
        if size[0] < 1:
            return True
        inside = geometry.clip_box(thing.box, size)
        if inside[2] <= 0 or inside[3] <= 0:
            self._tell("box-outside", thing, "%s in %d x %d" % (_told(thing.box), size[0], size[1]))
            return False
        beyond = _beyond(thing.box, size)
        if beyond > _EDGE and size[0] > 1:
            self._tell("box-beyond", thing, "%s in %d x %d" % (_told(thing.box), size[0], size[1]))
        if around is not None and beyond <= _EDGE and not _near(thing.box, around):
            self._tell(
                "box-unlike-outline", thing, "%s, around the outline %s" % (_told(thing.box), _told(around))
            )
        if beyond > 0:
            thing.box = inside
        if min(thing.box[2:]) < 1 and size[0] > 1:
            self._tell("box-tiny", thing, _told(thing.box))
        return True

    def _keypoints(self, thing, size, category):
        points, thing.keypoints = thing.keypoints, None
        stated = (thing.stated or {}).get("num_keypoints")
        if points is None:
            return
        if not are_finite(points):
            self._tell("keypoints-numbers", thing, repr(points)[:80])
            return
        if not category.keypoints and category not in self._unnamed:
            self._unnamed.add(category)
            self._tell("keypoints-unnamed", thing, category.name)
        if len(points) % 3 or (category.keypoints and len(points) != 3 * len(category.keypoints)):
            told = "%d numbers for %d keypoints" % (len(points), len(category.keypoints))
            self._tell("keypoints-count", thing, told)
            return
        if any(flag not in (0, 1, 2) for flag in points[2::3]):
            self._tell("keypoints-flag", thing)
            return
        marked = sum(1 for flag in points[2::3] if flag)
        if thing.stated is not None and stated != marked:
            self._tell("keypoints-number", thing, "stated %s, marked %d" % (repr(stated)[:20], marked))
        triples = zip(points[0::3], points[1::3], points[2::3])
        if size[0] > 1 and any(
            flag and not (0 <= x <= size[0] and 0 <= y <= size[1]) for x, y, flag in triples
        ):
            self._tell("keypoints-outside", thing)
        thing.keypoints = points

    def _area(self, thing, counts):
        """The area as it is written: the stated one where it can be right."""
        if thing.stated is None:
            thing.stated = {"area": area_of(thing, counts)}
            return
        stated, own = thing.stated.get("area"), area_of(thing, counts)
        boxed = thing.box[2] * thing.box[3]
        if not finite(stated):
            self._tell("area-missing", thing, repr(stated)[:60] if stated is not None else "")
            thing.stated["area"] = own
        elif stated <= 0 or (min(abs(stated - own), abs(stated - boxed)) > max(4, own / 4)):
            self._tell("area-wrong", thing, "stated %g, computed %g" % (stated, own))
            thing.stated["area"] = own

    def _twice(self, thing):
        known = hash((id(thing.picture), thing.category, tuple(round(value, 3) for value in thing.box)))
        if known in self._seen:
            self._tell("object-twice", thing, _told(thing.box))
        self._seen.add(known)


def area_of(thing, counts):
    """The area of the outline, of the box without one."""
    if counts is not None:
        return rle.area(counts)
    if thing.outline is not None:
        return sum(geometry.polygon_area(polygon) for polygon in thing.outline)
    return thing.box[2] * thing.box[3]


def _beyond(box, size):
    """By how many pixels a box reaches beyond the picture."""
    return max(-box[0], -box[1], box[0] + box[2] - size[0], box[1] + box[3] - size[1])


def _near(box, other):
    """Whether two boxes are the same but for rounding, or for what annotators leave around an outline."""
    most = max(2.0, 0.1 * max(box[2], box[3]))
    ends = ((b[0], b[1], b[0] + b[2], b[1] + b[3]) for b in (box, other))
    return all(abs(one - two) <= most for one, two in zip(*ends))


def _is_polygon(polygon):
    return are_finite(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0


def _told(box):
    return "[%s]" % ", ".join("%.6g" % value for value in box)
