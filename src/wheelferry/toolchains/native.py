"""The compiler of this machine, whichever it is: found once, then used for every cell."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wheelferry.models.cuda import Cuda
from wheelferry.system.process import CommandRunner
from wheelferry.toolchains import linux, msvc
from wheelferry.toolchains.cuda_toolkit import Toolkit, require_host_compiler

ON_WINDOWS = os.name == "nt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiler:
    """A C++ compiler that suits a cell: what it says of itself, and on Windows the toolset it is part of."""

    path: Path
    identity: str
    toolchain: msvc.Toolchain | None = None


def find_compiler(run: CommandRunner, *, torch: str, cuda: Cuda | None) -> Compiler:
    """The compiler to build with against `torch`, and with nvcc of `cuda`.

    Raises MissingError naming what to install when there is none that fits.
    """
    if ON_WINDOWS:
        toolchain = msvc.find_toolchain(run, torch=torch, cuda=cuda)
        return Compiler(path=toolchain.compiler, identity=toolchain.identity, toolchain=toolchain)
    path = linux.find_compiler()
    if cuda is not None:
        require_host_compiler(cuda, path, run)
    return Compiler(path=path, identity=f"{linux.toolchain_identity(run)}; {linux.portable_identity()}")


def compile_environment(
    compiler: Compiler,
    work: Path,
    prefixes: Mapping[Path, str],
    configured: Mapping[str, str],
    run: CommandRunner,
) -> dict[str, str]:
    """The variables for a reproducible, portable module; see `linux` and `msvc`."""
    if compiler.toolchain is None:
        return linux.compile_environment(work, prefixes, configured, run)
    temporary = work / "t"
    temporary.mkdir()
    return msvc.compile_environment(compiler.toolchain, prefixes, temporary)


def cuda_environment(compiler: Compiler, toolkit: Toolkit, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that nvcc of `toolkit` needs beside the host compiler's `variables`."""
    folders = [toolkit.home / "bin"]
    flags: tuple[str, ...]
    if compiler.toolchain is None:
        maps = [word for word in variables["CXXFLAGS"].split() if word.startswith("-ffile-prefix-map=")]
        flags = tuple(f"-Xcompiler {word}" for word in maps)
    else:
        # the DLLs of the toolkit's programs lie there in NVIDIA's wheels; cl has its options from CL
        folders.append(toolkit.home / "bin" / "x86_64")
        flags = compiler.toolchain.nvcc_flags
    # nvcc splits at spaces, which Visual Studio's folders have: there cl is found on PATH
    named = f"-ccbin {compiler.path}" if compiler.toolchain is None else ""
    return {
        "CUDA_HOME": str(toolkit.home),
        "PATH": os.pathsep.join((*map(str, folders), variables["PATH"])),
        "NVCC_PREPEND_FLAGS": named,
        "NVCC_APPEND_FLAGS": " ".join(flags),
    }


def workspace_room(longest: int) -> int | None:
    """How long the path of a source tree may be whose longest file has `longest` characters; None: any."""
    return msvc.room(longest) if ON_WINDOWS else None
