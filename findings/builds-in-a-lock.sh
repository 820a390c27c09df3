#!/bin/sh
# pip 26.3 and uv 0.13.9: a pylock file that uv wrote over a folder with three builds of one wheel: none, 2 and 10.
# Guess: the highest build is installed from the lock, as both do from the folder itself.
# Seen on 2026-11-30 (CPython 3.11.7): uv lists the builds upwards. uv installs build 10, pip the first in the list,
# the wheel without a build number; so does `select` of packaging 26.4. From the folder pip installs build 10 as well.
# Why it matters: the build that was made to mend the first one is in the lock and in the folder, and is not installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 uv==0.13.9 wheel==0.48.0
cd "$folder"
mkdir -p links tree/carved tree/carved-1.0.dist-info
printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\n' > tree/carved-1.0.dist-info/METADATA
for build in "" 2 10; do
    echo "BUILD = '${build:-none}'" > tree/carved/__init__.py
    printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
        > tree/carved-1.0.dist-info/WHEEL
    env/bin/wheel pack -d links --build-number "$build" tree > /dev/null
done
uv="env/bin/uv pip --no-config --cache-dir cache"
pip="env PIP_CONFIG_FILE=/dev/null env/bin/pip --isolated install -q --no-index"
echo carved > wanted.in
$uv compile -q --python env/bin/python --no-index --find-links links --format pylock.toml \
    -o pylock.toml wanted.in > /dev/null
$pip --find-links links --target folder-pip carved
$pip --target lock-pip -r pylock.toml 2> /dev/null  # says that it is experimental
$uv install -q --python env/bin/python --target lock-uv -r pylock.toml
build() { PYTHONPATH=$1 env/bin/python -c 'import carved; print(carved.BUILD)'; }
seen="pip $(build lock-pip), uv $(build lock-uv); from the folder: pip $(build folder-pip)"
echo "the build that was installed from the lock: $seen"
[ "$seen" = "pip none, uv 10; from the folder: pip 10" ] || { echo "this has changed: $seen"; exit 1; }
