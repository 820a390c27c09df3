#!/bin/sh
# faster-coco-eval 1.8.0 beside pycocotools 2.0.11: image ids of 17 digits, here a date and a running number.
# Guess: the same scores, for ids are only compared with one another.
# Seen on 2026-11-30 (CPython 3.11.7): ids that differ in the last digit only are taken for one image. Of four pictures
# with one object each, all found, the recall with one detection a picture is 0.50 instead of 1.00, without a warning;
# larger sets have a wrong AP too, or end in an error about dimensions. With ids below 9 * 10^15 the scores agree.
# Why it matters: the ids of a camera's pictures are made of dates and times; the score is wrong and looks like one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pycocotools==2.0.11 faster-coco-eval==1.8.0
cat > "$folder/score.py" <<'CODE'
import contextlib
import io
import warnings

warnings.simplefilter("ignore")
import faster_coco_eval
import pycocotools.coco
import pycocotools.cocoeval

NUMBERS = range(20261130000000001, 20261130000000005)
BOX = [10, 10, 50, 50]
TRUTH = {
    "images": [{"id": number, "width": 100, "height": 100, "file_name": f"{number}.png"} for number in NUMBERS],
    "categories": [{"id": 1, "name": "dent"}],
    "annotations": [
        {"id": place, "image_id": number, "category_id": 1, "bbox": BOX, "area": 2500, "iscrowd": 0}
        for place, number in enumerate(NUMBERS, 1)
    ],
}
FOUND = [{"image_id": number, "category_id": 1, "bbox": BOX, "score": 0.9} for number in NUMBERS]


def score(coco, evaluation):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco()
        truth.dataset = TRUTH
        truth.createIndex()
        run = evaluation(truth, truth.loadRes(FOUND), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return f"{run.stats[6]:.2f}"  # recall with one detection a picture


print(
    "pycocotools", score(pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval),
    "faster-coco-eval", score(faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
)
CODE
seen=$("$folder/env/bin/python" "$folder/score.py")
echo "recall where everything was found: $seen"
[ "$seen" = "pycocotools 1.00 faster-coco-eval 0.50" ] || { echo "this has changed: $seen"; exit 1; }
