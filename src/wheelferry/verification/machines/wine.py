"""What is special about Wine: where it is, its prefixes, how it spells paths, and what it lacks.

A prefix is Wine's Windows: drive C, the registry, and the wineserver that all programs in it share. It is
made once, from Wine's own files, and then copied for each use.
"""

import contextlib
import hashlib
import mmap
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from wheelferry.binaries.pe import read_exports, read_pe
from wheelferry.errors import BuildError, MissingError
from wheelferry.system.files import files_below, link_or_copy, sha256_file
from wheelferry.system.process import CommandRunner
from wheelferry.system.sandbox import Sandbox

# One command on Debian and Ubuntu; mingw-w64 also builds ops for Windows.
SETUP = "apt-get install --no-install-recommends wine64 g++-mingw-w64-x86-64-posix"

_PACKAGED = ("/usr/lib/wine", "/usr/lib/x86_64-linux-gnu/wine", "/opt/wine-stable/bin")
_COMPILERS = ("x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-gcc-posix", "x86_64-w64-mingw32-gcc-win32")
# Wine brings a runtime of Visual C++, a bare Windows does not: with it, a bundle without one would pass.
_VISUAL_CPP = (
    "concrt140", "msvcp140", "msvcp140_1", "msvcp140_2", "msvcp140_atomic_wait", "msvcp140_codecvt_ids",
    "vcamp140", "vccorlib140", "vcomp140", "vcruntime140", "vcruntime140_1", "vcruntime140_threads",
)  # fmt: skip
_PASSING = Path(__file__).with_name("forwarding_dll.c")
_VERSION = re.compile(r"wine-(\S+)")

# No mono and no browser (both would be downloaded), no menu entries in the user's HOME, and no debugger: it
# is started for each program that crashes and would, where it crashes itself, start itself without end.
# No WMI: at Wine's answers Python 3.12's `platform` ends; without it, that asks elsewhere.
_OFF = ("mscoree", "mshtml", "winemenubuilder.exe", "winedbg.exe", "wbemprox")

# Wine 8's ucrtbase ends the program when one of these is called; torch does when it is imported.
_COMPLEX_NAMES = (
    "cabs", "cacos", "cacosh", "carg", "casin", "casinh", "catan", "catanh", "ccos", "ccosh", "cexp",
    "cimag", "clog", "clog10", "conj", "cpow", "cproj", "creal", "csin", "csinh", "csqrt", "ctan",
    "ctanh",
)  # fmt: skip
_COMPLEX = frozenset(name + suffix for name in _COMPLEX_NAMES for suffix in ("", "f"))
_OWN = "ucrtw"  # what Wine's own ucrtbase is called in our prefixes
_SIGNATURE = b"Wine builtin DLL"

# Raise it when the same Wine and compiler would give another prefix.
_PREFIX_FORMAT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Wine:
    """Wine on this machine: its loader for 64-bit programs, its server, its version (``8.0``)."""

    loader: Path
    server: Path
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiler:
    """mingw-w64's C compiler, and its version."""

    program: Path
    version: str


def find_wine(run: CommandRunner) -> Wine:
    """Wine as PATH or a distribution's packages have it; raises MissingError when there is none."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *_PACKAGED])
    loader = shutil.which("wine64", path=places) or shutil.which("wine", path=places)
    server = shutil.which("wineserver", path=places)
    if loader is None or server is None:
        raise MissingError("Wine is not on this machine", hint=f"install it, for example: {SETUP}")
    said = run([loader, "--version"], step="ask Wine for its version", error=MissingError).output
    match = _VERSION.search(said)
    if match is None:
        raise MissingError(f"{loader} is not Wine: it says {said.strip()!r}", hint=f"for example: {SETUP}")
    return Wine(loader=Path(loader), server=Path(server), version=match[1])


def find_compiler(run: CommandRunner) -> Compiler:
    """mingw-w64's C compiler; raises MissingError when there is none."""
    for name in _COMPILERS:
        program = shutil.which(name)
        if program is not None:
            said = run([program, "-dumpfullversion"], step=f"ask {name} for its version", error=MissingError)
            return Compiler(program=Path(program), version=said.output.strip())
    raise MissingError(
        "the compiler for Windows programs, mingw-w64, is not on this machine",
        hint=f"install it, for example: {SETUP}",
    )


def windows_path(path: PurePath, *, drive: PurePath | None = None) -> str:
    r"""A path of this machine as a program in Wine reads it: ``Z:\tmp\file``. It must be absolute.

    What lies below `drive` lies on Windows' drive C.
    """
    if not path.is_absolute():
        raise ValueError(f"{path} is relative: it would be another file under Wine")
    if drive is not None and path.is_relative_to(drive):
        return "C:\\" + str(path.relative_to(drive)).replace("/", "\\")
    return "Z:" + str(path).replace("/", "\\")


def wine_environment(prefix: Path, home: Path, cpus: str | None = None) -> dict[str, str]:
    """The environment that a program in the prefix starts with; the Windows side of it is the prefix's own.

    `cpus` is how many threads OpenMP may use (default: its own choice). What is set for Python is what the
    sandbox sets on any system; what is set for OpenMP is what Wine lacks: its NUMA call. The runtime of
    Visual C++ is loaded from the wheels alone.
    """
    values = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": f"{','.join(_OFF)}=;{','.join(_VISUAL_CPP)}=n;ucrtbase=n,b;{_OWN}=n",
        "KMP_AFFINITY": "disabled",
        "PIP_CONFIG_FILE": "nul",
        "PIP_NO_CACHE_DIR": "1",
        # half of an installation's time here, and nothing that the bundle brings
        "PIP_COMPILE": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONNOUSERSITE": "1",
        "MPLBACKEND": "Agg",
    }
    return {**values, "OMP_NUM_THREADS": cpus} if cpus else values


def prefix_key(wine: Wine, compiler: Compiler, account: str) -> str:
    """Names everything that a fresh prefix depends on; `account` is whose Windows it is."""
    parts = [_PREFIX_FORMAT, wine.version, str(wine.loader), compiler.version, sha256_file(_PASSING), account]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def make_prefix(prefix: Path, wine: Wine, compiler: Compiler, sandbox: Sandbox, log: Path) -> None:
    """A fresh prefix in the empty folder `prefix`: Windows 10, its ucrtbase with complex functions.

    `sandbox` runs programs of Windows in it. Raises BuildError when Wine cannot.
    """
    commands = {
        "make Wine's drive C": ["wineboot", "--init"],
        "set Windows 10": ["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"],
    }
    for step, command in commands.items():
        made = sandbox(command, step=step, log=log, check=False)
        if made.returncode != 0:
            raise BuildError(f"{step}: Wine {wine.version} failed:\n{made.output.strip()[-800:]}\nlog: {log}")
    # the registry is written when the server ends
    sandbox.run([wine.server, "-w"], step="wait for Wine", env=sandbox.environment, log=log)
    # My Documents and its like are links to the HOME it was made with
    for link in [path for path in files_below(prefix / "drive_c" / "users") if path.is_symlink()]:
        link.unlink()
        link.mkdir()
    for name in _VISUAL_CPP:
        (prefix / "drive_c" / "windows" / "system32" / f"{name}.dll").unlink(missing_ok=True)
    _exchange_ucrt(prefix / "drive_c" / "windows" / "system32", compiler, sandbox.run, log)


def copy_prefix(template: Path, prefix: Path) -> None:
    """A prefix of its own in the new folder `prefix`, from one that was never used.

    Windows' own files are linked, they are never written to; the registry, the users' folders and whatever
    else may change are copied.
    """

    def link(source: str, destination: str) -> str:
        linked = Path(source).suffix.lower() in (".dll", ".exe", ".sys", ".drv", ".ocx", ".nls", ".ttf")
        (link_or_copy if linked else shutil.copyfile)(Path(source), Path(destination))
        return destination

    # the file called wineserver names the folder in which the template's server listened
    shutil.copytree(
        template, prefix, symlinks=True, copy_function=link, ignore=shutil.ignore_patterns("wineserver")
    )


@contextlib.contextmanager
def serving(wine: Wine, environment: Mapping[str, str], run: CommandRunner) -> Iterator[None]:
    """Whatever still runs in a prefix ends with the context: Wine's server does not hear of Ctrl-C."""
    try:
        yield
    finally:
        run([wine.server, "-k"], step="end Wine", env=environment, check=False)
        _remove_socket(Path(environment["WINEPREFIX"]))


def _remove_socket(prefix: Path) -> None:
    """Debian's server listens in a folder that the file ``wineserver`` names, and leaves it behind."""
    noted = prefix / "wineserver"
    if noted.is_file():
        name = noted.read_text("ascii").strip()
        if re.fullmatch(r"wine-\w+", name):
            shutil.rmtree(Path("/tmp") / name, ignore_errors=True)  # noqa: S108 -- its place without TMPDIR
        noted.unlink()


def _exchange_ucrt(system: Path, compiler: Compiler, run: CommandRunner, log: Path) -> None:
    """Put a ucrtbase.dll into `system` that takes the complex functions from mingw-w64's library.

    Everything else it passes on to Wine's own, whose copy must not look like one of Wine's: Wine would
    load the original instead, under its own name.
    """
    own = system / "ucrtbase.dll"
    data = own.read_bytes()
    if _SIGNATURE not in data[:128]:
        raise BuildError(f"{own} is not Wine's own", hint="remove the prefix")
    (system / f"{_OWN}.dll").write_bytes(data.replace(_SIGNATURE, b"x" * len(_SIGNATURE), 1))
    listing = system.parent / "temp" / "ucrtbase.def"
    listing.write_text(definition(read_exports(data)), "ascii")
    ours = listing.with_suffix(".dll")
    run(
        [compiler.program, "-shared", "-O2", "-static-libgcc", "-s", "-o", ours, _PASSING, listing],
        step="compile ucrtbase.dll",
        log=log,
    )
    ours.replace(own)
    listing.unlink()


def definition(exports: Iterable[str]) -> str:
    """A linker's .def file: the complex functions from what is linked, the rest passed on."""
    lines = ["LIBRARY ucrtbase.dll", "EXPORTS"]
    for name in exports:
        source = "" if name in _COMPLEX else f' = {_OWN}."{name}"'
        lines.append(f'  "{name}"{source}')
    return "\n".join(lines) + "\n"


def unloadable(
    binaries: Mapping[str, Iterable[str]], lacks: Callable[[str], bool], wine: str
) -> dict[str, str]:
    """Binaries that this Wine cannot load although Windows can, with the reason, by name.

    `binaries` maps the relative path of each .pyd and .dll of an environment to the DLLs it imports; one
    that lies in the environment, under any path, is taken as found. `lacks` tells whether a DLL is Windows'
    own and Wine has it not: any other that is missing is the bundle's fault. What imports a binary that
    cannot be loaded cannot be loaded either.
    """
    found = {PurePath(name).name.lower(): name for name in binaries}
    reasons = {
        name: f"Wine: {name} needs {library}, which Wine {wine} has not"
        for name, imports in binaries.items()
        for library in imports
        if library.lower() not in found and lacks(library)
    }
    while True:
        further = {
            name: reasons[found[library.lower()]]
            for name, imports in binaries.items()
            for library in imports
            if name not in reasons and found.get(library.lower()) in reasons
        }
        if not further:
            return reasons
        reasons.update(further)


def read_imports(path: Path) -> tuple[str, ...]:
    """The DLLs that a Windows binary must have to be loaded (not those that it loads when first needed)."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read_pe(data).imports
    except ValueError:
        return ()  # empty, or a file that only has such a name
