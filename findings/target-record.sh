#!/bin/sh
# pip 26.3 beside uv 0.13.9: `install --target FOLDER` of a wheel with a data file.
# Guess: importlib.metadata finds every file of the package, as in an ordinary environment.
# Seen on 2026-11-30 (CPython 3.11.7): pip puts share/ into the folder, but its RECORD says ../../share, where
# nothing is. uv writes the right place. shiv 1.0.8 installs by pip: the same in its archives.
# Why it matters: weights that travel as data files are not found; what checks or removes files looks at the wrong place.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 uv==0.13.9 wheel==0.48.0
cd "$folder"
mkdir -p links tree/carved tree/carved-1.0.dist-info tree/carved-1.0.data/data/share/carved
touch tree/carved/__init__.py
echo weights > tree/carved-1.0.data/data/share/carved/model.bin
printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\n' > tree/carved-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
    > tree/carved-1.0.dist-info/WHEEL
env/bin/wheel pack -d links tree > /dev/null
PIP_CONFIG_FILE=/dev/null env/bin/pip --isolated install -q --no-index --find-links links --target by-pip carved
env/bin/uv pip install -q --no-config --cache-dir cache --python env/bin/python --no-index --find-links links \
    --target by-uv carved
cat > where.py <<'CODE'
from importlib.metadata import files

(weights,) = (file for file in files("carved") if file.name == "model.bin")
print(weights, "found" if weights.locate().exists() else "missing")
CODE
pip=$(PYTHONPATH=by-pip env/bin/python where.py)
uv=$(PYTHONPATH=by-uv env/bin/python where.py)
echo "by pip: $pip; by uv: $uv"
[ -f by-pip/share/carved/model.bin ]
[ -f by-uv/share/carved/model.bin ]
[ "$pip; $uv" = "../../share/carved/model.bin missing; share/carved/model.bin found" ] ||
    { echo "this has changed: pip writes $pip, uv $uv"; exit 1; }
