#!/bin/sh
# Pillow 13.0.0: a grey TIFF whose orientation tag says that it is to be turned by 90 degrees.
# Guess: Pillow leaves it as it is stored, as with JPEG, or turns it as the tag says.
# Seen on 2026-11-30 (CPython 3.11.7): neither, when the TIFF is not compressed and not square: the rows are cut at the
# wrong length and the picture is scrambled, without an error. With LZW it is turned rightly. The same with 16 bits a
# pixel. Right in Pillow 10.4.0, wrong from 11.3.0 on at the latest. OpenCV 4.13.0.92 and 5.0.0.93 read none of these
# files at all (imread gives None).
# Why it matters: a grey camera that is mounted on its side may write just that, and a network is fed noise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pillow==13.0.0
cat > "$folder/read.py" <<'CODE'
import sys

from PIL import Image

WIDTH, HEIGHT = 6, 4
stored = Image.frombytes("L", (WIDTH, HEIGHT), bytes(range(WIDTH * HEIGHT)))
turned = stored.transpose(Image.Transpose.ROTATE_270)
tags = Image.Exif()
tags[0x0112] = 6  # orientation: turn by 90 degrees, clockwise
seen = []
for compression in ("raw", "tiff_lzw"):
    path = f"{sys.argv[1]}/{compression}.tif"
    stored.save(path, exif=tags, compression=compression)
    with Image.open(path) as image:
        pixels = image.tobytes()
    if pixels == stored.tobytes():
        seen.append("as stored")
    elif pixels == turned.tobytes():
        seen.append("turned")
    else:
        seen.append("scrambled")
print("raw {}, LZW {}".format(*seen))
CODE
seen=$("$folder/env/bin/python" "$folder/read.py" "$folder")
echo "a TIFF to be turned: $seen"
[ "$seen" = "raw scrambled, LZW turned" ] || { echo "this has changed: $seen"; exit 1; }
