#!/bin/sh
# Starts @VERB@.pyz, which lies beside it, with a Python 3.7 or newer. `sh @VERB@.sh --help` shows the options.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 3
# a Python that starts with foreign libraries or a foreign home is not the one it says it is
unset LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH DYLD_FRAMEWORK_PATH DYLD_INSERT_LIBRARIES PYTHONHOME PYTHONPATH
check='import hashlib, json, sys
stated = [item["sha256"] for item in json.load(open(sys.argv[1], "rb"))["companions"] if item["path"] == "@VERB@.pyz"]
sys.exit([hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()] != stated)'

# is_stub PROGRAM: macOS has a python3 that only opens a window which asks to install Apple's developer tools
is_stub() {
    case $(command -v "$1") in
        /usr/bin/*) [ "$(uname -s)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1 ;;
        *) return 1 ;;
    esac
}

# the last are where Homebrew and python.org put theirs on macOS, which not every PATH has
for python in python3 python /opt/homebrew/bin/python3 /usr/local/bin/python3; do
    if command -v "$python" >/dev/null 2>&1 && ! is_stub "$python" \
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
