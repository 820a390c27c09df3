#!/bin/sh
# nvidia-cuda-runtime 13.0.96 from PyPI, the wheel for Windows: cudart.lib and cudart64_13.dll.
# Guess: as up to CUDA 12, cudart.lib lets a program import cudart64_NN.dll, which is the CUDA runtime.
# Seen on 2026-12-01 (CPython 3.12.1): both only look for the runtime, which is nvcudart_hybrid64.dll of the display
# driver. A program that is linked with cudart.lib imports no DLL of CUDA, and does not need that of the wheel.
# Why it matters: what reads imports to tell a build for CUDA from one for the CPU, or to pack DLLs, sees none; and
# without NVIDIA's driver there is no runtime that could say so: cudaGetErrorName itself returns null.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
get() {
    "$folder/env/bin/pip" download -q --no-deps --platform win_amd64 --only-binary :all: -d "$folder/$1" "$2"
}
get new nvidia-cuda-runtime==13.0.96
get old nvidia-cuda-runtime-cu12==12.9.79
cat > "$folder/look.py" <<'PY'
import sys, zipfile
from pathlib import Path

def seen(folder, suffix, *words):
    (wheel,) = Path(sys.argv[1], folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.split("/")[-1].startswith("cudart") and n.endswith(suffix)
                   and "static" not in n]
        data = archive.read(name)
    return [word for word in words if word.encode() in data]

names = "nvcudart_hybrid64.dll", "cudart64_12.dll", "cudart64_13.dll"
for folder in ("old", "new"):
    print(folder, "library:", *seen(folder, ".lib", *names), end="; ")
print("new DLL:", *seen("new", ".dll", names[0]))
PY
said=$("$folder/env/bin/python" "$folder/look.py" "$folder")
echo "what is named: $said"
[ "$said" = "old library: cudart64_12.dll; new library: nvcudart_hybrid64.dll; new DLL: nvcudart_hybrid64.dll" ] ||
    { echo "this has changed: $said"; exit 1; }
