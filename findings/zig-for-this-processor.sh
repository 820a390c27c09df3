#!/bin/sh
# ziglang 0.17.1 from PyPI: `python -m ziglang cc` without -target and without -march.
# Guess: code for every processor of the architecture, as gcc and clang make it.
# Seen on 2026-11-30 (CPython 3.11.7): code for the processor it runs on, as with -march=native: on one that has AVX-512
# the code may use it. With -target x86_64-linux-gnu.2.28 it makes code for every x86-64.
# Why it matters: a wheel that was compiled so ends in an illegal instruction on the older PC it was meant for.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q ziglang==0.17.1
export ZIG_GLOBAL_CACHE_DIR="$folder/global" ZIG_LOCAL_CACHE_DIR="$folder/local"
: > "$folder/empty.c"
# what the compiler says of the machine that it compiles for
said() { "$folder/env/bin/python" -m ziglang cc "$@" -E -dM "$folder/empty.c"; }
said > "$folder/plain"
said -mcpu=native > "$folder/native"
said -mcpu=baseline > "$folder/baseline"
if cmp -s "$folder/native" "$folder/baseline"; then
    echo "this processor is the plainest of its architecture: nothing to see here" >&2
    exit 2
fi
more=$(diff "$folder/baseline" "$folder/plain" | grep -c '^> #define __[A-Z0-9]*__ 1$' || true)
echo "without options the compiler promises its code $more features that not every processor has"
cmp -s "$folder/plain" "$folder/native" || { echo "this has changed: it is not -mcpu=native any more"; exit 1; }
