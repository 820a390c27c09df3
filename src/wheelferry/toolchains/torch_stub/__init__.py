"""A stand-in for torch, for builds that compile nothing: what a setup.py asks torch before it builds.

A project whose setup.py imports torch can so be packed without its compiled ops for any platform, without
the gigabytes of a torch that would only be imported. What tries to compile with it fails.
"""

import hashlib
import shutil
from pathlib import Path

_TORCH = Path(__file__).with_name("torch")


def place_torch_stub(folder: Path, version: str, *, cuda: str | None = None) -> Path:
    """Write a package ``torch`` that calls itself `version` into the new `folder`, which goes on sys.path.

    `cuda` is the CUDA version that it says it was built with (``13.0``).
    """
    shutil.copytree(_TORCH, folder / "torch", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "torch" / "version.py").write_text(
        f"__version__ = {version!r}\ncuda = {cuda!r}\nhip = None\n", "utf-8"
    )
    return folder


def place_nvcc(folder: Path, version: str = "13.0") -> Path:
    """Write a CUDA toolkit of that `version` into the new `folder`, whose nvcc only says which it is."""
    program = folder / "bin" / "nvcc"
    program.parent.mkdir(parents=True)
    words = f"Cuda compilation tools, release {version}, V{version}.0"
    program.write_text(f"#!/bin/sh\necho '{words}'\n", "utf-8")
    program.chmod(0o755)
    return folder


def cuda_variables(folder: Path) -> dict[str, str]:
    """Environment variables by which a setup.py describes its CUDA build; a toolkit is put into `folder`."""
    return {"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": "9.0", "CUDA_HOME": str(place_nvcc(folder))}


def torch_stub_identity() -> str:
    """A hash over its files: part of the key of what is built with it."""
    digest = hashlib.sha256()
    for path in sorted(_TORCH.rglob("*.py")):
        digest.update(path.read_bytes())
    return f"torch stand-in {digest.hexdigest()[:16]}"
