#!/bin/sh
# torch 2.8.0 with torchaudio up to 2.11.1, as pip 26.3 resolves them on Linux (x86-64, CPython 3.12).
# Guess: torchaudio 2.8.0, for each of its releases wants one of torch, or 2.11.1 is refused.
# Seen on 2026-12-01: pip takes torchaudio 2.11.0, the one release whose metadata names no torch at all (2.10.0 has
# torch==2.10.0, 2.11.1 torch>=2.11). It does not import: _torchaudio.abi3.so wants torch_library_impl, which torch has
# from 2.10 on.
# Why it matters: a requirement on an older torch that leaves torchaudio open, which was sound for years, installs and
# then fails at its first import. Needs 8 GB.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pip==26.3
"$folder/env/bin/pip" install -q --no-cache-dir torch==2.8.0 'torchaudio<=2.11.1'
seen=$("$folder/env/bin/python" - <<'END' 2>/dev/null
from importlib.metadata import metadata, version
print("torchaudio", version("torchaudio"), "requires", metadata("torchaudio").get_all("Requires-Dist"), end=", ")
try:
    import torchaudio
except OSError as error:
    print(str(error).rpartition(".so: ")[2])
else:
    print("imports")
END
)
echo "with torch 2.8.0: $seen"
[ "$seen" = "torchaudio 2.11.0 requires None, undefined symbol: torch_library_impl" ] || { echo "this has changed: $seen"; exit 1; }
