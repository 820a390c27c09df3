#!/bin/sh
# Starts @VERB@.pyz, which lies beside it, with a Python 3.7 or newer. `sh @VERB@.sh --help` shows the options.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 3
# a Python that starts with foreign libraries or a foreign home is not the one it says it is
unset LD_LIBRARY_PATH LD_PRELOAD PYTHONHOME PYTHONPATH
check='import hashlib, json, sys
stated = [item["sha256"] for item in json.load(open(sys.argv[1], "rb"))["companions"] if item["path"] == "@VERB@.pyz"]
sys.exit([hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()] != stated)'

for python in python3 python; do
    if command -v "$python" >/dev/null 2>&1 \
        && "$python" -I -c 'import sys, argparse, ctypes, hashlib, zipimport; sys.exit(sys.version_info < (3, 7))' 2>/dev/null; then
        if "$python" -I -c "$check" "$here/@DOCUMENT@" "$here/@VERB@.pyz" 2>/dev/null; then
            exec "$python" -I "$here/@VERB@.pyz" "$@"
        fi
        printf '%s\n' "@VERB@.sh: $here/@VERB@.pyz or $here/@DOCUMENT@ is damaged" '  -> @REMEDY@' >&2
        exit 4
    fi
done
printf '%s\n' '@VERB@.sh: there is no Python 3.7 or newer here' '  -> README.txt says what else there is' >&2
exit 3
