#!/bin/sh
# torchaudio 2.11.0 beside torch 2.8.0, on Linux (x86-64).
# Guess: pip refuses it, for each release of torchaudio wants its own torch.
# Seen on 2026-12-01 (CPython 3.12.1): pip 26.3 installs both. The metadata of 2.11.0 name no torch at all (2.10.0 has
# torch==2.10.0, 2.11.1 torch>=2.11), and it does not import: _torchaudio.abi3.so wants torch_library_impl, which torch
# has from 2.10 on.
# Why it matters: torch 2.8.0 with a torchaudio that is left open, sound for years, now resolves to just this pair (pip,
# uv), which fails at its first import. Needs 8 GB and some minutes.
set -eu
export PIP_NO_CACHE_DIR=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3
"$folder/env/bin/pip" install -q torch==2.8.0 torchaudio==2.11.0
seen=$("$folder/env/bin/python" - <<'END' 2>/dev/null
from importlib.metadata import metadata
print("requires", metadata("torchaudio").get_all("Requires-Dist"), end=", ")
try:
    import torchaudio
except OSError as error:
    print(str(error).rpartition(".so: ")[2])
else:
    print("imports")
END
)
echo "torchaudio 2.11.0 beside torch 2.8.0: $seen"
[ "$seen" = "requires None, undefined symbol: torch_library_impl" ] || { echo "this has changed: $seen"; exit 1; }
