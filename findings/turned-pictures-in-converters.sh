#!/bin/sh
# globox 2.9.0, labelformat 0.1.17 and supervision 0.31.2: YOLO's labels of a photo whose EXIF says that it is shown
# turned, written in COCO's form. YOLO's numbers are fractions of the picture as its trainers and annotators show it.
# Guess: the converters take the size of the picture as it is shown, 100 x 200.
# Seen on 2026-11-30 (CPython 3.11.7): supervision does. globox and labelformat take the size as it is stored, 200 x 100,
# and compute the boxes from it, without a warning.
# Why it matters: photos of a phone or tablet have such tags. The boxes lie beside the objects; Detectron2 stops with
# SizeMismatchError at the first such picture, other trainers learn from wrong boxes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q uv==0.13.9
"$folder/env/bin/uv" pip install -q --no-cache --python "$folder/env/bin/python" \
    globox==2.9.0 labelformat==0.1.17 supervision==0.31.2 opencv-python-headless==5.0.0.93 pillow==13.0.0
cat > "$folder/convert.py" <<'CODE'
import json
import os
import sys
from pathlib import Path

os.chdir(sys.argv[1])
import globox
import supervision
from labelformat.formats import COCOObjectDetectionOutput, YOLOv8ObjectDetectionInput
from PIL import Image

Path("images").mkdir()
Path("labels").mkdir()
tags = Image.Exif()
tags[0x0112] = 6  # shown turned by 90 degrees
Image.new("RGB", (200, 100)).save("images/photo.jpg", exif=tags)
Path("labels/photo.txt").write_text("0 0.5 0.25 0.2 0.1\n")
Path("data.yaml").write_text("path: .\ntrain: images\nval: images\nnames: [dent]\n")
globox.AnnotationSet.from_yolo_v5(Path("labels"), image_folder=Path("images")).save_coco(Path("globox.json"), auto_ids=True)
COCOObjectDetectionOutput(output_file=Path("labelformat.json")).save(
    YOLOv8ObjectDetectionInput(input_file=Path("data.yaml"), input_split="train")
)
supervision.DetectionDataset.from_yolo("images", "labels", "data.yaml").as_coco(annotations_path="supervision.json")
seen = []
for name in ("globox", "labelformat", "supervision"):
    (image,) = json.loads(Path(f"{name}.json").read_text())["images"]
    seen.append("{} {} x {}".format(name, image["width"], image["height"]))
print(", ".join(seen))
CODE
seen=$("$folder/env/bin/python" "$folder/convert.py" "$folder" 2> "$folder/log") || { cat "$folder/log"; exit 2; }
echo "a photo shown as 100 x 200: $seen"
[ "$seen" = "globox 200 x 100, labelformat 200 x 100, supervision 100 x 200" ] || { echo "this has changed: $seen"; exit 1; }
