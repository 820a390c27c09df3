"""The names that a setup.py imports from torch; what they shall compile wheelferry compiles, or nobody.

`WHEELFERRY_COMPILE` holds the command (JSON) that takes the file of a request; without it nothing compiles.
With `WHEELFERRY_CUDA` it compiles for GPUs too.
`WHEELFERRY_EXT_SUFFIX` is how the target's Python ends the name of a module's file.
`WHEELFERRY_LIST_EXTENSIONS` names a file: each extension that setup.py describes, CUDA ones too, is written
there, as a line of JSON.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from setuptools import Extension
from setuptools.command.build_ext import build_ext

# a folder, as projects ask before they describe their CUDA extensions
CUDA_HOME = os.environ.get("CUDA_HOME") if os.environ.get("FORCE_CUDA") == "1" else None
CUDNN_HOME = ROCM_HOME = HIP_HOME = ROCM_VERSION = None
IS_WINDOWS, IS_MACOS, IS_LINUX = (sys.platform.startswith(name) for name in ("win32", "darwin", "linux"))
IS_HIP_EXTENSION = False
COMMON_NVCC_FLAGS: list[str] = []


class BuildExtension(build_ext):
    """Hands each extension to wheelferry, which compiles it on torch's stable ABI."""

    @classmethod
    def with_options(cls, **_options: Any) -> type["BuildExtension"]:
        """As in torch, where the options concern compilers."""
        return cls

    def get_ext_filename(self, fullname: str) -> str:
        """The module's file on the target."""
        suffix = os.environ.get("WHEELFERRY_EXT_SUFFIX")
        if suffix is None:
            return str(super().get_ext_filename(fullname))
        return str(Path(*fullname.split("."))) + suffix

    def build_extensions(self) -> None:
        """Build what there is, modules beside one another; no compiler of this machine is looked for."""
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            list(pool.map(self.build_extension, self.extensions))

    @property
    def _at_once(self) -> int:
        return max(1, min(_jobs(), len(self.extensions)))

    def build_extension(self, ext: Any) -> None:
        """Write down what is asked for, and have it compiled."""
        command = os.environ.get("WHEELFERRY_COMPILE")
        if command is None:
            _refuse(
                "this build was asked to leave out compiled ops (--without-ops), but setup.py still has "
                "extensions; the recipe's substitutions with without_ops = true should remove them"
            )
        out = Path(self.get_ext_fullpath(ext.name)).resolve()
        out.parent.mkdir(parents=True, exist_ok=True)
        flags = ext.extra_compile_args
        by_compiler = flags if isinstance(flags, dict) else {"cxx": flags}
        request = {
            "module": ext.name.rpartition(".")[2],
            "package": ext.name.rpartition(".")[0],
            "sources": [str(Path(source).resolve()) for source in ext.sources],
            "include": [str(Path(folder).resolve()) for folder in ext.include_dirs],
            "macros": dict(ext.define_macros),
            "flags": list(by_compiler.get("cxx", ())),
            "out": str(out),
            "cuda": getattr(ext, "has_cuda", False),
            "cuda_flags": list(by_compiler.get("nvcc", ())),
            "jobs": _jobs() // self._at_once,
        }
        folder = Path(self.build_temp).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{ext.name}.json"
        path.write_text(json.dumps(request), "utf-8")
        self.spawn([*json.loads(command), str(path)])


def _jobs() -> int:
    """How many compilers may run at once."""
    return int(os.environ.get("MAX_JOBS", "1"))


def CppExtension(name: str, sources: Any, **options: Any) -> Extension:
    """An extension in C++."""
    options.setdefault("language", "c++")
    extra = options.pop("extra_compile_args", [])
    extension = Extension(name, list(sources), **options)
    extension.extra_compile_args = extra  # torch takes a mapping as well, setuptools does not
    return extension


def CUDAExtension(name: str, sources: Any, **options: Any) -> Extension:
    """An extension in C++ and CUDA: it is listed, or compiled where wheelferry was asked for CUDA ops."""
    if _LISTED is None and "WHEELFERRY_CUDA" not in os.environ:
        _refuse(
            "setup.py makes CUDA ops, and this build is for the CPU; a backend with CUDA is --backend cu130"
        )
    extension = CppExtension(name, sources, **options)
    extension.has_cuda = True
    return extension


def include_paths(*_arguments: Any, **_options: Any) -> list[str]:
    """Folders with torch's headers; none here."""
    return []


def library_paths(*_arguments: Any, **_options: Any) -> list[str]:
    """Folders with torch's libraries; none here."""
    return []


def _write_down_extensions(file: str) -> None:
    """Have every extension that is made from now on written to `file`, those of setuptools as well."""
    make = Extension.__init__

    def make_and_write(self: Any, name: str, sources: Any, *arguments: Any, **options: Any) -> None:
        make(self, name, sources, *arguments, **options)
        line = {"name": name, "sources": [str(source) for source in sources]}
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    Extension.__init__ = make_and_write


def _refuse(reason: str) -> NoReturn:
    raise SystemExit(reason)


_LISTED = os.environ.get("WHEELFERRY_LIST_EXTENSIONS")
if _LISTED is not None:
    _write_down_extensions(_LISTED)
