"""The environment variables of a build: the user's without what would leak in, and what makes it compile."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wheelferry.build import compilers
from wheelferry.build.prepare import Prepared, Stable
from wheelferry.cache.tools import Tools, default_jobs
from wheelferry.errors import InputError
from wheelferry.models.planning.plan import Cell
from wheelferry.system.interpreters import Interpreter
from wheelferry.toolchains import compiling, gcc, linux, mingw, modules, native, nvcc, zig
from wheelferry.toolchains.cuda_toolkit import Toolkit
from wheelferry.toolchains.native import Compiler
from wheelferry.toolchains.object_cache import write_compiler

# Variables that would decide what is built without being part of the build's key.
_NOT_INHERITED = (
    "PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "CUDA_", "NVCC_", "TORCH_CUDA", "FORCE_CUDA",
    "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LDSHARED", "LDCXXSHARED", "_CL_", "_LINK_",
)  # fmt: skip
# What one nvcc over torch's headers takes: its cicc was seen at 1.1 GB, the cc1plus beside it at 1.4 GB.
NVCC_MEMORY = 4_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceBuild:
    """How code for GPUs is compiled: the toolkit, what to ask of torch, and further options of nvcc."""

    toolkit: Toolkit
    architectures: tuple[str, ...]
    options: tuple[str, ...]


def build_variables(
    compiler: Compiler | None, interpreter: Interpreter, work: Path, python: Path, epoch: int, tools: Tools
) -> dict[str, str]:
    """The whole environment of a build of ``work/source``: the user's, less what would leak in, plus ours.

    `python` is that of the build environment, ``work/env``; `epoch` is the date of the source in seconds.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    prefixes = {work / "source": "source", work / "env": "env"}
    if compiler is not None:
        configured = interpreter.compile
        variables |= native.compile_environment(compiler, work, prefixes, configured, tools.run)
        if compiler.toolchain is None:
            variables["CXX"] = str(write_compiler(work / "compiler", compiler.path, tools.store))
    return {
        **variables,
        "PATH": f"{python.parent}{os.pathsep}{variables.get('PATH', '')}",
        "SOURCE_DATE_EPOCH": str(epoch),
        "MAX_JOBS": str(tools.jobs),
        "PYTHONHASHSEED": "0",
        # a GPU in the building machine must not decide what is built
        "CUDA_VISIBLE_DEVICES": "",
        "FORCE_CUDA": "0",
    }


def build_modules_beside(work: Path, jobs: int) -> Path:
    """A configuration by which setuptools builds that many modules at once; in turn is its default.

    Not for CUDA: torch exchanges the compiler for nvcc, file by file, in what all modules share.
    """
    file = work / "distutils.cfg"
    file.write_text(f"[build_ext]\nparallel = {jobs}\n", "utf-8")
    return file


def stable_abi_variables(
    prepared: Prepared, stable: Stable, device: DeviceBuild | None, work: Path, tools: Tools
) -> dict[str, str]:
    """What makes the stand-in for torch compile with the facade; with `device` for GPUs too."""
    wheel = work / stable.torch.filename
    tools.store.place(stable.torch.sha256, wheel)
    torch = modules.unpack_torch(wheel, work / "headers")
    target, python = prepared.cell.target, None
    if not prepared.cell.on_limited_api:
        python = prepared.interpreter.headers
        if target.is_windows:
            python = mingw.prepare_python_headers(python, work / "python")
    settings = compiling.Settings(
        compiler=_stable_compiler(prepared.cell, stable.compiler, device, torch, work, tools),
        headers=modules.Headers(python=python, torch=torch / "include"),
        root=work / "source",
        work=work / "objects",
    )
    file = work / "compile.json"
    compiling.write_settings(settings, file)
    return {
        "WHEELFERRY_COMPILE": json.dumps([sys.executable, "-I", "-m", compiling.__name__, str(file)]),
        "WHEELFERRY_EXT_SUFFIX": _module_suffix(prepared.cell),
    }


def _stable_compiler(
    cell: Cell,
    found: compilers.Found,
    device: DeviceBuild | None,
    torch: Path,
    work: Path,
    tools: Tools,
) -> compiling.ForWindows | compiling.ForLinux | compiling.ByZig:
    """The compiler as the process that setup.py starts is told of it, with the store before it."""
    target = cell.target
    major, minor = map(int, target.python.split("."))
    folder = work / "compiler"
    if isinstance(found, zig.Toolchain):
        caching = write_compiler(folder, found.compiler, tools.store, zig=found.sha256)
        return compiling.ByZig(
            toolchain=replace(found, caching=caching),
            python=(major, minor),
            zig_import_library=mingw.find_import_library(torch) if target.is_windows else None,
            cuda=_nvcc(device, compilers.find_host_compiler(cell, tools)) if device else None,
        )
    if isinstance(found, mingw.Toolchain):
        caching = write_compiler(folder, found.compiler, tools.store)
        return compiling.ForWindows(
            toolchain=replace(found, compiler=caching),
            python=(major, minor),
            import_library=mingw.find_import_library(torch),
        )
    options = linux.link_options(work, tools.run)
    caching = write_compiler(folder, found.path, tools.store)
    cuda = _nvcc(device, found) if device else None
    return compiling.ForLinux(toolchain=gcc.Toolchain(compiler=caching, link_options=options, cuda=cuda))


def _nvcc(device: DeviceBuild, host: Compiler) -> nvcc.Nvcc:
    images = (*nvcc.image_options(device.architectures), *device.options)
    return nvcc.Nvcc(home=device.toolkit.home, host_compiler=host.path, images=images)


def _module_suffix(cell: Cell) -> str:
    """How the file name of a compiled module ends, as CPython on the target looks for it."""
    target = cell.target
    if target.is_windows:
        return ".pyd" if cell.on_limited_api else f".{target.interpreter}-win_amd64.pyd"
    if cell.on_limited_api:
        return ".abi3.so"
    system = "darwin" if target.is_macos else f"{target.processor}-linux-gnu"
    return f".cpython-{target.interpreter.removeprefix('cp')}-{system}.so"


def cuda_variables(
    device: DeviceBuild, prepared: Prepared, variables: Mapping[str, str], tools: Tools
) -> dict[str, str]:
    """What makes a project's setup.py compile for CUDA, on a machine without a GPU too."""
    jobs = {"MAX_JOBS": str(min(tools.jobs, default_jobs(memory_each=NVCC_MEMORY)))}
    asked = {"FORCE_CUDA": "1", "TORCH_CUDA_ARCH_LIST": ";".join(device.architectures), **jobs}
    if prepared.stable:
        return {**asked, "CUDA_HOME": str(device.toolkit.home), "WHEELFERRY_CUDA": "1"}
    if prepared.compiler is None:
        raise InputError(
            "CUDA ops are asked for together with --without-ops", hint="leave --without-ops or --backend out"
        )
    own = native.cuda_environment(prepared.compiler, device.toolkit, variables)
    return {
        **own,
        "NVCC_APPEND_FLAGS": " ".join((own["NVCC_APPEND_FLAGS"], *device.options)).strip(),
        **asked,
    }
