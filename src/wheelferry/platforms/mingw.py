"""Windows modules compiled on Linux: mingw-w64, the headers of a Windows torch wheel, and the facade.

Nothing of Microsoft's is needed. The module imports torch_cpu.dll (C functions of the stable ABI),
python3XX.dll, and KERNEL32 and msvcrt, which every Windows has. Its C library (msvcrt) is another one than
torch's and Python's (ucrt): no FILE, errno or memory to be freed crosses the border, and where torch hands
over memory or takes it, facade/include/wheelferry/abi.h uses torch's own C library.
"""

import re
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from wheelferry import facade
from wheelferry.errors import BuildError, InputError, MissingError
from wheelferry.parallel import in_threads
from wheelferry.platforms.windows import read_pe
from wheelferry.process import Runner

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

# The parts of a torch wheel that the facade stands on.
_TORCH_PARTS = (
    "torch/include/torch/csrc/stable/",
    "torch/include/torch/csrc/inductor/aoti_torch/",
    "torch/include/torch/headeronly/",
    "torch/include/pybind11/",
    "torch/lib/torch_cpu.lib",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """mingw-w64's compiler, dlltool and nm, and what the compiler calls itself ("12-posix")."""

    compiler: Path
    dlltool: Path
    nm: Path
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchParts:
    """What is compiled and linked against: torch's version, its include folder and torch_cpu.lib."""

    version: Version
    include: Path
    library: Path


def find(run: Runner) -> Toolchain:
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


def unpack_torch(wheel: Path, folder: Path) -> TorchParts:
    """Take the headers and the import library out of a Windows torch wheel, into `folder`.

    Raises InputError for a wheel that is no Windows torch or one before `facade.FIRST_TORCH`.
    """
    name = wheel.name.split("-")
    if len(name) < 5 or name[0] != "torch" or not wheel.name.endswith("win_amd64.whl"):
        raise InputError(f"{wheel.name} is no torch wheel for win_amd64")
    version = Version(name[1])
    if not facade.serves(version):
        raise InputError(
            f"{wheel.name}: compiled ops for Windows need torch {facade.FIRST_TORCH} or newer",
            hint="an older torch has no stable ABI that suffices; choose another --torch",
        )
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.startswith(_TORCH_PARTS)]
        archive.extractall(folder, members)
    parts = TorchParts(
        version=version, include=folder / "torch/include", library=folder / "torch/lib/torch_cpu.lib"
    )
    for needed in (parts.library, parts.include / "torch/csrc/stable/c/shim.h", parts.include / "pybind11"):
        if not needed.exists():
            raise InputError(f"{wheel.name} has no {needed.relative_to(folder)}")
    return parts


def prepare_python_headers(include: Path, folder: Path) -> Path:
    """Copy CPython's headers (the folder with Python.h, of any platform) with a pyconfig.h for Windows.

    The copy is needed because Python.h prefers the pyconfig.h that lies beside it.
    """
    if not (include / "Python.h").is_file():
        raise MissingError(
            f"CPython's headers are not in {include}",
            hint="install that Python's development package (python3-dev), or let uv or pyenv install it",
        )
    shutil.copytree(include, folder, dirs_exist_ok=True)
    shutil.copyfile(facade.windows_folder() / "pyconfig.h", folder / "pyconfig.h")
    return folder


def compile_module(
    *,
    sources: Sequence[Path],
    module: str,
    python: tuple[int, int],
    python_headers: Path,
    torch: TorchParts,
    toolchain: Toolchain,
    run: Runner,
    work: Path,
    out: Path,
    root: Path,
    include: Sequence[Path] = (),
    macros: Mapping[str, str | None] | None = None,
    flags: Sequence[str] = (),
    jobs: int = 1,
    on_compiled: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Compile C++ `sources` to the extension `module` (``_C``) for one CPython; its path below `out`.

    `root` is the project's folder: paths below it are all that the binary's messages show. `macros` with None
    are defined without a value; `on_compiled` hears of each source, of which `jobs` are compiled at once. The
    same inputs give the same bytes, wherever `work` lies. Raises BuildError with the compiler's words, or
    when the module would import anything that a Windows with torch lacks.
    """
    work.mkdir(parents=True, exist_ok=True)
    options = _compile_flags(module=module, headers=python_headers, torch=torch, root=root, include=include)
    options += [
        f"-D{name}" if value is None else f"-D{name}={value}" for name, value in (macros or {}).items()
    ]
    options += flags
    objects = [work / f"{number}-{source.stem}.o" for number, source in enumerate(sources)]

    def compile_one(pair: tuple[Path, Path]) -> None:
        source, result = pair
        command: list[str | Path] = [toolchain.compiler, *options, "-c", source, "-o", result]
        run(command, step=f"compile {source.name} for Windows")
        on_compiled(source)

    in_threads(compile_one, list(zip(sources, objects, strict=True)), workers=jobs)
    library = _python_library(objects, python, toolchain=toolchain, run=run, work=work)
    out.mkdir(parents=True, exist_ok=True)
    result = out / f"{module}.cp{python[0]}{python[1]}-win_amd64.pyd"
    # -static: libgcc, libstdc++ and winpthread become part of the module; -s and the last flags: nothing of
    # this machine or this minute stays in it
    link = ["-shared", "-static", "-s", "-Wl,--no-insert-timestamp", _IMAGE_BASE]
    run(
        [toolchain.compiler, *link, "-o", result, *objects, torch.library, library],
        step=f"link {result.name} for Windows",
    )
    _check_imports(result, python)
    return result


def _compile_flags(
    *, module: str, headers: Path, torch: TorchParts, root: Path, include: Sequence[Path]
) -> list[str]:
    own = facade.include_folder()
    return [
        "-O3",
        facade.CXX_STANDARD,
        facade.TARGET_MACRO,
        "-DNDEBUG",
        f"-DTORCH_EXTENSION_NAME={module}",
        *(f"-I{folder}" for folder in include),
        f"-I{own}",
        # torch's and Python's headers are not ours to warn about
        *("-isystem", str(torch.include), "-isystem", str(headers)),
        f"-ffile-prefix-map={root}=.",
        f"-ffile-prefix-map={own}=facade",
        f"-ffile-prefix-map={torch.include.parent}=torch",
        f"-ffile-prefix-map={headers}=python",
    ]


def _python_library(
    objects: Sequence[Path],
    python: tuple[int, int],
    *,
    toolchain: Toolchain,
    run: Runner,
    work: Path,
) -> Path:
    """An import library of python3XX.dll with the names that the objects leave open and that are Python's.

    So no Windows Python is needed here. That the DLL has them all is CPython's promise of its C API.
    """
    said = run([toolchain.nm, "--undefined-only", "--no-sort", *objects], step="list what the objects need")
    names = sorted(set(re.findall(r"\bU (?:__imp_)?(_?Py\w+)$", said.output, re.MULTILINE)))
    dll = f"python{python[0]}{python[1]}"
    definition = work / f"{dll}.def"
    definition.write_text("\n".join([f"LIBRARY {dll}.dll", "EXPORTS", *names]) + "\n", encoding="ascii")
    library = work / f"lib{dll}.a"
    run(
        [toolchain.dlltool, "-m", "i386:x86-64", "-d", definition, "-l", library],
        step=f"make an import library of {dll}.dll",
    )
    return library


def _check_imports(module: Path, python: tuple[int, int]) -> None:
    own = f"python{python[0]}{python[1]}.dll"
    foreign = [
        name
        for name in read_pe(module.read_bytes()).imports
        if name.lower() != own and not _ALLOWED.fullmatch(name)
    ]
    if foreign:
        raise BuildError(
            f"{module.name} imports {', '.join(foreign)}, which a Windows with torch need not have",
            hint="mingw-w64's static runtime is missing, or the sources use a library of their own",
        )
