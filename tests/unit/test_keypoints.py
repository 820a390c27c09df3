"""Keypoints of a training: their names, and which change places when a picture is mirrored."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from page.unfit import Unfit

from wheelferry.catalog import shipped_folder

COCO = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
]  # fmt: skip


@pytest.fixture(scope="module")
def keypoints() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(shipped_folder() / "detectron2" / "apps"))
        yield importlib.import_module("keypoints")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (COCO, {("left_eye", "right_eye"), ("left_ear", "right_ear"), ("left_shoulder", "right_shoulder")}),
        (["LeftEye", "RightEye", "Tip"], {("LeftEye", "RightEye")}),
        (["eye-L", "eye-R"], {("eye-L", "eye-R")}),
        (["top left", "top right", "bottom right", "bottom left"],
         {("top left", "top right"), ("bottom left", "bottom right")}),
        (["tip", "tail"], None),
        (["left_eye", "mouth"], None),
        (["1", "2", "3"], None),
    ],
)  # fmt: skip
def test_names_tell_what_changes_places(
    keypoints: ModuleType, names: list[str], pairs: set[tuple[str, str]] | None
) -> None:
    found = keypoints.flip_pairs(names, None)
    assert (found if found is None else set(found)) == pairs


def test_the_user_may_say_it(keypoints: ModuleType) -> None:
    names = ["a", "b", "c"]
    assert keypoints.flip_pairs(names, "a=b") == [("a", "b")]
    assert keypoints.flip_pairs(names, "none") == []
    for told in ("a=d", "a", "a=b=c", "a=b,b=c", "=b", "a=a"):
        with pytest.raises(Unfit, match="names no pairs of these keypoints: a, b, c"):
            keypoints.flip_pairs(names, told)


def category(number: int, *names: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": f"c{number}", **({"keypoints": list(names)} if names else {}), **more}


def test_the_names_and_lines_of_a_data_set(keypoints: ModuleType) -> None:
    points = {"keypoints": [1, 2, 2, 3, 4, 1]}
    read = keypoints.named_keypoints([category(1, "tip", "tail", skeleton=[[1, 2]])], [points])
    assert (read.names, read.skeleton) == (["tip", "tail"], [(0, 1)])
    assert keypoints.named_keypoints([category(1)], [points]).names == ["1", "2"]
    assert keypoints.named_keypoints([category(1)], [{}]) is None
    with pytest.raises(Unfit, match="different keypoints"):
        keypoints.named_keypoints([category(1, "a", "b"), category(2, "a", "c")], [points])
    with pytest.raises(Unfit, match="different keypoints"):
        keypoints.named_keypoints([category(1)], [points, {"keypoints": [1, 2, 2]}])
    with pytest.raises(Unfit, match="name 3 keypoints, and objects have 2"):
        keypoints.named_keypoints([category(1, "a", "b", "c")], [points])


def test_every_object_gets_keypoints(keypoints: ModuleType) -> None:
    document = {"annotations": [{"keypoints": [1, 2, 2, 0, 0, 0]}, {}], "images": []}
    one, other = keypoints.with_keypoints(document, 2)["annotations"]
    assert (one["num_keypoints"], other["num_keypoints"]) == (1, 0)
    assert other["keypoints"] == [0] * 6
    assert "keypoints" not in document["annotations"][1]


def test_what_the_page_reads_beside_the_weights(keypoints: ModuleType, tmp_path: Path) -> None:
    keypoints.write_keypoints(keypoints.Keypoints(["tip", "tail"], [(0, 1)]), str(tmp_path))
    read = keypoints.read_keypoints(str(tmp_path / "model_final.pth"))
    assert (read.names, read.skeleton) == (["tip", "tail"], [(0, 1)])
    (tmp_path / keypoints.FILE).write_text(json.dumps({"names": 1}), "utf-8")
    assert keypoints.read_keypoints(str(tmp_path / "model_final.pth")) is None
