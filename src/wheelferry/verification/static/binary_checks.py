"""Compiled modules of a bundle's wheels: what they are for, what they need, and whether it is there."""

import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from wheelferry.binaries import elf, macho, pe
from wheelferry.binaries.symbols import readable
from wheelferry.cache.tools import Tools
from wheelferry.models import stable_abi
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.planning.make_plan import WINDOWS_RUNTIME
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.targets import Target, glibc_minor
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.verification.static import checks
from wheelferry.verification.static.torch_symbols import TORCH, is_torchs, missing_text
from wheelferry.wheels import extensions
from wheelferry.wheels.archive import UNREADABLE, read_unpacked
from wheelferry.wheels.compiled import PeFiles

Read = TypeVar("Read")


def check_elf(
    wheel: Path, path: str, entry: TargetEntry, infos: Iterable[WheelInfo], *, torch_unseen: bool = False
) -> Iterator[Problem]:
    """Symbol versions, needed libraries and search paths of the ELF files in a built wheel.

    With `torch_unseen` the client has a torch that no wheel is at hand of: its libraries count as brought.
    """
    from elftools.common.exceptions import ELFError

    limit = glibc_minor(entry.target.platform) or 0
    arch = entry.target.platform.split("_", 3)[-1]
    brought = {name.rsplit("/", 1)[-1] for info in infos for name in info.files}
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if elf.is_binary(name)}
        facts = {name: elf.read_elf(BytesIO(data)) for name, data in members.items()}
    except (ELFError, *UNREADABLE) as error:
        yield Problem(code=Code.OPS, file=path, message=f"a compiled module is unreadable: {error}")
        return
    if entry.cuda is not None:
        found = {
            module: (facts[name].device_images, members[name])
            for module in entry.cuda.modules
            for name in extensions.extension_files(members, module, entry.target)
        }
        for message in extensions.missing_device_code(entry.cuda, found):
            yield Problem(code=Code.CUDA, file=path, message=message)
    for name, fact in facts.items():
        policy = elf.policy_for(fact.symbol_versions, arch)
        if policy.glibc_minor is None or policy.glibc_minor > limit:
            yield Problem(
                code=Code.GLIBC,
                file=path,
                message=f"{name} is {policy.tag}, the target {entry.target.platform}",
            )
        for library in fact.needed:
            if (
                library not in policy.system_libraries
                and library not in brought
                and not (torch_unseen and is_torchs(library))
                and not library.startswith("ld-linux")
            ):
                yield Problem(
                    code=Code.LIBRARY, file=path, message=f"{name} needs {library}, which no wheel brings"
                )
        outside = [p for value in fact.search_paths for p in value.split(":") if not p.startswith("$ORIGIN")]
        if outside:
            yield Problem(code=Code.SEARCH_PATH, file=path, message=f"{name} looks into {', '.join(outside)}")


def check_pe(
    entry: TargetEntry,
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    files: Mapping[str, PeFiles],
) -> Iterator[Problem | Note]:
    """Processor and imports (delayed ones too) of every DLL and module in a Windows target's wheels.

    A DLL is there if its own wheel has it, if a wheel has it that its own one requires, if a wheel puts it
    beside the program (as msvc-runtime does), or if it is Windows', the interpreter's or, for a CUDA target,
    the driver's. Names are compared without regard to case. What this cannot know: whether a package adds
    the folder of its DLLs to those where Windows looks, whether the program lies where msvc-runtime's DLLs
    are (that of a virtual environment starts the one of the Python it was made from), whether a DLL exports
    what is called (of torch's `check_functions` knows), and what is loaded by name
    while the program runs (ctypes, LoadLibrary).
    """
    own = {name: files[path] for name, path in sorted(paths.items()) if path in files}
    where = _Where(entry.target, infos, own)
    for name, found in own.items():
        yield from _check_wheel(name, paths[name], found, where)


class _Where:
    """Which of a target's wheels have which DLL, and which of them may count on it."""

    def __init__(
        self,
        target: Target,
        infos: Mapping[NormalizedName, WheelInfo],
        files: Mapping[NormalizedName, PeFiles],
    ) -> None:
        self.target = target
        self.infos = infos
        self.brought: dict[str, set[NormalizedName]] = {}
        self.for_all: set[str] = set()
        for name, found in files.items():
            for member, facts in found.facts.items():
                if not facts.fits_amd64 and pe.is_foreign_data(member):
                    continue  # of any other that does not fit, its own processor is told
                dll = member.rsplit("/", 1)[-1].lower()
                self.brought.setdefault(dll, set()).add(name)
                if pe.beside_the_program(member):
                    self.for_all.add(dll)
        self._reached: dict[NormalizedName, set[NormalizedName]] = {}

    def lacking(self, dll: str, name: NormalizedName) -> str | None:
        """Why a module of the wheel `name` does not find `dll`; None when it does."""
        key = dll.lower()
        if pe.is_pythons(key):
            return f"which is of another Python than {self.target.python}"
        having = self.brought.get(key, set())
        if key in self.for_all or name in having or having & self._required(name):
            return None
        if having:
            return f"which only {', '.join(sorted(having))} brings, and {name} does not require that"
        if pe.is_visual_cpp(key):
            return f"which no wheel brings ({WINDOWS_RUNTIME} would)"
        return "which no wheel brings and Windows has not"

    def _required(self, name: NormalizedName) -> set[NormalizedName]:
        """The wheels that `name` requires, with any of its extras."""
        if name not in self._reached:
            extras = ",".join(self.infos[name].extras)
            roots = [Requirement(f"{name}[{extras}]")]
            self._reached[name] = set(checks.reached(roots, self.infos, self.target.marker_environment))
        return self._reached[name]


def _check_wheel(name: NormalizedName, path: str, found: PeFiles, where: _Where) -> Iterator[Problem | Note]:
    for member, reason in found.unreadable.items():
        message = f"{member or 'the wheel'} cannot be read: {reason}"
        yield Problem(code=Code.MACHINE, file=path, message=message)
    needed_by: dict[tuple[str, str], list[str]] = {}
    for member, facts in found.facts.items():
        if facts.fits_amd64:
            for dll in facts.imports:
                needed_by.setdefault((dll, "needs"), []).append(member)
            for dll in facts.delayed:
                needed_by.setdefault((dll, "needs later (delay-loaded)"), []).append(member)
        elif pe.is_foreign_data(member):
            yield Note(file=path, message=f"{member} is for {facts.machine_name}, as its name says")
        else:
            message = f"{member} is for {facts.machine_name}, the target is {where.target.platform}"
            yield Problem(code=Code.MACHINE, file=path, message=message)
    for (dll, how), members in needed_by.items():
        provided = pe.provided(dll, where.target)
        if provided is None:
            lacking = where.lacking(dll, name)
            if lacking is not None:
                yield from _name_lacking(name, path, members, f"{how} {dll}, {lacking}", dll)
        elif provided.note:
            yield Note(file=path, message=f"{_list(members)} {how} {dll}: {provided.note}")


def _name_lacking(
    name: NormalizedName, path: str, members: Iterable[str], text: str, dll: str
) -> Iterator[Problem | Note]:
    """Name the members that lack a DLL; those of which that is known, with what does not work."""
    by_gap: dict[str | None, list[str]] = {}
    for member in members:
        by_gap.setdefault(pe.known_gap(name, member, dll), []).append(member)
    for gap, blamed in by_gap.items():
        if gap is None:
            yield Problem(code=Code.LIBRARY, file=path, message=f"{_list(blamed)} {text}")
        else:
            yield Note(file=path, message=f"{_list(blamed)} {text}: {gap}")


def check_functions(
    root: Path,
    built: str,
    paths: Mapping[NormalizedName, str],
    infos: Mapping[NormalizedName, WheelInfo],
    files: Mapping[str, PeFiles],
    tools: Tools,
) -> Iterator[Problem]:
    """Whether torch's DLLs export every function that the modules of all other wheels call.

    C++ names hold the types of their arguments: a module that was compiled against another torch, or with
    another compiler, calls functions that this one does not have.
    """
    torch = paths[TORCH]
    dlls = {member.rsplit("/", 1)[-1].lower(): member for member in _members(files, torch)}
    called: dict[NormalizedName, Mapping[str, Mapping[str, frozenset[str]]]] = {}
    for name, path in sorted(paths.items()):
        try:
            called[name] = {} if path == torch else _functions_of(root / path, files.get(path), dlls)
        except UNREADABLE as error:
            yield Problem(code=Code.OPS, file=path, message=f"a compiled module is unreadable: {error}")
    wanted = {dll for found in called.values() for functions in found.values() for dll in functions}
    try:
        exported = _exports(root / torch, {dll: dlls[dll] for dll in wanted}, tools)
    except UNREADABLE as error:
        yield Problem(code=Code.OPS, file=torch, message=f"a DLL is unreadable: {error}")
        return
    for name, found in called.items():
        missing = {
            module: sorted({one for dll, names in functions.items() for one in names - exported[dll]})
            for module, functions in found.items()
        }
        lacking = {module: names for module, names in missing.items() if names}
        if lacking:
            message = missing_text(
                list(lacking),
                list(dict.fromkeys(readable(one) for names in lacking.values() for one in names)),
                name=name,
                torch=str(infos[TORCH].version),
            )
            code = Code.TORCH if paths[name] == built else Code.SYMBOLS
            yield Problem(code=code, file=paths[name], message=message)


def _functions_of(
    wheel: Path, found: PeFiles | None, dlls: Container[str]
) -> dict[str, dict[str, frozenset[str]]]:
    """By module the functions that it calls of each of torch's `dlls`; without those that call none."""
    calling = [
        member
        for member, facts in (found.facts if found else {}).items()
        if facts.fits_amd64 and any(dll.lower() in dlls for dll in facts.imports)
    ]
    if not calling:
        return {}
    with zipfile.ZipFile(wheel) as archive:
        functions = {member: pe.read_functions(archive.read(member)) for member in calling}
    return {
        member: {dll: names for dll, names in by_dll.items() if dll in dlls}
        for member, by_dll in functions.items()
    }


def _exports(wheel: Path, members: Mapping[str, str], tools: Tools) -> dict[str, frozenset[str]]:
    """What each of torch's DLLs exports; `members` are their paths in its wheel."""
    with tools.store.workspace("exports") as work, zipfile.ZipFile(wheel) as archive:
        return {
            dll: frozenset(read_unpacked(archive, member, work, pe.read_exports))
            for dll, member in members.items()
        }


def check_stable(wheel: Path, path: str, target: Target) -> Iterator[Problem]:
    """Whether the modules of a wheel that says so call nothing of torch but its stable ABI."""
    from elftools.common.exceptions import ELFError

    is_binary, read = pe.is_binary if target.is_windows else elf.is_binary, _open_names
    if target.is_windows:
        read = _calls_to_torch
    elif target.is_macos:
        read = _left_to_torch
    try:
        with zipfile.ZipFile(wheel) as archive:
            calls = {name: read(archive.read(name)) for name in archive.namelist() if is_binary(name)}
    except (ELFError, *UNREADABLE) as error:
        yield Problem(code=Code.OPS, file=path, message=f"a compiled module is unreadable: {error}")
        return
    for module, names in calls.items():
        foreign = stable_abi.unstable_calls(names)
        if foreign:
            message = f"{module} calls {_list(foreign)}, which is not of torch's stable ABI"
            yield Problem(code=Code.TORCH, file=path, message=message)


def _calls_to_torch(data: bytes) -> Iterable[str]:
    """The functions that a Windows module imports from torch's DLLs."""
    functions = pe.read_functions(data)
    return (name for dll in functions if dll.startswith(("torch", "c10")) for name in functions[dll])


def _left_to_torch(data: bytes) -> Iterable[str]:
    """The names that a macOS module leaves to torch's libraries, or to whichever file has them."""
    wanted, _ = macho.read_names(data)
    return [name for library in wanted if not library.startswith("/") for name in wanted[library]]


def _open_names(data: bytes) -> Iterable[str]:
    return elf.read_elf(BytesIO(data)).open_names


def _members(files: Mapping[str, PeFiles], wheel: str) -> Iterable[str]:
    return files[wheel].facts if wheel in files else ()


def check_device_code(wheel: Path, path: str, entry: TargetEntry) -> Iterator[Problem]:
    """Whether the wheel built for a Windows target holds the GPU code that the manifest promises."""
    if entry.cuda is None:
        return
    try:
        with zipfile.ZipFile(wheel) as archive:
            binaries = {
                module: archive.read(name)
                for module in entry.cuda.modules
                for name in extensions.extension_files(archive.namelist(), module, entry.target)
            }
        found = {module: (pe.read_device_images(data), data) for module, data in binaries.items()}
    except UNREADABLE as error:
        yield Problem(code=Code.OPS, file=path, message=f"a compiled module is unreadable: {error}")
        return
    for message in extensions.missing_device_code(entry.cuda, found):
        yield Problem(code=Code.CUDA, file=path, message=message)


def _list(members: list[str]) -> str:
    """The first of some members, and how many more there are."""
    return members[0] + (f" (and {len(members) - 1} more)" if len(members) > 1 else "")
