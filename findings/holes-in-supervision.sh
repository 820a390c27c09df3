#!/bin/sh
# supervision 0.31.2 beside pycocotools 2.0.11: objects with a hole, or in two parts, written in COCO's form.
# Guess: each is an ordinary object (iscrowd 0) with its mask.
# Seen on 2026-11-30 (CPython 3.11.7): they are written as crowds (iscrowd 1), for supervision takes that mark to say
# that a mask is no single polygon. COCO's evaluation does not count crowds: of the three objects below only the first
# is found, and the recall is 1.00.
# Why it matters: washers, rings and whatever is half hidden vanish from the score; Detectron2 leaves crowds out of
# training as well. Nothing warns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q uv==0.13.9
"$folder/env/bin/uv" pip install -q --no-cache --python "$folder/env/bin/python" \
    supervision==0.31.2 pycocotools==2.0.11 opencv-python-headless==5.0.0.93
cat > "$folder/holes.py" <<'CODE'
import contextlib
import io
import json
import os
import sys

import cv2
import numpy
import supervision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

os.chdir(sys.argv[1])
masks = numpy.zeros((3, 100, 200), bool)
masks[0, 10:40, 10:40] = True  # a plain one
masks[1, 10:40, 60:90] = True
masks[1, 20:30, 70:80] = False  # with a hole
masks[2, 60:90, 10:40] = masks[2, 60:90, 80:110] = True  # in two parts
cv2.imwrite("picture.png", numpy.zeros((100, 200, 3), numpy.uint8))
objects = supervision.Detections(
    xyxy=supervision.mask_to_xyxy(masks).astype(float), mask=masks, class_id=numpy.zeros(3, int)
)
supervision.DetectionDataset(["part"], ["picture.png"], {"picture.png": objects}).as_coco(annotations_path="labels.json")
with open("labels.json") as file:
    labels = json.load(file)["annotations"]
crowds = [label["iscrowd"] for label in labels]

found = [{"image_id": labels[0]["image_id"], "category_id": 1, "bbox": labels[0]["bbox"], "score": 0.9}]
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO("labels.json")
    run = COCOeval(truth, truth.loadRes(found), "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
print(f"iscrowd {crowds}, recall {run.stats[8]:.2f}")
CODE
seen=$("$folder/env/bin/python" "$folder/holes.py" "$folder" 2> "$folder/log") || { cat "$folder/log"; exit 2; }
echo "a plain object, one with a hole, one in two parts, only the first found: $seen"
[ "$seen" = "iscrowd [0, 1, 1], recall 1.00" ] || { echo "this has changed: $seen"; exit 1; }
