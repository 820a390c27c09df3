"""Static verification: everything that can be said about a bundle by reading it, on any machine."""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.binaries import pe
from wheelferry.bundle.reader import REPORT_FILES, HashedFile, own_files, parse_bytes, read_manifest
from wheelferry.cache.readings import recall_reading, remember_reading
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_downloads
from wheelferry.client.common.errors import Damaged, NotPossibleHere
from wheelferry.client.common.processors import named
from wheelferry.client.common.signature import Signers, check_signature, read_signature
from wheelferry.client.preflight.paths import usual_windows_prefix
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models import stable_abi
from wheelferry.models.lock import (
    LockedWheel,
    Pin,
    PinnedFile,
    parse_pylock,
    parse_requirements,
    taken_instead,
)
from wheelferry.models.manifest import (
    NAME,
    REPORT,
    SIGNATURE,
    Manifest,
    TargetEntry,
    is_untouched,
)
from wheelferry.models.present import by_name
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.wheel_info import WheelInfo, filename_parts
from wheelferry.system.files import sha256_file
from wheelferry.system.threads import in_threads
from wheelferry.verification.installation.apps import check_apps
from wheelferry.verification.static import checks
from wheelferry.verification.static.binary_checks import (
    check_device_code,
    check_elf,
    check_functions,
    check_pe,
    check_stable,
)
from wheelferry.verification.static.checks import LongestPath
from wheelferry.verification.static.linux_binaries import check_linux
from wheelferry.verification.static.macos_binaries import check_macos
from wheelferry.verification.static.reference import Reference, compare_with_present
from wheelferry.verification.static.startup_notes import startup_notes
from wheelferry.verification.static.torch_symbols import TORCH
from wheelferry.verification.supply import supply_wheels
from wheelferry.wheels import extensions
from wheelferry.wheels.compiled import ElfFiles, MachoFiles, PeFiles
from wheelferry.wheels.contents import Contents, read_contents
from wheelferry.wheels.processor_needs import processor_needs
from wheelferry.wheels.read import read_wheel
from wheelferry.wheels.record import DIFFERS


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A bundle whose files were hashed: manifest, hash by path, and wheels read by path.

    `locks` are the lock files of each target by the target's name.
    `published_so` are contents that differ from a wheel's RECORD in the wheel as its index has it.
    `contents` are what is in the wheels by their paths; `read_before` are those that were read on an earlier
    day, and only hashed this time. `reference` is what the wheels of thin targets are compared with, by the
    target's name. `longest_paths` are one of each target for Windows. `notes` are what works
    on some clients only.
    `signed_by` names the key whose signature was found good.
    """

    root: Path
    manifest: Manifest
    hashes: Mapping[str, str]
    wheels: Mapping[str, WheelInfo]
    locks: Mapping[str, "TargetLocks"] = field(default_factory=dict)
    published_so: tuple[str, ...] = ()
    contents: Mapping[str, Contents] = field(default_factory=dict)
    read_before: Mapping[str, dt.date] = field(default_factory=dict)
    reference: Mapping[str, Reference] = field(default_factory=dict)
    longest_paths: tuple[LongestPath, ...] = ()
    notes: tuple[Note, ...] = ()
    signed_by: str | None = None

    @property
    def pe_files(self) -> dict[str, PeFiles]:
        """The DLLs of each wheel that has some."""
        return {path: found.pe_files for path, found in self.contents.items() if found.pe_files != PeFiles()}

    @property
    def elf_files(self) -> dict[str, ElfFiles]:
        """The Linux binaries of each wheel."""
        return {path: found.elf_files for path, found in self.contents.items()}

    @property
    def macho_files(self) -> dict[str, MachoFiles]:
        """The macOS binaries of each wheel."""
        return {path: found.macho_files for path, found in self.contents.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetLocks:
    """The two lock files of one target, each None if it cannot be read; and why it cannot."""

    pins: Mapping[NormalizedName, Pin] | None
    files: Mapping[NormalizedName, PinnedFile] | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFiles:
    """The files of a bundle by path, and what is in its wheels.

    `read_before` are the days on which wheels were read that were only hashed this time.
    """

    files: Mapping[str, HashedFile]
    contents: Mapping[str, Contents]
    read_before: Mapping[str, dt.date] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Limits:
    """The length of the folder that Windows clients install to, and whether paths must fit below it."""

    prefix: int
    checked: bool


def verify_static(
    root: Path,
    tools: Tools,
    *,
    prefix_length: int | None = None,
    signers: Signers | None = None,
    again: bool = False,
) -> tuple[Opened | None, list[Problem]]:
    """Check everything that reading can check; returns what was read, and every problem found.

    `prefix_length` is the length of the folder that Windows clients install to, by default that of the one
    which the installer takes for the longest user name; 0 leaves the length of paths unchecked. With
    `signers` one of them must have signed the manifest; without, a signature that is there must belong to it.
    `again` is whether wheels are unpacked that were read before (see `read_files`).

    A manifest that cannot be read is a problem too, and then there is nothing else to return.
    """
    data = read_manifest(root)
    signed_by, about_signature = _check_signature(data, root, signers)
    problems = [finding for finding in about_signature if isinstance(finding, Problem)]
    try:
        manifest, text = parse_bytes(data, root)
    except InputError as error:
        return None, [Problem(code=Code.MANIFEST, file=NAME, message=str(error)), *problems]
    if not is_untouched(text, manifest):
        message = "its digest does not fit its content: it was altered after packing"
        problems.append(Problem(code=Code.MANIFEST, file=NAME, message=message))
    read = read_files(root, {file.path: file.sha256 for file in manifest.files}, tools, again=again)
    problems += checks.compare_files(manifest.files, read.files)
    problems += check_report(root)
    problems += check_apps(root, read.files)
    wheels, wheel_problems = _read_wheels(root, read.contents)
    published = [p for p in wheel_problems if _is_the_publishers(p, manifest)]
    problems += [p for p in wheel_problems if p not in published]
    opened = Opened(
        root=root,
        manifest=manifest,
        hashes={path: file.sha256 for path, file in read.files.items()},
        wheels=wheels,
        locks={entry.target.name: _read_locks(root, entry) for entry in manifest.targets},
        published_so=tuple(f"{p.file}: {p.message}" for p in published),
        contents=read.contents,
        read_before=read.read_before,
    )
    usual = len(usual_windows_prefix(manifest.recipe))
    limits = _Limits(prefix=prefix_length or usual, checked=prefix_length != 0)
    with tools.store.workspace("reference") as work:
        opened = replace(opened, reference=_references(manifest, work, tools))
        findings = [
            finding for entry in manifest.targets for finding in _check_target(opened, entry, limits, tools)
        ]
    problems += [finding for finding in findings if isinstance(finding, Problem)]
    problems += _unlocked(opened)
    opened = replace(
        opened,
        notes=(
            *dict.fromkeys(n for n in [*about_signature, *findings] if isinstance(n, Note)),
            *startup_notes(root, wheels),
        ),
        longest_paths=tuple(finding for finding in findings if isinstance(finding, LongestPath)),
        signed_by=signed_by,
    )
    return opened, list(dict.fromkeys(problems))


def _references(manifest: Manifest, work: Path, tools: Tools) -> dict[str, Reference]:
    """What thin targets are compared with, by the target's name; the index's wheels are linked to `work`."""
    found = {}
    for entry in manifest.targets:
        supply = supply_wheels(entry, tools)
        paths = {name: work / wheel.filename for name, wheel in supply.wheels.items()}
        contents = {}
        for name, wheel in supply.wheels.items():
            if not paths[name].exists():
                tools.store.place(wheel.sha256, paths[name])
            known = recall_reading(tools.store, wheel.sha256)
            with tools.progress.task(f"read {wheel.filename}"):
                read = known.contents if known else _read_wheel(paths[name], work, tools.store).contents
            if read is not None:
                contents[str(paths[name])] = read
        found[entry.target.name] = Reference(
            paths={name: str(path) for name, path in paths.items()},
            infos={name: read_wheel(path) for name, path in paths.items()},
            contents=contents,
            torch=supply.wheels.get(TORCH),
            lacking=supply.lacking,
        )
    return found


def _check_signature(
    data: bytes, root: Path, signers: Signers | None
) -> tuple[str | None, list[Problem | Note]]:
    """The key that signed the manifest, if any; what is wrong with the signature, or was not looked at."""
    try:
        signature = read_signature(str(root))
        if signature is None and signers is None:
            return None, []
        check_signature(data, signature, str(root), signers)
    except Damaged as error:
        return None, [Problem(code=Code.SIGNATURE, file=SIGNATURE, message=str(error))]
    except NotPossibleHere as error:
        if signers is not None:
            raise
        return None, [Note(file=SIGNATURE, message=f"was not looked at: {error}")]
    return signers.name_of(signature.key) if signers else f"{signature.signer}, not asked for by --key", []


def _is_wheel(path: str) -> bool:
    """Whether a file of the bundle is one of its wheels; those of tools/ and assets/ are only files."""
    return path.endswith(".whl") and path.startswith("wheelhouse/")


def read_files(root: Path, expected: Mapping[str, str], tools: Tools, *, again: bool = False) -> ReadFiles:
    """Hash all files as `hash_files` does, and in the same pass look into the wheels.

    Several at a time, the largest first. Every file is hashed. What is in a wheel that was read before, byte
    for byte the same, is taken from the store, unless it shall be read `again`: `expected` are the hashes by
    path that decide where it is looked for.
    """
    paths = dict(own_files(root))
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    ordered = sorted(paths, key=lambda name: sizes[name], reverse=True)
    with (
        tools.store.workspace("binaries") as work,
        tools.progress.task("hash files, and compare wheels with their RECORD", unit="bytes") as task,
    ):
        task.total(sum(sizes.values()))

        def read(name: str) -> _Read:
            if not _is_wheel(name):
                return _Read(sha256=sha256_file(paths[name], on_bytes=task.advance))
            known = None if again else recall_reading(tools.store, expected.get(name, ""))
            if known is None:
                return _read_wheel(paths[name], work, tools.store, task.advance)
            sha256 = sha256_file(paths[name], on_bytes=task.advance)
            if sha256 == expected[name]:
                return _Read(sha256=sha256, contents=known.contents, read_before=known.date)
            return _read_wheel(paths[name], work, tools.store)

        seen = dict(zip(ordered, in_threads(read, ordered, workers=tools.jobs), strict=True))
    return ReadFiles(
        files={name: HashedFile(sizes[name], seen[name].sha256) for name in paths},
        contents={name: contents for name in paths if (contents := seen[name].contents)},
        read_before={name: date for name in paths if (date := seen[name].read_before)},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """One file that was read; the last two of a wheel only."""

    sha256: str
    contents: Contents | None = None
    read_before: dt.date | None = None


def _read_wheel(
    wheel: Path, work: Path, store: Store, on_bytes: Callable[[int], None] | None = None
) -> _Read:
    sha256, contents = read_contents(wheel, work, on_bytes=on_bytes)
    remember_reading(store, sha256, contents)
    return _Read(sha256=sha256, contents=contents)


def check_report(root: Path) -> Iterator[Problem]:
    """An earlier report's own list against its files."""
    listing = root / REPORT_FILES
    if not listing.is_file():
        return
    try:
        stated = json.loads(listing.read_text("utf-8"))
        items = [(str(name), str(sha256)) for name, sha256 in stated.items()]
    except (ValueError, AttributeError):
        yield Problem(code=Code.REPORT_CHANGED, file=REPORT_FILES, message="cannot be read")
        return
    for name, sha256 in items:
        path = root / REPORT / name
        if not path.is_file() or sha256_file(path) != sha256:
            yield Problem(code=Code.REPORT_CHANGED, file=f"{REPORT}/{name}", message="was altered or removed")


def _read_wheels(root: Path, contents: Mapping[str, Contents]) -> tuple[dict[str, WheelInfo], list[Problem]]:
    """What every wheel says of itself; and a problem for each difference from its RECORD."""
    problems = [
        Problem(code=Code.RECORD, file=name, message=message)
        for name, found in contents.items()
        for message in found.differences
    ]
    wheels: dict[str, WheelInfo] = {}
    for name in sorted(contents):
        try:
            wheels[name] = read_wheel(root / name)
        except IntegrityError as error:
            problems.append(Problem(code=Code.WHEEL_UNREADABLE, file=name, message=str(error)))
    return wheels, problems


def _is_the_publishers(problem: Problem, manifest: Manifest) -> bool:
    """Whether the file has the problem on the index too, so that it is reported but does not fail the bundle.

    torch 1.7 to 1.12 were published with METADATA edited after RECORD was written, torch 1.9.1 with a
    libtorch_cpu.so that was. Damage on the way does not hide behind it: the hash of the whole file was
    compared with the index's when it was downloaded, and is compared with the lock's here.
    """
    name = problem.file.rsplit("/", 1)[-1]
    origin = urlsplit(manifest.origins.get(name, ""))
    published = origin.scheme in ("https", "http") and unquote(origin.path).endswith(f"/{name}")
    return published and problem.code is Code.RECORD and problem.message.endswith(DIFFERS)


def _read_locks(root: Path, entry: TargetEntry) -> TargetLocks:
    problems = []
    pins = files = None
    try:
        pins = parse_requirements((root / entry.requirements).read_text("utf-8"))
    except (OSError, ValueError) as error:
        problems.append(Problem(code=Code.LOCK_UNREADABLE, file=entry.requirements, message=str(error)))
    try:
        files = parse_pylock((root / entry.pylock).read_text("utf-8"))
    except (OSError, ValueError) as error:
        problems.append(Problem(code=Code.LOCK_UNREADABLE, file=entry.pylock, message=str(error)))
    return TargetLocks(pins=pins, files=files, problems=tuple(problems))


def _unlocked(opened: Opened) -> Iterator[Problem]:
    """What lies in the wheelhouse and is in no lock; a lock that cannot be read may name any wheel."""
    locked: set[str] = set()
    for locks in opened.locks.values():
        locked |= set(opened.wheels) if locks.files is None else {file.path for file in locks.files.values()}
    for path in sorted({p for p in opened.hashes if p.startswith("wheelhouse/")} - locked):
        yield Problem(code=Code.WHEEL_UNLOCKED, file=path, message="is in no lock")


def _check_target(
    opened: Opened, entry: TargetEntry, limits: _Limits, tools: Tools
) -> Iterator[Problem | Note | LongestPath]:
    """All that concerns one target: its lock files, its wheels' fit, its closure, its compiled modules."""
    locks = opened.locks[entry.target.name]
    yield from locks.problems
    pylock = locks.files
    if pylock is None:
        return
    if locks.pins is not None:
        yield from checks.compare_locks(entry, locks.pins, pylock, opened.hashes)
    infos: dict[NormalizedName, WheelInfo] = {}
    paths: dict[NormalizedName, str] = {}
    for name, (version, path, _sha256) in pylock.items():
        info = opened.wheels.get(path)
        if info is None:
            continue
        infos[name], paths[name] = info, path
        try:
            stated_name, stated_version, tags = filename_parts(path.rsplit("/", 1)[-1])
        except IntegrityError as error:
            yield Problem(code=Code.NAME, file=path, message=str(error))
            continue
        if (stated_name, stated_version) != (name, version):
            message = f"its name says {stated_name} {stated_version}, {entry.pylock} says {name} {version}"
            yield Problem(code=Code.LOCK_DISAGREES, file=path, message=message)
        wheel = LockedWheel(
            name=stated_name,
            version=stated_version,
            filename=path.rsplit("/", 1)[-1],
            sha256="",
            size=0,
            origin="",
        )
        yield from checks.check_wheel(wheel, info, tags)
        yield from checks.check_fit(path, info, tags, entry.target)
    environment = entry.target.marker_environment
    yield from checks.unsatisfied(infos, paths, environment, entry.excluded, entry.present)
    own = [canonicalize_name(project.distribution) for project in opened.manifest.projects]
    yield from checks.check_requested(entry, infos, paths, own)
    yield from checks.check_downloads(infos, paths, shipped_downloads())
    yield from _note_processor(opened, entry, paths)
    yield from _note_taken_instead(opened, entry, paths)
    wheels = {paths[name]: info for name, info in infos.items()}
    yield from checks.check_installation(wheels, entry.target)
    for one in entry.of_each_project:
        yield from _check_built(opened, one, infos, paths, pylock, tools)
    if entry.target.is_windows:
        yield checks.longest_path(entry, wheels, limits.prefix)
        if limits.checked:
            yield from checks.check_path_lengths(entry, wheels, limits.prefix)
    yield from _check_binaries(opened, entry, infos, paths)
    yield from compare_with_present(opened.reference[entry.target.name], entry, wheels)


def _check_binaries(
    opened: Opened,
    entry: TargetEntry,
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
) -> Iterator[Problem | Note]:
    """Compiled files of the wheels, among those of what is present on the client."""
    reference = opened.reference[entry.target.name]
    all_infos, all_paths = {**infos, **reference.infos}, {**paths, **reference.paths}
    findings: Iterator[Problem | Note]
    if entry.target.is_windows:
        findings = check_pe(entry, all_infos, all_paths, {**opened.pe_files, **reference.pe_files})
    elif entry.target.is_macos:
        macho_files = {**opened.macho_files, **reference.macho_files}
        unseen = reference.lacks_torch(entry)
        findings = check_macos(entry, all_infos, all_paths, macho_files, torch_unseen=unseen)
    else:
        files = {**opened.elf_files, **reference.elf_files}
        unseen = reference.lacks_torch(entry)
        findings = check_linux(entry, all_infos, all_paths, files, torch_unseen=unseen)
    yield from filter(reference.is_about_bundle, findings)


def _note_processor(
    opened: Opened, entry: TargetEntry, paths: Mapping[NormalizedName, str]
) -> Iterator[Problem | Note]:
    """What the client's processor must have, by what is known today: more, maybe, than when it was packed."""
    levels = {opened.root / path: found.x86_level for path, found in opened.contents.items()}
    wheels = [opened.root / path for path in paths.values()]
    try:
        needs = processor_needs(wheels, entry.target, level_of=levels.__getitem__)
    except IntegrityError as error:
        yield Problem(code=Code.WHEEL_UNREADABLE, file=entry.requirements, message=str(error))
        return
    for need in needs:
        wanted = " and ".join(map(named, need.needs))
        instead = f"; for another processor, {need.instead}" if need.instead else ""
        yield Note(file=paths[need.package], message=f"needs a processor with {wanted}{instead}")


def _note_taken_instead(
    opened: Opened, entry: TargetEntry, paths: Mapping[NormalizedName, str]
) -> Iterator[Note]:
    """Where pip and uv by themselves would stop, because another target's wheel is for a newer system."""
    own = [path.rpartition("/")[2] for path in paths.values()]
    there = [path.rpartition("/")[2] for path in opened.wheels]
    for locked, other in taken_instead(own, there, entry.target).items():
        message = (
            f"on a newer system than {entry.target.platform} pip and uv choose {other} in the wheelhouse, "
            f"and stop at its hash; the bundle's installer and {entry.pylock} take the right one"
        )
        yield Note(file=f"wheelhouse/{locked}", message=message)


def _check_built(
    opened: Opened,
    entry: TargetEntry,
    infos: dict[NormalizedName, WheelInfo],
    paths: dict[NormalizedName, str],
    pylock: Mapping[NormalizedName, PinnedFile],
    tools: Tools,
) -> Iterator[Problem | Note]:
    """The wheel built here: tied to the lock's torch, compiled modules there, able to run on the target."""
    path = f"wheelhouse/{entry.built}"
    info = opened.wheels.get(path)
    if info is None:
        yield Problem(
            code=Code.WHEEL_MISSING,
            file=path,
            message="is missing or unreadable; the manifest says it was built",
        )
        return
    reference = opened.reference[entry.target.name]
    torch_wheel = reference.torch
    if torch_wheel is None and TORCH in infos:
        torch_wheel = LockedWheel(
            name=TORCH,
            version=infos[TORCH].version,
            filename=paths[TORCH].rsplit("/", 1)[-1],
            sha256=pylock[TORCH].sha256,
            size=0,
            origin="",
        )
    # those that were built here too, with torch
    beside = [(paths[name], one) for name, one in infos.items() if one.stamp and one.name != info.name]
    present = by_name(entry.present).get(TORCH)
    for place, one in [(path, info), *beside]:
        if present is None:
            yield from checks.check_torch(place, one, torch_wheel, entry.target)
        else:
            yield from checks.check_present_torch(place, one, present, torch_wheel)
    yield from _check_same_build(infos, paths)
    for module in extensions.missing_extensions(info, entry.extensions, entry.target):
        yield Problem(code=Code.OPS, file=path, message=f"has no compiled {module}")
    if stable_abi.is_stable(info.stamp):
        yield from checks.check_cuda(path, info, entry.target)
        yield from check_stable(opened.root / path, path, entry.target)
    if entry.target.is_windows:
        if pe.dll_hook_name(info.name) not in info.files:
            message = (
                "does not tell Windows where the runtime of Visual C++ lies: in a virtual environment torch "
                "would not find it; an older wheelferry built it, build it again"
            )
            yield Problem(code=Code.LIBRARY, file=path, message=message)
        yield from check_device_code(opened.root / path, path, entry)
        all_infos, all_paths = {**infos, **reference.infos}, {**paths, **reference.paths}
        if TORCH in all_infos:
            files = {**opened.pe_files, **reference.pe_files}
            functions = check_functions(opened.root, path, all_paths, all_infos, files, tools)
            yield from filter(reference.is_about_bundle, functions)
    elif not entry.target.is_macos:  # `check_macos` looks at the built wheels with all others
        everything = [*infos.values(), *reference.infos.values()]
        unseen = reference.lacks_torch(entry)
        yield from check_elf(opened.root / path, path, entry, everything, torch_unseen=unseen)


def _check_same_build(
    infos: Mapping[NormalizedName, WheelInfo], paths: Mapping[NormalizedName, str]
) -> Iterator[Problem]:
    torch, vision = NormalizedName("torch"), NormalizedName("torchvision")
    if torch in infos and vision in infos:
        pair = [(infos[name].version, paths[name].rsplit("/", 1)[-1]) for name in (torch, vision)]
        reason = extensions.mixed_builds(pair[0], pair[1])
        if reason:
            yield Problem(code=Code.BUILDS, file=paths[vision], message=reason)
