"""Small data sets in the four formats, all of the same pictures and objects, to be damaged by tests."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 120, 90
NAMES = ("dent", "scratch")
Box = tuple[int, int, int, int]


def boxes(number: int) -> list[tuple[int, Box]]:
    """(class, (left, top, right, bottom)) of the objects of a picture: one of each class."""
    return [
        (0, (10 + 5 * number, 10, 40 + 5 * number, 30)),
        (1, (60, 40 + number, 100, 70 + number)),
    ]


def draw(path: Path, number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Save a picture with its objects; no two numbers give the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (20 * number, 60, 90))
    for place, box in boxes(number):
        ImageDraw.Draw(image).rectangle(box, fill=((200, 40, 40), (40, 200, 40))[place])
    image.save(path)
    return image


def polygon(box: Box) -> list[int]:
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def coco_document(numbers: Sequence[int]) -> dict[str, Any]:
    """A whole document, of the pictures with these numbers."""
    annotations: list[dict[str, Any]] = []
    for place, number in enumerate(numbers, 1):
        for kind, box in boxes(number):
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": place,
                    "category_id": kind + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                    "segmentation": [polygon(box)],
                }
            )
    return {
        "images": [
            {"id": place, "file_name": f"p{number}.png", "width": WIDTH, "height": HEIGHT}
            for place, number in enumerate(numbers, 1)
        ],
        "categories": [{"id": place, "name": name} for place, name in enumerate(NAMES, 1)],
        "annotations": annotations,
    }


def make_coco(folder: Path) -> None:
    """train and val, each a JSON file in annotations/ and a folder of pictures."""
    for split, numbers in (("train", (0, 1, 2)), ("val", (3, 4))):
        for number in numbers:
            draw(folder / split / f"p{number}.png", number)
        path = folder / "annotations" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(coco_document(numbers)), "utf-8")


def voc_object(name: str, box: Sequence[object], more: str = "") -> str:
    sides = "".join(f"<{s}>{v}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def voc_text(number: int, objects: str | None = None, size: tuple[object, object] = (WIDTH, HEIGHT)) -> str:
    """What LabelImg writes for a picture."""
    if objects is None:
        objects = "".join(voc_object(NAMES[kind], box) for kind, box in boxes(number))
    return (
        f"<annotation><folder>x</folder><filename>p{number}.png</filename><path>/home/me/p{number}.png</path>"
        "<source><database>Unknown</database></source>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>{objects}</annotation>"
    )


def make_voc(folder: Path) -> None:
    """Annotations, JPEGImages and ImageSets."""
    for number in range(5):
        draw(folder / "JPEGImages" / f"p{number}.png", number)
        path = folder / "Annotations" / f"p{number}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(voc_text(number), "utf-8")
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("p0\np1\np2\n")
    (sets / "val.txt").write_text("p3\np4\n")


def yolo_line(kind: int, box: Box) -> str:
    left, top, right, bottom = box
    values = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
    return " ".join(
        [str(kind), *(f"{v:.6f}" for v in (*values, (right - left) / WIDTH, (bottom - top) / HEIGHT))]
    )


def make_yolo(folder: Path) -> None:
    """data.yaml, images/train, labels/train and the same for val."""
    for split, numbers in (("train", (0, 1, 2)), ("val", (3, 4))):
        for number in numbers:
            draw(folder / "images" / split / f"p{number}.png", number)
            path = folder / "labels" / split / f"p{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(yolo_line(kind, box) + "\n" for kind, box in boxes(number)))
    (folder / "data.yaml").write_text(
        "path: .\ntrain: images/train\nval: images/val\nnames: [dent, scratch]\n"
    )


def labelme_document(number: int) -> dict[str, Any]:
    """What labelme writes for a picture: a polygon and a rectangle."""
    (_, one), (_, two) = boxes(number)
    flat = polygon(one)
    return {
        "version": "7.9.1",
        "flags": {},
        "shapes": [
            {
                "label": "dent", "points": [flat[at : at + 2] for at in range(0, 8, 2)],
                "group_id": None, "shape_type": "polygon", "flags": {},
            },
            {
                "label": "scratch", "points": [list(two[:2]), list(two[2:])],
                "group_id": None, "shape_type": "rectangle", "flags": {},
            },
        ],
        "imagePath": f"p{number}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }  # fmt: skip


def make_labelme(folder: Path) -> None:
    """train and val, each picture with its JSON file beside it."""
    for number in range(5):
        place = folder / ("train" if number < 3 else "val")
        draw(place / f"p{number}.png", number)
        (place / f"p{number}.json").write_text(json.dumps(labelme_document(number)), "utf-8")


MAKERS: dict[str, Callable[[Path], None]] = {
    "coco": make_coco, "voc": make_voc, "yolo": make_yolo, "labelme": make_labelme,
}  # fmt: skip


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON document in place."""
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")
