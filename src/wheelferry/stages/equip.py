"""Equip: what travels so that a bare client can install — uv and pip for each target, and a Python."""

import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from elftools.common.exceptions import ELFError

from wheelferry.client.archives import unpack_archive
from wheelferry.download import Download, download_all
from wheelferry.errors import InputError, MissingError
from wheelferry.files import files_below
from wheelferry.lock import LockedWheel, choose_files
from wheelferry.manifest import Footprint, Runtime
from wheelferry.platforms.linux import ElfFacts, read_elf
from wheelferry.resolver import uv_version
from wheelferry.stages.populate import locked_wheel
from wheelferry.store import Entry
from wheelferry.targets import Target, glibc_minor
from wheelferry.tools import Tools

STANDALONE = "standalone"

# Any uv runs on any Python: its wheels hold one program. So it is resolved for one that uv itself supports.
_UV_PYTHON = "3.12"
_PROGRAM = re.compile(r"^(?:.*/)?bin/python(3\.\d+)$")
_WINDOWS_PROGRAM = re.compile(r"^(?:tools/|python/)?python\.exe$")
_WINDOWS_LIBRARY = re.compile(r"^(?:.*/)?python3(\d+)\.dll$")
_SUFFIXES = (".tar.gz", ".tgz", ".zip", ".nupkg")
_OF_GLIBC = (
    "libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "libutil.so.", "libresolv.so.",
    "libnsl.so.", "libcrypt.so.", "ld-linux",
)  # fmt: skip
_OPTIONAL_MODULES = ("_tkinter", "_curses", "_dbm", "_gdbm", "nis", "readline")
_ASK = """
import json, platform, sys, zlib, ssl, ctypes, venv, hashlib, sqlite3
print(json.dumps([platform.python_implementation(), platform.python_version(), platform.machine()]))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """An archive of a Python in the store, and what the manifest says of it."""

    entry: Entry
    runtime: Runtime
    windows: bool

    def serves(self, target: Target) -> bool:
        """Whether it is the Python of `target`."""
        right = self.runtime.version.startswith(f"{target.python}.") or self.runtime.version == target.python
        return right and self.windows == target.platform.startswith("win")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kit:
    """What one target's client installs with."""

    uv: LockedWheel
    pip: LockedWheel
    python: Carried | None = None

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 by path in the bundle."""
        found = {f"tools/{wheel.filename}": wheel.sha256 for wheel in (self.uv, self.pip)}
        if self.python:
            found[self.python.runtime.path] = self.python.entry.sha256
        return found


def equip(targets: Sequence[Target], runtimes: Sequence[str], tools: Tools) -> dict[Target, Kit]:
    """The kit of each target. `runtimes` are archives of Pythons, or `STANDALONE` for uv's own catalogue.

    Raises InputError for an archive that is no Python for any target, MissingError when the index or the
    catalogue's mirror does not answer.
    """
    tools.progress.stage("equip: uv, pip" + (" and a Python" if runtimes else ""))
    pythons = [take_archive(Path(given), targets, tools) for given in runtimes if given != STANDALONE]
    kits = {}
    for target in targets:
        python = next((one for one in pythons if one.serves(target)), None)
        if python is None and STANDALONE in runtimes:
            python = _standalone(target, tools)
        uv = _resolve(f"uv=={uv_version()}", replace(target, python=_UV_PYTHON), tools)
        kits[target] = Kit(uv=uv, pip=_resolve("pip", target, tools), python=python)
    return kits


def _resolve(requirement: str, target: Target, tools: Tools) -> LockedWheel:
    with tools.store.workspace("equip") as work:
        resolution = tools.uv.resolve(
            target,
            requirements=[requirement],
            constraints=[],
            find_links=None,
            interpreter=None,
            work=work,
        )
        (choice,) = choose_files(resolution, target, base=work)
    if choice.is_sdist:
        raise MissingError(
            f"the index has no wheel of {choice.name} for {target.name}",
            hint="add it to the mirror; a client without it could not install",
        )
    download = Download(url=choice.url, filename=choice.filename, sha256=choice.sha256)
    (entry,) = download_all([download], tools.store, tools.index, tools.progress).values()
    return locked_wheel(choice, entry)


def _standalone(target: Target, tools: Tools) -> Carried:
    """The python-build-standalone that uv's catalogue, through its mirror settings, has for `target`."""
    system, libc = ("windows", "none") if target.platform.startswith("win") else ("linux", "gnu")
    machine = "aarch64" if target.platform.endswith("aarch64") else "x86_64"
    request = f"cpython-{target.python}-{system}-{machine}-{libc}"
    with tools.progress.task(f"fetch {request}"), tools.store.workspace("runtime") as work:
        # uv checks the hash that its catalogue has, and leaves the archive as published in its cache
        archive = tools.uv.fetch_python(request, work)
        return take_archive(archive, [target], tools)


def take_archive(archive: Path, targets: Sequence[Target], tools: Tools) -> Carried:
    """The archive in the store, after a look inside and, for this system, after starting its Python."""
    if not archive.is_file():
        raise InputError(f"--runtime {archive}: no such file", hint=f"give an archive, or {STANDALONE}")
    if not archive.name.endswith(_SUFFIXES):
        raise InputError(
            f"--runtime {archive}: not one of {', '.join(_SUFFIXES)}",
            hint="these are what a bare Linux (tar) and a bare Windows (PowerShell) unpack",
        )
    program = find_program(archive)
    windows = program.endswith(".exe")
    with tools.store.workspace("runtime") as work:
        with tools.progress.task(f"look into {archive.name}"):
            unpack_archive(str(archive), str(work / "tree"))
            footprint = _footprint(work / "tree")
            wanted = [t for t in targets if t.platform.startswith("win") == windows]
            version = (
                _windows_version(work / "tree")
                if windows
                else _linux_version(work / "tree", program, wanted, tools)
            )
        suffix = ".zip" if windows else ".tar.gz"
        system = (
            "win_amd64" if windows else "linux_" + wanted[0].platform.partition("_2_")[2].partition("_")[2]
        )
        copy = work / f"cpython-{version}-{system}{suffix}"
        shutil.copyfile(archive, copy)
        entry = tools.store.add(copy)
    runtime = Runtime(path=f"runtime/{entry.filename}", program=program, version=version, footprint=footprint)
    carried = Carried(entry=entry, runtime=runtime, windows=windows)
    if not any(carried.serves(target) for target in targets):
        raise InputError(
            f"--runtime {archive}: Python {version} for {'Windows' if windows else 'Linux'} serves no target",
            hint=f"the targets are {', '.join(target.name for target in targets)}",
        )
    return carried


def find_program(archive: Path) -> str:
    """The interpreter's path in an archive; InputError for an archive without one."""
    names = sorted(_members(archive), key=lambda name: (name.count("/"), name))
    pattern = _PROGRAM if archive.name.endswith((".tar.gz", ".tgz")) else _WINDOWS_PROGRAM
    for name in names:
        if pattern.match(name):
            return PurePosixPath(name).as_posix()
    raise InputError(
        f"--runtime {archive}: there is no Python in it",
        hint="a .tar.gz needs bin/python3.N (python-build-standalone's install_only is one), "
        "a .zip or .nupkg python.exe at its top or in tools/",
    )


def _members(archive: Path) -> Iterator[str]:
    """The regular files in an archive."""
    try:
        if archive.name.endswith((".tar.gz", ".tgz")):
            with tarfile.open(archive) as tar:
                yield from (PurePosixPath(item.name).as_posix() for item in tar if item.isfile())
        else:
            with zipfile.ZipFile(archive) as zipped:
                yield from (item.filename for item in zipped.infolist() if not item.is_dir())
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise InputError(f"--runtime {archive} cannot be read: {error}") from None


def _footprint(tree: Path) -> Footprint:
    files = list(files_below(tree))
    return Footprint(
        bytes=sum(path.lstat().st_size for path in files),
        files=len(files),
        longest_path=max(len(path.relative_to(tree).as_posix()) for path in files),
    )


def _windows_version(tree: Path) -> str:
    """X.Y from the name of its library: a program for Windows cannot be asked here."""
    for path in files_below(tree):
        match = _WINDOWS_LIBRARY.match(path.relative_to(tree).as_posix())
        if match:
            return f"3.{match[1]}"
    raise InputError("the archive has python.exe, but no python3NN.dll", hint="give a CPython for Windows")


def _linux_version(tree: Path, program: str, targets: Iterable[Target], tools: Tools) -> str:
    """Start the Python where it lies; it must be whole, movable, and no newer than the targets' glibc."""
    done = tools.run([tree / program, "-I", "-c", _ASK], step=f"ask {program}", env={}, check=False)
    if done.returncode != 0:
        raise InputError(
            f"the Python in the archive does not start or lacks modules:\n{done.output.strip()[-400:]}",
            hint="it must be movable and whole; python-build-standalone's install_only archives are",
        )
    implementation, version, _ = json.loads(done.output.splitlines()[-1])
    if implementation != "CPython":
        raise InputError(f"the archive holds {implementation}, bundles are made for CPython")
    facts = _read_binaries(tree)
    missing = missing_libraries(facts)
    if missing:
        raise InputError(
            "the Python in the archive needs libraries that a bare system may lack:\n"
            + "\n".join(f"  {library}, for {', '.join(users)}" for library, users in sorted(missing.items())),
            hint="put them into the archive; python-build-standalone needs none but glibc",
        )
    needed = needed_glibc(facts)
    for target in targets:
        floor = glibc_minor(target.platform)
        if floor is not None and needed > floor:
            raise InputError(
                f"the Python in the archive needs glibc 2.{needed}, {target.name} promises 2.{floor}",
                hint="take one that was built on an older system; python-build-standalone needs 2.17",
            )
    return str(version)


def _read_binaries(tree: Path) -> dict[str, ElfFacts]:
    """What each program and library in `tree` asks of its surroundings, by its relative path."""
    facts = {}
    for path in files_below(tree):
        if path.is_symlink():
            continue
        with path.open("rb") as stream:
            if stream.read(4) != b"\x7fELF":
                continue
            stream.seek(0)
            name = path.relative_to(tree).as_posix()
            try:
                facts[name] = read_elf(stream)
            except (ELFError, ValueError) as error:
                raise InputError(f"{name} in the archive is not a readable ELF file: {error}") from None
    return facts


def missing_libraries(facts: Mapping[str, ElfFacts]) -> dict[str, list[str]]:
    """Libraries that neither the archive nor glibc has, with the files that need them.

    Modules that only a terminal or a window needs may lack theirs.
    """
    present = {PurePosixPath(name).name for name in facts}
    missing: dict[str, list[str]] = {}
    for name, own in facts.items():
        if not PurePosixPath(name).name.startswith(_OPTIONAL_MODULES):
            for library in own.needed:
                if library not in present and not library.startswith(_OF_GLIBC):
                    missing.setdefault(library, []).append(PurePosixPath(name).name)
    return missing


def needed_glibc(facts: Mapping[str, ElfFacts]) -> int:
    """The minor number of the newest glibc that any of the files asks for."""
    versions = {version for own in facts.values() for version in own.symbol_versions}
    found = [re.fullmatch(r"GLIBC_2\.(\d+)(\.\d+)?", version) for version in versions]
    return max((int(match[1]) for match in found if match), default=0)
