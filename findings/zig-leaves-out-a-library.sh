#!/bin/sh
# ziglang 0.17.1: a shared library of C is linked with another one, named on the command line, that it calls nothing of.
# Guess: it asks for that library when it is loaded (DT_NEEDED), as what g++ of Debian links does.
# Seen on 2026-11-30 (CPython 3.12.1): it does not; with -Wl,--no-as-needed before the name it does.
# Why it matters: a module whose functions are looked up when it is loaded, such as one on torch's stable ABI, is linked
# without an error against a stand-in and ends in "undefined symbol" when it is imported.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q ziglang==0.17.1 pyelftools==0.33
cd "$folder"
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
link="env/bin/python -m ziglang cc -target x86_64-linux-gnu.2.28 -O2 -shared"
echo 'int other(void) { return 1; }' > other.c
echo 'int own(void) { return 2; }' > own.c
$link -Wl,-soname,libother.so other.c -o libother.so
$link own.c libother.so -o plain.so
$link own.c -Wl,--no-as-needed libother.so -o asked.so
needs() {
    env/bin/python -c '
import sys
from elftools.elf.elffile import ELFFile
tags = ELFFile(open(sys.argv[1], "rb")).get_section_by_name(".dynamic").iter_tags("DT_NEEDED")
print("yes" if "libother.so" in [tag.needed for tag in tags] else "no")' "$1"
}
seen="plain: $(needs plain.so), with --no-as-needed: $(needs asked.so)"
echo "the library that is named is asked for, $seen"
[ "$seen" = "plain: no, with --no-as-needed: yes" ] || { echo "this has changed: $seen"; exit 1; }
