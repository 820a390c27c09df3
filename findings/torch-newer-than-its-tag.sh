#!/bin/sh
# torch 2.10.0, as pip 26.3 downloads it for CPython 3.12 on macOS with Apple's processors: macosx_11_0_arm64.
# Guess: none of its libraries needs a newer macOS than 11.0.
# Seen on 2026-12-01 (CPython 3.12.1): torch/lib/libomp.dylib says macOS 14.0 (LC_BUILD_VERSION), all others 11.0.
# Why it matters: pip and uv install it on macOS 11 to 13, where Apple's loader promises nothing for that library, and
# libtorch_cpu.dylib, which everything of torch needs, needs it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3
"$folder/env/bin/pip" download -q --no-deps --only-binary :all: --platform macosx_11_0_arm64 --python-version 3.12 \
    -d "$folder" torch==2.10.0
cat > "$folder/look.py" <<'SOURCE'
import struct, sys, zipfile
found = {}
with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        with archive.open(name) as stream:
            start = stream.read(1 << 16)
        if start[:4] != b"\xcf\xfa\xed\xfe":  # Mach-O, 64 bits
            continue
        place = 32
        for _ in range(struct.unpack_from("<I", start, 16)[0]):
            command, size = struct.unpack_from("<II", start, place)
            if command == 0x32:  # LC_BUILD_VERSION: platform, then the oldest macOS
                oldest = struct.unpack_from("<I", start, place + 12)[0]
                found.setdefault("%d.%d" % (oldest >> 16, oldest >> 8 & 255), []).append(name.rpartition("/")[2])
            place += size
newest = max(found, key=lambda text: [int(part) for part in text.split(".")])
print("%s needs macOS %s" % (", ".join(found[newest]), newest))
SOURCE
name=$(cd "$folder" && echo torch-*.whl)
seen=$("$folder/env/bin/python" "$folder/look.py" "$folder/$name")
echo "$name: $seen"
case $name in *macosx_11_0_arm64.whl) ;; *) echo "this has changed: the wheel is $name"; exit 1 ;; esac
[ "$seen" = "libomp.dylib needs macOS 14.0" ] || { echo "this has changed: $seen"; exit 1; }
