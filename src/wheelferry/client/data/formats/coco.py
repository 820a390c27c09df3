"""COCO's JSON: one file for each split, read piece by piece."""

import os

from wheelferry.client.data.formats.jsonstream import NotJson, encoding_of, members
from wheelferry.client.data.formats.tree import Tree, join
from wheelferry.client.data.geometry import are_finite, finite, is_id
from wheelferry.client.data.values import Category, Picture, Thing

LARGEST_ID = 2**53  # from here on a float cannot tell two whole numbers apart
_LISTS = ("images", "categories", "annotations")
_TRIED = 50  # pictures by which the folder of pictures is chosen


class Coco(object):
    """One JSON file; `tree` has the pictures, `file` is how the file is called in messages."""

    named = True  # categories are listed in the file

    def __init__(self, path, file, found):
        self.path = path
        self.file = file
        self.categories = []
        self.broken = False
        self._found = found
        self._by_number = {}

    def pictures(self, folders):
        """The pictures that the file lists; their files are in one of `folders`: of Tree and folder in it."""
        images = self._read_lists()
        tree, base = _best_folder(folders, images)
        made = []
        by_name = {}  # type: dict[str, Picture]
        for place, image in images:
            picture = self._picture(image, place, tree, base)
            if picture is None:
                continue
            number = picture.number
            if number in self._by_number:
                self._found.add("picture-id-twice", self.file, "id %s" % number, picture.name)
                self._by_number[number].good = False
                continue
            other = by_name.setdefault(picture.name, picture)
            if number is not None:
                self._by_number[number] = other
            if other is not picture:
                self._found.add(
                    "picture-twice", self.file, "images[%d] (id %s)" % (place, number), picture.name
                )
                continue
            made.append(picture)
        return made

    def _read_lists(self):
        """The entries of images, with their places; the categories are kept."""
        images, seen = [], set()
        if encoding_of(self.path) != "utf-8":
            self._found.add("labels-encoding", self.file, detail=encoding_of(self.path))
        try:
            for key, place, value in members(self.path, ("images", "categories")):
                if place is None:
                    if key in seen:
                        self._found.add("section-twice", self.file, detail=key)
                    seen.add(key)
                    if key in _LISTS and value != []:
                        self._found.add("labels-unreadable", self.file, key, "it is no list")
                elif key == "images":
                    images.append((place, value))
                else:
                    self._category(value, place)
        except NotJson as error:
            self._found.add("labels-unreadable", self.file, "line %d" % error.line, str(error))
            self.broken = True
            return []
        return images

    def _category(self, value, place):
        where = "categories[%d]" % place
        if not isinstance(value, dict) or not is_id(value.get("id")):
            self._found.add("category-id", self.file, where)
            return
        where += " (id %d)" % value["id"]
        name = value.get("name")
        if not isinstance(name, str) or not name.strip():
            self._found.add("category-name", self.file, where)
            return
        points = value.get("keypoints") or []
        points = tuple(points) if isinstance(points, list) and all(isinstance(p, str) for p in points) else ()
        skeleton = self._skeleton(value.get("skeleton") or [], len(points), where)
        self.categories.append(Category(value["id"], name, points, skeleton))

    def _skeleton(self, bones, count, where):
        if not bones:
            return ()
        sound = isinstance(bones, list) and all(
            isinstance(bone, list)
            and len(bone) == 2
            and all(is_id(end) and 1 <= end <= count for end in bone)
            for bone in bones
        )
        if not sound:
            self._found.add("skeleton", self.file, where)
            return ()
        return tuple(tuple(bone) for bone in bones)

    def _picture(self, image, place, tree, base):
        where = "images[%d]" % place
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name or "\0" in name:
            self._found.add("object-broken", self.file, where, "no file_name")
            return None
        number = _number(image.get("id"))
        where += " (id %s)" % number if number is not None else ""
        if not is_id(image.get("id")):
            self._found.add("picture-id-kind", self.file, where, repr(image.get("id"))[:60])
        elif not -LARGEST_ID < number < LARGEST_ID:
            self._found.add("picture-id-large", self.file, where)
        width, height = (image.get(side) if finite(image.get(side)) else 0 for side in ("width", "height"))
        if width < 1 or height < 1:
            self._found.add("picture-size-unstated", self.file, where, name)
            width = height = 0
        known, code = tree.resolve(name, base)
        if code:
            self._found.add(code, name, "%s: %s" % (self.file, where))
        shown = (
            (known[len(base) + 1 :] if base and known.startswith(base + "/") else known) if known else name
        )
        picture = Picture(
            tree.path(known) if known else None, shown, self.file, int(width), int(height), number
        )
        picture.good = known is not None
        return picture

    def things(self, _pictures, options):
        """Every object of the file that is one; those of no picture are told."""
        if self.broken:
            return
        try:
            for _, place, value in members(self.path, ("annotations",)):
                if place is not None:
                    thing = self._thing(value, place, options)
                    if thing is not None:
                        yield thing
        except NotJson:
            return  # told by `pictures`, which reads over all of it

    def _thing(self, value, place, options):
        where = "annotations[%d]" % place
        if not isinstance(value, dict):
            self._found.add("object-broken", self.file, where)
            return None
        number = value.get("id")
        where += " (id %s)" % number if isinstance(number, (int, str)) else ""
        picture = self._by_number.get(_number(value.get("image_id")))
        if picture is None:
            self._found.add(
                "picture-unknown", self.file, where, "image_id %s" % repr(value.get("image_id"))[:60]
            )
            return None
        box, corners = self._box(value.get("bbox"), where, options)
        if box is False:
            return None
        category = value.get("category_id")
        thing = Thing(picture, category if is_id(category) else None, box, where)
        thing.corners = corners
        thing.outline = value.get("segmentation") or None
        thing.keypoints = value.get("keypoints") or None
        stated = {
            key: value[key] for key in ("id", "area", "iscrowd", "num_keypoints", "ignore") if key in value
        }
        thing.stated = stated
        return thing

    def _box(self, box, where, options):
        """(box, the same read as two corners); None where there is none, False where it is no box."""
        if box is None or box == []:
            return None, None
        if not are_finite(box, 4):
            comma = isinstance(box, list) and any(isinstance(v, str) and "," in v for v in box)
            self._found.add("decimal-comma" if comma else "box-numbers", self.file, where, repr(box)[:80])
            return False, None
        corners = box[0], box[1], box[2] - box[0], box[3] - box[1]
        return (corners if options.corners else tuple(box)), (None if options.corners else corners)


def _number(value):
    """What an id is looked up by; None for what cannot be one."""
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None


def _best_folder(folders, images):
    """(Tree, folder in it) with the most of the pictures; the first where none has one."""
    names = [i["file_name"] for _, i in images if isinstance(i, dict) and isinstance(i.get("file_name"), str)]
    step = max(1, len(names) // _TRIED)
    tried = names[::step][:_TRIED]

    best, most = None, -1
    for tree, base in folders:
        tree = Tree(tree) if isinstance(tree, str) else tree
        hits = sum(1 for name in tried if name and tree.resolve(name, base)[0])
        if hits > most:
            best, most = (tree, base), hits
        if most == len(tried):
            break
    return best


def picture_folders(tree, file, split, extra):
    """Where the pictures of the JSON file `file` may be: [(Tree, folder in it)], the likeliest first.

    Folders outside of the tree are paths, to be listed only when their turn comes.
    """
    if extra:
        other = Tree(extra)
        return [(other, "")] + [(other, name) for name in _subfolders(split)]
    base = file.rpartition("/")[0]
    up = join(base, "..")
    places = [base] + [join(base, name) for name in _subfolders(split)]
    if up is not None:
        places += [up] + [join(up, name) for name in _subfolders(split)]
    if "" not in places:
        places += ["", *_subfolders(split)]
    folders = [(tree, place) for place in places]
    if not base:
        above = os.path.dirname(tree.root)
        folders += [
            (os.path.join(above, name), "")
            for name in _subfolders(split)
            if os.path.isdir(os.path.join(above, name)) and not _above(os.path.join(above, name), tree.root)
        ]
    return folders


def _subfolders(split):
    others = {"val": ("val", "valid", "validation")}.get(split, (split,))
    names = ["images", "JPEGImages", "data"]
    for other in others:
        names += [other, "images/" + other, other + "/images", other + "2017", "images/" + other + "2017"]
    return names


def _above(folder, root):
    """Whether `folder` is `root`, or has it inside."""
    return (root + os.sep).startswith(os.path.abspath(folder) + os.sep)
