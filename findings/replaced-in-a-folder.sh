#!/bin/sh
# pip 26.3 and uv 0.13.9: a file in a --find-links folder is replaced by a newer one of the same name, then installed.
# Guess: what lies in the folder is what is installed, by both, for wheels and for source archives.
# Seen on 2026-11-30 (CPython 3.11.7): each is right for one kind only. pip installs the new wheel, but for the source
# archive a wheel that it built from the old one. uv builds the new source archive, but installs the old wheel.
# Why it matters: a package that was built again under its old version reaches the machine as it was before.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 uv==0.13.9 wheel==0.48.0
mkdir "$folder/links"
cd "$folder"

put() {  # $1: what the package says
    mkdir -p carved/carved carved/carved-1.0.dist-info sawn-1.0
    echo "TEXT = '$1'" > carved/carved/__init__.py
    printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\n' > carved/carved-1.0.dist-info/METADATA
    printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
        > carved/carved-1.0.dist-info/WHEEL
    env/bin/wheel pack -d links carved > /dev/null

    printf 'Metadata-Version: 2.1\nName: sawn\nVersion: 1.0\n' > sawn-1.0/PKG-INFO
    cat > sawn-1.0/pyproject.toml <<'PROJECT'
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
PROJECT
    cat > sawn-1.0/backend.py <<BACKEND
import zipfile


def build_wheel(folder, settings=None, metadata=None):
    name = "sawn-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("sawn/__init__.py", "TEXT = '$1'\n")
        wheel.writestr("sawn-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sawn\nVersion: 1.0\n")
        wheel.writestr("sawn-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("sawn-1.0.dist-info/RECORD", "")
    return name
BACKEND
    tar czf links/sawn-1.0.tar.gz sawn-1.0
}

installed() {  # $1: pip or uv; says what the wheel and the source archive brought
    rm -rf target
    if [ "$1" = pip ]; then
        # --isolated leaves out the user's settings, the place of the cache too
        HOME="$folder" XDG_CACHE_HOME="$folder/cache" PIP_CONFIG_FILE=/dev/null env/bin/pip --isolated install -q \
            --no-index --find-links links --target target carved sawn
    else
        env/bin/uv pip install -q --no-config --cache-dir cache/uv --python env/bin/python \
            --no-index --find-links links --target target carved sawn
    fi
    PYTHONPATH=target env/bin/python -c 'import carved, sawn; print("wheel", carved.TEXT + ", source", sawn.TEXT)'
}

put old
installed pip > /dev/null
installed uv > /dev/null
put new
pip=$(installed pip)
uv=$(installed uv)
echo "after both files were replaced: pip has $pip; uv has $uv"
[ "$pip; $uv" = "wheel new, source old; wheel old, source new" ] || { echo "this has changed: one is not stale"; exit 1; }
