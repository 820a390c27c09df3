#!/bin/sh
# globox 2.9.0 beside pycocotools 2.0.11: labels in COCO's form with a crowd (iscrowd 1), read and written again.
# Guess: globox keeps the mark, since it reads, writes and scores COCO's form.
# Seen on 2026-11-30 (CPython 3.11.7): it writes iscrowd 0, without a warning: the crowd has become one large object.
# Detections that score an AP of 1.00 with the labels as they were score 0.25 with those that globox wrote, and as
# little with globox's own evaluation of the labels as they were.
# Why it matters: labels that were merged or split by globox make every score lower, and the crowd is trained on.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q globox==2.9.0 pycocotools==2.0.11
cat > "$folder/score.py" <<'CODE'
import contextlib
import io
import json
import os
import sys

from globox import AnnotationSet, COCOEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

os.chdir(sys.argv[1])
# the left half of the picture, column by column: a crowd; right of it one object
CROWD = {"size": [100, 100], "counts": [0, 5000, 5000]}
LABELS = [
    {"id": 1, "bbox": [0, 0, 50, 100], "area": 5000, "segmentation": CROWD, "iscrowd": 1},
    {"id": 2, "bbox": [60, 20, 30, 30], "area": 900, "segmentation": [[60, 20, 90, 20, 90, 50, 60, 50]], "iscrowd": 0},
]
FOUND = [
    {"bbox": [5, 5, 10, 10], "score": 0.9},  # one of the crowd
    {"bbox": [60, 20, 30, 30], "score": 0.8},
]
for entry in LABELS + FOUND:
    entry.update(image_id=1, category_id=1)
with open("labels.json", "w") as file:
    image = {"id": 1, "width": 100, "height": 100, "file_name": "picture.png"}
    json.dump({"images": [image], "categories": [{"id": 1, "name": "bolt"}], "annotations": LABELS}, file)
with open("found.json", "w") as file:
    json.dump(FOUND, file)


def score(path):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        run = COCOeval(truth, truth.loadRes("found.json"), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[0]


labels = AnnotationSet.from_coco("labels.json")
labels.save_coco("again.json", label_to_id={"bolt": 1}, imageid_to_id={"picture.png": 1})
own = COCOEvaluator(ground_truths=labels, predictions=labels.from_results("found.json")).ap()
print(f"pycocotools {score('labels.json'):.2f}, after globox {score('again.json'):.2f}, by globox {own:.2f}")
CODE
seen=$("$folder/env/bin/python" "$folder/score.py" "$folder" 2> "$folder/log") || { cat "$folder/log"; exit 2; }
echo "AP of detections, one of them in a crowd: $seen"
[ "$seen" = "pycocotools 1.00, after globox 0.25, by globox 0.25" ] || { echo "this has changed: $seen"; exit 1; }
