"""ELF files in all wheels of a Linux target: processor, glibc, libraries that somebody must bring."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from packaging.utils import NormalizedName
from packaging.version import Version

from wheelferry.binaries import elf
from wheelferry.binaries.dynamic import (
    AARCH64,
    X86_64,
    Dynamic,
)
from wheelferry.catalog import shipped_system_libraries
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.targets import Target, glibc_minor, parse_platform
from wheelferry.models.wheel_info import WheelInfo, installed_path, packages_folder
from wheelferry.verification.static.torch_symbols import TORCH, check_torch_symbols, is_torchs
from wheelferry.verification.static.words import listed, needing
from wheelferry.wheels.compiled import ElfFiles

_MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}
# A module for Python by its name; `_C.so` may be one too, or a library that ctypes opens.
_MODULE = re.compile(r"\.(cpython-\w[\w-]*|abi3)\.so$")
_DRIVER = re.compile(r"lib(cuda|nvidia-[a-z]+|nvcuvid|nvoptix)\.so\.1")
_PYTHON = re.compile(r"libpython3(\.\d+)?t?\.so(\.1\.0)?")


def check_linux(
    entry: TargetEntry,
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    files: Mapping[str, ElfFiles],
    *,
    torch_unseen: bool = False,
) -> Iterator[Problem | Note]:
    """Processor, glibc and needed libraries of every ELF file in the wheels that others built; and of all
    wheels whether torch has what they want of it.

    A library is there if any wheel of the target has a file of its name, or if PEP 600 lists it. What this
    cannot know: whether the binary looks into the folder where the library lies (RPATH, and what a package
    loads beforehand), whether a library other than torch's has what is called, and what is loaded by name
    while the program runs (dlopen, ctypes). With `torch_unseen` the client has a torch that no wheel is at
    hand of: its libraries count as brought.
    """
    own = {name: files[path] for name, path in sorted(paths.items()) if path in files}
    brought = frozenset(name for found in own.values() for name in found.names)
    run = {name: dict(_fitting(found.facts, entry.target)) for name, found in own.items()}
    yield from check_torch_symbols(infos, paths, run)
    built = {f"wheelhouse/{one.built}" for one in entry.of_each_project}
    for name, found in own.items():
        if paths[name] in built:
            continue  # `check_elf` looks at it, and knows more of it
        for member, reason in found.unreadable.items():
            yield Note(file=paths[name], message=f"{member} cannot be read: {reason}")
        torch = infos[TORCH].version if TORCH in infos and name != TORCH else None
        wheel = _Wheel(name=name, path=paths[name], info=infos[name], target=entry.target, torch=torch)
        yield from _check_machines(wheel, found.facts, run[name])
        yield from _check_versions(wheel, run[name], frozenset(found.names))
        yield from _check_libraries(wheel, run[name], brought, torch_unseen=torch_unseen)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wheel:
    """One wheel of a target, whose binaries are looked at, and the version of its torch, if it has one."""

    name: NormalizedName
    path: str
    info: WheelInfo
    target: Target
    torch: Version | None = None

    @property
    def arch(self) -> str:
        """The target's processor, as platform tags spell it."""
        return self.target.processor

    def is_module(self, member: str) -> bool:
        """Whether Python imports the file, by its name."""
        return _MODULE.search(member) is not None

    def is_at_the_top(self, member: str) -> bool:
        """Whether the file is a module that ``import NAME`` loads without any Python around it."""
        path = installed_path(member, windows=False, python=self.target.python)
        folder = packages_folder(windows=False, python=self.target.python)
        return self.is_module(member) and path.rpartition("/")[0] + "/" == folder

    def problem(self, code: Code, members: Iterable[str], text: str) -> Problem:
        """A problem of some of the wheel's files, which need something."""
        return Problem(code=code, file=self.path, message=needing(members, text))

    def note(self, members: Iterable[str], text: str) -> Note:
        """What is worth knowing of some of the wheel's files, which need something."""
        return Note(file=self.path, message=needing(members, text))


def _fitting(facts: Mapping[str, Dynamic], target: Target) -> Iterator[tuple[str, Dynamic]]:
    machine = _MACHINES.get(target.processor)
    for member, found in facts.items():
        if found.machine == machine and not found.is_musl:
            yield member, found


def _check_machines(
    wheel: _Wheel, facts: Mapping[str, Dynamic], fitting: Mapping[str, Dynamic]
) -> Iterator[Problem | Note]:
    """Modules that the target cannot load are wrong; other files may be data, or for somebody else."""
    by_kind: dict[tuple[bool, str], list[str]] = {}
    for member, found in facts.items():
        if member not in fitting:
            kind = "musl, another C library" if found.is_musl else found.machine_name
            by_kind.setdefault((wheel.is_module(member), kind), []).append(member)
    for (is_module, kind), members in sorted(by_kind.items()):
        text = f"made for {kind}, the target is {wheel.target.platform}: {listed(members)}"
        if is_module:
            yield Problem(code=Code.MACHINE, file=wheel.path, message=text)
        else:
            yield Note(file=wheel.path, message=text)


@cache
def _oldest_glibc(version: str, arch: str) -> int:
    """The minor number of the oldest glibc whose manylinux policy has a symbol version; 1000 for none."""
    minor = elf.policy_for([version], arch).glibc_minor
    return 1000 if minor is None else minor


def _check_versions(
    wheel: _Wheel, facts: Mapping[str, Dynamic], own: frozenset[str]
) -> Iterator[Problem | Note]:
    """Symbol versions against the target's platform, and against what the wheel's own tags promise."""
    needed: dict[tuple[int, str], list[str]] = {}
    for member, found in facts.items():
        asked = {v for library, names in found.versions.items() if library not in own for v in names}
        if asked:
            newest = max((_oldest_glibc(version, wheel.arch), version) for version in asked)
            needed.setdefault(newest, []).append(member)
    if not needed:
        return
    limit = glibc_minor(wheel.target.platform) or 0
    (minor, version), members = max(needed.items())
    promised = _promised(wheel)
    if minor > limit:
        text = f"{version}, which {wheel.target.platform} does not promise"
        # a wheel for any platform is of use on Windows and macOS too, where nothing loads its files for Linux
        for_any = all(tag.platform == "any" for tag in wheel.info.tags)
        if for_any and not any(map(wheel.is_module, members)):
            yield wheel.note(members, f"{text}: what it is for fails on a client with an older glibc")
        else:
            yield wheel.problem(Code.GLIBC, members, text)
    elif promised is not None and promised < minor:
        yield wheel.note(members, f"{version}: newer than its tag says, but every such target has it")


def _promised(wheel: _Wheel) -> int | None:
    """The glibc of the oldest platform that the wheel says it runs on; None where it says none."""
    stated = [tag.platform for tag in wheel.info.tags if tag.platform.startswith("manylinux")]
    platforms = [parse_platform(text, host_glibc_minor=None) for text in stated if text.endswith(wheel.arch)]
    return min((glibc_minor(platform) or 0 for platform in platforms), default=None)


def _check_libraries(
    wheel: _Wheel, facts: Mapping[str, Dynamic], brought: frozenset[str], *, torch_unseen: bool
) -> Iterator[Problem | Note]:
    """Libraries that no wheel brings: the system's, the driver's, or nobody's."""
    promised = _system_libraries(wheel.target.platform, wheel.arch)
    packages = shipped_system_libraries().packages
    needed: dict[str, list[str]] = {}
    for member, found in facts.items():
        for library in found.needed:
            if torch_unseen and is_torchs(library):
                continue
            if library not in brought and (library not in promised or library in packages):
                needed.setdefault(library, []).append(member)
    yield from _note_system(
        wheel, {library: needed.pop(library) for library in sorted(needed) if library in packages}
    )
    modules = [member for member in facts if wheel.is_module(member)]
    left: dict[str, list[str]] = {}
    for library, members in sorted(needed.items()):
        if _DRIVER.fullmatch(library):
            yield wheel.note(members, f"{library}: the driver of an NVIDIA GPU has it")
        elif _PYTHON.fullmatch(library):
            yield wheel.note(members, f"{library}: not every Python has its library beside it")
        elif is_torchs(library) and wheel.torch is not None:
            yield from _without_torchs(wheel, facts, library, members)
        elif any(map(wheel.is_at_the_top, members)) or (modules and set(modules) <= set(members)):
            yield wheel.problem(Code.LIBRARY, members, f"{library}, which no wheel brings")
        else:
            left[library] = members
    if left:
        members = list(dict.fromkeys(member for found in left.values() for member in found))
        yield wheel.note(members, f"{listed(left)}, which no wheel brings: what loads them fails")


def _without_torchs(
    wheel: _Wheel, facts: Mapping[str, Dynamic], library: str, members: list[str]
) -> Iterator[Problem | Note]:
    """A library that torch has in other builds of it: wrong where nothing of the wheel does without."""
    text = f"{library}, which torch {wheel.torch} of this bundle does not have"
    wanting = {member for member, found in facts.items() if any(map(is_torchs, found.needed))}
    if wanting <= set(members):
        text += ": it is for another build; take both from one place, with --backend or --torch-index"
        yield wheel.problem(Code.LIBRARY, members, text)
    else:
        yield wheel.note(members, f"{text}: what loads them fails")


@cache
def _system_libraries(platform: str, arch: str) -> frozenset[str]:
    """PEP 600's list for a platform, and the dynamic linker itself."""
    policy = elf.policy_for([f"GLIBC_2.{glibc_minor(platform) or 17}"], arch)
    return policy.system_libraries | {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def _note_system(wheel: _Wheel, needed: Mapping[str, list[str]]) -> Iterator[Note]:
    """One sentence for all that the client's system must have."""
    if not needed:
        return
    table = shipped_system_libraries()
    members = list(dict.fromkeys(member for found in needed.values() for member in found))
    packages = list(dict.fromkeys(table.packages[library] for library in needed))
    text = (
        f"{listed(needed)} of the client's system, which a server may lack; "
        f"Debian's packages: {', '.join(packages)}"
    )
    if wheel.name in table.headless:
        text += f"; {table.headless[wheel.name]} needs none of X11 and OpenGL"
    yield wheel.note(members, text)
