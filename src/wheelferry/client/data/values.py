"""The parts of a data set, whatever format it came in."""

from collections import namedtuple

# `number` is what objects call it by: an id, a place in a list, or its name.
Category = namedtuple("Category", "number name keypoints skeleton", defaults=((), ()))


class Picture(object):
    """One picture of a split, as its labels have it; `measured` is filled in from the file.

    `path` is the file: None where there is none, the label file where the picture is `embedded` in it.
    `name` is the relative path that the labels give, with slashes; `width` and `height` what they state, 0
    where they do not; `labels` the file with the objects. It is `good` when it can be trained on, and
    `objects` counts those that can.
    """

    __slots__ = (
        "embedded", "good", "height", "labels", "measured", "name", "number", "objects", "path", "width",
    )  # fmt: skip

    def __init__(self, path, name, labels, width=0, height=0, number=None, embedded=False):
        self.path = path
        self.name = name
        self.labels = labels
        self.width = width
        self.height = height
        self.number = number
        self.embedded = embedded
        self.measured = None
        self.good = True
        self.objects = 0

    @property
    def size(self):
        """(width, height) that objects are measured by: the picture's own if it is good, else the stated."""
        if self.measured is not None and self.good:
            return self.measured.width, self.measured.height
        return self.width, self.height


class Thing(object):
    """One labelled object: `box` is (x, y, width, height) in pixels; `where` its place in the label file.

    `corners` is the box if its four numbers are read as two corners, None where the format says which is
    which. `outline` is a list of polygons, or a run-length code as COCO has it, or None. `stated` has what
    COCO's file said of the object and an evaluation uses: id, area, iscrowd, num_keypoints.
    """

    __slots__ = (
        "box", "category", "corners", "crowd", "keypoints", "outline", "picture", "stated", "where",
    )  # fmt: skip

    def __init__(self, picture, category, box, where, outline=None, keypoints=None):
        self.picture = picture
        self.category = category
        self.box = box
        self.where = where
        self.outline = outline
        self.keypoints = keypoints
        self.corners = None
        self.crowd = 0
        self.stated = None


class Split(object):
    """One part of a data set, such as train or val, and what reads it.

    `reader.pictures(folders)` makes the list of Picture, `reader.things(pictures, options)` yields Thing;
    both tell what they can make neither of. `reader.categories` are those that the format lists, where
    `reader.named` says that it lists them; `reader.broken` that its file could not be read to the end.
    """

    def __init__(self, name, reader):
        self.name = name
        self.reader = reader
        self.folders = []
        self.pictures = []
        self.counts = {}  # objects that are fit, by the name of their category
        self.used = set()  # names of categories that any object has
