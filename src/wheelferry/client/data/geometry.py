"""Numbers as labels have them, and the geometry of boxes and polygons in pixels."""

import math

_NUMBERS = {int, float}  # not bool, which is an int as well


def finite(value):
    """Whether a value is a finite number that fits into a float; true and false are none."""
    return type(value) in _NUMBERS and _fits((value,))


def are_finite(values, count=None):
    """Whether a value is a list of finite numbers, of `count` ones if given."""
    if not isinstance(values, (list, tuple)) or (count is not None and len(values) != count):
        return False
    return set(map(type, values)) <= _NUMBERS and _fits(values)


def _fits(values):
    try:
        return all(map(math.isfinite, values))
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_id(value):
    """Whether a value is a whole number that can be an id."""
    return isinstance(value, int) and not isinstance(value, bool)


def polygon_area(points):
    """The area of one polygon, given as x and y in turn."""
    xs, ys = points[0::2], points[1::2]
    total = sum(x * ys[at - 1] - xs[at - 1] * y for at, (x, y) in enumerate(zip(xs, ys)))
    return abs(total) / 2.0


def extent(polygons):
    """The box (x, y, width, height) around polygons."""
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def clip_box(box, size):
    """The part of a box that lies in a picture of `size`."""
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(size[0], box[0] + box[2]), min(size[1], box[1] + box[3])
    return left, top, right - left, bottom - top


def clip_polygon(points, size):
    """A polygon whose points are moved to the border where they lie beyond it."""
    return [min(max(0, value), size[at % 2]) for at, value in enumerate(points)]
