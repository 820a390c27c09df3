#!/bin/sh
# uv 0.13.9: `uv pip compile --universal --generate-hashes` over a --find-links folder with wheels for three platforms.
# Guess: the hashes of all three are written, as from an index: the result is to hold on every platform.
# Seen on 2026-11-30 (CPython 3.11.7): one hash, on x86-64 that of the wheel for Arm. pip-compile of pip-tools 7.6.2
# writes all three. Without --universal uv writes the hash of the wheel for the machine it runs on. `uv lock` writes
# no hash at all for wheels in a folder, nor does `uv export` in its plain form.
# Why it matters: a folder for several kinds of machine then installs, with hashes, on one of them only.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 pip-tools==7.6.2 uv==0.13.9 wheel==0.48.0
cd "$folder"
mkdir -p links tree/carved tree/carved-1.0.dist-info
printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\n' > tree/carved-1.0.dist-info/METADATA
for tag in win_amd64 manylinux_2_17_x86_64 manylinux_2_17_aarch64; do
    echo "MADE_FOR = '$tag'" > tree/carved/__init__.py
    printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-%s\n' "$tag" \
        > tree/carved-1.0.dist-info/WHEEL
    env/bin/wheel pack -d links tree > /dev/null
done
echo carved==1.0 > wanted.in
env/bin/uv pip compile -q --no-config --cache-dir cache --python env/bin/python --no-index --find-links links \
    --universal --generate-hashes wanted.in > by-uv.txt
PIP_CONFIG_FILE=/dev/null env/bin/pip-compile -q --no-config --strip-extras --cache-dir cache/tools --no-index \
    --find-links links --generate-hashes -o by-pip-tools.txt wanted.in 2> /dev/null
uv=$(grep -c -- --hash= by-uv.txt)
tools=$(grep -c -- --hash= by-pip-tools.txt)
echo "hashes for three wheels: $uv by uv, $tools by pip-compile"
[ "$uv" = 1 ] && [ "$tools" = 3 ] || { echo "this has changed: uv writes $uv, pip-compile $tools"; exit 1; }
