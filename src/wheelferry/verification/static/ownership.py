"""Every file of an environment belongs to one wheel: where wheels install the same file, or the same script.

Installers do not look. With pip the wheel that is installed last wins; uv installs wheels at the same time,
and the winner changes from file to file and from run to run. No I/O.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from packaging.utils import NormalizedName

from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import (
    WheelInfo,
    entry_point_scripts,
    installed_path,
    packages_folder,
    scripts_folder,
)

# Paths that a message names; the rest is counted.
_NAMED = 3
_PIP = NormalizedName("pip")
_ACTIVATION = re.compile(r"(de)?[aA]ctivate(_this)?(\.\w+)?")  # venv writes Activate.ps1
_WINDOWS_PROGRAM = re.compile(r"\.(exe|com|bat|cmd)$")
# What careless packages leave at the top of site-packages, or of the environment, and no program reads.
_UNREAD = re.compile(
    r"(tests?|docs?|examples?|benchmarks?)/.*"
    r"|(licen[cs]es?|copying|notice|authors|readme|changes|changelog|history|news)(\.(md|rst|txt))?",
    re.IGNORECASE,
)
# Behind the dot that ends a module's name.
_MODULE_ENDING = re.compile(r"((cpython-\w[\w-]*|abi3|cp\d+t?-\w+)\.)?(py|so|pyd)")
# Modules that are made to be hidden by a package where there is one, with the project that brings them.
_FOR_WANT_OF_A_PACKAGE = {("pytest", "py.py")}
_REMEDY = "leave out one of the packages (--exclude)"
_CONFIGURATION = "pyvenv.cfg"

# What is installed to a path: size and CRC-32 of a file, what a script starts. Equal contents are equal.
Content = tuple[int, int] | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """What a wheel (its path in the bundle) installs to `path`, counted from the environment's folder."""

    wheel: str
    path: str
    content: Content

    @property
    def is_script(self) -> bool:
        """Whether an installer writes it for an entry point; it lies in no wheel."""
        return isinstance(self.content, str)


def installed_files(info: WheelInfo, target: Target) -> Iterator[tuple[str, Content]]:
    """Every path that a wheel installs to, counted from the environment's folder, and what comes there."""
    for member, file in info.files.items():
        path = installed_path(member, windows=target.is_windows, python=target.python)
        yield path, (file.size, file.crc)
    yield from _scripts(info, target)


def _scripts(info: WheelInfo, target: Target) -> Iterator[tuple[str, str]]:
    """The programs of its entry points: path and what each starts."""
    try:
        scripts = entry_point_scripts(info.entry_points)
    except ValueError:  # `checks.check_metadata` tells
        return
    for name, start in scripts.items():
        yield f"{scripts_folder(windows=target.is_windows)}{name}{'.exe' if target.is_windows else ''}", start


def _outside_packages(info: WheelInfo, target: Target) -> Iterator[str]:
    """Where a wheel may install to outside of site-packages: what its folder ``.data`` holds, and scripts."""
    for member in info.files:
        if ".data/" in member:
            yield installed_path(member, windows=target.is_windows, python=target.python)
    yield from (path for path, _ in _scripts(info, target))


def check_owners(wheels: Mapping[str, WheelInfo], target: Target) -> Iterator[Problem | Note]:
    """Files and scripts that several wheels install; paths that are a file of one and a folder of another.

    `wheels` are those of a target by their paths in the bundle. On Windows and macOS names that differ in
    case alone are the same. Other content is a problem; the same content is a note, as is whatever no
    program reads.
    """
    shared, folders, hidden = _shared(wheels, target)
    yield from _files_that_are_folders(folders, target)
    yield from _modules_that_are_packages(hidden, target)
    groups: dict[tuple[tuple[str, ...], bool], list[Sequence[Placed]]] = defaultdict(list)
    for owners in shared:
        is_script = all(one.is_script for one in owners)
        groups[tuple(dict.fromkeys(one.wheel for one in owners)), is_script].append(owners)
    for (owning, is_script), paths in groups.items():
        if len(owning) == 1:
            yield _twice_in_one(owning[0], paths, target)
        elif is_script:
            yield _same_scripts(owning, paths)
        else:
            yield _same_files(owning, paths, target)


def _shared(
    wheels: Mapping[str, WheelInfo], target: Target
) -> tuple[list[Sequence[Placed]], list[tuple[Placed, str]], list[tuple[Placed, str]]]:
    """The owners of each path that several wheels install to; files whose path is a folder of another wheel;
    modules whose name is a folder of another wheel.

    A large wheel has 100 000 files: what is shared is looked at closely afterwards.
    """
    first: dict[str, tuple[str, str, Content]] = {}
    folders: dict[str, str] = {}
    shared: dict[str, list[Placed]] = {}
    for wheel, info in wheels.items():
        for path, content in installed_files(info, target):
            key = path.lower() if target.ignores_case else path
            own = (wheel, path, content)
            found = first.setdefault(key, own)
            if found is not own:
                owners = shared.setdefault(key, [_placed(*found)])
                owners.append(_placed(*own))
            folder = key.rpartition("/")[0]
            while folder and folder not in folders:
                folders[folder] = wheel
                folder = folder.rpartition("/")[0]
    clashes = [(_placed(*first[key]), folders[key]) for key in sorted(folders.keys() & first.keys())]
    hidden = [
        (_placed(*first[key]), folders[stem])
        for key in first
        if (stem := _module(key)) in folders and folders[stem] != first[key][0]
    ]
    return list(shared.values()), clashes, hidden


def _module(path: str) -> str:
    """The path of a module without the ending that makes it one; empty for another file."""
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.partition(".")
    return folder + slash + stem if dot and _MODULE_ENDING.fullmatch(ending) else ""


def _placed(wheel: str, path: str, content: Content) -> Placed:
    return Placed(wheel=wheel, path=path, content=content)


def _files_that_are_folders(clashes: Iterable[tuple[Placed, str]], target: Target) -> Iterator[Problem]:
    for file, other in clashes:
        message = (
            f"installs {_shown(file.path, target)} as a file, {_name(other)} as a folder: "
            f"neither pip nor uv can install both: {_REMEDY}"
        )
        yield Problem(code=Code.SAME_FILE, file=file.wheel, message=message)


def _modules_that_are_packages(hidden: Iterable[tuple[Placed, str]], target: Target) -> Iterator[Note]:
    """One name, two things to import: Python takes the package if it has an __init__.py, else the module.

    No problem, for that is the same on every client: what needs the other is seen when it is imported.
    """
    for module, other in hidden:
        shown = _shown(module.path, target)
        if shown == module.path or (_name(module.wheel).partition("-")[0], shown) in _FOR_WANT_OF_A_PACKAGE:
            continue  # it lies outside of what Python imports from; or is for those without the package
        message = (
            f"installs {shown} as a module, {_name(other)} a folder of the same name: Python finds only one "
            f"of them by it: {_REMEDY}"
        )
        yield Note(file=module.wheel, message=message)


def _twice_in_one(wheel: str, paths: Sequence[Sequence[Placed]], target: Target) -> Note:
    """A wheel that does so by itself does it wherever it is installed."""
    named = _listed_paths(paths, target)
    return Note(file=wheel, message=f"installs several of its own files to the same place: {named}")


def _same_files(owning: Sequence[str], paths: Sequence[Sequence[Placed]], target: Target) -> Problem | Note:
    differing = [owners for owners in paths if _differ(owners)]
    read = [owners for owners in differing if not _UNREAD.fullmatch(_shown(owners[0].path, target))]
    others = _enumerated(list(map(_name, owning[1:])))
    files = f"{len(paths)} files" if len(paths) > 1 else "a file"
    too = f"installs {files} that {others} {'installs' if len(owning) == 2 else 'install'} too"
    if not differing:
        message = f"{too}, with the same content: {_listed_paths(paths, target)}"
        return Note(file=owning[0], message=message)
    if not read:
        message = f"{too}, with other content, which no program reads: {_listed_paths(differing, target)}"
        return Note(file=owning[0], message=message)
    count = "" if len(read) == len(paths) else f"{len(read)} of them "
    message = (
        f"{too}, {count}with other content: {_listed_paths(read, target)}. Installers say nothing, and "
        f"the client gets those of either, or a mixture: {_REMEDY}"
    )
    return Problem(code=Code.SAME_FILE, file=owning[0], message=message)


def _same_scripts(owning: Sequence[str], paths: Sequence[Sequence[Placed]]) -> Problem | Note:
    differing = [owners for owners in paths if _differ(owners)]
    others = _enumerated(list(map(_name, owning[1:])))
    if not differing:
        names = _listed((owners[0].path for owners in paths), len(paths))
        return Note(
            file=owning[0], message=f"has the same scripts as {others}, which start the same: {names}"
        )
    starts = (
        f"{owners[0].path} starts {owners[0].content}, "
        + ", ".join(f"in {_name(one.wheel)} {one.content}" for one in owners[1:])
        for owners in differing
    )
    told = _listed(starts, len(differing))
    message = f"has a script of the same name as {others}: {told}. One of them is lost: {_REMEDY}"
    return Problem(code=Code.SCRIPT, file=owning[0], message=message)


def _differ(owners: Iterable[Placed]) -> bool:
    return len({one.content for one in owners}) > 1


def check_scripts(wheels: Mapping[str, WheelInfo], target: Target) -> Iterator[Problem]:
    """Wheels that replace what an environment has of itself: its interpreter, pip, how it is activated."""
    for wheel, info in wheels.items():
        for path in _outside_packages(info, target):
            replaced = _replaces(path, info.name, target)
            if replaced:
                message = f"installs {path}, which takes the place of the environment's own {replaced}"
                yield Problem(code=Code.SCRIPT, file=wheel, message=message)


def _replaces(path: str, owner: NormalizedName, target: Target) -> str | None:
    """What of the environment itself a file would replace, None for nothing."""
    path = path.lower() if target.ignores_case else path
    if target.is_windows:
        path = _WINDOWS_PROGRAM.sub("", path)
    if path == _CONFIGURATION:
        return "configuration"
    folder, slash, name = path.rpartition("/")
    if folder + slash != scripts_folder(windows=target.is_windows).lower():
        return None
    if _ACTIVATION.fullmatch(name):
        return "script that activates it"
    versions = ("", "3", target.python)
    if name in {f"python{version}" for version in versions} | {"pythonw"}:
        return "interpreter"
    if name in {f"pip{version}" for version in versions} and owner != _PIP:
        return "pip"
    return None


def _listed_paths(paths: Sequence[Sequence[Placed]], target: Target) -> str:
    """One path of each; two where they differ in case."""
    named = (" and ".join(dict.fromkeys(_shown(one.path, target) for one in owners)) for owners in paths)
    return _listed(named, len(paths))


def _enumerated(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _listed(names: Iterable[str], count: int) -> str:
    """The first of `count` names, and how many more there are."""
    rest = f" and {count - _NAMED} more" if count > _NAMED else ""
    return ", ".join(islice(names, _NAMED)) + rest


def _shown(path: str, target: Target) -> str:
    """As Python imports it; what lies elsewhere counts from the environment's folder."""
    return path.removeprefix(packages_folder(windows=target.is_windows, python=target.python))


def _name(wheel: str) -> str:
    return wheel.rpartition("/")[2]
