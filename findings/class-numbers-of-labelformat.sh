#!/bin/sh
# labelformat 0.1.17: labels in COCO's form whose category ids have gaps, turned into YOLO's form.
# Guess: the classes are numbered 0, 1, 2 …, as YOLO's form wants them.
# Seen on 2026-11-30 (CPython 3.11.7): the ids stay. Two categories, 3 and 7, give the class numbers 3 and 7 beside
# "nc: 2" in the same folder, exit 0. labelformat cannot read back what it wrote (KeyError: 0), and supervision 0.31.2
# refuses it too.
# Why it matters: COCO's own 80 categories are numbered up to 90; the labels are found unusable where nothing can be fetched.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q labelformat==0.1.17
cd "$folder"
cat > labels.json <<'LABELS'
{
  "images": [{"id": 1, "width": 200, "height": 100, "file_name": "picture.png"}],
  "categories": [{"id": 3, "name": "scratch"}, {"id": 7, "name": "dent"}],
  "annotations": [
    {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0},
    {"id": 2, "image_id": 1, "category_id": 7, "bbox": [50, 20, 30, 40], "area": 1200, "iscrowd": 0}
  ]
}
LABELS
env/bin/labelformat convert --task object-detection --input-format coco --input-file labels.json \
    --output-format yolov8 --output-file yolo/data.yaml --output-split train > log 2>&1
classes=$(sed -n 's/^nc: //p' yolo/data.yaml)
numbers=$(cut -d' ' -f1 yolo/labels/picture.txt | tr '\n' ' ')
echo "a folder of $classes classes has labels of the classes: $numbers"
[ "$classes" = 2 ]
[ "$numbers" = "3 7 " ] || { echo "this has changed: the classes are numbered $numbers"; exit 1; }
