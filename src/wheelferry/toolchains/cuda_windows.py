"""CUDA sources for Windows, compiled on Linux: nvcc makes what GPUs run, zig's clang what the CPU runs.

Code for GPUs is the same on every system. clang takes nvcc's as it is, puts it into the object file, and
makes of ``<<<>>>`` calls of the CUDA runtime, which finds a kernel by its name. So names and the layout of
arguments must be those of nvcc: `require_same_kernels`. docs/explanation/windows-cuda.md says what was tried.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from wheelferry.errors import BuildError, MissingError
from wheelferry.toolchains import facade
from wheelferry.toolchains.modules import Compilation, Headers, Module, prefix_maps, preprocessing
from wheelferry.toolchains.nvcc import AS_TORCH, CXX_STANDARD, Nvcc

# Without a CUDA installation that it knows, clang would launch kernels as CUDA 8 did.
_AS_CUDA = ("-Xclang", "-target-sdk-version=12.8")
_OF_A_FILE = {"-MF": 2, "-o": 2, "-MD": 1, "-MV": 1, "-c": 1}
# What nvcc writes for each kernel that the CPU's part can start, and clang the names of what starts it.
_NVCC_KERNEL = re.compile(r"__cudaRegisterEntry\(.*?, (\w+), \(-1\)\);")
_CLANG_STUB = re.compile(rb"(?<=\0)\w*__device_stub__\w+(?=\0)")
_STUB = "__device_stub__"
# In names for linkers: a name after its length; and, no types of their own, substitutions, template arguments
# that are numbers, lambdas, pairs of letters.
_COUNTED = re.compile(r"\d+")
_LONGER = re.compile(r"_Z|[ST][0-9A-Z]*_|S[absiodt]|L[a-z]n?\d+E|Ul|D.")


def runtime_dll(nvcc: Nvcc) -> str:
    """The CUDA runtime's DLL, without its suffix (``cudart64_13``).

    Raises MissingError for a toolkit without headers.
    """
    header = nvcc.home / "include" / "cuda_runtime_api.h"
    text = header.read_text("utf-8") if header.is_file() else ""
    version = re.search(r"#define CUDART_VERSION +(\d+)", text)
    if version is None:
        raise MissingError(f"{header} does not say which CUDA runtime it is for")
    return f"cudart64_{int(version[1]) // 1000}"


def clang_options(compiler: Path, options: Sequence[str | Path], compilation: Compilation) -> list[str]:
    """What zig's C++ compiler for a target tells clang: folders, macros of libc++, the processor.

    zig gives a .cu file none of it; clang then finds the headers of a mingw-w64 that is installed, or none.
    """
    compilation.folder.mkdir(parents=True, exist_ok=True)
    source, result = (compilation.folder / name for name in ("options.cpp", "options.o"))
    source.write_text(f"// {compilation.folder}\n", "utf-8")  # compiled before, it is not compiled again
    said = compilation.run(
        [compiler, *options, "-c", source, "-o", result],
        step="ask zig for its options",
        env={**os.environ, "ZIG_VERBOSE_CC": "1"},
    ).output
    words = next((shlex.split(line) for line in said.splitlines() if " clang " in line), [])
    if not words:
        raise BuildError(f"zig does not say how it calls clang: {said.strip()!r}")
    words = words[words.index("clang") + 1 :]
    kept: list[str] = []
    while words:
        left_out = 1 if words[0] == str(source) else _OF_A_FILE.get(words[0], 0)
        kept += [] if left_out else words[:1]
        words = words[left_out or 1 :]
    return kept


class CudaForWindows:
    """Compiles the .cu files of one module."""

    def __init__(
        self,
        nvcc: Nvcc,
        clang: Sequence[str | Path],
        module: Module,
        headers: Headers,
        compilation: Compilation,
    ) -> None:
        """`clang` is the command with all that makes it compile C++ for Windows, without a file."""
        self._nvcc, self._clang = nvcc, clang
        self._module, self._headers, self._compilation = module, headers, compilation

    def command(self, source: Path) -> list[str | Path]:
        """The command for the CPU's part of a .cu file, but for the file of the result.

        The GPU's part is compiled first, by this.
        """
        image = self._image(source)
        options = [*AS_TORCH, *self._module.cuda_flags]
        return [
            *self._clang,
            *("-x", "cuda", "--cuda-host-only", "-nocudainc", "-nocudalib", *_AS_CUDA),
            *("-Xclang", "-fcuda-include-gpubinary", "-Xclang", image),
            # names must not depend on where the file lies
            "-fuse-cuid=none",
            f"-I{facade.cuda_windows_folder() / 'host'}",
            *("-include", "wheelferry_cuda_host.h"),
            *preprocessing(self._module, self._headers, cuda=True),
            *(option for option in options if option.startswith(("-D", "-U", "-I"))),
            *("-isystem", self._nvcc.home / "include"),
            *prefix_maps(self._module, self._headers),
            "-c",
            source,
        ]

    def kernels(self, source: Path) -> set[str]:
        """The kernels that nvcc compiled for the CPU's part to start, by the names that linkers know."""
        text = "".join(path.read_text("utf-8") for path in self._folder(source).glob("*.stub.c"))
        return set(_NVCC_KERNEL.findall(text))

    def _folder(self, source: Path) -> Path:
        return self._compilation.folder / f"gpu-{list(self._module.sources).index(source)}"

    def _image(self, source: Path) -> Path:
        """What runs on GPUs, of all the architectures that are asked for."""
        folder = self._folder(source)
        folder.mkdir(parents=True, exist_ok=True)
        image = folder / f"{source.stem}.fatbin"
        command: list[str | Path] = [
            self._nvcc.home / "bin" / "nvcc",
            *("-ccbin", self._nvcc.host_compiler),
            *("-fatbin", "--keep", "--keep-dir", folder),
            f"-I{facade.cuda_windows_folder() / 'device'}",
            *preprocessing(self._module, self._headers, cuda=True),
            *("-O3", CXX_STANDARD, *AS_TORCH),
            *self._nvcc.images,
            *self._module.cuda_flags,
            source,
            *("-o", image),
        ]
        self._compilation.run(command, step=f"compile {source.name} for GPUs")
        return image


def require_same_kernels(source: Path, compiled: Path, kernels: set[str]) -> None:
    """Raise BuildError where the object file `compiled` starts other kernels than nvcc made of its source.

    `kernels` are nvcc's. ``long`` has 32 bits on Windows and 64 where nvcc runs: an argument of that type is
    refused. One in a struct that a kernel takes as a whole is not seen.
    """
    started = started_kernels(compiled.read_bytes())
    hint = (
        "declare its arguments with int64_t instead of long or size_t, in a namespace that has a name; "
        "or build it on Windows"
    )
    if missing := sorted(started - kernels):
        raise BuildError(
            f"{source.name}: for Windows {missing[0]} is started, and nvcc made no kernel of that name: "
            "types of its arguments have another name there, or it is in an anonymous namespace",
            hint=hint,
        )
    if longs := sorted(name for name in started if has_long(name)):
        reason = f"{longs[0]} has an argument of type long, which has 32 bits on Windows"
        raise BuildError(f"{source.name}: {reason}", hint=hint)


def started_kernels(compiled: bytes) -> set[str]:
    """The names of the kernels that an object file by clang starts: each has a function that does."""
    return {_without_stub(name.decode()) for name in _CLANG_STUB.findall(compiled)}


def _without_stub(name: str) -> str:
    """The name of the kernel that a function of clang's starts: it has a prefix, and counts it."""
    if not name.startswith("_Z"):
        return name.removeprefix(_STUB)
    parts = ((text, text.lstrip("0123456789")) for text in mangled_parts(name))
    return "".join(
        f"{len(plain) - len(_STUB)}{plain.removeprefix(_STUB)}" if plain.startswith(_STUB) else text
        for text, plain in parts
    )


def has_long(name: str) -> bool:
    """Whether ``long`` or ``unsigned long`` is a type in the name of a function, as linkers know it."""
    return name.startswith("_Z") and any(part in ("l", "m") for part in mangled_parts(name))


def mangled_parts(name: str) -> Iterator[str]:
    """What a C++ function's name for linkers is made of: letters, and longer parts (Itanium C++ ABI, 5.1)."""
    place = 0
    while place < len(name):
        counted = _COUNTED.match(name, place)
        longer = _LONGER.match(name, place)
        end = place + 1
        if counted:
            end = counted.end() + int(counted[0])
        elif longer:
            end = longer.end()
        yield name[place:end]
        place = end


def runtime_names(objects: Sequence[Path]) -> list[str]:
    """What of the CUDA runtime the objects may call: what could be its, of the names in their tables."""
    found: set[str] = set()
    for path in objects:
        found.update(
            name.decode()
            for name in re.findall(rb"\0(?:__imp_)?((?:__)?cuda[A-Z]\w+)(?=\0)", path.read_bytes())
        )
    return sorted(found)
