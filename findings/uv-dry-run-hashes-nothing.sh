#!/bin/sh
# uv 0.13.9 beside pip 26.3: a dry run with --require-hashes, for a wheel whose hash is not the one that is asked for.
# Guess: a dry run says what the installation would say, so it stops at the wrong hash.
# Seen on 2026-11-30 (CPython 3.11.7): uv's dry run reports success, exit 0; its installation of the same stops at the
# hash. pip's dry run stops too.
# Why it matters: who tries a folder before it is carried away learns nothing of the files in it from uv's dry run.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 uv==0.13.9 wheel==0.48.0
cd "$folder"
mkdir -p links tree/carved tree/carved-1.0.dist-info
touch tree/carved/__init__.py
printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\n' > tree/carved-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
    > tree/carved-1.0.dist-info/WHEEL
env/bin/wheel pack -d links tree > /dev/null
printf 'carved==1.0 --hash=sha256:%064d\n' 0 > wanted.txt

ends() { if "$@" > log 2>&1; then echo "succeeds"; else echo "stops"; fi; }

uv="env/bin/uv pip install --no-config --cache-dir cache --python env/bin/python"
pip="env PIP_CONFIG_FILE=/dev/null env/bin/pip --isolated install"
what="--require-hashes --no-index --find-links links -r wanted.txt"
# shellcheck disable=SC2086  # several words each
seen="uv's dry run $(ends $uv --dry-run $what), uv's installation $(ends $uv $what)"
# shellcheck disable=SC2086
seen="$seen, pip's dry run $(ends $pip --dry-run $what)"
echo "with a wrong hash: $seen"
[ "$seen" = "uv's dry run succeeds, uv's installation stops, pip's dry run stops" ] ||
    { echo "this has changed: uv's dry run looks at hashes, or others do not"; exit 1; }
