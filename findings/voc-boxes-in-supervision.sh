#!/bin/sh
# labelimg 1.8.6 (labelImg) and supervision 0.31.2: a box written by labelImg as Pascal VOC, read by supervision.
# Guess: the box that is read is the one that was drawn.
# Seen on 2026-11-30 (CPython 3.11.7): it is a pixel wider and higher: its left and upper side move by one. supervision
# takes the numbers for pixels counted from 1, as in the original data sets; labelImg counts from 0, and writes no mark
# by which to tell.
# Why it matters: boxes of 8 x 8 pixels become 9 x 9: an IoU of 0.79 with the true ones, which no detector can better.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q uv==0.13.9
"$folder/env/bin/uv" pip install -q --no-cache --python "$folder/env/bin/python" \
    supervision==0.31.2 opencv-python-headless==5.0.0.93 pillow==13.0.0 lxml==6.1.3
"$folder/env/bin/pip" install -q --no-deps labelimg==1.8.6
cat > "$folder/read.py" <<'CODE'
import os
import sys

os.chdir(sys.argv[1])
import supervision
from libs.pascal_voc_io import PascalVocWriter
from PIL import Image

os.mkdir("set")
Image.new("RGB", (60, 40)).save("set/picture.png")
writer = PascalVocWriter("set", "picture.png", (40, 60, 3))
writer.add_bnd_box(10, 12, 18, 20, "dent", 0)
writer.save("set/picture.xml")
((_, _, found),) = supervision.DetectionDataset.from_pascal_voc("set", "set")
print([int(value) for value in found.xyxy[0]])
CODE
seen=$("$folder/env/bin/python" "$folder/read.py" "$folder" 2> "$folder/log") || { cat "$folder/log"; exit 2; }
echo "the box [10, 12, 18, 20] is read as: $seen"
[ "$seen" = "[9, 11, 18, 20]" ] || { echo "this has changed: $seen"; exit 1; }
