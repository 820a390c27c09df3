"""Synthetic images: flat-coloured rectangles, ellipses and triangles on noise.

Made from a seed with numpy and PIL alone, so that training needs no download.
"""

from collections import namedtuple

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("rectangle", "ellipse", "triangle")
SIZE = 96  # pixels, width and height of an image
MOST_SHAPES = 3
SIDE_RANGE = (20, 48)  # pixels, drawn width and height of a shape
LEAST_CONTRAST = 100  # distance of a shape's RGB colour from the background's

# image: uint8 [H, W, 3]; boxes: float32 [N, 4], right and bottom exclusive; labels: int64 [N]
Sample = namedtuple("Sample", "image boxes labels")


def make_dataset(count, seed):
    """List of `count` samples; the same seed gives the same images."""
    return [make_sample(np.random.RandomState([seed, index])) for index in range(count)]


def make_sample(random):
    """One sample with one to three shapes that do not overlap, drawn with a RandomState."""
    background = random.randint(90, 166, size=3)
    image = _noise(random, background)
    boxes, labels = [], []
    for _ in range(random.randint(1, MOST_SHAPES + 1)):
        frame = _free_frame(random, boxes)
        if frame is None:
            continue
        label = random.randint(len(CLASSES))
        mask = _draw(label, frame)
        image[np.asarray(mask) > 0] = _contrasting(random, background)
        boxes.append(mask.getbbox())
        labels.append(label)
    return Sample(image, np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(labels, dtype=np.int64))


def _noise(random, background):
    grain = random.normal(0, 18, size=(SIZE, SIZE, 3))
    return np.clip(background + grain, 0, 255).astype(np.uint8)


def _free_frame(random, taken, attempts=20):
    """Box (x1, y1, x2, y2) inside the image that touches none of `taken`, or None."""
    for _ in range(attempts):
        width, height = random.randint(SIDE_RANGE[0], SIDE_RANGE[1] + 1, size=2)
        left, top = random.randint(0, SIZE - width + 1), random.randint(0, SIZE - height + 1)
        frame = (int(left), int(top), int(left + width), int(top + height))
        if not any(_touch(frame, other) for other in taken):
            return frame
    return None


def _touch(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw(label, frame):
    """Mask image of one shape; its bounding box is taken from the pixels really drawn."""
    mask = Image.new("L", (SIZE, SIZE))
    canvas = ImageDraw.Draw(mask)
    left, top, right, bottom = frame[0], frame[1], frame[2] - 1, frame[3] - 1  # PIL includes the end
    if CLASSES[label] == "rectangle":
        canvas.rectangle((left, top, right, bottom), fill=255)
    elif CLASSES[label] == "ellipse":
        canvas.ellipse((left, top, right, bottom), fill=255)
    else:
        canvas.polygon([(left, bottom), ((left + right) // 2, top), (right, bottom)], fill=255)
    return mask


def _contrasting(random, background):
    while True:
        colour = random.randint(0, 256, size=3)
        if np.linalg.norm(colour - background) >= LEAST_CONTRAST:
            return colour.astype(np.uint8)
