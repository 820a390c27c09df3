"""Windows modules compiled on Linux: mingw-w64, the headers of a Windows torch wheel, and the facade.

Nothing of Microsoft's is needed. The module imports torch_cpu.dll (C functions of the stable ABI),
python3XX.dll, and KERNEL32, msvcrt and ucrtbase, which every Windows has. Its C library (msvcrt) is another
one than torch's and Python's (ucrtbase): no FILE, errno or memory to be freed crosses the border, and where
torch hands over memory or takes it, facade/include/wheelferry/abi.h uses torch's own C library.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.binaries.pe import read_functions, read_pe
from wheelferry.errors import BuildError, InputError, MissingError
from wheelferry.system.process import CommandRunner
from wheelferry.toolchains import facade
from wheelferry.toolchains.modules import (
    Compilation,
    Headers,
    Module,
    compile_objects,
    require_python,
    require_stable,
)

# Debian's names; the -posix variants have std::thread and std::mutex.
COMPILERS = ("x86_64-w64-mingw32-g++-posix", "x86_64-w64-mingw32-g++")
_TOOLS = ("x86_64-w64-mingw32-dlltool", "x86_64-w64-mingw32-nm")
HINT = (
    "apt-get install g++-mingw-w64-x86-64-posix (Debian, Ubuntu); "
    "the package is mingw64-gcc-c++ on Fedora and mingw-w64-gcc on Arch"
)

# Where a DLL asks to lie in memory; left to itself, the linker takes a place from the path of its output.
# Windows chooses another at each start anyway.
_IMAGE_BASE = "-Wl,--image-base,0x180000000"

# What a module may import: these, and the interpreter's DLL. `api-ms-win-crt-*` are ucrt's names, for a
# mingw-w64 whose default C library it is.
_ALLOWED = re.compile(
    r"(?i)kernel32\.dll|msvcrt\.dll|ucrtbase\.dll|api-ms-win-crt-[a-z0-9-]+\.dll|torch_cpu\.dll"
)


# What the module takes from the C library of torch and Python instead of msvcrt, whose strftime knows no
# format of C99 (%F, %n …; learn.microsoft.com, "strftime") and says nothing of what it does with one.
_OF_UCRT = ("strftime",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """mingw-w64's compiler, dlltool and nm, and what the compiler calls itself ("12-posix")."""

    compiler: Path
    dlltool: Path
    nm: Path
    version: str


def find(run: CommandRunner) -> Toolchain:
    """The toolchain on PATH; raises MissingError, which names the packages, when a part is not there."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise MissingError(f"mingw-w64's C++ compiler is missing ({COMPILERS[0]})", hint=HINT)
    dlltool, nm = (shutil.which(name) for name in _TOOLS)
    if dlltool is None or nm is None:
        raise MissingError(f"mingw-w64's binutils are missing ({', '.join(_TOOLS)})", hint=HINT)
    said = run([compiler, "-v"], step="ask mingw-w64's compiler for its version")
    if "Thread model: win32" in said.output:
        raise MissingError(f"{compiler} has no C++ threads", hint=HINT)
    version = run([compiler, "-dumpversion"], step="ask mingw-w64's compiler for its version").output.strip()
    return Toolchain(compiler=Path(compiler), dlltool=Path(dlltool), nm=Path(nm), version=version)


def find_import_library(torch: Path) -> Path:
    """torch_cpu.lib in the unpacked folder of a torch wheel; InputError for a wheel of another platform."""
    library = torch / "lib" / "torch_cpu.lib"
    if not library.is_file():
        raise InputError(
            "the torch to compile against has no torch/lib/torch_cpu.lib: it is not a torch for Windows"
        )
    return library


def prepare_python_headers(include: Path, folder: Path) -> Path:
    """Copy CPython's headers (the folder with Python.h, of any platform) with a pyconfig.h for Windows.

    The copy is needed because Python.h prefers the pyconfig.h that lies beside it.
    """
    require_python(include)
    shutil.copytree(include, folder, dirs_exist_ok=True)
    shutil.copyfile(facade.windows_folder() / "pyconfig.h", folder / "pyconfig.h")
    return folder


def compile_module(
    module: Module,
    headers: Headers,
    toolchain: Toolchain,
    compilation: Compilation,
    *,
    python: tuple[int, int],
    import_library: Path,
    out: Path,
) -> None:
    """Compile and link `module` to the file `out`, for one CPython or on the limited API (see Headers).

    The same inputs give the same bytes, wherever the compilation lies. Raises BuildError with the compiler's
    words, or when the module would import anything that a Windows with torch lacks.
    """
    objects = compile_objects(module, headers, toolchain.compiler, [], compilation)
    # python3.dll passes on what is on the limited API to the CPython that it is part of
    own = f"python{python[0]}{python[1]}" if headers.python else "python3"
    names = _python_names(objects, toolchain, compilation) if headers.python else facade.limited_names()
    libraries = [
        import_library,
        define_library(own, names, [toolchain.dlltool], compilation),
        define_library("ucrtbase", _OF_UCRT, [toolchain.dlltool], compilation),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    # -static: libgcc, libstdc++ and winpthread become part of the module; -s and the last flags: nothing of
    # this machine or this minute stays in it
    link = ["-shared", "-static", "-s", "-Wl,--no-insert-timestamp", _IMAGE_BASE]
    compilation.run(
        [toolchain.compiler, *link, "-o", out, *objects, *libraries],
        step=f"link {out.name}",
    )
    check_imports(out, own)
    require_stable(out, sorted(read_functions(out.read_bytes()).get("torch_cpu.dll", ())))


def _python_names(objects: Sequence[Path], toolchain: Toolchain, compilation: Compilation) -> list[str]:
    """The names that the objects leave open and that are Python's: what python3XX.dll shall have.

    So no Windows Python is needed here. That the DLL has them all is CPython's promise of its C API.
    """
    command: list[str | Path] = [toolchain.nm, "--undefined-only", "--no-sort", *objects]
    said = compilation.run(command, step="list what the objects need")
    return sorted(set(re.findall(r"\bU (?:__imp_)?(_?Py\w+)$", said.output, re.MULTILINE)))


def define_library(
    dll: str, names: Sequence[str], dlltool: Sequence[str | Path], compilation: Compilation
) -> Path:
    """A library that makes a module import those of `names` that it calls from `dll`; `dlltool` makes it."""
    definition = compilation.folder / f"{dll}.def"
    definition.write_text("\n".join([f"LIBRARY {dll}.dll", "EXPORTS", *names]) + "\n", encoding="ascii")
    library = compilation.folder / f"lib{dll}.a"
    compilation.run(
        [*dlltool, "-m", "i386:x86-64", "-d", definition, "-l", library],
        step=f"make an import library of {dll}.dll",
    )
    return library


def check_imports(module: Path, *beside: str) -> None:
    """Raise BuildError for a module that imports more than torch, what Windows has, and the DLLs `beside`.

    These have no suffix: ``python3``.
    """
    allowed = {f"{name}.dll" for name in beside}
    foreign = [
        name
        for name in read_pe(module.read_bytes()).imports
        if name.lower() not in allowed and not _ALLOWED.fullmatch(name)
    ]
    if foreign:
        raise BuildError(
            f"{module.name} imports {', '.join(foreign)}, which Windows may lack even with torch installed",
            hint="mingw-w64's static runtime is missing, or the sources use a library of their own",
        )
