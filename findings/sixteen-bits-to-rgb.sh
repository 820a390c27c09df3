#!/bin/sh
# Pillow 13.0.0: a picture of 16-bit grey levels, as industrial cameras write them, converted to RGB.
# Guess: 16 bits are scaled to 8: 0 to 65535 become 0 to 255.
# Seen on 2026-11-30 (CPython 3.11.7): all levels above 255 become 255, of PNG and TIFF alike, without a warning. What is
# left of a picture of ordinary brightness is white.
# Why it matters: loaders of training data convert to RGB, Detectron2's too: the network sees white pictures.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pillow==13.0.0
cat > "$folder/read.py" <<'CODE'
import struct
import sys

from PIL import Image

seen = []
for name in ("png", "tif"):
    path = f"{sys.argv[1]}/picture.{name}"
    Image.frombytes("I;16", (4, 1), struct.pack("<4H", 100, 300, 30000, 65535)).save(path)
    with Image.open(path) as image:
        levels = image.convert("RGB").getchannel("R").tobytes()
    seen.append(f"{name} {list(levels)}")
print(", ".join(seen))
CODE
seen=$("$folder/env/bin/python" "$folder/read.py" "$folder")
echo "100, 300, 30000, 65535 as RGB: $seen"
[ "$seen" = "png [100, 255, 255, 255], tif [100, 255, 255, 255]" ] || { echo "this has changed: $seen"; exit 1; }
