"""What `data convert` writes: loaded and scored by pycocotools, compared with globox; and how it ends."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

import wheelferry.client.data.convert
import wheelferry.client.data.pillow
from datasets import MAKERS, coco_document, draw, edit, labelme_document, polygon, voc_text
from effort import DEEP
from wheelferry.bundle.zipapp import write_pyz
from wheelferry.cli.app import app
from wheelferry.client.common.errors import BadInput, Stop
from wheelferry.client.data.convert import convert
from wheelferry.client.data.examine import Options, examine
from wheelferry.client.data.main import main
from wheelferry.progress import Silent

ORDINARY = Options()


def written(source: Path, out: Path, **options: Any) -> list[Any]:
    found: list[Any] = convert(str(source), str(out), Options(**options), False, Silent())["written"]
    return found


def loaded(path: object) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def perfect(coco: COCO, kind: str) -> float:
    """The AP of predictions that are the labels themselves."""
    key = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}[kind]
    found = [
        {
            "image_id": one["image_id"],
            "category_id": one["category_id"],
            key: coco.annToRLE(one) if kind == "segm" else one[key],
            "score": 0.9,
        }
        for one in coco.anns.values()
        if key in one
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco, coco.loadRes(found), kind)
        run.params.kpt_oks_sigmas = np.full(2, 0.05)  # its own are for a person's 17 keypoints
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", MAKERS)
def test_perfect_predictions_score_one(tmp_path: Path, form: str) -> None:
    MAKERS[form](tmp_path / "set")
    before = content(tmp_path / "set")
    for one in written(tmp_path / "set", tmp_path / "out"):
        coco = loaded(one["annotations"])
        assert perfect(coco, "bbox") == pytest.approx(1.0)
        if form == "coco":
            assert perfect(coco, "segm") == pytest.approx(1.0)
        for image in coco.imgs.values():
            with Image.open(Path(one["annotations"]).parent / "images" / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
    assert content(tmp_path / "set") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]
    assert not examine(str(tmp_path / "out"), ORDINARY, Silent()).found.has_errors


def test_masks_and_keypoints_score_one(tmp_path: Path) -> None:
    document = coco_document([0, 1])
    document["categories"][0].update(keypoints=["left", "right"], skeleton=[[1, 2]])
    for number, one in enumerate(document["annotations"]):
        if one["category_id"] == 1:
            left, top, width, height = one["bbox"]
            one.update(keypoints=[left, top, 2, left + width, top + height, 2], num_keypoints=2)
        else:
            one["segmentation"] = {"size": [90, 120], "counts": run_lengths(polygon_box(one["bbox"]))}
            one["area"] = sum(one["segmentation"]["counts"][1::2])
            assert number
    for number in (0, 1):
        draw(tmp_path / "set" / f"p{number}.png", number)
    (tmp_path / "set/labels.json").write_text(json.dumps(document))
    (one,) = written(tmp_path / "set", tmp_path / "out")
    coco = loaded(one["annotations"])
    assert perfect(coco, "segm") == pytest.approx(1.0)
    assert perfect(coco, "keypoints") == pytest.approx(1.0)
    assert json.loads(Path(one["annotations"]).read_text())["categories"][0]["skeleton"] == [[1, 2]]


def polygon_box(box: list[int]) -> tuple[int, int, int, int]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def run_lengths(box: tuple[int, int, int, int]) -> list[int]:
    """Of a filled box in a picture of 120 x 90, column by column."""
    left, top, right, bottom = box
    flags = [left <= x < right and top <= y < bottom for x in range(120) for y in range(90)]
    counts, sign = [0], False
    for flag in flags:
        if flag != sign:
            counts.append(0)
            sign = flag
        counts[-1] += 1
    return counts


@pytest.mark.parametrize("seed", range(20))
def test_compressed_codes_are_read_as_pycocotools_does(seed: int) -> None:
    from pycocotools import mask

    from wheelferry.client.data.formats import rle

    pixels = np.random.default_rng(seed).random((40, 60)) < random.Random(seed).choice((0.01, 0.5, 0.99))
    pixels[3, 7] = True
    code = mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    box, area = mask.toBbox(code).tolist(), int(mask.area(code))
    counts = rle.counts_of({"size": [40, 60], "counts": code["counts"].decode()})
    assert rle.area(counts) == area == pixels.sum()
    assert list(rle.extent(counts, 40)) == box


@pytest.mark.parametrize("form", ["voc", "yolo", "labelme"])
def test_boxes_agree_with_globox(tmp_path: Path, form: str) -> None:
    """globox reads one folder of labels; what it altered on the way is written in docs/how-to/data.md."""
    import globox

    source = tmp_path / "set"
    MAKERS[form](source)
    labels = {"voc": source / "Annotations", "yolo": source / "labels/train", "labelme": source / "train"}[
        form
    ]
    if form == "labelme":  # it takes no polygons
        for path in labels.glob("*.json"):
            edit(path, lambda document: document.update(shapes=document["shapes"][1:]))
    read = {
        "voc": lambda: globox.AnnotationSet.from_pascal_voc(labels),
        "yolo": lambda: globox.AnnotationSet.from_yolo_v5(
            labels, image_folder=source / "images/train", image_extension=".png"
        ),
        "labelme": lambda: globox.AnnotationSet.from_labelme(labels),
    }[form]()
    names = ("dent", "scratch")
    other = Counter(
        (str(one.image_id), names[int(box.label)] if form == "yolo" else box.label, *map(round, box.ltwh))
        for one in read
        for box in one.boxes
    )
    own: Counter[Any] = Counter()
    for one in written(source, tmp_path / "out"):
        if form == "voc" or one["split"] == "train":
            coco = loaded(one["annotations"])
            own.update(
                (
                    coco.imgs[box["image_id"]]["file_name"],
                    coco.cats[box["category_id"]]["name"],
                    *map(round, box["bbox"]),
                )
                for box in coco.anns.values()
            )
    assert own == other


def test_one_split_is_one_folder_and_ids_of_pictures_stay(tmp_path: Path) -> None:
    document = coco_document([0, 1])
    for image in document["images"]:
        image["id"] += 500
    for one in document["annotations"]:
        one["image_id"] += 500
    for number in (0, 1):
        draw(tmp_path / "set/images/sub" / f"p{number}.png", number)
        document["images"][number]["file_name"] = f"sub/p{number}.png"
    (tmp_path / "set/labels.json").write_text(json.dumps(document))
    (one,) = written(tmp_path / "set", tmp_path / "out")
    assert one["annotations"] == str(tmp_path / "out/annotations.json")
    assert sorted(loaded(one["annotations"]).imgs) == [501, 502]
    assert (tmp_path / "out/images/sub/p1.png").is_file()


def test_pictures_elsewhere_and_json_alone(tmp_path: Path) -> None:
    draw(tmp_path / "far/p0.png", 0)
    (tmp_path / "labels.json").write_text(json.dumps(coco_document([0])))
    found = examine(str(tmp_path / "labels.json"), Options(pictures=str(tmp_path / "far")), Silent())
    assert found.splits[0].counts == {"dent": 1, "scratch": 1}
    assert not found.found.has("picture-missing")


def test_links_where_they_are_asked_for(tmp_path: Path) -> None:
    MAKERS["voc"](tmp_path / "set")
    result = convert(str(tmp_path / "set"), str(tmp_path / "out"), ORDINARY, True, Silent())
    assert [(one["linked"], one["copied"]) for one in result["written"]] == [(3, 0), (2, 0)]
    assert (tmp_path / "out/train/images/p0.png").samefile(tmp_path / "set/JPEGImages/p0.png")


def test_original_voc_counts_from_one(tmp_path: Path) -> None:
    MAKERS["voc"](tmp_path / "set")
    for number in range(5):
        text = voc_text(number).replace("Unknown", "The VOC2007 Database")
        (tmp_path / f"set/Annotations/p{number}.xml").write_text(text)
    train, _ = written(tmp_path / "set", tmp_path / "out")
    assert next(iter(loaded(train["annotations"]).anns.values()))["bbox"] == [9.0, 9.0, 31.0, 21.0]


def test_groups_circles_and_embedded_pictures_of_labelme(tmp_path: Path) -> None:
    import base64

    draw(tmp_path / "p0.png", 0)
    document = labelme_document(0)
    document["imageData"] = base64.b64encode((tmp_path / "p0.png").read_bytes()).decode()
    square = [[10, 10], [20, 10], [20, 20], [10, 20]]
    far = [[x + 40, y] for x, y in square]
    document["shapes"] = [
        {"label": "dent", "shape_type": "polygon", "points": square, "group_id": 1},
        {"label": "dent", "shape_type": "polygon", "points": far, "group_id": 1},
        {"label": "dent", "shape_type": "circle", "points": [[60, 60], [70, 60]]},
    ]
    (tmp_path / "set").mkdir()
    (tmp_path / "set/p0.json").write_text(json.dumps(document))
    (one,) = written(tmp_path / "set", tmp_path / "out")
    circle, grouped = sorted(
        loaded(one["annotations"]).anns.values(), key=lambda one: len(one["segmentation"])
    )
    assert grouped["bbox"] == [10, 10, 50, 10]
    assert grouped["area"] == 200
    assert circle["bbox"] == pytest.approx([50, 50, 20, 20])
    assert circle["area"] == pytest.approx(3.14159 * 100, rel=0.01)
    assert (tmp_path / "out/images/p0.png").read_bytes() == (tmp_path / "p0.png").read_bytes()


def test_turned_pictures_have_the_size_that_loaders_see(tmp_path: Path) -> None:
    MAKERS["yolo"](tmp_path / "set")
    tags = Image.Exif()
    tags[0x0112] = 6
    with Image.open(tmp_path / "set/images/train/p0.png") as image:
        image.copy().save(tmp_path / "set/images/train/p0.png", exif=tags)
    train, _ = written(tmp_path / "set", tmp_path / "out")
    sizes = {i["file_name"]: (i["width"], i["height"]) for i in loaded(train["annotations"]).imgs.values()}
    assert sizes["p0.png"] == (90, 120)


class TestBadInput:
    @pytest.mark.parametrize("verb", ["check", "convert"])
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (str, "is not there"),
            (lambda folder: folder.mkdir(), "no data set"),
            (lambda folder: (folder / "a").mkdir(parents=True), "no data set"),
            (lambda folder: draw(folder / "p0.png", 0), "no data set"),
            (lambda folder: folder.write_text("{}"), "no data set"),
            (lambda folder: [MAKERS[form](folder) for form in ("coco", "yolo")], "several formats"),
        ],
    )  # fmt: skip
    def test_what_is_no_data_set(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, make: Any, said: str
    ) -> None:
        make(tmp_path / "set")
        more = ["--out", str(tmp_path / "out")] if verb == "convert" else []
        assert main([verb, str(tmp_path / "set"), *more]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--jobs", "0"], "--jobs is 0"),
            (["--images", "nowhere"], "is no folder"),
            (["--format", "yolo"], "no labels of the format yolo"),
        ],
    )
    def test_options(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
    ) -> None:
        MAKERS["coco"](tmp_path)
        assert main(["check", str(tmp_path), *options]) == 2
        assert said in capsys.readouterr().err

    def test_where_it_cannot_be_written(self, tmp_path: Path) -> None:
        MAKERS["voc"](tmp_path / "set")
        (tmp_path / "full").mkdir()
        (tmp_path / "full/mine").touch()
        (tmp_path / "new.part").mkdir()
        (tmp_path / "new.part/mine").touch()
        for out in ("full", "full/mine", "set", "set/inside", "new"):
            with pytest.raises(BadInput, match=out):
                convert(str(tmp_path / "set"), str(tmp_path / out), ORDINARY, False, Silent())

    def test_boxes_in_another_order_are_refused_until_it_is_said(self, tmp_path: Path) -> None:
        MAKERS["coco"](tmp_path / "set")

        def change(document: dict[str, Any]) -> None:
            for one in document["annotations"]:
                one["bbox"] = list(polygon_box(one["bbox"]))

        for split in ("train", "val"):
            edit(tmp_path / f"set/annotations/{split}.json", change)
        with pytest.raises(BadInput, match="two corners"):
            written(tmp_path / "set", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        train, _ = written(tmp_path / "set", tmp_path / "out", corners=True)
        one = next(iter(loaded(train["annotations"]).anns.values()))
        assert one["bbox"] == [10, 10, 30, 20]
        assert one["segmentation"] == [polygon((10, 10, 40, 30))]

    def test_without_pillow(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        MAKERS["yolo"](tmp_path / "set")
        monkeypatch.setattr(wheelferry.client.data.pillow, "is_there", lambda: False)
        assert main(["check", str(tmp_path / "set")]) == 0
        assert "NOT EXAMINED" in capsys.readouterr().out
        assert main(["convert", str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 3


def test_ten_thousand_problems_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MAKERS["coco"](tmp_path)

    def change(document: dict[str, Any]) -> None:
        one = document["annotations"][0]
        document["annotations"] += [dict(one, id=100 + n, category_id=9) for n in range(10_000)]

    edit(tmp_path / "annotations/train.json", change)
    assert main(["check", str(tmp_path), "-q"]) == 1
    out = capsys.readouterr().out
    assert "category-unknown (10000)" in out
    assert "--json has the first 1000" in out
    assert len(out.splitlines()) < 40
    assert main(["check", str(tmp_path), "-q", "--json"]) == 1
    (kind,) = [k for k in json.loads(capsys.readouterr().out)["problems"] if k["code"] == "category-unknown"]
    assert (kind["count"], len(kind["examples"])) == (10_000, 1000)


def test_a_conversion_that_is_killed_leaves_nothing_and_starts_anew(tmp_path: Path) -> None:
    MAKERS["yolo"](tmp_path / "set")
    for number in range(300):
        (tmp_path / f"set/images/train/c{number}.png").write_bytes(
            (tmp_path / "set/images/train/p0.png").read_bytes()
        )
    write_pyz(tmp_path / "install.pyz")
    command = [sys.executable, str(tmp_path / "install.pyz"), "data", "convert", str(tmp_path / "set")]
    command += ["--out", str(tmp_path / "out")]
    for number in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            while b"write pictures" not in process.stderr.readline():
                pass
            process.send_signal(number)
            process.communicate()
        assert process.returncode in ((-signal.SIGKILL,) if number == signal.SIGKILL else (130, 0))
        if process.returncode:
            assert not (tmp_path / "out").exists()
    if not (tmp_path / "out").exists():
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert len(list((tmp_path / "out/train/images").iterdir())) == 303
    assert sorted(path.name for path in tmp_path.iterdir()) == ["install.pyz", "out", "set"]


@pytest.mark.parametrize("before", [[], ["--prefix", "somewhere"]])
def test_beside_an_installation(tmp_path: Path, before: list[str]) -> None:
    """As the launcher starts it: isolated, with the options that it puts first."""
    MAKERS["labelme"](tmp_path / "set")
    write_pyz(tmp_path / "install.pyz")
    program = [sys.executable, "-I", str(tmp_path / "install.pyz"), *before]
    ran = subprocess.run(
        [*program, "data", "check", str(tmp_path / "set"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout)["pictures_opened"] is True
    assert "open pictures" in ran.stderr


def test_the_command_says_the_same(tmp_path: Path) -> None:
    MAKERS["voc"](tmp_path / "set")
    (tmp_path / "set/JPEGImages/p0.png").unlink()
    checked = CliRunner().invoke(app, ["data", "check", str(tmp_path / "set"), "--quiet"])
    assert checked.exit_code == 1
    assert "error picture-missing (1)" in checked.stdout
    made = CliRunner().invoke(
        app,
        [
            "data",
            "convert",
            str(tmp_path / "set"),
            "--to",
            "coco",
            "--out",
            str(tmp_path / "out"),
            "-q",
            "--json",
        ],
    )
    assert made.exit_code == 1
    assert [one["pictures"] for one in json.loads(made.stdout)["written"]] == [2, 2]


VALUES: list[Any] = [
    None,
    True,
    "",
    "x",
    -1,
    0,
    10**400,
    1e308,
    float("nan"),
    [],
    [[]],
    {},
    {"size": [1]},
    "\x1b[2J",
]


def altered(value: Any, chance: random.Random) -> Any:
    """The same JSON with one place replaced, removed or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: altered(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], altered(value[at], chance), *value[at + chance.randrange(2) :]]
    return chance.choice(VALUES)


@pytest.mark.parametrize("form", MAKERS)
def test_altered_labels_never_end_in_a_traceback(tmp_path: Path, form: str) -> None:
    MAKERS[form](tmp_path / "set")
    labels = [p for p in (tmp_path / "set").rglob("*") if p.suffix in (".json", ".xml", ".txt", ".yaml")]
    sound = {path: path.read_bytes() for path in labels}
    for seed in range(600 if DEEP else 60):
        chance = random.Random(seed)
        path = chance.choice(labels)
        if path.suffix == ".json" and chance.random() < 0.8:
            document = json.loads(sound[path])
            for _ in range(chance.randint(1, 4)):
                document = altered(document, chance)
            data = json.dumps(document).encode()
        else:
            damaged = bytearray(sound[path])
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(damaged))
                damaged[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
            data = bytes(damaged)
        path.write_bytes(data)
        out = tmp_path / f"out{seed}"
        try:
            convert(str(tmp_path / "set"), str(out), ORDINARY, False, Silent())
        except Stop:
            assert not out.exists()
        else:
            assert not examine(str(out), ORDINARY, Silent()).found.has_errors, (seed, path)
        path.write_bytes(sound[path])


def test_odd_files_in_the_folder(tmp_path: Path) -> None:
    """Pipes are not waited for, a link that goes round is followed once, and any bytes can be a name."""
    MAKERS["coco"](tmp_path / "set")
    os.mkfifo(tmp_path / "set/labels.json")
    os.mkfifo(tmp_path / "set/train/pipe.png")
    (tmp_path / "set/train/again").symlink_to(tmp_path / "set")
    (tmp_path / "set/train/nothing.xml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "set/deep.json").write_text("[" * 100_000)
    (tmp_path / "set/train/p0.png").rename(tmp_path / os.fsdecode(b"set/train/p\xff.png"))
    edit(
        tmp_path / "set/annotations/train.json",
        lambda document: document["images"][0].update(file_name="p\udcff.png"),
    )
    train, _ = written(tmp_path / "set", tmp_path / "out")
    assert train["pictures"] == 3
    assert not examine(str(tmp_path / "out"), ORDINARY, Silent()).found.has_errors
