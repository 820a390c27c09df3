"""What is demanded of the page, from what a browser saw of it (tests/e2e/page_driver.py)."""

import json
from pathlib import Path
from typing import Any

import wheelferry.system

DRIVER = Path(__file__).parent / "e2e" / "page_driver.py"
SANDBOX_ENTRY = Path(wheelferry.system.__file__).with_name("sandbox_entry.py")


def check_page(seen: dict[str, Any], accepted: Path) -> dict[str, Any]:
    """Look at all of it; returns the acceptance record that lies in the folder `accepted`."""
    _check_pictures(seen)
    _check_downloads(seen["coco"])
    host = seen["address"].split("/")[2]
    assert seen["asked"] == seen["all_asked"] == [host]
    assert seen["asked_for_the_slider"] == []
    assert seen["complaints"] == []
    assert (seen["wide_overflow"], seen["phone_overflow"]) == (0, 0)
    assert seen["many_failed"] == 0
    assert seen["without_program"].startswith("the program does not answer")
    assert seen["checks"][0].startswith("Checked on this machine: sample@1.0")
    assert any(fact.startswith("Weights' SHA-256 31f712e6") for fact in seen["facts"])
    record: dict[str, Any] = json.loads((accepted / seen["record"] / "record.json").read_text("utf-8"))
    assert (record["accepted_by"], record["remark"]) == ("Ada Lovelace", "as agreed")
    assert [one["file"] for one in record["pictures"]] == [
        "dropped.png",
        "two shapes.png",
        "turned.jpg",
        "16 bits.tif",
    ]
    assert seen["record_pictures"] == 4
    return record


def _check_pictures(seen: dict[str, Any]) -> None:
    assert seen["classes"] == ["rectangle", "ellipse", "triangle"]
    found = {name: said.partition(": ")[2] for name, said in seen["pictures"].items()}
    for name in ("dropped.png", "two shapes.png"):
        assert sorted(found[name].split(", ")) == ["1 rectangle", "1 triangle"]
    assert "1 rectangle" in found["turned.jpg"]
    assert found["broken.png"].startswith("it is no picture, or a damaged one")
    assert "768 \u00d7 768 pixels" in seen["caption"]
    assert len(seen["scores"]) == 2
    assert seen["scores_at_1"] == []
    assert len(seen["scores_at_0"]) >= 2
    assert seen["threshold"] == "0.30"
    assert seen["first_class_off"] == ["triangle"]
    assert seen["saved"] == [768, 768]


def _check_downloads(coco: dict[str, Any]) -> None:
    names = {one["id"]: one["file_name"] for one in coco["images"]}
    classes = {one["id"]: one["name"] for one in coco["categories"]}
    assert list(classes.values()) == ["rectangle", "ellipse", "triangle"]
    found = [one for one in coco["annotations"] if names[one["image_id"]] == "two shapes.png"]
    assert sorted(classes[one["category_id"]] for one in found) == ["rectangle", "triangle"]
    for one in found:
        left, top, width, height = one["bbox"]
        assert 0 <= left < left + width <= 768
        assert 0 <= top < top + height <= 768
        assert one["area"] > 0.9 * width * height
        assert one["score"] >= 0.3
