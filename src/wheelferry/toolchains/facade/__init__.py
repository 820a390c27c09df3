"""C++ headers with ATen's names over torch's stable ABI, for a project's operators as they are.

A module built so calls nothing of torch but C functions that stay. So it serves every torch from
`stable_abi.FIRST_TORCH` on, and may come from another compiler than torch. docs/facade.md says what is
covered.
"""

import hashlib
import re
from pathlib import Path

# The headers are C++17, those of torch 2.13 C++20; gnu: M_PI and its like are no standard C++.
CXX_STANDARD = "-std=gnu++20"

# Tells torch's headers which stable ABI is meant, and makes all others of torch refuse to be included.
TARGET_MACRO = "-DTORCH_TARGET_VERSION=0x020a000000000000"

# Defined for every source of a module with code for GPUs in it: it may call torch's CUDA library.
CUDA_MACRO = "-DWHEELFERRY_CUDA"


def include_folder() -> Path:
    """What a compiler must search before torch's own ``include``."""
    return Path(__file__).with_name("include")


def limited_folder() -> Path:
    """What a compiler must search first for modules on CPython's limited API: pybind11's names on it.

    With it no headers of a CPython are needed, and the module serves every one from
    `stable_abi.FIRST_PYTHON` on.
    """
    return Path(__file__).with_name("limited")


def limited_names() -> list[str]:
    """What of CPython's stable ABI a module on the limited API can call."""
    text = (limited_folder() / "Python.h").read_text("utf-8")
    declarations = re.findall(r"^(?:extern )?WHEELFERRY_PYTHON ([^;]+);", text, re.MULTILINE)
    names: set[str] = set()
    for one in declarations:
        before, is_function, _ = one.partition("(")
        names.update(re.findall(r"\w+", before)[-1:] if is_function else re.findall(r"_?Py\w*_\w+", one))
    return sorted(names)


def windows_folder() -> Path:
    """The folder of the ``pyconfig.h`` for CPython on 64-bit Windows."""
    return Path(__file__).with_name("windows")


def cuda_windows_folder() -> Path:
    """What CUDA sources for Windows are compiled with on Linux: ``host`` for clang, ``device`` for nvcc."""
    return Path(__file__).with_name("cuda_windows")


def identity() -> str:
    """A hash over its files: part of the key of what is built with it."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"facade {digest.hexdigest()[:16]}"
