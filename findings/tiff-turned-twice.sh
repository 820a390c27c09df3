#!/bin/sh
# Pillow 13.0.0: a picture with an orientation tag, turned by the reader as the tag says: the lines that many loaders have
# (read the tag with getexif, then transpose), once from a PNG and once from a TIFF.
# Guess: both come out upright.
# Seen on 2026-11-30 (CPython 3.11.7): the PNG does. Of a TIFF getexif tells the tag although Pillow turns the picture
# itself as soon as it is loaded, so it is turned twice: 90 degrees become 180.
# Why it matters: Detectron2's read_image has these lines: it trains on pictures upside down, whose size fits none of the
# labels. ImageOps.exif_transpose is right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pillow==13.0.0
cat > "$folder/turn.py" <<'CODE'
import sys

from PIL import Image

Turn = Image.Transpose
stored = Image.frombytes("RGB", (6, 4), bytes(range(72)))
tags = Image.Exif()
tags[0x0112] = 6  # turn by 90 degrees, clockwise
by_pixels = {stored.transpose(Turn.ROTATE_270).tobytes(): "once", stored.transpose(Turn.ROTATE_180).tobytes(): "twice"}
seen = []
for name, options in (("png", {}), ("tif", {"compression": "tiff_lzw"})):
    path = f"{sys.argv[1]}/picture.{name}"
    stored.save(path, exif=tags, **options)
    with Image.open(path) as image:
        if image.getexif().get(0x0112) == 6:
            upright = image.transpose(Turn.ROTATE_270)
        seen.append(f"{name} {by_pixels.get(upright.tobytes(), 'otherwise')}")
print(", ".join(seen))
CODE
seen=$("$folder/env/bin/python" "$folder/turn.py" "$folder")
echo "turned: $seen"
[ "$seen" = "png once, tif twice" ] || { echo "this has changed: $seen"; exit 1; }
