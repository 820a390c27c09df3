"""The Python that a Windows bundle is tested with under Wine: a genuine one, or one assembled from packages.

No package on PyPI is a CPython for Windows, but panda3d, which freezes applications for Windows on any
system, carries its parts: the win_amd64 wheel's ``deploy_libs`` holds the python3NN.dll, all standard .pyd
files, libffi, OpenSSL and SQLite that python.org's installer has. What it lacks is made here: the standard
library's Python files are those of this machine's CPython of the same X.Y, python.exe and python3.dll are
compiled.
"""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wheelferry.binaries.pe import read_exports
from wheelferry.bundle.runtime import find_program
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.tools import Tools
from wheelferry.client.common.archives import unpack_archive
from wheelferry.errors import InputError, MissingError
from wheelferry.models.lock import choose_files
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.targets import Target
from wheelferry.system.files import files_below, folder_aside, sha256_file
from wheelferry.system.interpreters import Interpreter, find_interpreter
from wheelferry.verification.machines.wine import Compiler

PARTS = "panda3d==1.10.16"

_FORMAT = 1  # raise it when the same parts would be put together in another way
_SOURCE = Path(__file__).with_name("python_exe.c")
_PASSING = Path(__file__).with_name("forwarding_dll.c")
_LIBRARY = re.compile(r"^python3(\d+)\.dll$", re.IGNORECASE)
_PLACES = ("", "python", "tools")
# Beside python.exe; everything else of deploy_libs goes to DLLs, as python.org's installer has it.
_BESIDE = re.compile(r"^(python3\d+|vcruntime140(_1)?)\.dll$", re.IGNORECASE)
# Wine has these itself; Tcl's scripts are not in the wheel; the others are for the build without a GIL.
_LEFT_OUT = re.compile(r"^(api-ms-win-.*|tcl86t\.dll|tk86t\.dll|_tkinter\.pyd|.*\.cp\d+t-.*)$", re.IGNORECASE)
# Of the standard library: tests, what needs a window, and what is for this machine alone.
_NOT_SHIPPED = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "__pycache__", "site-packages", "dist-packages",
    "lib-dynload",
}  # fmt: skip
_HOST_FILE = re.compile(r"^(config-3.*|_sysconfigdata.*|.*\.so)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowsPython:
    """A CPython for Windows on this machine: its python.exe, and where it comes from."""

    program: Path
    origin: str


def bring_python(
    root: Path, entry: TargetEntry, given: Path | None, compiler: Compiler, work: Path, tools: Tools
) -> WindowsPython:
    """The Windows CPython for one target of the bundle in `root`.

    `given` by the user comes first, then the one that the bundle carries for its clients: they are the real
    thing. Else one is assembled. Archives are unpacked below `work`.

    Raises InputError when the one given is of another version or none at all, MissingError when the packages
    for it cannot be had.
    """
    if given is not None:
        return WindowsPython(
            program=_take(given, entry.target, work, tools), origin="given with --windows-python"
        )
    if entry.runtime is not None:
        program = _unpack(root / entry.runtime.path, work, tools) / entry.runtime.program
        return WindowsPython(program=program, origin="carried by the bundle")
    return _assemble(entry.target, compiler, tools)


def find_in_folder(folder: Path, target: Target) -> Path:
    """The python.exe of a Windows CPython in `folder`; InputError unless it is the target's X.Y."""
    for place in _PLACES:
        program = folder / place / "python.exe"
        if program.is_file():
            break
    else:
        raise InputError(
            f"--windows-python {folder}: there is no python.exe in it",
            hint="give the folder that python.exe lies in, or an archive (.zip, .nupkg, .tar.gz)",
        )
    versions = {f"3.{match[1]}" for file in program.parent.iterdir() if (match := _LIBRARY.match(file.name))}
    if versions != {target.python}:
        raise InputError(
            f"--windows-python {folder} is Python {', '.join(sorted(versions)) or 'without its library'}, "
            f"{target.name} needs {target.python}",
            hint="give one of that version with --target for each, or none: then one is assembled",
        )
    return program


def check_windows_python(given: Path, targets: Iterable[Target]) -> None:
    """Raise InputError unless `given` by the user can be the Python of all `targets` that are for Windows.

    Of an archive only its kind is looked at; which Python is in it is seen when it is unpacked.
    """
    wanted = [target for target in targets if target.is_windows]
    if given.is_dir():
        for target in wanted:
            find_in_folder(given.resolve(), target)
    elif not given.is_file():
        raise InputError(f"--windows-python {given}: no such file or folder")
    else:
        find_program(given)  # says what kinds of archives there are


def _take(given: Path, target: Target, work: Path, tools: Tools) -> Path:
    check_windows_python(given, [target])
    if given.is_dir():
        return find_in_folder(given.resolve(), target)
    return find_in_folder(_unpack(given, work, tools), target)


def _unpack(archive: Path, work: Path, tools: Tools) -> Path:
    folder = work / "windows-python"
    with tools.progress.task(f"unpack {archive.name}"):
        unpack_archive(str(archive), str(folder))
    return folder


def _assemble(target: Target, compiler: Compiler, tools: Tools) -> WindowsPython:
    """One made of packages, kept in the store: everything that goes in is in its name."""
    interpreter = find_interpreter(target.python, tools.run, uv=tools.uv.program)
    sources = [sha256_file(path) for path in (_SOURCE, _PASSING)]
    identity = json.dumps([_FORMAT, PARTS, target.python, interpreter.version, compiler.version, sources])
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = tools.store.machines / f"python{target.python}-{key}"
    with tools.store.lock(folder.name):
        if not folder.is_dir():
            wheel = _fetch_parts(target, tools)
            with (
                tools.progress.task(f"assemble Python {target.python} for Windows"),
                folder_aside(folder) as aside,
            ):
                _put_together(aside, wheel, interpreter, compiler, tools)
    return WindowsPython(program=folder / "python.exe", origin=f"assembled from {PARTS.replace('==', ' ')}")


def _fetch_parts(target: Target, tools: Tools) -> Path:
    """panda3d's wheel for the target, in the store; MissingError when there is none."""
    other = "give a Windows Python with --windows-python DIR|FILE (NuGet's package `python` is one)"
    with tools.store.workspace("winpython") as work:
        try:
            resolution = tools.uv.resolve(
                replace(target, platform="win_amd64"),
                requirements=[PARTS],
                constraints=[],
                find_links=None,
                interpreter=None,
                work=work,
            )
            choices = choose_files(resolution, target, base=work)
        except (InputError, MissingError) as error:
            message = f"no Python {target.python} for Windows can be assembled: {error}"
            raise MissingError(message, hint=other) from None
        (choice,) = [one for one in choices if one.name == PARTS.partition("==")[0]]
    if choice.is_sdist:
        raise MissingError(f"the index has no {PARTS} for {target.name}", hint=other)
    download = Download(url=choice.url, filename=choice.filename, sha256=choice.sha256)
    (entry,) = download_all([download], tools.store, tools.index, tools.progress).values()
    return tools.store.path(entry.sha256)


def _put_together(
    folder: Path, wheel: Path, interpreter: Interpreter, compiler: Compiler, tools: Tools
) -> None:
    (folder / "DLLs").mkdir()
    library = _unpack_parts(wheel, folder)
    _copy_standard_library(interpreter, folder / "Lib", tools)
    log = tools.store.log_path("winpython")
    tools.run(
        [
            compiler.program, "-O2", "-municode", "-static", "-s", "-Wall", "-Werror",
            "-o", folder / "python.exe", _SOURCE,
        ],
        step="compile python.exe",
        log=log,
    )  # fmt: skip
    _make_stable_library(library, folder / "python3.dll", compiler, tools, log)
    # what venv copies as an environment's python.exe, under its names up to 3.12 and from 3.13 on
    launchers = folder / "Lib" / "venv" / "scripts" / "nt"
    launchers.mkdir(parents=True, exist_ok=True)
    for name in ("python.exe", "venvlauncher.exe", "pythonw.exe", "venvwlauncher.exe"):
        shutil.copyfile(folder / "python.exe", launchers / name)


def _unpack_parts(wheel: Path, folder: Path) -> Path:
    """deploy_libs of panda3d's wheel as an installed Python has them; returns python3NN.dll."""
    libraries = []
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            name = PurePosixPath(item.filename)
            if name.parent.name != "deploy_libs" or _LEFT_OUT.match(name.name):
                continue
            place = folder if _BESIDE.match(name.name) else folder / "DLLs"
            (place / name.name).write_bytes(archive.read(item))
            if _LIBRARY.match(name.name):
                libraries.append(place / name.name)
    if len(libraries) != 1:
        raise MissingError(f"{PARTS} has no python3NN.dll in deploy_libs", hint="give --windows-python")
    return libraries[0]


def _copy_standard_library(interpreter: Interpreter, destination: Path, tools: Tools) -> None:
    """The .py files that this machine's CPython has, with byte code: it is the same on every platform."""
    asked = tools.run(
        [interpreter.path, "-I", "-c", "import sysconfig; print(sysconfig.get_paths()['stdlib'])"],
        step="ask for the standard library",
        error=MissingError,
    )
    source = Path(asked.output.strip())
    for file in shipped_files(source):
        copy = destination / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, copy)
    if not (destination / "ensurepip" / "_bundled").is_dir() or not (destination / "venv").is_dir():
        raise MissingError(
            f"the standard library of {interpreter.path} is not whole: it has no venv or ensurepip",
            hint="install the rest (Debian: python3-full), or another one: uv python install 3.N",
        )
    (destination / "site-packages").mkdir()
    # checked by nobody: the files' times differ from one machine to the next
    tools.run(
        [
            interpreter.path, "-I", "-m", "compileall", "-q", "-d", "Lib",
            "--invalidation-mode", "unchecked-hash", destination,
        ],
        step="compile the standard library",
    )  # fmt: skip


def shipped_files(library: Path) -> Iterator[Path]:
    """The files of a standard library that serve on any system, relative to it."""
    for file in files_below(library):
        relative = file.relative_to(library)
        parts = set(relative.parts)
        if not parts & _NOT_SHIPPED and not any(_HOST_FILE.match(part) for part in relative.parts):
            yield relative


def _make_stable_library(library: Path, path: Path, compiler: Compiler, tools: Tools, log: Path) -> None:
    """python3.dll, which abi3 extensions import: every name is passed on to python3NN.dll."""
    with tools.store.workspace("python3") as work:
        definition = work / "python3.def"
        passed_on = [f'  "{name}" = {library.stem}."{name}"' for name in read_exports(library.read_bytes())]
        definition.write_text("\n".join(["LIBRARY python3.dll", "EXPORTS", *passed_on]) + "\n", "ascii")
        tools.run(
            [
                compiler.program, "-shared", "-O2", "-nostartfiles", "-Wl,--entry=DllMain", "-s",
                "-o", path, _PASSING, definition,
            ],
            step="compile python3.dll",
            log=log,
        )  # fmt: skip
