#!/bin/sh
# Installs this bundle. Needs nothing but a POSIX shell and, where there is no Python 3.7 or newer, the
# Python that the bundle carries. `sh install.sh --help` shows the options.
set -u

fail() { # message, what to do, exit status
    printf 'install.sh: %s\n' "$1" >&2
    [ -z "$2" ] || printf '  -> %s\n' "$2" >&2
    exit "$3"
}

bundle=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 3

# A Python that starts with foreign libraries or a foreign home is not the one it says it is. What is unset
# here is handed on, so that the installer can say so.
WHEELFERRY_NEUTRALISED=''
for name in LD_LIBRARY_PATH LD_PRELOAD PYTHONHOME PYTHONPATH; do
    eval "value=\${$name-}"
    [ -z "$value" ] || WHEELFERRY_NEUTRALISED="$WHEELFERRY_NEUTRALISED$name=$value
"
    unset "$name"
done
export WHEELFERRY_NEUTRALISED

# sha256_of FILE: its SHA-256, with whatever this system has
sha256_of() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
    elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <"$1"
    else fail "no program computes SHA-256 here" "install coreutils (sha256sum)" 3
    fi | cut -d ' ' -f 1
}

# check NAME: the bundle's file is what bundle.json says it is
check() {
    stated=$(sed -n "\\|\"path\": \"$1\"|{n;s/.*\"sha256\": \"\\([0-9a-f]*\\)\".*/\\1/p;}" "$bundle/bundle.json")
    [ -n "$stated" ] || fail "bundle.json does not name $1" "copy the bundle again" 4
    [ "$(sha256_of "$bundle/$1")" = "$stated" ] || fail "$bundle/$1 is damaged" "copy the bundle again" 4
}

# works PYTHON: it can run the installer; a distribution's minimal Python lacks modules
works() {
    complaint=$("$1" -I -c 'import sys, argparse, ctypes, hashlib, json, tarfile, zipfile, zlib
sys.exit(sys.version_info < (3, 7))' 2>&1)
}

# start_carried ARCHIVE PARENT ARGUMENTS...: unpack the Python to a folder below PARENT and run the installer
# with it; returns only where that cannot be done
start_carried() {
    archive=$1 parent=$2
    shift 2
    for old in "$parent"/wheelferry.[0-9]*.??????; do
        # of an installer that was killed
        pid=${old#"$parent"/wheelferry.}
        [ ! -d "$old" ] || kill -0 "${pid%.*}" 2>/dev/null || rm -rf "$old" 2>/dev/null
    done
    if ! scratch=$(mktemp -d "$parent/wheelferry.$$.XXXXXX" 2>/dev/null); then
        scratch=''
        reasons="$reasons  $parent: no folder can be made there
"
        return
    fi
    if complaint=$(tar -xzf "$archive" -C "$scratch" 2>&1); then
        for python in "$scratch"/bin/python3.* "$scratch"/*/bin/python3.*; do
            if [ -f "$python" ] && works "$python"; then
                printf 'no Python here: starting the one of the bundle\n' >&2
                # which removes that folder when it is done
                WHEELFERRY_SCRATCH=$scratch exec "$python" -I "$bundle/install.pyz" "$@"
            fi
        done
    fi
    reasons="$reasons  ${archive##*/} in $parent: $(printf '%s\n' "$complaint" | tail -n 1)
"
    rm -rf "$scratch"
    scratch=''
}

[ -f "$bundle/bundle.json" ] || fail "$bundle has no bundle.json" "start install.sh where the bundle lies" 2
check install.pyz

python=
for candidate in python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 && works "$candidate"; then
        python=$candidate
        break
    fi
done
[ -z "$python" ] || exec "$python" -I "$bundle/install.pyz" "$@"

scratch=''
reasons=''
trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
for archive in "$bundle"/runtime/*.tar.gz; do
    [ -f "$archive" ] || continue
    check "runtime/${archive##*/}"
    # /tmp may be small, or mounted so that no program starts from it
    for parent in "${TMPDIR:-/tmp}" /var/tmp "${HOME:-/nonexistent}" /dev/shm; do
        start_carried "$archive" "$parent" "$@"
    done
done
[ -z "$reasons" ] || fail "the Python of the bundle cannot be started here:
$reasons" "is it for another machine? is there room? TMPDIR names a folder to unpack it to" 3
fail "there is no Python 3.7 or newer here, and the bundle carries none" \
    "install Python, or ask for a bundle that was made with --runtime" 3
