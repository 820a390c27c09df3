#!/bin/sh
# tifffile 2026.3.3 beside Pillow 13.0.0 and opencv-python-headless 5.0.0.93: a mask of true and false, saved as TIFF.
# Guess: every reader gives back the mask.
# Seen on 2026-11-30 (CPython 3.11.7): tifffile marks the picture as one in which 0 is white, but stores true as 1, and
# takes no notice of the mark when it reads. Pillow and OpenCV do: both give the opposite of the mask.
# imageio 2.38.1 writes such masks by tifffile too. A mask of 8 bits a pixel comes back as it was.
# Why it matters: labels that were drawn and checked with one tool train another to find all that is no defect.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q tifffile==2026.3.3 numpy==2.4.6 pillow==13.0.0 opencv-python-headless==5.0.0.93
cat > "$folder/mask.py" <<'CODE'
import sys

import cv2
import numpy
import tifffile
from PIL import Image

path = sys.argv[1]
defect = numpy.zeros((20, 30), bool)
defect[5:9, 10:16] = True
tifffile.imwrite(path, defect)
with Image.open(path) as image:
    read = {
        "tifffile": tifffile.imread(path),
        "Pillow": numpy.asarray(image).astype(bool),
        "OpenCV": cv2.imread(path, cv2.IMREAD_UNCHANGED).astype(bool),
    }
for reader, mask in read.items():
    print(reader, int(mask.sum()), end="; " if reader != "OpenCV" else "\n")
CODE
seen=$("$folder/env/bin/python" "$folder/mask.py" "$folder/mask.tif")
echo "a mask of 24 true pixels in 600 is read with: $seen"
[ "$seen" = "tifffile 24; Pillow 576; OpenCV 576" ] || { echo "this has changed: $seen"; exit 1; }
