"""What a model found in a picture, in the form in which the page and COCO's tools read it."""

import math

import numpy as np


class Instance(object):
    """One thing that was found.

    `box` is (left, top, right, bottom) in pixels of the picture, `score` from 0 to 1, `label` the number of
    its class. `mask` is a bool array [H, W], `keypoints` a list of (x, y, score), `corners` the corners of a
    box that is rotated, as (x, y); each is None where the model has none.
    """

    def __init__(self, box, score, label, mask=None, keypoints=None, corners=None):
        self.box = box
        self.score = score
        self.label = label
        self.mask = mask
        self.keypoints = keypoints
        self.corners = corners


def to_json(instances, width, height):
    """The instances as plain values, the surest first; what has no finite box or score is left out."""
    found = [_plain(one, width, height) for one in instances if _is_finite(one)]
    return sorted(found, key=lambda item: -item["score"])


def _is_finite(instance):
    return all(math.isfinite(value) for value in (*instance.box, instance.score))


def _plain(instance, width, height):
    left, top, right, bottom = (float(value) for value in instance.box)
    left, right = sorted(min(max(value, 0.0), float(width)) for value in (left, right))
    top, bottom = sorted(min(max(value, 0.0), float(height)) for value in (top, bottom))
    item = {
        "box": [round(value, 2) for value in (left, top, right, bottom)],
        "score": round(float(instance.score), 4),
        "label": int(instance.label),
    }
    if instance.mask is not None:
        item["mask"] = encode_mask(instance.mask)
        item["area"] = int(np.count_nonzero(instance.mask))
    if instance.keypoints is not None:
        item["keypoints"] = [[round(float(value), 3) for value in point] for point in instance.keypoints]
    if instance.corners is not None:
        item["corners"] = [[round(float(value), 2) for value in point] for point in instance.corners]
    return item


def encode_mask(mask):
    """A bool array [H, W] as COCO's compressed run lengths: {"size": [H, W], "counts": text}."""
    height, width = mask.shape
    return {"size": [int(height), int(width)], "counts": _compress(_runs(np.asarray(mask, dtype=bool)))}


def _runs(mask):
    """The lengths of runs of zeros and ones in turn, column by column, beginning with zeros.

    Only the columns and rows that have ones are looked at: a picture has many small masks.
    """
    height, width = mask.shape
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return [height * width]
    rows = np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # a row of zeros below ends each column's last run
    closed = np.zeros((crop.shape[0] + 1, crop.shape[1]), dtype=np.int8)
    closed[:-1] = crop
    steps = np.diff(closed.T.reshape(-1), prepend=np.int8(0))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    tall = closed.shape[0]
    runs, position = [], 0
    for start, end in zip(starts.tolist(), ends.tolist()):
        column, row = divmod(start, tall)
        begins = (left + column) * height + top + row
        if runs and begins == position:  # the column before ends at the very bottom, this begins at the top
            runs[-1] += end - start
        else:
            runs += [begins - position, end - start]
        position = begins + end - start
    rest = height * width - position
    return runs + [rest] if rest else runs


def _compress(counts):
    """Run lengths as the text of COCO's API (maskApi.c, rleToString).

    From the third on each is given as the difference to the one two before, in groups of five bits, the
    lowest first; a sixth bit says that more follow; 48 is added to make a letter.
    """
    letters = []
    for number, count in enumerate(counts):
        value = count - counts[number - 2] if number > 2 else count
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            letters.append(chr((group | (0x20 if more else 0)) + 48))
    return "".join(letters)
