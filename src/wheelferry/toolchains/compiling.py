"""Run by a project's setup.py in its build environment: compiles one extension on torch's stable ABI.

``python -m wheelferry.toolchains.compiling SETTINGS REQUEST``: SETTINGS is the file that `write_settings`
wrote, REQUEST what setup.py asks for (torch_stub/torch/utils/cpp_extension.py). The exit status is 1 for what
does not compile, which is told on stderr.
"""

import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from wheelferry.errors import WheelferryError
from wheelferry.system.process import run
from wheelferry.toolchains import gcc, mingw, zig
from wheelferry.toolchains.modules import Compilation, Headers, Module
from wheelferry.toolchains.nvcc import Nvcc

# What compilers say where a source needs more than the facade has: a call, or a header of torch's.
_WANTS_MORE = re.compile(r"wheelferry's facade|(?:ATen|c10|torch|THC)/[\w/]+\.(?:h|cuh): No such file")
_NOT_COVERED = (
    "--no-stable-abi compiles for this machine's platform with all of torch and pybind11, for one torch and "
    "one Python; for another platform a wheel from there can be given (--wheel)\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForWindows:
    """mingw-w64, the Python to compile for, and torch_cpu.lib."""

    toolchain: mingw.Toolchain
    python: tuple[int, int]
    import_library: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ForLinux:
    """This machine's compiler, and nvcc where CUDA ops are compiled."""

    toolchain: gcc.Toolchain


@dataclass(frozen=True, kw_only=True, slots=True)
class ByZig:
    """The compiler from the package index; for Windows with torch_cpu.lib, which is None elsewhere.

    With `cuda` nvcc compiles for GPUs, for Windows only.
    """

    toolchain: zig.Toolchain
    python: tuple[int, int]
    zig_import_library: Path | None
    cuda: Nvcc | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """With which compiler and headers, and where; `root` is the project's folder."""

    compiler: ForWindows | ForLinux | ByZig
    headers: Headers
    root: Path
    work: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What setup.py asks for: a module of a package, from which sources, and the file `out` that it shall be.

    With `cuda` it may have code for GPUs; `cuda_flags` are for its .cu files. So many `jobs` are its share of
    the machine.
    """

    module: str
    package: str
    sources: tuple[Path, ...]
    include: tuple[Path, ...]
    macros: dict[str, str | None]
    flags: tuple[str, ...]
    out: Path
    cuda: bool = False
    cuda_flags: tuple[str, ...] = ()
    jobs: int = 1


def write_settings(settings: Settings, path: Path) -> None:
    """Write down `settings` for a process that is started later."""
    path.write_bytes(TypeAdapter(Settings).dump_json(settings))


def compile_request(settings: Settings, request: Request) -> None:
    """Compile what setup.py asks for. Raises BuildError when it does not compile."""
    done: list[Path] = []

    def tell(source: Path) -> None:
        done.append(source)
        sys.stdout.write(f"[{len(done)}/{len(request.sources)}] {source.name}\n")  # as ninja does
        sys.stdout.flush()

    module = Module(
        name=request.module,
        package=request.package,
        sources=request.sources,
        root=settings.root,
        include=request.include,
        macros=request.macros,
        flags=request.flags,
        cuda_flags=request.cuda_flags,
    )
    # whoever ends setup.py ends this process with it, and then the compilers too
    started = partial(run, own_session=False)
    compilation = Compilation(
        folder=settings.work / request.module, run=started, jobs=request.jobs, on_compiled=tell
    )
    compiler = settings.compiler
    if isinstance(compiler, ForLinux):
        cuda = compiler.toolchain.cuda if request.cuda else None
        toolchain = replace(compiler.toolchain, cuda=cuda)
        gcc.compile_module(module, settings.headers, toolchain, compilation, out=request.out)
        return
    if isinstance(compiler, ByZig):
        zig.compile_module(
            module,
            settings.headers,
            compiler.toolchain,
            compilation,
            python=compiler.python,
            import_library=compiler.zig_import_library,
            out=request.out,
            cuda=compiler.cuda if request.cuda else None,
        )
        return
    mingw.compile_module(
        module,
        settings.headers,
        compiler.toolchain,
        compilation,
        python=compiler.python,
        import_library=compiler.import_library,
        out=request.out,
    )


def main(arguments: list[str]) -> int:
    """The command line."""
    settings, request = (Path(argument).read_bytes() for argument in arguments)
    try:
        compile_request(
            TypeAdapter(Settings).validate_json(settings), TypeAdapter(Request).validate_json(request)
        )
    except WheelferryError as error:
        not_covered = _NOT_COVERED if _WANTS_MORE.search(str(error)) else ""
        sys.stderr.write(f"{error}\n" + (f"{error.hint}\n" if error.hint else "") + not_covered)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
