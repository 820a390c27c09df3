"""Runtime: a Python that travels for a client that has none; looked into before it is believed."""

import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from elftools.common.exceptions import ELFError

from wheelferry.binaries.elf import ElfFacts, read_elf
from wheelferry.binaries.macho import MachoFacts, is_macho, read_macho
from wheelferry.cache.source import unfit_for_windows
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.client.common.archives import BROKEN, unpack_archive
from wheelferry.errors import InputError
from wheelferry.models.manifest import Footprint, Runtime
from wheelferry.models.targets import Target, glibc_minor, macos_release
from wheelferry.system.files import files_below

STANDALONE = "standalone"

_PROGRAM = re.compile(r"^(?:.*/)?bin/python(3\.\d+)$")
_WINDOWS_PROGRAM = re.compile(r"^(?:tools/|python/)?python\.exe$")
_WINDOWS_LIBRARY = re.compile(r"^(?:.*/)?python3(\d+)\.dll$")
_TAR, _ZIP = (".tar.gz", ".tgz"), (".zip", ".nupkg")
_OF_GLIBC = (
    "libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "libutil.so.", "libresolv.so.",
    "libnsl.so.", "libcrypt.so.", "ld-linux",
)  # fmt: skip
# How `Carried.system` begins.
_SYSTEMS = {"Linux": "linux", "Windows": "win", "macOS": "macosx"}
_OPTIONAL_MODULES = ("_tkinter", "_curses", "_dbm", "_gdbm", "nis", "readline")
_ASK = """
import json, platform, sys, zlib, ssl, ctypes, venv, hashlib, sqlite3
print(json.dumps([platform.python_implementation(), platform.python_version(), platform.machine()]))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """An archive of a Python in the store, and what the manifest says of it.

    `system` is ``win_amd64``, ``macosx_arm64`` or, as in ``linux_x86_64``, the machine; `oldest` is the
    release of glibc (its minor number) or of macOS that it needs.
    """

    entry: Entry
    runtime: Runtime
    system: str
    oldest: int = 0

    def serves(self, target: Target) -> bool:
        """Whether it is a Python of the target's version and system."""
        own = self.runtime.version.split(".")[:2] == target.python.split(".")
        machine = "amd64" if target.is_windows else target.processor
        return own and self.system == f"{_SYSTEMS[target.system_name]}_{machine}"


def fetch_standalone(target: Target, tools: Tools) -> Carried:
    """The python-build-standalone that uv's catalogue, through its mirror settings, has for `target`.

    Raises MissingError when there is none, or no host answers.
    """
    system = target.system_name.lower()
    libc = "gnu" if system == "linux" else "none"
    machine = {"arm64": "aarch64"}.get(target.processor, target.processor)
    request = f"cpython-{target.python}-{system}-{machine}-{libc}"
    with tools.progress.task(f"fetch {request}"), tools.store.workspace("runtime") as work:
        # uv checks the hash that its catalogue has, and leaves the archive as published in its cache
        return take_archive(tools.uv.fetch_python(request, work), tools)


def take_archive(archive: Path, tools: Tools) -> Carried:
    """The archive in the store, after a look inside and, when it is for Linux, after starting its Python.

    One for macOS is known by its files, and not started. Raises InputError for what is no Python, or one that
    a bare system could not start.
    """
    if not archive.is_file():
        raise InputError(f"--runtime {archive}: no such file", hint=f"give an archive, or {STANDALONE}")
    program = find_program(archive)
    with tools.store.workspace("runtime") as work, tools.progress.task(f"look into {archive.name}"):
        tree = work / "tree"
        unpack_archive(str(archive), str(tree))
        if program.endswith(".exe"):
            _require_windows_names(tree, archive)
            python = _Python(version=_windows_version(tree), system="win_amd64", oldest=0)
        elif _is_macho(tree / program):
            python = _macos_python(tree, program)
        else:
            python = _linux_python(tree, program, tools)
        ending = ".zip" if program.endswith(".exe") else ".tar.gz"
        copy = work / f"cpython-{python.version}-{python.system}{ending}"
        if program.endswith(".exe") and archive.name.endswith(_TAR):
            _zip(tree, copy)
        else:
            shutil.copyfile(archive, copy)
        runtime = Runtime(
            path=f"runtime/{copy.name}", program=program, version=python.version, footprint=_footprint(tree)
        )
        return Carried(
            entry=tools.store.add(copy), runtime=runtime, system=python.system, oldest=python.oldest
        )


def require_servant(carried: Carried, given: str, targets: Iterable[Target]) -> None:
    """Raise InputError unless `carried` is the Python of one of `targets` and runs wherever they do."""
    served = [target for target in targets if carried.serves(target)]
    if not served:
        raise InputError(
            f"--runtime {given}: Python {carried.runtime.version} for {carried.system} serves no target",
            hint=f"the targets are {', '.join(target.name for target in targets)}",
        )
    for target in served:
        promised = glibc_minor(target.platform)
        if promised is not None and carried.oldest > promised:
            raise InputError(
                f"--runtime {given} needs glibc 2.{carried.oldest}, {target.name} promises 2.{promised}",
                hint="take one that was built on an older system (python-build-standalone needs 2.17), or "
                f"promise less: --platform manylinux_2_{carried.oldest}_{carried.system.partition('_')[2]}",
            )
        release = macos_release(target.platform)
        if release is not None and carried.oldest > release:
            raise InputError(
                f"--runtime {given} needs macOS {carried.oldest}, {target.name} is for {release}",
                hint="take one that was built for an older macOS, or "
                f"--platform macosx_{carried.oldest}_0_arm64",
            )


def find_program(archive: Path) -> str:
    """The interpreter's path in an archive; InputError for an archive without one."""
    if not archive.name.endswith((*_TAR, *_ZIP)):
        raise InputError(
            f"--runtime {archive}: not one of {', '.join((*_TAR, *_ZIP))}",
            hint="these are what a bare Linux (tar) and a bare Windows (PowerShell) unpack",
        )
    names = sorted(_members(archive), key=lambda name: (name.count("/"), name))
    # python-build-standalone's archives for Windows are .tar.gz as well
    for pattern in (_PROGRAM, _WINDOWS_PROGRAM) if archive.name.endswith(_TAR) else (_WINDOWS_PROGRAM,):
        for name in names:
            if pattern.match(name):
                return name
    raise InputError(
        f"--runtime {archive}: there is no Python in it",
        hint="a .tar.gz needs bin/python3.N (python-build-standalone's install_only is one), "
        "one for Windows python.exe at its top, in python/ or in tools/",
    )


def _members(archive: Path) -> Iterator[str]:
    """The regular files in an archive."""
    try:
        if archive.name.endswith(_TAR):
            with tarfile.open(archive) as tar:
                yield from [PurePosixPath(item.name).as_posix() for item in tar if item.isfile()]
        else:
            with zipfile.ZipFile(archive) as zipped:
                yield from [item.filename for item in zipped.infolist() if not item.is_dir()]
    except (*BROKEN, OSError) as error:
        raise InputError(f"--runtime {archive} cannot be read: {error}") from None


def _zip(tree: Path, path: Path) -> None:
    """The files of `tree` as a zip file, which a bare Windows unpacks; the same files, the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files_below(tree):
            entry = zipfile.ZipInfo(file.relative_to(tree).as_posix())
            entry.create_system, entry.compress_type = 3, zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def _footprint(tree: Path) -> Footprint:
    files = list(files_below(tree))
    return Footprint(
        bytes=sum(path.lstat().st_size for path in files),
        files=len(files),
        longest_path=max(len(path.relative_to(tree).as_posix()) for path in files),
    )


def _require_windows_names(tree: Path, archive: Path) -> None:
    """Raise InputError for files that a client's Windows would not have, or would have only one of."""
    unfit = unfit_for_windows(path.relative_to(tree).as_posix() for path in files_below(tree))
    if unfit:
        raise InputError(
            f"--runtime {archive} has files that Windows cannot hold:\n" + "\n".join(unfit[:10]),
            hint="take NuGet's package `python`, or python-build-standalone",
        )


def _windows_version(tree: Path) -> str:
    """X.Y from the name of its library: a program for Windows cannot be asked here."""
    if not any(tree.glob("**/[Ll]ib/venv/__init__.py")):
        raise InputError(
            "the Python in the archive has no venv, so no environment can be made of it (python.org's "
            "embeddable package is like that)",
            hint="take NuGet's package `python`, or python-build-standalone",
        )
    for path in files_below(tree):
        match = _WINDOWS_LIBRARY.match(path.relative_to(tree).as_posix())
        if match:
            return f"3.{match[1]}"
    raise InputError("the archive has python.exe, but no python3NN.dll", hint="give a CPython for Windows")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Python:
    """A Python for clients: its version; its system and the oldest release of that, as `Carried` has it."""

    version: str
    system: str
    oldest: int


def _linux_python(tree: Path, program: str, tools: Tools) -> _Python:
    """What a Python says of itself when it is started where it lies; InputError unless whole and movable."""
    done = tools.run([tree / program, "-I", "-c", _ASK], step=f"ask {program}", env={}, check=False)
    if done.returncode != 0:
        raise InputError(
            f"the Python in the archive does not start or lacks modules:\n{done.output.strip()[-400:]}",
            hint="it must be movable and whole; python-build-standalone's install_only archives are",
        )
    implementation, version, machine = json.loads(done.output.splitlines()[-1])
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
    return _Python(version=version, system=f"linux_{machine}", oldest=needed_glibc(facts))


def _is_macho(program: Path) -> bool:
    with program.open("rb") as stream:
        return is_macho(stream.read(8))


def _macos_python(tree: Path, program: str) -> _Python:
    """What a Python for macOS is by its files; InputError unless it is whole and fit for Apple's processors.

    X.Y is that of its program's name: one for macOS cannot be asked here.
    """
    if not any(tree.glob("**/lib/python3*/venv/__init__.py")):
        raise InputError("the Python in the archive has no venv, so no environment can be made of it")
    release = 0
    for path in files_below(tree):
        if path.is_symlink() or not _is_macho(path):
            continue
        name = path.relative_to(tree).as_posix()
        try:
            facts = read_macho(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{name} in the archive is not a readable Mach-O file: {error}") from None
        if facts is not None:
            _require_movable(name, facts)
            release = max(release, facts.minimum[0] + (facts.minimum[1] > 0))
    match = _PROGRAM.match(program)
    return _Python(version=match[1] if match else "", system="macosx_arm64", oldest=release)


def _require_movable(name: str, facts: MachoFacts) -> None:
    """Raise InputError for a file that macOS would not load wherever the archive is unpacked."""
    hint = "python-build-standalone's install_only archives for aarch64-apple-darwin are as they should be"
    if not facts.fits_arm64:
        raise InputError(f"{name} in the archive is for {facts.made_for}, not for arm64 and macOS", hint=hint)
    if facts.unsigned:
        raise InputError(f"macOS would not load {name} of the archive: {facts.unsigned}", hint=hint)
    foreign = [one for one in facts.needed if not one.startswith(("/usr/lib/", "/System/Library/", "@"))]
    if foreign and not PurePosixPath(name).name.startswith(_OPTIONAL_MODULES):
        raise InputError(
            f"{name} in the archive needs {', '.join(foreign)}, which no Mac has to have", hint=hint
        )


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
        file = PurePosixPath(name).name
        for library in own.needed:
            known = library in present or library.startswith(_OF_GLIBC)
            if not known and not file.startswith(_OPTIONAL_MODULES):
                missing.setdefault(library, []).append(file)
    return missing


def needed_glibc(facts: Mapping[str, ElfFacts]) -> int:
    """The minor number of the newest glibc that any of the files asks for."""
    versions = {version for own in facts.values() for version in own.symbol_versions}
    found = [re.fullmatch(r"GLIBC_2\.(\d+)(\.\d+)?", version) for version in versions]
    return max((int(match[1]) for match in found if match), default=0)
