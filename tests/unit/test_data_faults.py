"""A fault planted into a clean data set is named, with its file and place; nothing else is an error."""

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datasets import HEIGHT, MAKERS, WIDTH, draw, edit, labelme_document, voc_object, voc_text, yolo_line
from wheelferry.client.data.convert import convert
from wheelferry.client.data.examine import Options, examine
from wheelferry.client.data.kinds import ERROR, KINDS
from wheelferry.progress import Silent

Plant = Callable[[Path], object]
TRAIN = "annotations/train.json"
LINES = "labels/train/p0.txt"
XML = "Annotations/p0.xml"
LABELME = "train/p0.json"


def coco(change: Callable[[dict[str, Any]], object], file: str = TRAIN) -> Plant:
    return lambda folder: edit(folder / file, change)


def first(**values: object) -> Plant:
    """The first annotation of train.json gets these values; None removes one."""

    def change(document: dict[str, Any]) -> None:
        for key, value in values.items():
            if value is None:
                document["annotations"][0].pop(key)
            else:
                document["annotations"][0][key] = value

    return coco(change)


def keypoints(values: object, count: int | None = 1) -> Plant:
    """A category with two keypoints, and an object with these."""

    def change(document: dict[str, Any]) -> None:
        document["categories"][0]["keypoints"] = ["left", "right"]
        document["annotations"][0].update(keypoints=values, num_keypoints=count)

    def plant(folder: Path) -> None:
        for split in ("train", "val"):
            edit(folder / "annotations" / f"{split}.json", change)

    return plant


def image(**values: object) -> Plant:
    return coco(lambda document: document["images"][0].update(values))


def lines(text: str | bytes) -> Plant:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / LINES).write_bytes(data)


def objects(text: str, **more: Any) -> Plant:
    return lambda folder: (folder / XML).write_text(voc_text(0, text, **more), "utf-8")


def shapes(*made: object) -> Plant:
    return lambda folder: edit(folder / LABELME, lambda document: document.update(shapes=list(made)))


def shape(kind: str, points: object, **more: object) -> dict[str, object]:
    return {"label": "dent", "shape_type": kind, "points": points, **more}


def picture(save: Callable[[Image.Image, Path], object], name: str = "train/p0.png") -> Plant:
    """The first picture is saved in another way."""

    def plant(folder: Path) -> None:
        with Image.open(folder / name) as opened:
            kept = opened.copy()
        save(kept, folder / name)

    return plant


def turned(form: str, name: str = "train/p0.png", **options: Any) -> Plant:
    tags = Image.Exif()
    tags[0x0112] = 6
    return picture(lambda kept, path: kept.save(path, form, exif=tags, **options), name)


def cut(folder: Path) -> None:
    path = folder / "train/p0.png"
    path.write_bytes(path.read_bytes()[:150])


def renamed(old: str, new: str) -> Plant:
    return lambda folder: (folder / old).rename(folder / new)


def copied(old: str, new: str) -> Plant:
    return lambda folder: (folder / new).write_bytes((folder / old).read_bytes())


def chained(*plants: Plant) -> Plant:
    return lambda folder: [plant(folder) for plant in plants]


def clear(kept: Image.Image, path: Path) -> None:
    kept.putalpha(7)
    kept.save(path)


def deep(kept: Image.Image, path: Path) -> None:
    Image.frombytes("I;16", kept.size, struct.pack("<H", 900) * (WIDTH * HEIGHT)).save(path)


def all_corners(document: dict[str, Any]) -> None:
    for one in document["annotations"]:
        x, y, width, height = one["bbox"]
        one["bbox"] = [x, y, x + width, y + height]
        one.pop("segmentation")


def bytes_of(document: object, encoding: str) -> bytes:
    return json.dumps(document).encode(encoding)


def embedded(folder: Path) -> None:
    path = folder / "train/p0.png"
    data = base64.b64encode(path.read_bytes()).decode()
    edit(folder / LABELME, lambda document: document.update(imageData=data))
    path.unlink()


def mask(width: int, height: int) -> str:
    stream = io.BytesIO()
    Image.new("L", (width, height), 1).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


HALF = WIDTH * HEIGHT // 2
SQUARE = [[10, 10], [40, 10], [40, 40]]
# (format, what is planted, the kind, what is named in one of its examples)
FAULTS: list[tuple[str, Plant, str, str]] = [
    ("coco", lambda f: (f / TRAIN).write_text('{"images": [\n{"id": 1,}]}'), "labels-unreadable", "line 2"),
    (
        "coco",
        lambda f: (f / TRAIN).write_bytes((f / TRAIN).read_bytes()[:-40]),
        "labels-unreadable",
        "ends too",
    ),
    (
        "coco",
        lambda f: (f / TRAIN).write_bytes(b"\xef\xbb\xbf" + (f / TRAIN).read_bytes()),
        "labels-encoding",
        TRAIN,
    ),
    (
        "coco",
        lambda f: (f / TRAIN).write_text((f / TRAIN).read_text()[:-1] + ', "annotations": []}'),
        "section-twice",
        "annotations",
    ),
    ("coco", coco(lambda d: d.update(annotations={})), "labels-unreadable", "annotations it is no list"),
    ("coco", lambda f: (f / "train/p0.png").unlink(), "picture-missing", "p0.png"),
    ("coco", lambda f: (f / "train/p0.png").write_bytes(b"no picture"), "picture-unreadable", "p0.png"),
    ("coco", cut, "picture-truncated", "p0.png"),
    ("coco", image(file_name="/etc/p0.png"), "picture-outside", "/etc/p0.png"),
    ("coco", image(file_name="C:\\pictures\\p0.png"), "picture-outside", "C:"),
    ("coco", image(file_name="../../p0.png"), "picture-outside", "images[0] (id 1)"),
    ("coco", image(width=WIDTH + 1), "picture-size", "stated 121 x 90"),
    ("coco", turned("PNG"), "picture-turned-size", "p0.png"),
    (
        "coco",
        chained(
            image(file_name="p0.tif", width=HEIGHT, height=WIDTH),
            turned("TIFF", compression="tiff_lzw"),
            renamed("train/p0.png", "train/p0.tif"),
        ),
        "picture-turned-tiff",
        "orientation 6",
    ),
    ("yolo", turned("PNG", name="images/train/p0.png"), "picture-turned", "images/train/p0.png"),
    ("coco", picture(deep), "picture-deep", "16 bits"),
    ("coco", picture(lambda p, path: p.convert("1").save(path)), "picture-mode", "1 bit"),
    (
        "coco",
        picture(lambda p, path: p.convert("P").save(path, transparency=0)),
        "picture-mode",
        "transparent",
    ),
    ("coco", picture(clear), "picture-mode", "transparent"),
    (
        "coco",
        chained(
            image(file_name="p0.jpg"),
            picture(lambda p, path: p.convert("CMYK").save(path.with_suffix(".jpg"))),
            lambda f: (f / "train/p0.png").unlink(),
        ),
        "picture-mode",
        "CMYK",
    ),
    (
        "coco",
        picture(lambda p, path: p.save(path, "PNG", save_all=True, append_images=[p.rotate(90)])),
        "picture-frames",
        "2 pictures",
    ),
    ("coco", picture(lambda p, path: p.save(path, "BMP")), "picture-format", "it is BMP"),
    ("coco", image(width=0), "picture-size-unstated", "p0.png"),
    ("coco", image(file_name="p1.png"), "picture-twice", "images[1] (id 2)"),
    ("coco", coco(lambda d: d["images"][1].update(id=1)), "picture-id-twice", "id 1"),
    ("coco", image(file_name=".\\p0.png"), "picture-slashes", ".\\p0.png"),
    ("coco", image(file_name="P0.PNG"), "picture-case", "P0.PNG"),
    (
        "coco",
        chained(image(file_name="pö 0.png"), renamed("train/p0.png", "train/pö 0.png")),
        "picture-name",
        "pö",
    ),
    (
        "coco",
        chained(image(file_name="p?.png"), renamed("train/p0.png", "train/p?.png")),
        "picture-name-windows",
        "p?.png",
    ),
    (
        "coco",
        chained(image(file_name="P1.png"), renamed("train/p0.png", "train/P1.png")),
        "names-collide",
        "p1.png",
    ),
    ("coco", lambda f: draw(f / "train/p8.png", 8), "picture-unlisted", "train/p8.png"),
    ("coco", coco(lambda d: d["annotations"].__delitem__(slice(0, 2))), "picture-empty", "p0.png"),
    ("coco", copied("train/p1.png", "train/p2.png"), "same-bytes", "p2.png"),
    (
        "coco",
        chained(
            copied("train/p1.png", "train/p2.png"),
            picture(lambda p, q: p.save(q, compress_level=0), "train/p2.png"),
        ),
        "same-pixels",
        "p2.png",
    ),
    ("coco", copied("train/p1.png", "val/p3.png"), "in-two-splits", "p1.png in train"),
    # categories
    ("coco", first(category_id=7), "category-unknown", "annotations[0] (id 1)"),
    (
        "coco",
        coco(lambda d: d["categories"].append({"id": 3, "name": " "})),
        "category-name",
        "categories[2]",
    ),
    (
        "coco",
        coco(lambda d: d["categories"].append({"id": "3", "name": "x"})),
        "category-id",
        "categories[2]",
    ),
    ("coco", coco(lambda d: d["categories"].append({"id": 2, "name": "x"})), "category-id-twice", "id 2"),
    ("coco", coco(lambda d: d["categories"][1].update(name="dent")), "category-name-twice", "id 2 (dent)"),
    ("coco", coco(lambda d: d["categories"].append({"id": 3, "name": "Dent "})), "category-spelling", "Dent"),
    (
        "yolo",
        lambda f: (f / "data.yaml").write_text(
            "train: images/train\nval: images/val\nnames: [dent, scratch, hole]\n"
        ),
        "category-unused",
        "hole",
    ),
    (
        "coco",
        coco(
            lambda d: [
                d["categories"][1].update(id=5),
                *(a.update(category_id=5) for a in d["annotations"] if a["category_id"] == 2),
            ]
        ),
        "categories-differ",
        "id 5",
    ),
    (
        "coco",
        coco(
            lambda d: [
                d["categories"][1].update(id=5),
                *(a.update(category_id=5) for a in d["annotations"] if a["category_id"] == 2),
            ]
        ),
        "category-gaps",
        "1, 5",
    ),
    ("voc", objects(voc_object("hole", (1, 1, 30, 30))), "category-in-one-split", "hole"),
    # objects
    ("coco", coco(lambda d: d["annotations"].append("nothing")), "object-broken", "annotations[6]"),
    ("coco", first(image_id=99), "picture-unknown", "image_id 99"),
    ("coco", first(id=0), "object-id-zero", "annotations[0] (id 0)"),
    ("coco", first(id=2), "object-id-twice", "annotations[1] (id 2)"),
    ("coco", first(id=None), "object-id", "annotations[0]"),
    ("coco", first(id="one"), "object-id", "annotations[0] (id one)"),
    (
        "coco",
        coco(lambda d: d["annotations"].append(dict(d["annotations"][0], id=77))),
        "object-twice",
        "id 77",
    ),
    ("coco", first(ignore=1), "object-ignored", "(id 1)"),
    ("voc", objects(voc_object("dent", (1, 1, 30, 30), "<difficult>1</difficult>")), "object-difficult", XML),
    ("coco", first(iscrowd=None), "crowd-value", "missing"),
    ("coco", first(iscrowd=2), "crowd-value", "it is 2"),
    ("coco", first(iscrowd=1), "crowd-outline", "(id 1)"),
    ("coco", first(area=None), "area-missing", "(id 1)"),
    ("coco", first(area=0), "area-wrong", "stated 0"),
    # boxes
    ("coco", first(bbox=None), "box-missing", "(id 1)"),
    ("coco", first(bbox=[1, 2, 3]), "box-numbers", "[1, 2, 3]"),
    ("coco", first(bbox=[1, 2, float("nan"), 4]), "box-numbers", "nan"),
    ("coco", first(bbox=[1, True, 3, 4]), "box-numbers", "True"),
    ("coco", first(bbox=["1,5", 2, 3, 4]), "decimal-comma", "1,5"),
    ("coco", first(bbox=[10, 10, 0, 20]), "box-empty", "(id 1)"),
    ("coco", first(bbox=[40, 30, -30, -20]), "box-reversed", "(id 1)"),
    ("coco", first(bbox=[500, 10, 30, 20]), "box-outside", "120 x 90"),
    ("coco", first(bbox=[100, 10, 30, 20], segmentation=[]), "box-beyond", "120 x 90"),
    ("coco", first(bbox=[10, 10, 0.5, 20], segmentation=[], area=10), "box-tiny", "(id 1)"),
    ("coco", coco(all_corners), "box-order", "train"),
    ("coco", first(bbox=[50, 50, 30, 20]), "box-unlike-outline", "(id 1)"),
    # outlines
    ("coco", first(segmentation=None), "outline-mixed", "5 have one, 1 have none"),
    ("coco", first(segmentation=[[10, 10, 40, 30]]), "polygon-short", "2 points"),
    ("coco", first(segmentation=[[10, 10, 40, 10, 40, 30, 5]]), "polygon-odd", "7 numbers"),
    ("coco", first(segmentation=[[10, 10, 40, 10, 40, "x"]]), "polygon-numbers", "'x'"),
    ("coco", first(segmentation=[10, 10, 40, 10, 40, 30, 10, 30]), "polygon-flat", "(id 1)"),
    ("coco", first(segmentation=[[10, 10, 20, 20, 30, 30]]), "polygon-empty", "(id 1)"),
    ("coco", first(segmentation=[[-9, 10, 40, 10, 40, 30, -9, 30]]), "polygon-beyond", "by 9.0 pixels"),
    ("coco", first(segmentation="polygon"), "outline-kind", "str"),
    ("coco", first(segmentation={"size": [HEIGHT, WIDTH], "counts": [5]}), "rle-broken", "5 pixels"),
    ("coco", first(segmentation={"size": [HEIGHT, WIDTH], "counts": "~~"}), "rle-broken", "sign"),
    (
        "coco",
        first(segmentation={"size": [HEIGHT, WIDTH], "counts": [[1, 2, 3, 4, 5, 6]]}),
        "rle-broken",
        "neither",
    ),
    ("coco", first(segmentation={"size": [WIDTH, HEIGHT], "counts": [HALF, HALF]}), "rle-size", "[120, 90]"),
    ("coco", first(segmentation={"size": [HEIGHT, WIDTH], "counts": [2 * HALF]}), "rle-empty", "(id 1)"),
    (
        "coco",
        first(
            segmentation={"size": [HEIGHT, WIDTH], "counts": [0, HALF, HALF]},
            bbox=[0, 0, WIDTH // 2, HEIGHT],
            area=HALF,
        ),
        "rle-object",
        "(id 1)",
    ),
    # keypoints
    ("coco", keypoints([1, 1, 2]), "keypoints-count", "3 numbers for 2"),
    ("coco", keypoints([1, 1, 2, 3, 3, 9]), "keypoints-flag", "(id 1)"),
    ("coco", keypoints([1, "a", 2, 3, 3, 0]), "keypoints-numbers", "'a'"),
    ("coco", keypoints([1, 1, 2, 3, 3, 0], None), "keypoints-number", "stated None, marked 1"),
    ("coco", keypoints([1, 900, 2, 3, 3, 0]), "keypoints-outside", "(id 1)"),
    (
        "coco",
        coco(lambda d: d["annotations"][0].update(keypoints=[1, 1, 2], num_keypoints=1)),
        "keypoints-unnamed",
        "dent",
    ),
    (
        "coco",
        coco(lambda d: d["categories"][0].update(keypoints=["a"], skeleton=[[1, 2]])),
        "skeleton",
        "id 1",
    ),
    # YOLO
    ("yolo", lines("0 0.5 0.5 0.2\n"), "object-broken", "line 1"),
    ("yolo", lines("0 0.5 0.5 0.2 wide\n"), "object-broken", "wide"),
    ("yolo", lines("0 0,5 0,5 0,2 0,2\n"), "decimal-comma", "line 1"),
    ("yolo", lines("2 0.5 0.5 0.2 0.2\n"), "category-unknown", "class 2 of 2"),
    ("yolo", lines("-1 0.5 0.5 0.2 0.2\n"), "class-number", "-1"),
    ("yolo", lines("0.5 0.5 0.5 0.2 0.2\n"), "class-number", "0.5"),
    ("yolo", lines("0 60 45 20 20\n"), "not-fractions", "line 1"),
    ("yolo", lines("0 0.5 0.5 nan 0.2\n"), "box-numbers", "nan"),
    ("yolo", lines("0 0.5 0.5 0 0.2\n"), "box-empty", "line 1"),
    ("yolo", lines("0 0.5 0.5 0.2 0.2 0.9\n"), "confidence", "line 1"),
    ("yolo", lines("0 0.1 0.1 0.4 0.1 0.4 0.4 0.2\n"), "polygon-odd", "7 numbers"),
    ("yolo", lines("\n0 0.5 0.5 0.2 0.2\n"), "blank-lines", "line 1"),
    ("yolo", lines("0 0.5 0.5 0.2 0.2\r\n"), "line-ends", LINES),
    ("yolo", lines(b"\xef\xbb\xbf0 0.5 0.5 0.2 0.2\n"), "labels-encoding", "utf-8-sig"),
    ("yolo", lines("0 0.5 0.5 0.2 0.2\n".encode("utf-16")), "labels-encoding", "utf-16"),
    ("yolo", lines(b"0 0.5 0.5 0.2 0.2 \xff\n"), "labels-unreadable", "line 1"),
    ("yolo", lambda f: (f / LINES).unlink(), "picture-empty", "images/train/p0.png"),
    ("yolo", lambda f: (f / "labels/train/p77.txt").write_text(""), "labels-without-picture", "p77.txt"),
    (
        "yolo",
        lambda f: (f / "data.yaml").write_text(
            "train: images/train\nval: nowhere\nnc: 2\nnames: [dent, scratch]\n"
        ),
        "split-missing",
        "nowhere",
    ),
    (
        "yolo",
        lambda f: (f / "data.yaml").write_text(
            "train: images/train\nval: images/val\nnc: 3\nnames: {0: dent, 1: scratch}\n"
        ),
        "names-count",
        "nc is 3",
    ),
    ("yolo", lambda f: (f / "data.yaml").unlink(), "names-missing", "2 classes"),
    # VOC
    ("voc", lambda f: (f / XML).write_text("<annotation><object>"), "labels-unreadable", XML),
    (
        "voc",
        lambda f: (f / XML).write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'),
        "labels-unreadable",
        XML,
    ),
    ("voc", objects(voc_object("dent", (40, 30, 10, 10))), "box-reversed", "object 1 (dent)"),
    ("voc", objects(voc_object("dent", ("a", 30, 40, 50))), "box-numbers", "object 1 (dent)"),
    ("voc", objects(voc_object("dent", ("1,5", 30, 40, 50))), "decimal-comma", "1,5"),
    ("voc", objects(voc_object("dent", (10, 10, 10, 30))), "box-empty", "object 1 (dent)"),
    ("voc", objects(voc_object(" ", (10, 10, 20, 30))), "category-name", "object 1"),
    ("voc", objects("<object><name>dent</name></object>"), "box-missing", "object 1 (dent)"),
    ("voc", objects(voc_object("dent", (1, 1, 30, 30)), size=(0, 0)), "picture-size-unstated", XML),
    ("voc", objects(voc_object("dent", (1, 1, 30, 30)), size=("wide", HEIGHT)), "picture-size-unstated", XML),
    ("voc", lambda f: (f / XML).write_text(voc_text(1)), "voc-filename", XML),
    ("voc", lambda f: (f / "ImageSets/Main/val.txt").write_text("p3\np4\np44\n"), "labels-missing", "p44"),
    ("voc", lambda f: (f / "JPEGImages/p0.png").unlink(), "picture-missing", XML),
    (
        "voc",
        lambda f: (f / XML).write_text(voc_text(0).replace("Unknown", "The VOC2012 Database")),
        "voc-one-based",
        XML,
    ),
    (
        "voc",
        objects(
            voc_object("dent", (1, 1, 30, 30), "<polygon><x1>1</x1><y1>1</y1><x2>9</x2><y2>9</y2></polygon>")
        ),
        "polygon-short",
        "object 1 (dent)",
    ),
    (
        "voc",
        chained(
            lambda f: (f / "JPEGImages/p0.png").unlink(),
            lambda f: (f / XML).write_text(voc_text(0).replace("<filename>p0", "<filename>../../../p0")),
        ),
        "picture-outside",
        XML,
    ),
    # labelme
    ("labelme", lambda f: (f / LABELME).write_text('{"shapes": [\n}'), "labels-unreadable", "line 2"),
    ("labelme", lambda f: (f / LABELME).write_text('{"shapes": 7}'), "labels-unreadable", LABELME),
    (
        "labelme",
        lambda f: (f / LABELME).write_bytes(bytes_of(labelme_document(0), "utf-16")),
        "labels-encoding",
        LABELME,
    ),
    ("labelme", shapes(shape("polygon", SQUARE[:2])), "polygon-short", "shapes[0] (dent)"),
    ("labelme", shapes(shape("polygon", [[10, 10], [40]])), "shape-broken", "no pairs"),
    ("labelme", shapes(shape("rectangle", [[1, 1], [float("nan"), 4]])), "box-numbers", "shapes[0] (dent)"),
    ("labelme", shapes(shape("rectangle", [[9, 9], [9, 30]])), "box-empty", "shapes[0] (dent)"),
    ("labelme", shapes(shape("circle", [[50, 50]])), "shape-broken", "1 points"),
    ("labelme", shapes(shape("circle", [[50, 50], [60, 50]])), "shape-circle", "shapes[0] (dent)"),
    ("labelme", shapes(shape("linestrip", SQUARE)), "shape-without-area", "linestrip"),
    ("labelme", shapes(shape("star", SQUARE)), "shape-kind", "star"),
    ("labelme", shapes(shape("mask", [[5, 5], [14, 24]], mask="%%")), "shape-broken", "mask is no picture"),
    (
        "labelme",
        shapes(shape("mask", [[5, 5], [14, 24]], mask=mask(10, 20))),
        "rle-object",
        "shapes[0] (dent)",
    ),
    (
        "labelme",
        shapes(shape("polygon", SQUARE, group_id=1), shape("polygon", SQUARE, group_id=1)),
        "shape-group",
        "group 1",
    ),
    ("labelme", embedded, "picture-embedded", "p0.png"),
    (
        "labelme",
        chained(embedded, lambda f: edit(f / LABELME, lambda d: d.update(imageData="x"))),
        "picture-unreadable",
        "no base64",
    ),
    (
        "labelme",
        lambda f: edit(f / LABELME, lambda d: d.update(imagePath="..\\train\\p0.png")),
        "picture-slashes",
        LABELME,
    ),
    (
        "labelme",
        lambda f: edit(f / LABELME, lambda d: d.update(imagePath="p1.png")),
        "picture-twice",
        "p1.png",
    ),
    (
        "labelme",
        lambda f: edit(f / LABELME, lambda d: d.update(imageWidth=None)),
        "picture-size-unstated",
        LABELME,
    ),
]
# Kinds that one fault has as well: what follows from it.
FOLLOWS = {
    "picture-id-twice": {"picture-unknown"},
    "categories-differ": {"category-gaps"},
    "category-gaps": {"categories-differ"},
    "category-name-twice": {"categories-differ"},
    "category-id-twice": {"categories-differ", "category-unknown"},
    "category-spelling": {"categories-differ"},
    "box-order": {"box-outside"},
}


@pytest.mark.parametrize(
    ("form", "plant", "code", "named"), FAULTS, ids=[f"{n}-{one[0]}-{one[2]}" for n, one in enumerate(FAULTS)]
)
def test_a_planted_fault_is_named(tmp_path: Path, form: str, plant: Plant, code: str, named: str) -> None:
    folder = tmp_path / "set"
    MAKERS[form](folder)
    plant(folder)
    result = examine(str(folder), Options(), Silent()).to_json()
    found = {kind["code"]: kind for kind in result["problems"]}
    assert code in found
    places = [" ".join(example.values()) for example in found[code]["examples"]]
    assert any(named in place for place in places), places
    errors = {one for one in found if KINDS[one].level == ERROR} - {code} - FOLLOWS.get(code, set())
    assert errors == set()
    assert result["exit_code"] == (1 if any(KINDS[one].level == ERROR for one in found) else 0)


@pytest.mark.parametrize(
    ("form", "plant", "code"),
    [one[:3] for one in FAULTS if one[2] != "box-order"],
    ids=[f"{n}-{one[0]}-{one[2]}" for n, one in enumerate(FAULTS) if one[2] != "box-order"],
)
def test_what_is_written_has_no_error(tmp_path: Path, form: str, plant: Plant, code: str) -> None:
    folder = tmp_path / "set"
    MAKERS[form](folder)
    plant(folder)
    convert(str(folder), str(tmp_path / "out"), Options(), False, Silent())
    found = examine(str(tmp_path / "out"), Options(), Silent()).to_json()["problems"]
    assert [kind for kind in found if kind["level"] == ERROR] == []


@pytest.mark.parametrize(
    ("task", "form", "plant", "code"),
    [
        ("masks", "coco", first(segmentation=None), "outline-missing"),
        ("masks", "yolo", str, "outline-missing"),
        ("masks", "coco", first(segmentation=[[1, 2, 3, 4]]), "outline-missing"),
        ("keypoints", "coco", str, "keypoints-missing"),
    ],
)
def test_what_a_task_needs(tmp_path: Path, task: str, form: str, plant: Plant, code: str) -> None:
    MAKERS[form](tmp_path / "set")
    plant(tmp_path / "set")
    assert not examine(str(tmp_path / "set"), Options(), Silent()).found.has(code)
    assert examine(str(tmp_path / "set"), Options(task=task), Silent()).found.has(code)


def test_every_kind_has_a_fault_here() -> None:
    elsewhere = {
        "outline-missing",
        "keypoints-missing",
        "picture-too-large",
        "picture-id-kind",
        "picture-id-large",
    }
    assert set(KINDS) - {code for _, _, code, _ in FAULTS} == elsewhere


@pytest.mark.parametrize(
    ("number", "code"), [(2**53, "picture-id-large"), ("a", "picture-id-kind"), (1.5, "picture-id-kind")]
)
def test_ids_of_pictures(tmp_path: Path, number: object, code: str) -> None:
    MAKERS["coco"](tmp_path)

    def change(document: dict[str, Any]) -> None:
        document["images"][0]["id"] = number
        for annotation in document["annotations"][:2]:
            annotation["image_id"] = number

    edit(tmp_path / TRAIN, change)
    data = examine(str(tmp_path), Options(), Silent())
    assert data.found.has(code)
    assert data.splits[0].counts == {"dent": 3, "scratch": 3}


def test_more_pixels_than_pillow_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MAKERS["coco"](tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert examine(str(tmp_path), Options(), Silent()).found.has("picture-too-large")


@pytest.mark.parametrize("form", MAKERS)
def test_a_clean_data_set_has_no_error(tmp_path: Path, form: str) -> None:
    MAKERS[form](tmp_path)
    data = examine(str(tmp_path), Options(), Silent())
    # labelme's rectangles have no outline, its polygons have
    assert [kind["code"] for kind in data.found.to_json()] == (["outline-mixed"] if form == "labelme" else [])
    assert [(split.name, split.counts) for split in data.splits] == [
        ("train", {"dent": 3, "scratch": 3}),
        ("val", {"dent": 2, "scratch": 2}),
    ]


def test_yolo_boxes_that_are_corners(tmp_path: Path) -> None:
    MAKERS["yolo"](tmp_path)
    corners = [(10, 10, 40, 30), (50, 20, 100, 60), (30, 50, 60, 80), (70, 60, 110, 85)]
    text = "".join(
        f"0 {x / WIDTH} {y / HEIGHT} {right / WIDTH} {bottom / HEIGHT}\n" for x, y, right, bottom in corners
    )
    for path in (tmp_path / "labels").rglob("*.txt"):
        path.write_text(text)
    data = examine(str(tmp_path), Options(), Silent())
    assert data.found.has("box-order")
    again = examine(str(tmp_path), Options(corners=True), Silent())
    assert [kind["code"] for kind in again.found.to_json() if kind["level"] == ERROR] == []


def test_yolo_lines_are_read_back(tmp_path: Path) -> None:
    MAKERS["yolo"](tmp_path)
    (tmp_path / LINES).write_text(yolo_line(1, (10, 20, 50, 60)))
    data = examine(str(tmp_path), Options(), Silent())
    split = data.splits[0]
    thing, category = next(data.sound(split, data.found))
    assert category.name == "scratch"
    assert thing.box == pytest.approx((10, 20, 40, 40), abs=0.01)
