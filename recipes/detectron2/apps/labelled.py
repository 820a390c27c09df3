"""A data set as COCO JSON: its two parts, its classes, and what its objects have."""

import hashlib
import json
import os

from keypoints import named_keypoints, with_keypoints
from page.unfit import Unfit

_HELD_BACK = 5  # of so many pictures one is kept to measure with, where no others are given
_CONVERT = "wheelferry data convert DIR --to coco --out OTHER makes one"
_MEASURED = ("val", "test")  # what the part to measure with is called, the better name first


class Labelled(object):
    """A data set: `classes` are names in the order of their ids; each part is a COCO document's file.

    `train` and `val` are pairs of the annotation file and the folder of its pictures. `has_outlines` is
    whether all objects have a segmentation, `has_bitmaps` whether any is given as run lengths. `keypoints` is
    a `keypoints.Keypoints`, or None where no category has any.
    """

    def __init__(self, train, val, documents):
        self.train = train
        self.val = val
        self.pictures, self.measured = (len(document["images"]) for document in documents)
        categories = sorted(documents[0]["categories"], key=lambda one: one["id"])
        self.classes = [str(one["name"]) for one in categories]
        objects = [one for document in documents for one in document["annotations"]]
        self.has_outlines = all(one.get("segmentation") for one in objects)
        self.has_bitmaps = any(isinstance(one.get("segmentation"), dict) for one in objects)
        self.keypoints = named_keypoints(documents[0]["categories"], objects)


def open_labelled(folder, out, whole=False):
    """The data set in `folder`; where it has one part only, two are made in `out`. Raises Unfit.

    With `whole` all pictures of a single part are measured with: for who does not train.
    """
    if not os.path.isdir(folder):
        raise Unfit("--data %s is no folder" % folder)
    pairs = _two_parts(folder)
    if pairs:
        return _with_equal_keypoints(Labelled(*pairs, documents=[_read(*pair) for pair in pairs]), out)
    path = os.path.join(folder, "annotations.json")
    if not os.path.isfile(path):
        raise Unfit("%s is no data set to train with: it has no annotations.json" % folder, hint=_CONVERT)
    images = os.path.join(folder, "images")
    document = _read(path, images)
    documents = [document, document] if whole else _divide(document)
    pairs = [(os.path.join(out, "data_%s.json" % name), images) for name in ("train", "val")]
    for (place, _), part in zip(pairs, documents):
        write_document(place, part)
    return _with_equal_keypoints(Labelled(pairs[0], pairs[1], documents), out)


def _two_parts(folder):
    """The pairs of annotation file and pictures to train and to measure with; None without both."""
    parts = [(os.path.join(folder, name), name) for name in ("train", *_MEASURED)]
    found = {name: part for part, name in parts if os.path.isfile(os.path.join(part, "annotations.json"))}
    measured = [found[name] for name in _MEASURED if name in found]
    if "train" not in found or not measured:
        return None
    return [
        (os.path.join(part, "annotations.json"), os.path.join(part, "images"))
        for part in (found["train"], measured[0])
    ]


def _with_equal_keypoints(data, out):
    """The data set; where objects have keypoints, its parts written anew so that every object has them."""
    if data.keypoints is None:
        return data
    parts = []
    for name, (path, images) in (("train", data.train), ("val", data.val)):
        place = os.path.join(out, "data_%s.json" % name)
        write_document(place, with_keypoints(_read(path, images), len(data.keypoints.names)))
        parts.append((place, images))
    data.train, data.val = parts
    return data


def keep_some(data, count, out):
    """Measure with `count` pictures of the data at most, spread over all of them; written to `out`."""
    if count >= data.measured:
        return
    path, images = data.val
    document = _read(path, images)
    chosen = {document["images"][number * data.measured // count]["id"] for number in range(count)}
    place = os.path.join(out, "data_some.json")
    write_document(place, _part(document, lambda one: one in chosen))
    data.val, data.measured = (place, images), len(chosen)


def write_document(path, document):
    """Write a COCO document."""
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(document, stream)


def _read(path, images):
    """The COCO document in a file; raises Unfit for what no training can begin with."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
        names = [image["file_name"] for image in document["images"]]
        if not document["categories"] or not document["annotations"]:
            raise Unfit("%s has no labelled objects" % path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unfit("%s is no COCO JSON that can be read: %s" % (path, error), hint=_CONVERT) from None
    missing = [name for name in names if not os.path.isfile(os.path.join(images, name))]
    if missing:
        raise Unfit(
            "%d of %d pictures are not in %s, as %s" % (len(missing), len(names), images, missing[0]),
            hint="wheelferry data check DIR names all of them",
        )
    return document


def _divide(document):
    """Two documents of one: by the pictures' names, so that the same pictures are always kept back."""
    images = document["images"]
    kept = {one["id"] for one in images if _number(one["file_name"]) % _HELD_BACK == 0}
    if not kept or len(kept) == len(images):
        kept = {one["id"] for one in images[: max(1, len(images) // _HELD_BACK)]}
    if len(images) == 1:
        return [document, document]
    return [_part(document, lambda one: one not in kept), _part(document, lambda one: one in kept)]


def _number(name):
    return int(hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16)


def _part(document, takes):
    images = [one for one in document["images"] if takes(one["id"])]
    objects = [one for one in document["annotations"] if takes(one["image_id"])]
    return dict(document, images=images, annotations=objects)
