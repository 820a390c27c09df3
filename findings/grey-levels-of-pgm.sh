#!/bin/sh
# Pillow 13.0.0 and opencv-python-headless 5.0.0.93: a PGM of a 12-bit camera (the largest grey level is 4095).
# Guess: both give the numbers that are in the file.
# Seen on 2026-11-30 (CPython 3.11.7): OpenCV does. Pillow stretches them to 16 bits: 1 becomes 16 and 4095 becomes 65535.
# imageio 2.38.1 reads through Pillow and stretches as well.
# Why it matters: a network that was trained on one reader's numbers sees a picture sixteen times as bright from another.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pillow==13.0.0 opencv-python-headless==5.0.0.93
cat > "$folder/read.py" <<'CODE'
import struct
import sys

import cv2
from PIL import Image

path = sys.argv[1]
with open(path, "wb") as file:
    file.write(b"P5\n4 1\n4095\n" + struct.pack(">4H", 0, 1, 2048, 4095))
with Image.open(path) as image:
    by_pillow = [image.getpixel((column, 0)) for column in range(4)]
by_opencv = cv2.imread(path, cv2.IMREAD_UNCHANGED)[0].tolist()
print(f"Pillow {by_pillow}, OpenCV {by_opencv}")
CODE
seen=$("$folder/env/bin/python" "$folder/read.py" "$folder/picture.pgm")
echo "0, 1, 2048, 4095 are read as: $seen"
[ "$seen" = "Pillow [0, 16, 32776, 65535], OpenCV [0, 1, 2048, 4095]" ] || { echo "this has changed: $seen"; exit 1; }
