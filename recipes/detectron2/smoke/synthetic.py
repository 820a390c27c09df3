"""A small synthetic data set in COCO's format: coloured shapes on a plain, slightly noisy ground."""

import json
import math
import os

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("rectangle", "ellipse", "triangle")
# A hue for each class, varied below: the network shall learn this within a minute.
COLOURS = ((205, 70, 60), (70, 185, 80), (75, 90, 215))
HEIGHT, WIDTH = 96, 128


def outline(kind, box):
    """Return the polygon [(x, y), ...] of a shape that fills the box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    if kind == 0:
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if kind == 2:
        return [((x0 + x1) / 2, y0), (x1, y1), (x0, y1)]
    turns = [2 * math.pi * step / 24 for step in range(24)]
    middle, radius = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) / 2, (y1 - y0) / 2)
    return [(middle[0] + radius[0] * math.cos(t), middle[1] + radius[1] * math.sin(t)) for t in turns]


def apart(box, others, gap=3):
    """Return whether the box keeps a gap from all others."""
    return all(
        box[0] > other[2] + gap
        or other[0] > box[2] + gap
        or box[1] > other[3] + gap
        or other[1] > box[3] + gap
        for other in others
    )


def place(random):
    """Return one to three shapes (kind, box) that do not touch each other."""
    shapes, wanted = [], random.randint(1, 4)
    for _ in range(50):
        width, height = random.randint(24, 49, size=2)
        x, y = random.randint(2, WIDTH - width - 2), random.randint(2, HEIGHT - height - 2)
        box = (int(x), int(y), int(x + width), int(y + height))
        if len(shapes) < wanted and apart(box, [other for _, other in shapes]):
            shapes.append((int(random.randint(len(CLASSES))), box))
    return shapes


def picture(shapes, random):
    """Return the RGB picture of the shapes."""
    ground = int(random.randint(90, 200))
    image = Image.new("RGB", (WIDTH, HEIGHT), (ground, ground, ground))
    draw = ImageDraw.Draw(image)
    for kind, box in shapes:
        colour = tuple(int(value) for value in np.array(COLOURS[kind]) + random.randint(-25, 26, size=3))
        draw.polygon(outline(kind, box), fill=colour)
    noisy = np.asarray(image).astype(np.float64) + random.normal(0, 4, (HEIGHT, WIDTH, 1))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write(folder, count, seed=0):
    """Write count images and ``annotations.json`` below `folder`; return the JSON's path."""
    random = np.random.RandomState(seed)
    os.makedirs(folder, exist_ok=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        name, shapes = "%03d.png" % number, place(random)
        picture(shapes, random).save(os.path.join(folder, name))
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for kind, box in shapes:
            annotations.append(annotate(len(annotations) + 1, number, kind, box))
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES, 1)]
    path = os.path.join(folder, "annotations.json")
    with open(path, "w", encoding="utf-8") as stream:
        document = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        json.dump(document, stream)
    return path


def annotate(identifier, image, kind, box):
    """Return the COCO annotation of one shape."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    share = (1.0, math.pi / 4, 0.5)[kind]  # of the box that the shape fills
    return {
        "id": identifier,
        "image_id": image,
        "category_id": kind + 1,
        "bbox": [x0, y0, width, height],
        "area": share * width * height,
        "segmentation": [[round(value, 2) for point in outline(kind, box) for value in point]],
        "iscrowd": 0,
    }
