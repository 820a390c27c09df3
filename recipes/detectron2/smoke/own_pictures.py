"""Pictures of the user's data with what a model finds in them, and what is labelled."""

import json
import os

import numpy as np
from page.pictures import read_picture
from PIL import Image, ImageDraw

_LEAST_SCORE = 0.5
_LONGEST = 480  # pixels of the longer side of each picture
_COLOURS = ((230, 60, 60), (60, 100, 240), (40, 160, 80), (200, 120, 0), (150, 60, 200), (0, 150, 160))
_TRUTH = (255, 255, 255)
_GAP = 6


def draw_predictions(path, model, part, count=4):
    """Save a picture of what `model` finds in the first `count` pictures of `part`, labels in white.

    `model` is a `predictor.Model`, `part` a pair of COCO document and folder of pictures. Returns how many
    things are drawn.
    """
    annotations, images = part
    with open(annotations, encoding="utf-8") as stream:
        document = json.load(stream)
    tiles, drawn = [], 0
    for image in document["images"][:count]:
        pixels = read_picture(os.path.join(images, image["file_name"])).pixels
        boxes = [one["bbox"] for one in document["annotations"] if one["image_id"] == image["id"]]
        found = [one for one in model.predict(pixels) if one.score >= _LEAST_SCORE]
        tiles.append(_tile(pixels, boxes, found, model.names))
        drawn += len(found)
    _sheet(tiles).save(path)
    return drawn


def _tile(pixels, boxes, found, names):
    shown = pixels.astype(np.float64)
    for one in found:
        if one.mask is not None:
            shown[one.mask] = 0.6 * shown[one.mask] + 0.4 * np.array(_colour(one))
    picture = Image.fromarray(shown.astype(np.uint8))
    scale = _LONGEST / float(max(picture.size))
    picture = picture.resize([max(1, round(side * scale)) for side in picture.size])
    canvas = ImageDraw.Draw(picture)
    for left, top, width, height in boxes:
        canvas.rectangle(_frame((left, top, left + width, top + height), scale), outline=_TRUTH, width=3)
    for one in found:
        frame = _frame(one.box, scale)
        canvas.rectangle(frame, outline=_colour(one), width=2)
        for x, y, _ in one.keypoints or ():
            canvas.ellipse(_frame((x - 2 / scale, y - 2 / scale, x + 2 / scale, y + 2 / scale), scale),
                           fill=_colour(one), outline=_TRUTH)  # fmt: skip
        text = ("%s %.2f" % (names[one.label], one.score)).encode("latin-1", "replace").decode("latin-1")
        canvas.rectangle((frame[0], frame[1], frame[0] + 6 * len(text) + 6, frame[1] + 13), fill=_colour(one))
        canvas.text((frame[0] + 3, frame[1] + 1), text, fill="white")
    return picture


def _colour(instance):
    return _COLOURS[instance.label % len(_COLOURS)]


def _frame(box, scale):
    """A rectangle as PIL draws it, never inside out."""
    left, top, right, bottom = (round(value * scale) for value in box)
    return (left, top, max(left, right - 1), max(top, bottom - 1))


def _sheet(tiles):
    """Two in a row, on white."""
    width, height = (max(tile.size[side] for tile in tiles) + _GAP for side in (0, 1))
    sheet = Image.new(
        "RGB", (min(2, len(tiles)) * width - _GAP, (len(tiles) + 1) // 2 * height - _GAP), "white"
    )
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % 2 * width, number // 2 * height))
    return sheet
