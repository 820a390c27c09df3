#!/bin/sh
# Installs this bundle. Needs nothing but a POSIX shell and, where there is no Python 3.7 or newer, the
# Python that the bundle carries. `sh install.sh --help` shows the options.
set -u

fail() { # message, what to do, exit status
    printf 'install.sh: %s\n' "$1" >&2
    [ -z "$2" ] || printf '  -> %s\n' "$2" >&2
    exit "$3"
}

# need PROGRAM...: they are here, as on every Linux but the smallest images, and on every macOS
need() {
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 || fail "there is no $program here" "install it, and start again" 3
    done
}

need sed cut dirname
bundle=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 3

# A Python that starts with foreign libraries or a foreign home is not the one it says it is. What is unset
# here is handed on, so that the installer can say so.
WHEELFERRY_NEUTRALISED=''
for name in LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH DYLD_FRAMEWORK_PATH DYLD_INSERT_LIBRARIES \
    PYTHONHOME PYTHONPATH; do
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

# check_signature KEYS: bundle.json is signed by one of the keys in that file, which must not be the bundle's.
# install.pyz checks it as well; but it is itself of the bundle, as is the Python that may run it.
check_signature() {
    [ -f "$1" ] && [ -r "$1" ] || fail "cannot read the key $1" "name a public key, as in key.pub" 2
    case $(CDPATH='' cd -P -- "$(dirname -- "$1")" && pwd)/ in
        "$(CDPATH='' cd -P -- "$bundle" && pwd)"/*)
            fail "$1 lies in the bundle, so it proves nothing" "take the key from outside the bundle" 2 ;;
    esac
    ssh_keygen=$(command -v ssh-keygen)
    case $ssh_keygen in
        /*) ;;
        *) fail "there is no ssh-keygen here, which checks signatures" \
            "install OpenSSH 8.1 or newer: openssh-client (Debian, Ubuntu), openssh (others)" 3 ;;
    esac
    [ -f "$bundle/bundle.json.sig" ] ||
        fail "the bundle is not signed" "ask who made it; to take it as it is, leave --key out" 4
    room=$(mktemp -d) || fail "no temporary folder can be made" "TMPDIR names a place for it" 3
    trap 'rm -rf "$room"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # allowed signers, whatever their names; a public key has none. Windows may have put a mark in front.
    # The sed of macOS knows no \r and no \|.
    line_end=$(printf '\r')
    sed -E -e "1s/^$(printf '\357\273\277')//" -e "s/$line_end\$//" -e 's/^[[:blank:]]*//' -e '/^#/d' -e '/^$/d' \
        -e '/^(ssh|ecdsa|sk)-[^[:blank:]]*[[:blank:]]+AAAA/!s/^("[^"]*"|[^[:blank:]]*)//' \
        -e 's/^/wheelferry /' <"$1" >"$room/signers"
    # ssh-keygen would read all of a file that has no end
    dd if="$bundle/bundle.json.sig" of="$room/signature" bs=1048576 count=1 2>/dev/null
    complaint=$("$ssh_keygen" -Y verify -f "$room/signers" -I wheelferry -n wheelferry \
        -s "$room/signature" <"$bundle/bundle.json" 2>&1)
    status=$?
    rm -rf "$room"
    trap - EXIT INT TERM HUP
    case $complaint in
        *"option -- "*) fail "$ssh_keygen is older than OpenSSH 8.1 and knows no signatures" "install a newer one" 3 ;;
    esac
    [ "$status" -eq 0 ] || fail "bundle.json is not signed by whom $1 allows: $complaint" \
        "is it the right key? if so, the bundle is damaged or not from whom it should be: do not install it" 4
}

# works PYTHON: it can run the installer; a distribution's minimal Python lacks modules
works() {
    complaint=$("$1" -I -c 'import sys, argparse, ctypes, hashlib, json, tarfile, zipfile, zlib
sys.exit(sys.version_info < (3, 7))' 2>&1)
}

# is_stub PROGRAM: macOS has a python3 that only opens a window which asks to install Apple's developer tools
is_stub() {
    case $(command -v "$1") in
        /usr/bin/*) [ "$(uname -s)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1 ;;
        *) return 1 ;;
    esac
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
key=''
previous=''
for argument in "$@"; do
    [ "$previous" != --key ] || key=$argument
    case $argument in --key=*) key=${argument#--key=} ;; esac
    previous=$argument
done
[ -z "$key" ] || check_signature "$key"
check install.pyz

python=
# the last are where Homebrew and python.org put theirs on macOS, which not every PATH has
for candidate in python3 python /opt/homebrew/bin/python3 /usr/local/bin/python3; do
    if command -v "$candidate" >/dev/null 2>&1 && ! is_stub "$candidate" && works "$candidate"; then
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
    need tar
    check "runtime/${archive##*/}"
    # /tmp may be small, or mounted so that no program starts from it
    for parent in "${TMPDIR:-/tmp}" /var/tmp "${HOME:-/nonexistent}" /dev/shm; do
        start_carried "$archive" "$parent" "$@"
    done
done
# some tars unpack .gz by themselves, so it is missed only where it failed
[ -z "$reasons" ] || need gzip
[ -z "$reasons" ] || fail "the Python of the bundle cannot be started here:
$reasons" "is it for another machine? is there room? TMPDIR names a folder to unpack it to" 3
fail "there is no Python 3.7 or newer here, and the bundle carries none" \
    "install Python, or ask for a bundle that was made with --runtime" 3
