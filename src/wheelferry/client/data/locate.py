"""Which format a data set has, and its splits."""

import os

from wheelferry.client.common.errors import BadInput
from wheelferry.client.data.formats import coco, voc, yolo
from wheelferry.client.data.formats.jsonstream import NotJson, members
from wheelferry.client.data.formats.labelme import Labelme
from wheelferry.client.data.formats.tree import PICTURES, Tree, ending, split_of
from wheelferry.client.data.values import Split

FORMATS = ("coco", "voc", "yolo", "labelme")
_LOOKED_FOR = (
    "looked for: COCO JSON (an object with `images` and `annotations`), Pascal VOC XML (<annotation>), YOLO "
    "text files beside pictures or in labels/ (with data.yaml or classes.txt), labelme JSON (`shapes` and "
    "`imagePath`)"
)


class Located(object):
    """A data set: its format, its files, and a list of Split."""

    def __init__(self, form, tree, splits):
        self.form = form
        self.tree = tree
        self.splits = splits


def locate(path, form, pictures, found):
    """The data set in the folder or file `path`; `form` is one of FORMATS, or None to find out.

    `pictures` is a folder of pictures to look in instead of the usual places. Raises BadInput.
    """
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise BadInput("%s is not there" % path, hint="name the folder or the file of a data set")
    if os.path.isfile(path):
        return _one_file(path, form, pictures, found)
    tree = Tree(path)
    kinds = _kinds(tree)
    if form is None:
        if len(kinds) > 1:
            told = ", ".join("%s (%s)" % (kind, kinds[kind][0]) for kind in sorted(kinds))
            raise BadInput(
                "%s has labels of several formats: %s" % (path, told), hint="say which with --format"
            )
        if not kinds:
            raise BadInput("%s is no data set in a known format" % path, hint=_LOOKED_FOR)
        form = next(iter(kinds))
    elif form not in kinds:
        raise BadInput("%s has no labels of the format %s" % (path, form), hint=_LOOKED_FOR)
    make = {"coco": _coco, "voc": _voc, "yolo": _yolo, "labelme": _labelme}[form]
    return Located(form, tree, make(tree, kinds[form], pictures, found))


def _one_file(path, form, pictures, found):
    """A data set whose labels are one file."""
    name = os.path.basename(path)
    tree = Tree(os.path.dirname(path))
    kind = _json_kind(path) if ending(name) == "json" else None
    if kind == "coco" and form in (None, "coco"):
        return Located("coco", tree, _coco(tree, [name], pictures, found, alone=True))
    if ending(name) in ("yaml", "yml") and form in (None, "yolo"):
        return Located("yolo", tree, _yolo(tree, [name], pictures, found))
    if kind == "labelme" and form in (None, "labelme"):
        return Located("labelme", tree, [Split("all", Labelme(tree, [name], found))])
    if ending(name) == "xml" and form in (None, "voc"):
        return Located("voc", tree, [Split("all", voc.Voc(tree, [name], found))])
    raise BadInput("%s is no data set in a known format" % path, hint=_LOOKED_FOR)


def _kinds(tree):
    """{format: [label files]} of what is in a tree."""
    kinds = {}  # type: dict[str, list[str]]
    for name in tree.of("json"):
        kind = _json_kind(tree.path(name))
        if kind:
            kinds.setdefault(kind, []).append(name)
    for name in tree.of("xml"):
        with open(tree.path(name), "rb") as stream:
            start = stream.read(4096).replace(b"\0", b"")
        if b"<annotation" in start and b"<annotations" not in start:
            kinds.setdefault("voc", []).append(name)
    texts = _yolo_files(tree)
    if texts:
        kinds["yolo"] = texts
    return kinds


def _json_kind(path):
    """coco, labelme or None for something else: by the first keys that tell; the file may be cut off."""
    if os.path.getsize(path) == 0:
        return None
    try:
        for key, _, value in members(path, ()):
            if key in ("images", "annotations") and value == []:
                return "coco"
            if key in ("shapes", "imagePath", "imageData"):
                return "labelme"
    except (NotJson, OSError):
        return None
    return None


def _yolo_files(tree):
    """What says that a tree is YOLO's: its YAML file, its names, or label files of pictures."""
    marks = [name for name in tree.of("yaml", "yml") if _has_names(tree, name)]
    marks += [name for name in tree.names if name.rpartition("/")[2] in yolo.NAMES]
    if marks:
        return marks
    labels = {yolo.label_of(name) for name in tree.below("")}
    return [name for name in tree.of("txt") if name in labels and yolo.is_label(name)]


def _has_names(tree, name):
    with open(tree.path(name), "rb") as stream:
        start = stream.read(1 << 20).replace(b"\0", b"")
    return any(line.lstrip(b"\xef\xbb\xbf\xff\xfe").startswith(b"names") for line in start.splitlines())


def _coco(tree, files, pictures, found, alone=False):
    splits, taken = [], set()
    for file in files:
        stem = os.path.splitext(file.rpartition("/")[2])[0]
        folder = file.rpartition("/")[0].rpartition("/")[2]
        guess = split_of(stem) or split_of(folder)
        name = "all" if len(files) == 1 and (alone or not guess) else guess or stem
        if name in taken:  # instances_val.json beside person_keypoints_val.json
            name = stem if stem not in taken else file
        taken.add(name)
        split = Split(name, coco.Coco(tree.path(file), file, found))
        split.folders = coco.picture_folders(tree, file, guess or name, pictures)
        splits.append(split)
    return splits


def _voc(tree, files, _pictures, found):
    splits = voc.read_splits(tree, files, found)
    return [Split(name, voc.Voc(tree, own, found)) for name, own in splits.items()]


def _labelme(tree, files, _pictures, found):
    return [Split(name, Labelme(tree, own, found)) for name, own in voc.by_folder(files).items()]


def _yolo(tree, files, _pictures, found):
    description = None
    for file in files:
        if ending(file) in ("yaml", "yml"):
            description = yolo.read_yaml(tree, file, found)
        elif file.rpartition("/")[2] in yolo.NAMES:
            description = yolo.read_names(tree, file, found)
        if description:
            break
    everything = tree.below("")
    if description is None:
        description = yolo.unnamed(tree, everything)
        found.add("names-missing", tree.root, detail="%d classes" % len(description.categories))
    splits = description.splits or yolo.guess_splits(everything)
    if not any(splits.values()):
        raise BadInput(
            "none of the pictures that %s names is there" % (description.file or tree.root), hint=_LOOKED_FOR
        )
    return [Split(name, yolo.Yolo(tree, names, description, found)) for name, names in splits.items()]


def unlisted(located):
    """The pictures in the tree that no split has."""
    known = {picture.path for split in located.splits for picture in split.pictures}
    tree = located.tree
    return [name for name in tree.names if ending(name) in PICTURES and tree.path(name) not in known]
