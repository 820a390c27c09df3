"""The static checks of a bundle: a closed set of codes, and the decisions behind them. No I/O."""

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.metadata import InvalidMetadata, Metadata, RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from wheelferry.client.preflight.paths import WINDOWS_LIMIT, windows_room
from wheelferry.models import stable_abi
from wheelferry.models.cuda import version_of
from wheelferry.models.lock import LockedWheel
from wheelferry.models.manifest import File, TargetEntry
from wheelferry.models.planning.downloads import LaterDownload, downloads_of
from wheelferry.models.present import PresentPackage, by_name
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import WheelInfo, entry_point_scripts, path_length
from wheelferry.verification.static.form import check_form
from wheelferry.verification.static.ownership import check_owners, check_scripts

_MANYLINUX = re.compile(r"^manylinux(_2_\d+|\d+)_")


def compare_files(listed: Iterable[File], found: Mapping[str, tuple[int, str]]) -> Iterator[Problem]:
    """The manifest's files against those on disk (size in bytes and SHA-256 by path)."""
    by_path = {file.path: file for file in listed}
    for path, file in by_path.items():
        if path not in found:
            yield Problem(code=Code.FILE_MISSING, file=path, message="is missing")
            continue
        size, sha256 = found[path]
        if size != file.size:
            message = f"has {size} bytes, the manifest says {file.size}"
            yield Problem(code=Code.FILE_CHANGED, file=path, message=message)
        elif sha256 != file.sha256:
            message = f"SHA-256 is {sha256[:16]}…, the manifest says {file.sha256[:16]}…"
            yield Problem(code=Code.FILE_CHANGED, file=path, message=message)
    for path in sorted(set(found) - set(by_path)):
        yield Problem(code=Code.FILE_UNLISTED, file=path, message="is not in the manifest")


def compare_locks(
    entry: TargetEntry,
    pins: Mapping[NormalizedName, tuple[Version, str]],
    pylock: Mapping[NormalizedName, tuple[Version, str, str]],
    wheelhouse: Mapping[str, str],
) -> Iterator[Problem]:
    """requirements against pylock against the wheels' hashes by path (``wheelhouse/x.whl``)."""
    for name in sorted(set(pins) ^ set(pylock)):
        only, other = (
            (entry.requirements, entry.pylock) if name in pins else (entry.pylock, entry.requirements)
        )
        yield Problem(code=Code.LOCK_DISAGREES, file=only, message=f"has {name}, {other} has not")
    for name in sorted(set(pins) & set(pylock)):
        version, sha256 = pins[name]
        other_version, path, other_sha256 = pylock[name]
        if version != other_version:
            message = f"{name} is {version}, {entry.pylock} says {other_version}"
            yield Problem(code=Code.LOCK_DISAGREES, file=entry.requirements, message=message)
        if sha256 != other_sha256:
            message = f"{name} has another hash than in {entry.pylock}"
            yield Problem(code=Code.LOCK_DISAGREES, file=entry.requirements, message=message)
        if path not in wheelhouse:
            yield Problem(code=Code.WHEEL_MISSING, file=path, message=f"is missing; {entry.pylock} names it")
        else:
            for lock, stated in ((entry.requirements, sha256), (entry.pylock, other_sha256)):
                if wheelhouse[path] != stated:
                    message = f"SHA-256 is {wheelhouse[path][:16]}…, {lock} says {stated[:16]}…"
                    yield Problem(code=Code.LOCK_HASH, file=path, message=message)


def check_wheel(wheel: LockedWheel, info: WheelInfo, filename_tags: Iterable[Tag]) -> Iterator[Problem]:
    """A wheel's own statements against its file name.

    torch up to 2.0 was published as manylinux1 with ``linux_x86_64`` in its WHEEL file: a plain linux
    tag there counts for any manylinux tag of the same architecture.
    """
    path = f"wheelhouse/{wheel.filename}"
    if (info.name, info.version) != (wheel.name, wheel.version):
        message = f"metadata says {info.name} {info.version}"
        yield Problem(code=Code.NAME, file=path, message=message)
    if {_as_stated(tag, info.tags) for tag in filename_tags} != info.tags:
        message = f"the WHEEL file says {', '.join(sorted(map(str, info.tags)))}"
        yield Problem(code=Code.TAGS, file=path, message=message)


def check_installation(wheels: Mapping[str, WheelInfo], target: Target) -> Iterator[Problem | Note]:
    """What installers stop at, or pass over in silence, in the wheels of a target, by their paths."""
    yield from check_owners(wheels, target)
    yield from check_scripts(wheels, target)
    for path, info in wheels.items():
        yield from check_metadata(path, info)
        yield from check_compression(path, info)
        yield from check_form(path, info, target)


# Fields that installers read; a mistake in another keeps nobody from installing.
_READ_BY_INSTALLERS = frozenset(("metadata-version", "name", "version", "requires-dist", "requires-python"))


def check_metadata(path: str, info: WheelInfo) -> Iterator[Problem | Note]:
    """Whether METADATA and ``entry_points.txt`` are what today's tools can read.

    What `packaging` does not know, as the next Metadata-Version, pip and uv install all the same; other tools
    stop there.
    """
    try:
        entry_point_scripts(info.entry_points)
    except ValueError as error:
        message = f"neither pip nor uv installs it, because of its entry_points.txt: {error}"
        yield Problem(code=Code.METADATA, file=path, message=message)
    raw, unparsed = parse_email(info.metadata)
    ignored = sorted(unparsed)
    for mistake in _mistakes(raw):
        if mistake.field in _READ_BY_INSTALLERS and not _is_harmless(mistake.field, raw):
            said = " ".join(str(mistake).split())[:200]
            message = f"the METADATA of {info.name} {info.version}: {said}"
            yield Problem(code=Code.METADATA, file=path, message=message)
        else:
            ignored.append(mistake.field)
    if ignored:
        message = f"has mistakes in its METADATA, which installers pass over: {', '.join(ignored)}"
        yield Note(file=path, message=message)


def _mistakes(raw: RawMetadata) -> Iterator[InvalidMetadata]:
    """What `packaging` refuses, field by field.

    That a field is newer than the Metadata-Version says is no mistake here: setuptools wrote License-File for
    years before there was one.
    """
    read = Metadata.from_raw(raw, validate=False)
    for name in sorted({*raw, "metadata_version"}):
        try:
            getattr(read, name)
        except InvalidMetadata as error:
            yield error


def _is_harmless(field: str, raw: RawMetadata) -> bool:
    """Whether a mistake in a field is one that many old wheels have, and that everybody reads."""
    try:
        if field == "requires-python":
            # >=3.6.* was written for years: pip warns, uv reads it as >=3.6
            SpecifierSet(re.sub(r"(?<=\d)\.\*", "", raw["requires_python"]))
            return True
        # 2.0 never became a standard, and was written for years as well
        return field == "metadata-version" and Version(raw["metadata_version"]) < Version("2.1")
    except (KeyError, ValueError):  # it is missing, or no version at all
        return False


# Of the other methods uv 0.13.9 refuses bzip2 and LZMA; pip reads Zstandard with Python 3.14 and later only.
_READ_BY_ALL = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA", 93: "Zstandard"}


def check_compression(path: str, info: WheelInfo) -> Iterator[Problem]:
    """Whether both pip and uv can unpack every file of a wheel."""
    packed = {name: file.method for name, file in info.files.items() if file.method not in _READ_BY_ALL}
    if packed:
        methods = ", ".join(sorted({_METHODS.get(method, f"method {method}") for method in packed.values()}))
        more = f" and {len(packed) - 1} more files are" if len(packed) > 1 else " is"
        message = (
            f"{min(packed)}{more} compressed with {methods}, which not every installer reads: "
            "`wheel unpack` and `wheel pack` it, and give the result with --wheel"
        )
        yield Problem(code=Code.COMPRESSION, file=path, message=message)


def _as_stated(tag: Tag, stated: Iterable[Tag]) -> Tag:
    arch = _MANYLINUX.sub("", tag.platform)
    plain = Tag(tag.interpreter, tag.abi, f"linux_{arch}")
    return plain if tag not in stated and plain in stated else tag


def check_fit(path: str, info: WheelInfo, tags: Iterable[Tag], target: Target) -> Iterator[Problem]:
    """Whether a wheel's tags and Requires-Python admit the target."""
    if not set(tags) & set(target.tags):
        yield Problem(code=Code.PLATFORM, file=path, message=f"no tag fits {target.name}")
    if info.requires_python and not _allows(info.requires_python, target.python):
        message = f"requires Python {info.requires_python}, the target has {target.python}"
        yield Problem(code=Code.PYTHON, file=path, message=message)


def _allows(specifier: str, python: str) -> bool:
    """Whether some patch release of `python` is allowed; a bound such as >=3.9.1 speaks of those."""
    try:
        ranges = SpecifierSet(specifier)
    except InvalidSpecifier:
        return True  # `check_metadata` tells
    return any(ranges.contains(f"{python}.{patch}") for patch in (0, 99))


def unsatisfied(
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    environment: Mapping[str, str],
    excluded: Iterable[str] = (),
    present: Iterable[PresentPackage] = (),
) -> Iterator[Problem | Note]:
    """Every Requires-Dist (extras followed) that no wheel of the lock satisfies on the target.

    Where what is required was `excluded` on purpose, it is a note. What is `present` on the client counts.
    """
    there = by_name(present)
    for name in sorted(there.keys() & infos.keys()):
        message = "is in the lock, but is to be on the client already (present)"
        yield Problem(code=Code.REQUIREMENT, file=paths[name], message=message)
    left_out = frozenset(map(canonicalize_name, excluded))
    for name in sorted(left_out & infos.keys()):
        message = "is in the lock, but was to be left out (excluded)"
        yield Problem(code=Code.REQUIREMENT, file=paths[name], message=message)
    todo: list[tuple[NormalizedName, str]] = [(name, "") for name in infos]
    seen = set(todo)
    while todo:
        name, extra = todo.pop(0)
        for requirement in infos[name].requires:
            if not _wanted(requirement, environment, extra):
                continue
            needed = canonicalize_name(requirement.name)
            missing = _missing(requirement, infos, there)
            if missing and needed in left_out:
                message = f"requires {requirement}, which was left out of the bundle on purpose"
                yield Note(file=paths[name], message=message)
            elif missing:
                message = f"requires {requirement}, {missing}"
                yield Problem(code=Code.REQUIREMENT, file=paths[name], message=message)
            if needed not in infos:
                continue
            for wanted in requirement.extras:
                if (needed, wanted) not in seen:
                    seen.add((needed, wanted))
                    todo.append((needed, wanted))


def _missing(
    requirement: Requirement,
    infos: Mapping[NormalizedName, WheelInfo],
    present: Mapping[NormalizedName, PresentPackage],
) -> str | None:
    """Why the wheels, and what is present on the client, do not satisfy a requirement; None when they do."""
    needed = canonicalize_name(requirement.name)
    found = infos.get(needed)
    if found is None and needed in present:
        there = present[needed]
        return None if there.satisfies(requirement) else f"the client is to have {there}"
    if found is None:
        return "which is not in the bundle"
    if not requirement.specifier.contains(found.version, prereleases=True):
        return f"the bundle has {needed} {found.version}"
    return None


def check_downloads(
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    table: Iterable[LaterDownload],
) -> Iterator[Problem | Note]:
    """What packages download when they are first used, and what their wheels lack that should be in them."""
    for download in downloads_of(table, infos):
        path = paths[download.package]
        if download.is_missed_by(infos[download.package].files):
            message = f"lacks {download.what}, which its build did not get. {download}"
            yield Problem(code=Code.INCOMPLETE, file=path, message=message)
        elif not download.at_build:
            yield Note(file=path, message=str(download))


def check_requested(
    entry: TargetEntry,
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    projects: Iterable[NormalizedName],
) -> Iterator[Problem | Note]:
    """What was asked for against what is there: nothing missing, and no wheel that nothing requires.

    The wheels of a target are the built `projects`, what was requested beside them, and what these require on
    the target. Older bundles do not say what was requested: nothing is known of theirs.
    """
    if not entry.requested:
        return
    environment = entry.target.marker_environment
    asked = [root for root in map(Requirement, entry.requested) if _wanted(root, environment, "")]
    roots = [*map(Requirement, projects), *asked]
    for root in asked:
        missing = _missing(root, infos, by_name(entry.present))
        if missing and canonicalize_name(root.name) in entry.excluded:
            yield Note(file=entry.pylock, message=f"{root} was left out of the bundle on purpose")
        elif missing:
            message = f"{root} was asked for, {missing}"
            yield Problem(code=Code.REQUIREMENT, file=entry.pylock, message=message)
    for name in sorted(set(infos) - set(reached(roots, infos, environment))):
        elsewhere = [
            f"{other} requires it where {requirement.marker}"
            for other, info in sorted(infos.items())
            for requirement in info.requires
            if canonicalize_name(requirement.name) == name and requirement.marker
        ]
        reason = f" ({elsewhere[0]})" if elsewhere else ""
        message = f"nothing requires it on {entry.target.name}{reason}"
        yield Problem(code=Code.UNREQUIRED, file=paths[name], message=message)


def reached(
    roots: Iterable[Requirement], infos: Mapping[NormalizedName, WheelInfo], environment: Mapping[str, str]
) -> dict[NormalizedName, frozenset[NormalizedName]]:
    """The wheels that `roots` name, and those that these require, extras followed; each with its own."""
    todo = [(canonicalize_name(root.name), extra) for root in roots for extra in ("", *root.extras)]
    seen = set(todo)
    found: dict[NormalizedName, set[NormalizedName]] = {}
    while todo:
        name, extra = todo.pop()
        if name not in infos:
            continue
        own = found.setdefault(name, set())
        for requirement in infos[name].requires:
            if _wanted(requirement, environment, extra):
                needed = canonicalize_name(requirement.name)
                if needed in infos and needed != name:
                    own.add(needed)
                new = {(needed, wanted) for wanted in ("", *requirement.extras)} - seen
                seen |= new
                todo += new
    return {name: frozenset(own) for name, own in found.items()}


def _wanted(requirement: Requirement, environment: Mapping[str, str], extra: str) -> bool:
    if requirement.marker is None:
        return extra == ""
    with_extra = requirement.marker.evaluate({**environment, "extra": extra})
    if extra == "":
        return with_extra
    # without the extra it was already followed as a plain requirement
    return with_extra and not requirement.marker.evaluate({**environment, "extra": ""})


@dataclass(frozen=True, kw_only=True, slots=True)
class LongestPath:
    """That of a Windows target's paths which the system's limit meets first.

    `path` is the file's in the wheel (or archive) `file`; `characters` counts it below a prefix of `prefix`
    characters, as an installation there would have it.
    """

    target: str
    file: str
    path: str
    characters: int
    prefix: int

    def __str__(self) -> str:
        most = WINDOWS_LIMIT - 1
        return f"{self.characters} of {most} characters below a folder of {self.prefix} ({self.path})"


def longest_path(entry: TargetEntry, wheels: Mapping[str, WheelInfo], prefix: int) -> LongestPath:
    """The longest path of an installation below a Windows folder of `prefix` characters.

    Its environment lies there as the client's installer makes it, with the wheels in it.
    """
    taken = WINDOWS_LIMIT - 1 - windows_room(0) + prefix
    found = [
        (path_length(member, windows=True), file, member)
        for file, info in wheels.items()
        for member in info.files
    ]
    if entry.runtime is not None:
        found.append((entry.runtime.footprint.longest_path, entry.runtime.path, "its longest path"))
    length, file, member = max(found, default=(0, "", ""))
    return LongestPath(
        target=entry.target.name, file=file, path=member, characters=taken + length, prefix=prefix
    )


def check_path_lengths(entry: TargetEntry, wheels: Mapping[str, WheelInfo], prefix: int) -> Iterator[Problem]:
    """Every wheel (and a carried Python) with files that Windows would not take below such a prefix.

    MAX_PATH is 260 characters with the closing NUL (learn.microsoft.com, "Maximum Path Length Limitation").
    """
    for file, info in wheels.items():
        lengths = {member: path_length(member, windows=True) for member in info.files}
        too_long = [member for member in info.files if lengths[member] > windows_room(prefix)]
        if too_long:
            worst = max(too_long, key=lambda member: lengths[member])
            others = f", as would {len(too_long) - 1} more" if len(too_long) > 1 else ""
            yield _too_long(file, f"{worst} would be", lengths[worst], prefix, others)
    if entry.runtime is not None and entry.runtime.footprint.longest_path > windows_room(prefix):
        length = entry.runtime.footprint.longest_path
        yield _too_long(entry.runtime.path, "its longest path would be", length, prefix, "")


def _too_long(file: str, subject: str, length: int, prefix: int, others: str) -> Problem:
    over = length - windows_room(prefix)
    message = (
        f"{subject} {over} characters longer than Windows allows below a folder of {prefix}{others}; "
        f"folders of {prefix - over} and less are all right"
    )
    return Problem(code=Code.PATH_LENGTH, file=file, message=message)


def check_torch(path: str, info: WheelInfo, torch: LockedWheel | None, target: Target) -> Iterator[Problem]:
    """Whether the built wheel demands, and was compiled against, exactly the torch in the lock.

    One on torch's stable ABI demands what that ABI does, and the torch in the lock must be of these.
    """
    pins = [r for r in info.requires if canonicalize_name(r.name) == "torch"]
    if torch is None:
        yield Problem(code=Code.TORCH, file=path, message="the lock has no torch")
        return
    stable = stable_abi.is_stable(info.stamp)
    wanted = stable_abi.REQUIREMENT if stable else f"torch=={torch.version.public}"
    tied = [r for r in pins if str(r) == wanted and r.specifier.contains(torch.version.public)]
    if not tied:
        stated = ", ".join(map(str, pins)) or "no torch"
        message = f"requires {stated}, the lock has torch {torch.version}"
        yield Problem(code=Code.TORCH, file=path, message=message)
    if torch.version.public != target.torch:
        message = f"torch is {torch.version}, the target says {target.torch}"
        yield Problem(code=Code.TORCH, file=f"wheelhouse/{torch.filename}", message=message)
    if stable or _without_ops(info):
        return
    stamp = _stamp(info)
    if stamp is None:
        yield Problem(code=Code.TORCH, file=path, message="does not say which torch it was compiled against")
    elif stamp != torch.sha256:
        message = f"was compiled against another torch wheel ({stamp[:16]}…) than {torch.filename}"
        yield Problem(code=Code.TORCH, file=path, message=message)


def check_cuda(path: str, info: WheelInfo, target: Target) -> Iterator[Problem]:
    """Whether the GPU code of a wheel on torch's stable ABI goes with the CUDA of the target's torch."""
    reason = stable_abi.cuda_obstacle(stable_abi.cuda_of(info.stamp), version_of(target.backend))
    if reason:
        yield Problem(code=Code.CUDA, file=path, message=f"{reason}: the backend is {target.backend}")


def check_present_torch(
    path: str, info: WheelInfo, present: PresentPackage, torch: LockedWheel | None
) -> Iterator[Problem | Note]:
    """Whether the built wheel goes with the torch that is present on the client.

    `torch` is the index's wheel of it, None where no index has it.
    """
    pins = [r for r in info.requires if canonicalize_name(r.name) == "torch"]
    if not pins or not all(map(present.satisfies, pins)):
        stated = ", ".join(map(str, pins)) or "no torch"
        message = f"requires {stated}, the client is to have {present}"
        yield Problem(code=Code.TORCH, file=path, message=message)
    if torch is None or stable_abi.is_stable(info.stamp) or _without_ops(info):
        return
    stamp = _stamp(info)
    if stamp is None:
        yield Problem(code=Code.TORCH, file=path, message="does not say which torch it was compiled against")
    elif stamp != torch.sha256:
        message = (
            f"was compiled against another build of torch {present.version.public} than {torch.filename}"
        )
        yield Note(file=path, message=message)


def _without_ops(info: WheelInfo) -> bool:
    """Whether the wheel says that nothing in it was compiled."""
    try:
        return info.stamp is not None and json.loads(info.stamp)["ops"] is False
    except (ValueError, KeyError, TypeError):
        return False


def _stamp(info: WheelInfo) -> str | None:
    if info.stamp is None:
        return None
    try:
        return str(json.loads(info.stamp)["torch"]["sha256"])
    except (ValueError, KeyError, TypeError):
        return None
