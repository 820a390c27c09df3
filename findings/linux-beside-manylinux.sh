#!/bin/sh
# pip 26.3 and uv 0.13.9: a folder with two wheels of one version, one tagged linux, one tagged manylinux.
# Guess: both take the same one, for which of two tags is better is a common rule.
# Seen on 2026-11-30 (CPython 3.11.7): pip takes linux, uv manylinux.
# Why it matters: a wheel fresh from the compiler, left beside its repaired form, is what pip installs, and it lacks the
# libraries that the repair put in; whoever tries the folder with uv sees it work.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 uv==0.13.9 wheel==0.48.0
cd "$folder"
mkdir -p links tree/carved tree/carved-1.0.dist-info
printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\n' > tree/carved-1.0.dist-info/METADATA
for tag in linux manylinux_2_17; do
    echo "TAG = '$tag'" > tree/carved/__init__.py
    printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-%s_%s\n' "$tag" "$(uname -m)" \
        > tree/carved-1.0.dist-info/WHEEL
    env/bin/wheel pack -d links tree > /dev/null
done
PIP_CONFIG_FILE=/dev/null env/bin/pip --isolated install -q --no-index --find-links links --target by-pip carved
env/bin/uv pip install -q --no-config --cache-dir cache --python env/bin/python --no-index --find-links links \
    --target by-uv carved
pip=$(PYTHONPATH=by-pip env/bin/python -c 'import carved; print(carved.TAG)')
uv=$(PYTHONPATH=by-uv env/bin/python -c 'import carved; print(carved.TAG)')
echo "of linux and manylinux_2_17, pip took $pip, uv $uv"
[ "$pip $uv" = "linux manylinux_2_17" ] || { echo "this has changed: pip takes $pip, uv $uv"; exit 1; }
