"""Pictures, drawn with PIL alone."""

import math

import numpy as np
from PIL import Image, ImageDraw

from .data import CLASSES

COLOURS = ((230, 60, 60), (40, 170, 80), (60, 100, 240))
TRUTH = (255, 255, 255)


def draw_detections(image, detection, truth=None, zoom=4, least_score=0.3):
    """Picture of `image` (uint8 [H, W, 3]) with its boxes; true boxes, if given, in white."""
    picture = Image.fromarray(image)
    picture = picture.resize((picture.width * zoom, picture.height * zoom))
    canvas = ImageDraw.Draw(picture)
    if truth is not None:
        for box in truth["boxes"].tolist():
            canvas.rectangle(_frame(box, zoom), outline=TRUTH)
    found = zip(detection["boxes"].tolist(), detection["scores"].tolist(), detection["labels"].tolist())
    for box, score, label in found:
        if score >= least_score:
            frame = _frame(box, zoom)
            canvas.rectangle(frame, outline=COLOURS[label], width=2)
            _caption(canvas, frame[:2], "%s %.2f" % (CLASSES[label], score), COLOURS[label])
    return picture


def _caption(canvas, corner, text, colour):
    """White text on a tab of the box's colour; PIL's own font is six pixels wide, or narrower."""
    left, top = corner
    canvas.rectangle((left, top, left + 6 * len(text) + 6, top + 14), fill=colour)
    canvas.text((left + 4, top + 2), text, fill="white")


def _frame(box, zoom):
    """PIL rectangle of a box, never inside out (PIL refuses that), end included."""
    left, top, right, bottom = (round(value * zoom) for value in box)
    return (left, top, max(left, right - 1), max(top, bottom - 1))


def side_by_side(pictures, gap=8):
    """Row of pictures on white."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + gap
    return row


def draw_curve(values, title, width=640, height=320):
    """Line chart of `values` over their index, with a smoothed line on top."""
    picture = Image.new("RGB", (width, height), "white")
    canvas = ImageDraw.Draw(picture)
    left, top, right, bottom = 50, 30, width - 15, height - 30
    highest = max(values) or 1.0
    for mark in _marks(highest):
        y = bottom - (bottom - top) * mark / highest
        canvas.line((left, y, right, y), fill=(225, 225, 225))
        canvas.text((8, y - 6), "%g" % mark, fill="black")
    canvas.line((left, top, left, bottom, right, bottom), fill="black")
    canvas.text((left, 8), title, fill="black")
    canvas.text((right - 30, bottom + 8), str(len(values)), fill="black")

    def points(series):
        last = max(1, len(series) - 1)
        return [
            (left + (right - left) * index / last, bottom - (bottom - top) * value / highest)
            for index, value in enumerate(series)
        ]

    canvas.line(points(values), fill=(170, 195, 235))
    canvas.line(points(smooth(values)), fill=(30, 80, 180), width=2)
    return picture


def _marks(highest):
    """Round values from 0 to `highest`, at most about six."""
    raw = highest / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [index * step for index in range(int(highest / step) + 1)]


def smooth(values, window=15):
    """Mean of each value and those up to `window` before it."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return [
        float((total[end] - total[max(0, end - window)]) / (end - max(0, end - window)))
        for end in range(1, len(values) + 1)
    ]
