#!/bin/sh
# ziglang 0.17.1: a library of C for macOS with two functions, and a list of the one that others shall see.
# Guess: -Wl,-exported_symbols_list hides the other, as with Apple's linker; or zig refuses the option, as it refuses
# -Wl,-exported_symbol.
# Seen on 2026-12-01 (CPython 3.12.1): it takes the option and exports both; -Wl,-exported_symbol is an error.
# Why it matters: names that were to be hidden are visible to every other library of the program, without a warning;
# only -fvisibility=hidden in the compiler hides them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q ziglang==0.17.1
cd "$folder"
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
echo 'int wanted(void) { return 1; } int hidden(void) { return 2; }' > own.c
echo '_wanted' > list
link="env/bin/python -m ziglang cc -target aarch64-macos.14.0 -O2 -shared own.c"
$link -Wl,-exported_symbols_list,list -o listed.dylib
alone=taken
$link -Wl,-exported_symbol,_wanted -o one.dylib 2>said || alone=refused
exports() {
    env/bin/python -c '
import struct, sys
data = open(sys.argv[1], "rb").read()
place = 32
for _ in range(struct.unpack_from("<I", data, 16)[0]):
    command, size = struct.unpack_from("<II", data, place)
    if command in (0x22, 0x80000022):  # LC_DYLD_INFO: its last two numbers lead to the tree of exported names
        start, length = struct.unpack_from("<II", data, place + 40)
        tree = data[start : start + length]
    elif command == 0x80000033:  # LC_DYLD_EXPORTS_TRIE
        start, length = struct.unpack_from("<II", data, place + 8)
        tree = data[start : start + length]
    place += size
names = [name for name in ("wanted", "hidden") if name.encode() + b"\0" in tree or name[1:].encode() + b"\0" in tree]
print(" and ".join(names))' "$1"
}
seen="exported are $(exports listed.dylib), -exported_symbol is $alone"
echo "with a list of one name $seen"
[ "$seen" = "exported are wanted and hidden, -exported_symbol is refused" ] || { echo "this has changed: $seen"; exit 1; }
