"""Keypoints of a data set: names, lines between them, and which change places in a mirrored picture."""

import json
import os
import re

from page.unfit import Unfit

FILE = "keypoints.json"  # beside the weights of a training
_SIDES = (("left", "right"), ("l", "r"))


class Keypoints(object):
    """`names` in their order, and `skeleton`: pairs of numbers, from 0, of those that a line joins."""

    def __init__(self, names, skeleton):
        self.names = names
        self.skeleton = skeleton


def named_keypoints(categories, objects):
    """The keypoints of a COCO document; None where no category and no object has any.

    Names that the categories lack are numbers. Raises Unfit where categories have other keypoints: one model
    finds the same for all.
    """
    told = [one for one in categories if one.get("keypoints")]
    counts = {len(one["keypoints"]) // 3 for one in objects if one.get("keypoints")}
    named = {tuple(str(name) for name in one["keypoints"]) for one in told}
    if not named and not counts:
        return None
    if len(named) > 1 or len(counts) > 1:
        raise Unfit(
            "the categories have different keypoints, and one model finds the same for all",
            hint="train one model for each, with a data set of its own",
        )
    if not named:
        return Keypoints([str(number) for number in range(1, counts.pop() + 1)], [])
    names = list(named.pop())
    if counts and counts != {len(names)}:
        raise Unfit(
            "the categories name %d keypoints, and objects have %d" % (len(names), counts.pop()),
            hint="wheelferry data check DIR tells which",
        )
    skeleton = [(int(one) - 1, int(other) - 1) for one, other in told[0].get("skeleton") or ()]
    return Keypoints(names, skeleton)


def with_keypoints(document, count):
    """The COCO document with `count` keypoints for every object: those without have none that is visible.

    Upstream's loader takes the keypoints of all objects of a picture or of none, and COCO's evaluation
    looks at those of every object.
    """
    objects = []
    for one in document["annotations"]:
        points = one.get("keypoints") or [0, 0, 0] * count
        visible = sum(1 for flag in points[2::3] if flag)
        objects.append(dict(one, keypoints=points, num_keypoints=visible))
    return dict(document, annotations=objects)


def flip_pairs(names, told):
    """Pairs of names that change places in a mirrored picture; None where nobody knows.

    `told` is what the user said: ``A=B,C=D``, or ``none`` where each stays what it is. Without it the names
    tell: those that differ in left and right, or in l and r, are pairs. Raises Unfit for names that are none.
    """
    if told == "none":
        return []
    if told:
        pairs = [tuple(pair.strip() for pair in text.split("=")) for text in told.split(",")]
        known = set(names)
        used = [name for pair in pairs for name in pair]
        if any(len(pair) != 2 for pair in pairs) or not set(used) <= known or len(set(used)) < len(used):
            raise Unfit(
                "--flip %s names no pairs of these keypoints: %s" % (told, ", ".join(names)),
                hint="as in left_eye=right_eye,left_ear=right_ear; or none",
            )
        return pairs
    by_parts = {tuple(_parts(name)): name for name in names}
    pairs = []
    for parts, name in by_parts.items():
        for one, other in _SIDES:
            mirrored = tuple(other if part == one else part for part in parts)
            if mirrored != parts and mirrored in by_parts:
                pairs.append((name, by_parts[mirrored]))
                break
    return pairs or None


def _parts(name):
    """A name in small parts: left_eye, LeftEye and left-eye are the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.split(r"[^A-Za-z0-9]+", spaced.lower())


def write_keypoints(keypoints, folder):
    """Write what the page wants to know of keypoints beside the weights."""
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as stream:
        json.dump({"names": keypoints.names, "skeleton": keypoints.skeleton}, stream)


def read_keypoints(weights):
    """The keypoints that lie beside the file of weights; None where there are none."""
    try:
        with open(os.path.join(os.path.dirname(os.path.abspath(weights)), FILE), encoding="utf-8") as stream:
            document = json.load(stream)
        pairs = [(int(one), int(other)) for one, other in document["skeleton"]]
        return Keypoints([str(name) for name in document["names"]], pairs)
    except (OSError, ValueError, KeyError, TypeError):
        return None
