#!/bin/sh
# globox 2.9.0 beside pycocotools 2.0.11: YOLO's labels written in COCO's form with globox's own numbering (auto_ids).
# Guess: objects are numbered from 1, or the number makes no difference; perfect predictions have a recall of 1.
# Seen on 2026-11-30 (CPython 3.11.7): the first object has the id 0, which COCO's evaluation takes for "no match": of
# four objects, each found exactly, the recall is 0.75 instead of 1.00, without a warning. With ids from 1 on it is 1.00.
# Why it matters: a validation set of few pictures scores far too low, and nobody looks for the reason in an id.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q globox==2.9.0 pycocotools==2.0.11 pillow==13.0.0
cat > "$folder/score.py" <<'CODE'
import contextlib
import io
import json
import sys
from pathlib import Path

import globox
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

folder = Path(sys.argv[1]) / "set"
folder.mkdir()
for number in range(4):
    Image.new("RGB", (100, 100)).save(folder / f"{number}.jpg")
    (folder / f"{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
labels = folder / "labels.json"
globox.AnnotationSet.from_yolo_v5(folder, image_folder=folder).save_coco(labels, auto_ids=True)


def score():
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(labels))
        found = [
            {"image_id": one["image_id"], "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.9}
            for one in truth.anns.values()
        ]
        run = COCOeval(truth, truth.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return f"{run.stats[8]:.2f}"


as_written = score()
document = json.loads(labels.read_text())
numbers = [one["id"] for one in document["annotations"]]
for one in document["annotations"]:
    one["id"] += 1
labels.write_text(json.dumps(document))
print(f"ids {numbers} recall {as_written}, from 1 on {score()}")
CODE
seen=$("$folder/env/bin/python" "$folder/score.py" "$folder" 2> "$folder/log") || { cat "$folder/log"; exit 2; }
echo "perfect predictions: $seen"
[ "$seen" = "ids [0, 1, 2, 3] recall 0.75, from 1 on 1.00" ] || { echo "this has changed: $seen"; exit 1; }
