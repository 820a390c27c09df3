"""A data set as COCO JSON: what is sound of it, with its pictures, in a folder of its own."""

import json
import os
import shutil
from collections import OrderedDict

from wheelferry.client.common.errors import BadInput
from wheelferry.client.common.files import ASIDE, remove_tree, replace, unlimited
from wheelferry.client.common.locks import try_lock
from wheelferry.client.common.paths import find_faults
from wheelferry.client.data import pillow
from wheelferry.client.data.examine import examine
from wheelferry.client.data.findings import Found
from wheelferry.client.data.formats.coco import LARGEST_ID
from wheelferry.client.data.geometry import is_id
from wheelferry.client.data.measuring import content

ANNOTATIONS = "annotations.json"
PICTURES = "images"
_MARK = ".wheelferry-conversion"  # what says that an unfinished folder is ours


def convert(path, out, options, link, progress):
    """Examine `path` and write what is sound to the new folder `out`; returns the result as plain values.

    With `link` pictures are hard links where the file system can; else copies. The folder is written
    aside and renamed, so it is whole or not there. Raises BadInput.
    """
    pillow.require("a conversion")
    out = os.path.abspath(out)
    _check_place(path, out)
    data = examine(path, options, progress)
    if data.found.has("box-order"):
        raise BadInput(
            "the boxes are two corners, it seems, where %s has something else; nothing was written"
            % data.form,
            hint="data check shows them; --corners reads them as two corners",
            details=data.to_json(),
        )
    if not any(picture.good for split in data.splits for picture in split.pictures):
        raise BadInput(
            "no picture is fit to be written; nothing was written",
            hint="data check says what is wrong with each",
            details=data.to_json(),
        )
    aside = unlimited(out + ASIDE)
    os.makedirs(aside, exist_ok=True)
    with open(os.path.join(aside, _MARK), "a") as mark:
        if not try_lock(mark.fileno()):
            raise BadInput("another conversion writes to %s" % out, hint="wait for its end")
        written = _write_all(data, aside, link, progress)
    os.unlink(os.path.join(aside, _MARK))
    if os.path.isdir(out):
        os.rmdir(out)
    replace(aside, unlimited(out))
    for one in written:
        one["annotations"] = os.path.join(out, one["annotations"])
    result = data.to_json()
    result["out"] = out
    result["written"] = written
    return result


def _check_place(path, out):
    inside = os.path.realpath(path)
    if (os.path.realpath(out) + os.sep).startswith(inside + os.sep):
        raise BadInput("%s lies in the data set itself" % out, hint="name another folder with --out")
    if os.path.lexists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise BadInput("%s is there already" % out, hint="name a new folder with --out, or remove it")
    aside = out + ASIDE
    if os.path.isdir(aside) and os.listdir(aside) and not os.path.exists(os.path.join(aside, _MARK)):
        raise BadInput(
            "%s is in the way, and not of a conversion" % aside, hint="remove it, or name another --out"
        )


def _write_all(data, aside, link, progress):
    for name in os.listdir(aside):  # of a conversion that was ended
        if name != _MARK:
            remove_tree(os.path.join(aside, name))
    written = []
    total = sum(1 for split in data.splits for picture in split.pictures if picture.good)
    with progress.task("write pictures and labels", total=total) as step:
        for split in data.splits:
            if any(picture.good for picture in split.pictures):
                inside = "" if len(data.splits) == 1 else _safe(split.name)
                written.append(_write_split(data, split, aside, inside, link, step))
    return written


def _write_split(data, split, aside, inside, link, step):
    folder = os.path.join(aside, inside)
    os.makedirs(os.path.join(folder, PICTURES), exist_ok=True)
    pictures = [picture for picture in split.pictures if picture.good]
    numbers = _numbers(pictures)
    names = {}
    taken = set()  # type: set[str]
    linked = 0
    for picture in pictures:
        names[picture] = _free_name(_short(picture.name, split), taken)
        linked += _put(picture, os.path.join(folder, PICTURES, *names[picture].split("/")), link)
        step.advance(1)
    path = os.path.join(folder, ANNOTATIONS)
    count = _write_json(data, split, path, pictures, numbers, names)
    return OrderedDict(
        (
            ("split", split.name),
            ("annotations", os.path.join(inside, ANNOTATIONS)),
            ("pictures", len(pictures)),
            ("linked", linked),
            ("copied", len(pictures) - linked),
            ("objects", count),
        )
    )


def _numbers(pictures):
    """{picture: id}: the ids that they have, where all are sound; else 1, 2, 3 …"""
    own = [picture.number for picture in pictures]
    if all(is_id(number) and 0 < number < LARGEST_ID for number in own) and len(set(own)) == len(own):
        return dict(zip(pictures, own))
    return {picture: number for number, picture in enumerate(pictures, 1)}


def _short(name, split):
    """The name below images/: COCO's own; of other formats without the folders of the data set."""
    return name if split.reader.named and split.reader.file.endswith(".json") else name.rpartition("/")[2]


def _free_name(name, taken):
    """A name that every system can have, and nobody has yet."""
    parts = [_safe(part) for part in name.split("/") if part not in ("", ".", "..")]
    stem, ending = os.path.splitext("/".join(parts))
    free, number = stem + ending, 1
    while free.casefold() in taken:
        number += 1
        free = "%s-%d%s" % (stem, number, ending)
    taken.add(free.casefold())
    return free


def _safe(part):
    """A part of a path that Windows can have."""
    part = part.encode("utf-8", "replace").decode("utf-8")  # a name that is no text has ? for what is none
    if not find_faults([part]):
        return part
    part = "".join("_" if sign in '\\:*?"<>|' or ord(sign) < 32 else sign for sign in part).rstrip(". ")
    return part if part and not find_faults([part]) else "_" + part


def _put(picture, place, link):
    """Put a picture there; returns whether it is a link."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if picture.embedded:
        with open(place, "wb") as stream:
            stream.write(content(picture))
        return 0
    if link:
        try:
            os.link(os.path.realpath(picture.path), place)
        except OSError:
            pass  # another file system, or one without links: copied
        else:
            return 1
    shutil.copyfile(picture.path, place)
    return 0


def _write_json(data, split, path, pictures, numbers, names):
    """Write the objects as they are read, for not all need fit into memory; returns how many."""
    ids = {category.name: number for number, category in enumerate(data.categories.all, 1)}
    pointed = any(category.keypoints for category in data.categories.all)
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(
            '{"info": %s,\n"licenses": [],\n' % json.dumps({"description": "converted by wheelferry"})
        )
        _write_list(stream, "categories", (_category(category, ids) for category in data.categories.all))
        stream.write(",\n")
        _write_list(stream, "images", (_image(picture, numbers, names) for picture in pictures))
        stream.write(',\n"annotations": [')
        for thing, category in data.sound(split, Found()):
            count += 1
            stream.write(
                ("\n" if count == 1 else ",\n")
                + json.dumps(_object(thing, count, numbers, ids[category.name], pointed))
            )
        stream.write("\n]}\n")
        stream.flush()
        os.fsync(stream.fileno())
    return count


def _write_list(stream, key, entries):
    stream.write('"%s": [\n%s\n]' % (key, ",\n".join(json.dumps(entry) for entry in entries)))


def _category(category, ids):
    entry = OrderedDict((("id", ids[category.name]), ("name", category.name)))
    if category.keypoints:
        entry["keypoints"] = list(category.keypoints)
        entry["skeleton"] = [list(bone) for bone in category.skeleton]
    return entry


def _image(picture, numbers, names):
    width, height = picture.size
    return OrderedDict(
        (("id", numbers[picture]), ("file_name", names[picture]), ("width", width), ("height", height))
    )


def _object(thing, number, numbers, category, pointed):
    entry = OrderedDict(
        (
            ("id", number),
            ("image_id", numbers[thing.picture]),
            ("category_id", category),
            ("bbox", [_rounded(value) for value in thing.box]),
            ("area", _rounded(thing.stated["area"])),
            ("iscrowd", thing.crowd),
        )
    )
    if thing.outline is not None:
        outline = thing.outline
        if isinstance(outline, list):
            outline = [[_rounded(value) for value in polygon] for polygon in outline]
        entry["segmentation"] = outline
    if thing.keypoints is not None:
        entry["keypoints"] = [_rounded(value) for value in thing.keypoints]
    if (
        pointed or thing.keypoints is not None
    ):  # COCO's evaluation of keypoints reads the number of every object
        entry["num_keypoints"] = sum(1 for flag in (thing.keypoints or ())[2::3] if flag)
    return entry


def _rounded(value):
    """To a thousandth of a pixel; whole numbers stay whole."""
    return value if isinstance(value, int) else round(value, 3)
