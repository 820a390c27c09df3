#!/bin/sh
# pip 26.3 and uv 0.13.9: a pylock file with one wheel, which requires a package that was left out of the lock on purpose.
# Guess: both install the wheel, for a lock says what is installed, and PEP 751 has installers resolve nothing.
# Seen on 2026-12-01 (CPython 3.12.1): uv installs it. pip looks for what is required, and stops without it; where an index
# has it, pip downloads it and stops because the lock has no hash of it. With --no-deps pip installs the lock as it is.
# Why it matters: who leaves a package out of a lock, one of two OpenCVs for example, tries it with uv, and the client with
# pip gets nothing installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 uv==0.13.9 wheel==0.48.0
cd "$folder"
mkdir -p links tree/carved tree/carved-1.0.dist-info
touch tree/carved/__init__.py
printf 'Metadata-Version: 2.1\nName: carved\nVersion: 1.0\nRequires-Dist: left-out-on-purpose\n' \
    > tree/carved-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' > tree/carved-1.0.dist-info/WHEEL
env/bin/wheel pack -d links tree > /dev/null
cat > pylock.toml <<EOF
lock-version = "1.0"
created-by = "hand"
[[packages]]
name = "carved"
version = "1.0"
[[packages.wheels]]
path = "links/carved-1.0-py3-none-any.whl"
[packages.wheels.hashes]
sha256 = "$(sha256sum links/*.whl | cut -d ' ' -f 1)"
EOF
by() { "$@" -r pylock.toml > log 2>&1 && echo installs || echo stops; }
pip="env PIP_CONFIG_FILE=/dev/null env/bin/pip --isolated install --no-index"
uv="env/bin/uv pip install --no-config --cache-dir cache --python env/bin/python --no-index"
seen="uv $(by $uv --target by-uv), pip $(by $pip --target by-pip), pip with --no-deps $(by $pip --target bare --no-deps)"
echo "a lock that leaves a requirement out: $seen"
[ "$seen" = "uv installs, pip stops, pip with --no-deps installs" ] || { echo "this has changed: $seen"; exit 1; }
