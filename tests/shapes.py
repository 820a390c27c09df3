"""Labelled pictures of shapes, of the kind that the sample's detector knows, as a COCO data set."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from wheelferry.catalog import shipped_folder


def make_shapes(folder: Path, *, train: int = 12, val: int = 8) -> None:
    """Folders train and val, each with annotations.json and the folder images."""
    data = _skiff_data()
    for part, samples in (("train", data.make_dataset(train, 500)), ("val", data.make_dataset(val, 501))):
        images = folder / part / "images"
        images.mkdir(parents=True)
        annotations: list[dict[str, Any]] = []
        for number, sample in enumerate(samples, 1):
            Image.fromarray(sample.image).save(images / f"{number} ü.png")
            for box, label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True):
                annotations.append(_object(len(annotations) + 1, number, box, label))
        document = {
            "images": [
                {"id": number, "file_name": f"{number} ü.png", "width": data.SIZE, "height": data.SIZE}
                for number in range(1, len(samples) + 1)
            ],
            "annotations": annotations,
            "categories": [{"id": label, "name": name} for label, name in enumerate(data.CLASSES, 1)],
        }
        (folder / part / "annotations.json").write_text(json.dumps(document), "utf-8")


def _object(number: int, image: int, box: list[float], label: int) -> dict[str, Any]:
    left, top, right, bottom = box
    size = right - left, bottom - top
    return {
        "id": number, "image_id": image, "category_id": label + 1, "iscrowd": 0,
        "bbox": [left, top, *size], "area": size[0] * size[1],
    }  # fmt: skip


def _skiff_data() -> ModuleType:
    """The sample's own maker of pictures, which needs neither torch nor its ops."""
    path = shipped_folder() / "sample" / "project" / "skiff" / "data.py"
    spec = importlib.util.spec_from_file_location("skiff_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
