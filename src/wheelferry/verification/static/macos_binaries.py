"""Mach-O files in all wheels of a macOS target: processor, release of macOS, signature, libraries, names."""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from wheelferry.binaries.macho import MachoFacts
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.targets import Target, macos_release
from wheelferry.models.wheel_info import WheelInfo, installed_path, packages_folder
from wheelferry.verification.static import checks
from wheelferry.verification.static.torch_symbols import TORCH, is_torchs, name_missing
from wheelferry.verification.static.words import listed, needing
from wheelferry.wheels.compiled import MachoFiles

# A module for Python by its name; `_C.so` may be one too, or a library that ctypes opens.
_MODULE = re.compile(r"\.(cpython-\w[\w-]*|abi3)\.so$")
_LIBRARY = re.compile(r"\.(so|dylib)$")
# Where macOS keeps its own libraries. Most of them are no files since macOS 11: dyld has them in one cache.
_OF_MACOS = ("/usr/lib/", "/System/Library/")


def check_macos(
    entry: TargetEntry,
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    files: Mapping[str, MachoFiles],
    *,
    torch_unseen: bool = False,
) -> Iterator[Problem | Note]:
    """All that dyld would stop at in the Mach-O files of all wheels, the built ones included.

    A library is there if dyld finds it by its name and by the search paths of the file that needs it, in a
    file of some wheel; if a wheel that the file's own requires has one with that install name, as torch has,
    which is loaded before its extensions; or if it is macOS's own by its folder. What this cannot know:
    whether macOS's own are there in its oldest release and have what is called, whether a library other than
    torch's has what is called, and what is loaded by name while the program runs (dlopen, ctypes). With
    `torch_unseen` the client has a torch that no wheel is at hand of: its libraries count as brought.
    """
    own = {name: files[path] for name, path in sorted(paths.items()) if path in files}
    where = _Where(entry.target, infos, own)
    built = {f"wheelhouse/{one.built}" for one in entry.of_each_project}
    for name, found in own.items():
        wheel = _Wheel(
            name=name,
            path=paths[name],
            target=entry.target,
            is_built=paths[name] in built,
            unseen=torch_unseen,
        )
        for member, reason in found.unreadable.items():
            yield wheel.finding(Code.OPS, [member], f"{member} cannot be read: {reason}")
        yield from _check_machines(wheel, found.facts)
        fitting = {member: facts for member, facts in found.facts.items() if facts.fits_arm64}
        yield from _check_releases(wheel, fitting)
        yield from _check_signatures(wheel, fitting)
        yield from _check_libraries(wheel, fitting, where)
        yield from _check_search_paths(wheel, fitting, where)
        if name != TORCH and TORCH in own:
            missing = {member: where.missing(name, member, facts) for member, facts in fitting.items()}
            yield from name_missing(name, wheel.path, missing, infos)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wheel:
    """One wheel of a target, whose binaries are looked at; `unseen` as in `check_macos`."""

    name: NormalizedName
    path: str
    target: Target
    is_built: bool
    unseen: bool = False

    def is_loaded(self, member: str) -> bool:
        """Whether the file is loaded into Python by itself or with another, and no program of its own."""
        return _LIBRARY.search(member) is not None

    def is_module(self, member: str) -> bool:
        """Whether Python imports the file, by its name."""
        return _MODULE.search(member) is not None

    def is_at_the_top(self, member: str) -> bool:
        """Whether the file is a module that ``import NAME`` loads without any Python around it."""
        folder = packages_folder(windows=False, python=self.target.python)
        return self.is_module(member) and _installed(member, self.target).rpartition("/")[0] + "/" == folder

    def finding(self, code: Code, members: Iterable[str], message: str) -> Problem | Note:
        """A problem of files that are loaded into Python, or of a wheel that was built here; else a note."""
        if self.is_built or any(map(self.is_loaded, members)):
            return Problem(code=code, file=self.path, message=message)
        return Note(file=self.path, message=message)


def _installed(member: str, target: Target) -> str:
    return installed_path(member, windows=False, python=target.python)


class _Where:
    """Which files there are in an environment of all wheels, as dyld would look for them."""

    def __init__(
        self,
        target: Target,
        infos: Mapping[NormalizedName, WheelInfo],
        files: Mapping[NormalizedName, MachoFiles],
    ) -> None:
        self._target, self._infos = target, infos
        self._there: set[str] = {
            _installed(member, target).lower() for info in infos.values() for member in info.files
        }
        self._facts: dict[str, MachoFacts] = {}
        self._named: dict[str, dict[NormalizedName, MachoFacts]] = {}
        for name, found in files.items():
            for member, facts in found.facts.items():
                self._facts[_installed(member, target).lower()] = facts
                if facts.install_name:
                    self._named.setdefault(facts.install_name, {})[name] = facts
        self._everything = frozenset[str]().union(*(facts.exported for facts in self._facts.values()))
        self._reached: dict[NormalizedName, set[NormalizedName]] = {}

    def has(self, library: str, name: NormalizedName, member: str, facts: MachoFacts) -> bool:
        """Whether dyld finds a library that a file of the wheel `name` needs."""
        places = list(self._places(library, member, facts))
        own = any(place.startswith(_OF_MACOS) for place in places)
        return own or any(place in self._there for place in places) or self._loaded(library, name) is not None

    def missing(self, name: NormalizedName, member: str, facts: MachoFacts) -> frozenset[str]:
        """torch's names that a file is left to look for, and nobody has where it looks.

        Libraries that are not there are told otherwise.
        """
        missing: set[str] = set()
        for library, names in facts.wanted.items():
            if not library:
                missing |= names - self._everything
                continue
            places = self._places(library, member, facts)
            found = next((self._facts[place] for place in places if place in self._facts), None)
            found = found or self._loaded(library, name)
            if found is not None:
                missing |= names - found.exported
        return frozenset(missing)

    def leads_out(self, search_path: str, member: str) -> bool:
        """Whether a search path leads to a folder that no wheel of the target has files in."""
        place = self._expanded(search_path, member)
        if place is None:
            return True
        packages = packages_folder(windows=False, python=self._target.python)
        return not f"{place}/".startswith((packages.lower(), *_OF_MACOS))

    def _places(self, library: str, member: str, facts: MachoFacts) -> Iterator[str]:
        """Where dyld looks for a library, from the environment's folder on; absolute for other places."""
        rest = library.removeprefix("@rpath/")
        names = [f"{path}/{rest}" for path in facts.search_paths] if rest != library else [library]
        yield from filter(None, (self._expanded(name, member) for name in names))

    def _expanded(self, path: str, member: str) -> str | None:
        """A path without ``@loader_path``; None where it depends on the program or the current folder.

        Names are compared without regard to case, as macOS does by default.
        """
        if path.startswith("/"):
            return posixpath.normpath(path)
        start, _, rest = path.partition("/")
        if start != "@loader_path":
            return None
        folder = posixpath.dirname(_installed(member, self._target))
        return posixpath.normpath(posixpath.join(folder, rest)).lower()

    def _loaded(self, library: str, name: NormalizedName) -> MachoFacts | None:
        """The file with that install name in a wheel that `name` requires: it was loaded before.

        dyld takes what is loaded already for a name that begins with ``@rpath/``; so torch's own way of
        building extensions finds its libraries, which gives them no search path.
        """
        having = self._named.get(library, {})
        return next((facts for other, facts in having.items() if other in self._required(name)), None)

    def _required(self, name: NormalizedName) -> set[NormalizedName]:
        """The other wheels that `name` requires, with any of its extras."""
        if name not in self._reached:
            extras = ",".join(self._infos[name].extras)
            roots = [Requirement(f"{name}[{extras}]")]
            found = checks.reached(roots, self._infos, self._target.marker_environment)
            self._reached[name] = set(found) - {name}
        return self._reached[name]


def _grouped(
    facts: Mapping[str, MachoFacts], key: Callable[[MachoFacts], str]
) -> Iterator[tuple[str, list[str]]]:
    """The files by what `key` says of them; those of which it says nothing are left out."""
    groups: dict[str, list[str]] = {}
    for member, found in facts.items():
        groups.setdefault(key(found), []).append(member)
    groups.pop("", None)
    yield from sorted(groups.items())


def _check_machines(wheel: _Wheel, facts: Mapping[str, MachoFacts]) -> Iterator[Problem | Note]:
    """Modules that the target cannot load are wrong; other files may be data, or for somebody else."""
    for kind, members in _grouped(facts, lambda found: "" if found.fits_arm64 else found.made_for):
        text = f"made for {kind}, the target is {wheel.target.platform}: {listed(members)}"
        if wheel.is_built or any(map(wheel.is_module, members)):
            yield Problem(code=Code.MACHINE, file=wheel.path, message=text)
        else:
            yield Note(file=wheel.path, message=text)


def _check_releases(wheel: _Wheel, facts: Mapping[str, MachoFacts]) -> Iterator[Problem | Note]:
    """Files that say they need a newer macOS than the target's."""
    limit = (macos_release(wheel.target.platform) or 0, 0)

    def newer(found: MachoFacts) -> str:
        return ".".join(map(str, found.minimum)) if found.minimum > limit else ""

    for release, members in _grouped(facts, newer):
        text = f"macOS {release}, the target is {wheel.target.platform}"
        yield wheel.finding(Code.MACOS, members, needing(members, text))


def _check_signatures(wheel: _Wheel, facts: Mapping[str, MachoFacts]) -> Iterator[Problem | Note]:
    """Files that the kernel of a Mac with one of Apple's processors would not have loaded."""
    for reason, members in _grouped(facts, lambda found: found.unsigned):
        text = (
            f"{listed(members)}: {reason}; macOS ends a program that loads such a file on Apple's processors"
        )
        yield wheel.finding(Code.UNSIGNED, members, text)


def _check_libraries(
    wheel: _Wheel, facts: Mapping[str, MachoFacts], where: _Where
) -> Iterator[Problem | Note]:
    """Libraries that dyld would not find: wrong where nothing of the wheel does without."""
    needed: dict[str, list[str]] = {}
    for member, found in facts.items():
        for library in found.needed:
            unseen = wheel.unseen and is_torchs(library.rpartition("/")[2])
            if (
                library not in found.optional
                and not unseen
                and not where.has(library, wheel.name, member, found)
            ):
                needed.setdefault(library, []).append(member)
    modules = {member for member in facts if wheel.is_module(member)}
    for library, members in sorted(needed.items()):
        text = f"{library}, which no wheel brings where dyld looks for it"
        essential = any(map(wheel.is_at_the_top, members)) or (modules and modules <= set(members))
        if wheel.is_built or essential:
            yield Problem(code=Code.LIBRARY, file=wheel.path, message=needing(members, text))
        else:
            yield Note(file=wheel.path, message=f"{needing(members, text)}: what loads them fails")


def _check_search_paths(
    wheel: _Wheel, facts: Mapping[str, MachoFacts], where: _Where
) -> Iterator[Problem | Note]:
    """Search paths that lead out of what wheels install: to folders of the machine that built them."""
    found: dict[str, list[str]] = {}
    for member, one in facts.items():
        for path in one.search_paths:
            if where.leads_out(path, member):
                found.setdefault(path, []).append(member)
    for path, members in sorted(found.items()):
        verb = "looks" if len(members) == 1 else "look"
        text = f"{listed(members)} {verb} into {path}"
        if wheel.is_built:
            yield Problem(code=Code.SEARCH_PATH, file=wheel.path, message=text)
        else:
            yield Note(file=wheel.path, message=f"{text} as well, which no wheel has")
