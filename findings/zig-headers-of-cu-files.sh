#!/bin/sh
# ziglang 0.17.1: a CUDA source, for its part that runs on the CPU. clang's CUDA mode is in the wheel.
# Guess: `zig c++ -x cuda` takes it, and compiles it with the headers that a C++ source of the same target gets.
# Seen on 2026-12-01 (CPython 3.12.1): -x cuda is an unknown language. A file called .cu is compiled as CUDA, but without
# any of the wheel's headers: clang looks for those of the machine. (`zig clang` takes -x cuda, and all folders by hand.)
# Why it matters: where a mingw-w64 or a GCC for the target is installed the file compiles, with another C++ library
# than the rest of the module is linked with.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q ziglang==0.17.1
cd "$folder"
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
cuda="--cuda-host-only -nocudainc -nocudalib"
zig() { env/bin/python -m ziglang c++ -target x86_64-windows-gnu -v -c "$@" -o out.o 2>&1 || true; }
# how many of the folders that clang searches are the wheel's
own() { sed -n '/^#include </,/^End of search list/p' | grep -c '/ziglang/lib/' || true; }
echo 'int one;' > plain.cpp
echo 'int two;' > kernel.cu
plain=$(zig plain.cpp | own)
# shellcheck disable=SC2086
kernel=$(zig $cuda kernel.cu | own)
# shellcheck disable=SC2086
named=$(zig $cuda -x cuda kernel.cu | grep -c 'language not recognized: "cuda"' || true)
if [ -e out.o ]; then made=yes; else made=no; fi
echo "folders of the wheel's headers: $plain for C++, $kernel for CUDA; -x cuda refused: $named"
[ "$plain" -gt 0 ] && [ "$kernel" = 0 ] && [ "$named" = 1 ] && [ $made = yes ] ||
    { echo "this has changed: $plain, $kernel, $named, $made"; exit 1; }
