#!/bin/sh
# opencv-python-headless 5.0.0.93: cv2.rotatedRectangleIntersection of two ordinary boxes, the second inside the first
# with its ends on the first one's edges.
# Guess: the area they share, within rounding: 320, the whole of the second box.
# Seen on 2026-11-30 (CPython 3.11.7): points that lie outside the second box, and around them an area of 466. With the
# boxes the other way round it is 320. 4.14.0.94 does the same; 4.12.0.88 and 4.13.0.92 give 320.
# Why it matters: overlaps of rotated boxes above 1, and other boxes kept than before, by an update of OpenCV alone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q opencv-python-headless==5.0.0.93
cat > "$folder/area.py" <<'CODE'
import cv2

LARGE = ((16, 0), (40, 40), 315)
SMALL = ((8, 8), (8, 40), 315)
for pair in ((LARGE, SMALL), (SMALL, LARGE)):
    _, points = cv2.rotatedRectangleIntersection(*pair)
    print(round(cv2.contourArea(cv2.convexHull(points))))
CODE
seen=$("$folder/env/bin/python" "$folder/area.py" | tr '\n' ' ')
echo "a box of area 320 inside another, and the other way round: $seen"
[ "$seen" = "466 320 " ] || { echo "this has changed: $seen"; exit 1; }
