#!/bin/sh
# nvidia-cuda-runtime 13.0.96 from PyPI, the wheel for Windows: cudart.lib and cudart64_13.dll.
# Guess: as in nvidia-cuda-runtime-cu12 12.9.79, cudart.lib lets a program import cudart64_NN.dll, the CUDA runtime.
# Seen on 2026-12-01 (CPython 3.12.1): both only look for the runtime, which is nvcudart_hybrid64.dll of the display
# driver. A program that is linked with cudart.lib imports no DLL of CUDA, and does not need that of the wheel.
# Why it matters: what reads imports to tell a build for CUDA from one for the CPU, or to pack DLLs, sees none; and
# without NVIDIA's driver there is no runtime that could say so: cudaGetErrorName itself returns null.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pefile==2024.8.26
get() {
    "$folder/env/bin/pip" download -q --no-deps --platform win_amd64 --only-binary :all: -d "$folder/$1" "$2"
}
get new nvidia-cuda-runtime==13.0.96
get old nvidia-cuda-runtime-cu12==12.9.79
cat > "$folder/look.py" <<'PY'
import sys, zipfile
from pathlib import Path

import pefile

RUNTIME = b"nvcudart_hybrid64.dll"

def read(folder, suffix):
    (wheel,) = Path(sys.argv[1], folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.split("/")[-1].startswith("cudart")]
        (name,) = [name for name in names if name.endswith(suffix) and "static" not in name]
        return archive.read(name)

for folder, dll in (("old", b"cudart64_12.dll"), ("new", b"cudart64_13.dll")):
    library = read(folder, ".lib")
    print(folder, "library:", *[word.decode() for word in (dll, RUNTIME) if word in library], end="; ")
data = read("new", ".dll")
imports = [one.dll for one in pefile.PE(data=data).DIRECTORY_ENTRY_IMPORT]
print("new DLL:", *[RUNTIME.decode()] * (RUNTIME in data), "not among its imports" * (RUNTIME not in imports))
PY
said=$("$folder/env/bin/python" "$folder/look.py" "$folder")
echo "what is named: $said"
wanted="old library: cudart64_12.dll; new library: nvcudart_hybrid64.dll"
wanted="$wanted; new DLL: nvcudart_hybrid64.dll not among its imports"
[ "$said" = "$wanted" ] || { echo "this has changed: $said"; exit 1; }
