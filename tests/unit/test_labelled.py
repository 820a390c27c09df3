"""The data set of a training: its two parts, its classes, and what is refused before anything is loaded."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from page.unfit import Unfit

from wheelferry.catalog import shipped_folder


@pytest.fixture(scope="module")
def labelled() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(shipped_folder() / "detectron2" / "apps"))
        yield importlib.import_module("labelled")


def document(count: int, **more: Any) -> dict[str, Any]:
    """A COCO document of so many pictures with an object each."""
    polygon = [[0, 0, 5, 0, 5, 5]]
    return {
        "images": [
            {"id": n, "file_name": f"{n} ü.png", "width": 9, "height": 9} for n in range(1, count + 1)
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7, "bbox": [0, 0, 5, 5], "segmentation": polygon, **more}
            for n in range(1, count + 1)
        ],
        "categories": [{"id": 7, "name": "dent"}, {"id": 3, "name": "crack"}],
    }


def write(folder: Path, given: object) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(given), "utf-8")
    for image in given["images"] if isinstance(given, dict) else ():
        (folder / "images" / image["file_name"]).write_bytes(b"")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
def test_one_part_becomes_two_always_the_same(labelled: ModuleType, tmp_path: Path, count: int) -> None:
    write(tmp_path / "data", document(count))
    parts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        data = labelled.open_labelled(str(tmp_path / "data"), str(tmp_path / name))
        parts.append([Path(part[0]).read_text("utf-8") for part in (data.train, data.val)])
        assert data.classes == ["crack", "dent"]
        assert data.has_outlines
        assert not data.has_bitmaps
    assert parts[0] == parts[1]
    train, val = ({one["id"] for one in json.loads(text)["images"]} for text in parts[0])
    assert train
    assert val
    assert train | val == set(range(1, count + 1))
    assert count == 1 or not train & val
    assert {one["image_id"] for one in json.loads(parts[0][1])["annotations"]} == val


def test_two_parts_are_taken_as_they_are(labelled: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "train", document(3))
    write(tmp_path / "val", document(2, segmentation={"size": [9, 9], "counts": "x"}))
    data = labelled.open_labelled(str(tmp_path), str(tmp_path))
    assert (data.pictures, data.measured) == (3, 2)
    assert data.val == (str(tmp_path / "val" / "annotations.json"), str(tmp_path / "val" / "images"))
    assert data.has_bitmaps


def test_objects_without_outlines_are_seen(labelled: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "data", document(3, segmentation=[]))
    assert not labelled.open_labelled(str(tmp_path / "data"), str(tmp_path)).has_outlines


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no COCO JSON that can be read"),
        ({"images": []}, "no COCO JSON that can be read"),
        ({**document(1), "annotations": []}, "no labelled objects"),
        ({**document(1), "categories": []}, "no labelled objects"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(
    labelled: ModuleType, tmp_path: Path, given: object, said: str
) -> None:
    write(tmp_path / "data", given)
    with pytest.raises(Unfit, match=said):
        labelled.open_labelled(str(tmp_path / "data"), str(tmp_path))


def test_pictures_that_are_not_there_are_named(labelled: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "data", document(4))
    (tmp_path / "data" / "images" / "3 ü.png").unlink()
    with pytest.raises(Unfit, match=r"1 of 4 pictures are not in .*images, as 3 ü\.png"):
        labelled.open_labelled(str(tmp_path / "data"), str(tmp_path))
    for name in ("nothing", "data/images"):
        with pytest.raises(Unfit, match=r"is no folder|has no annotations\.json"):
            labelled.open_labelled(str(tmp_path / name), str(tmp_path))
