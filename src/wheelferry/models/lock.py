"""The lock of one target: choosing wheels from a resolution, and writing what was chosen."""

import json
import re
import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import tomli_w
from packaging.markers import Marker
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.present import PresentPackage
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import filename_parts


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One package of a resolution and the file chosen for it: a wheel that fits, or an sdist to build."""

    name: NormalizedName
    version: Version
    filename: str
    url: str
    sha256: str | None
    is_sdist: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedWheel:
    """A wheel of the lock, by the bytes we hold; `origin` is where they came from."""

    name: NormalizedName
    version: Version
    filename: str
    sha256: str
    size: int
    origin: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """The exact wheels of one target, in name order.

    `excluded` are packages that were left out on purpose, although some of the wheels require them; `present`
    are required too, and must be on the client already.
    """

    target: Target
    wheels: tuple[LockedWheel, ...]
    excluded: tuple[NormalizedName, ...] = ()
    present: tuple[PresentPackage, ...] = ()

    def wheel(self, name: str) -> LockedWheel:
        """The wheel of project `name`; raises KeyError when the lock does not have it."""
        for wheel in self.wheels:
            if wheel.name == canonicalize_name(name):
                return wheel
        raise KeyError(name)


AllowedHashes = Mapping[NormalizedName, frozenset[str]]


def choose_files(
    resolution: str,
    target: Target,
    *,
    base: Path,
    allowed: AllowedHashes | None = None,
    present: Container[NormalizedName] = (),
    smallest: bool = False,
) -> tuple[Choice, ...]:
    """Choose the best file for `target` from each package of a PEP 751 text.

    The best is the one whose tags are the most specific, as installers choose; or, of those that fit, the
    `smallest`: a package that has parts of it compiled may have a wheel without them.

    Relative paths in the text count from `base`. Of a project in `allowed` only files with one of its SHA-256
    count, and those whose SHA-256 the text does not say: see `require_allowed`. Of what is `present` no file
    is chosen. Raises InputError naming
    every package that has neither a fitting wheel nor an sdist, IntegrityError where it has but not an
    allowed one.
    """
    allowed = allowed or {}
    try:
        pylock = Pylock.from_dict(tomllib.loads(resolution))
    except PylockValidationError as error:
        raise IntegrityError(f"the resolution is not a valid pylock: {error}") from None
    choices, problems, unexpected = [], [], []
    for package in pylock.packages:
        if package.name in present:
            continue
        if package.marker and not package.marker.evaluate(target.marker_environment):
            continue
        choice = _choose(package, target, base, allowed.get(package.name), smallest=smallest)
        if choice is None and package.name in allowed and _choose(package, target, base):
            unexpected.append(f"{package.name} {package.version}")
        elif choice is None:
            problems.append(f"{package.name} {package.version}: no wheel for {target.name} and no sdist")
        else:
            choices.append(choice)
    if problems:
        raise InputError(
            "\n".join(problems), hint="choose another Python or platform, or constrain these packages"
        )
    if unexpected:
        raise IntegrityError(
            f"no file for {target.name} has one of the given hashes: {', '.join(unexpected)}",
            hint=_OTHER_HASHES,
        )
    return tuple(choices)


_OTHER_HASHES = (
    "are the hashes those of another platform or Python? `pip-compile --generate-hashes` writes them for all "
    "files of a release; if they should fit, do not use these files before you know why they do not"
)


def require_allowed(file: Choice | LockedWheel, sha256: str, allowed: AllowedHashes) -> None:
    """Raise IntegrityError when `sha256`, the hash of `file`, is not among those allowed of its project."""
    if sha256 not in allowed.get(file.name, {sha256}):
        raise IntegrityError(
            f"{file.filename} has the SHA-256 {sha256}, which is not among those given for {file.name}",
            hint=_OTHER_HASHES,
        )


def _choose(
    package: Package,
    target: Target,
    base: Path,
    allowed: frozenset[str] | None = None,
    *,
    smallest: bool = False,
) -> Choice | None:
    def counts(file: PackageWheel | PackageSdist) -> bool:
        return allowed is None or file.hashes.get("sha256") in (None, *allowed)

    rank = {tag: number for number, tag in enumerate(target.tags)}
    best: tuple[tuple[int, int], PackageWheel, str] | None = None
    for wheel in filter(counts, package.wheels or ()):
        filename = _filename(wheel)
        fitting = [rank[tag] for tag in filename_parts(filename)[2] if tag in rank]
        if not fitting:
            continue
        # not every index tells sizes
        place = (wheel.size or 0 if smallest else 0, min(fitting))
        if best is None or place < best[0]:
            best = (place, wheel, filename)
    if best is not None:
        return _as_choice(package, best[1], best[2], base, is_sdist=False)
    if package.sdist is not None and counts(package.sdist):
        return _as_choice(package, package.sdist, _filename(package.sdist), base, is_sdist=True)
    return None


def _as_choice(
    package: Package, file: PackageWheel | PackageSdist, filename: str, base: Path, *, is_sdist: bool
) -> Choice:
    url = file.url or (base / (file.path or "")).resolve().as_uri()
    return Choice(
        name=package.name,
        version=package.version or Version("0"),
        filename=filename,
        url=url,
        sha256=file.hashes.get("sha256"),
        is_sdist=is_sdist,
    )


def _filename(file: PackageWheel | PackageSdist) -> str:
    if file.name:
        return file.name
    return unquote(urlsplit(file.url or "").path or file.path or "").replace("\\", "/").rsplit("/", 1)[-1]


def choices_to_json(choices: Iterable[Choice]) -> str:
    """Choices as JSON text, to be remembered."""
    return json.dumps([{**asdict(choice), "version": str(choice.version)} for choice in choices], indent=1)


def choices_from_json(text: str) -> tuple[Choice, ...]:
    """Read back what `choices_to_json` wrote; nothing when another version wrote it."""
    try:
        return tuple(Choice(**{**item, "version": Version(item["version"])}) for item in json.loads(text))
    except (ValueError, TypeError, KeyError):
        return ()


def requirements_text(lock: Lock) -> str:
    """``requirements.txt`` with hashes, as pip's and uv's ``--require-hashes`` want it."""
    no_deps = " --no-deps" if lock.excluded or lock.present else ""
    options = f"--no-index --find-links wheelhouse --require-hashes{no_deps}"
    lines = [f"# wheels of {lock.target.name}; install with {options}"]
    if lock.excluded:
        lines.append(f"# left out on purpose, although it is required: {', '.join(lock.excluded)}")
    if lock.present:
        lines.append(f"# must be there already: {', '.join(map(str, lock.present))}")
    lines += [f"{wheel.name}=={wheel.version} \\\n    --hash=sha256:{wheel.sha256}" for wheel in lock.wheels]
    return "\n".join(lines) + "\n"


def pylock_text(lock: Lock, *, created_by: str) -> str:
    """The same lock as PEP 751, its paths relative to the bundle."""
    target = lock.target
    environment = target.marker_environment
    marker = (
        f"sys_platform == '{environment['sys_platform']}' and platform_machine == "
        f"'{environment['platform_machine']}' and python_version == '{target.python}'"
    )
    pylock = Pylock(
        lock_version=Version("1.0"),
        environments=[Marker(marker)],
        requires_python=SpecifierSet(f"=={target.python}.*"),
        created_by=created_by,
        packages=[
            Package(
                name=wheel.name,
                version=wheel.version,
                wheels=[
                    PackageWheel(
                        name=wheel.filename,
                        path=f"wheelhouse/{wheel.filename}",
                        size=wheel.size,
                        hashes={"sha256": wheel.sha256},
                    )
                ],
            )
            for wheel in lock.wheels
        ],
    )
    pylock.validate()
    return tomli_w.dumps(dict(pylock.to_dict()))


class Pin(NamedTuple):
    """What a requirements file says of a package: its version, and the SHA-256 of its wheel."""

    version: Version
    sha256: str


class PinnedFile(NamedTuple):
    """What a pylock file says of a package: its version, its wheel's path in the bundle and SHA-256."""

    version: Version
    path: str
    sha256: str


def parse_requirements(text: str) -> dict[NormalizedName, Pin]:
    """Read back what `requirements_text` wrote, by name; ValueError for anything else."""
    found: dict[NormalizedName, Pin] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin, _, digest = line.partition("--hash=sha256:")
        name, equals, version = pin.strip().partition("==")
        if not equals or not digest:
            raise ValueError(f"not a pin with a hash: {line.strip()[:80]}")
        if canonicalize_name(name) in found:
            raise ValueError(
                f"{name} has two versions: {found[canonicalize_name(name)].version} and {version.strip()}"
            )
        found[canonicalize_name(name)] = Pin(Version(version), digest.strip())
    return found


def parse_pylock(text: str) -> dict[NormalizedName, PinnedFile]:
    """Read back what `pylock_text` wrote, by name; ValueError for anything else."""
    try:
        pylock = Pylock.from_dict(tomllib.loads(text))
    except PylockValidationError as error:
        raise ValueError(str(error)) from None
    found: dict[NormalizedName, PinnedFile] = {}
    for package in pylock.packages:
        wheels = package.wheels or ()
        if len(wheels) != 1 or wheels[0].path is None or package.version is None:
            raise ValueError(f"{package.name}: expected one wheel with a path")
        if package.name in found:
            raise ValueError(
                f"{package.name} has two versions: {found[package.name].version} and {package.version}"
            )
        found[package.name] = PinnedFile(
            version=package.version, path=wheels[0].path, sha256=wheels[0].hashes.get("sha256", "")
        )
    return found


def taken_instead(locked: Iterable[str], wheelhouse: Iterable[str], target: Target) -> dict[str, str]:
    """Locked wheels that pip and uv pass over in a folder, and the file of the same version that they take.

    Both choose by the tag, and on a client with a newer glibc or macOS than the target's another
    target's wheel may fit better; then they see that its hash is not the lock's, and stop. What is no wheel's
    name is left out.
    """
    newest = replace(target, platform=re.sub(r"(manylinux_2_|macosx_)\d+", r"\g<1>99", target.platform))
    rank = {tag: number for number, tag in enumerate(newest.tags)}
    found: dict[tuple[NormalizedName, Version], list[tuple[int, str]]] = {}
    for filename in wheelhouse:
        try:
            name, version, tags = filename_parts(filename)
        except IntegrityError:
            continue
        fitting = [rank[tag] for tag in tags if tag in rank]
        if fitting:
            found.setdefault((name, version), []).append((min(fitting), filename))
    best = {key: min(files) for key, files in found.items()}
    own = set(locked)
    return {
        filename: best[key][1]
        for key, files in found.items()
        for place, filename in files
        if filename in own and best[key][0] < place
    }


def with_wheels_in(text: str, folder: str) -> str:
    """The PEP 751 text that `pylock_text` wrote, for another place, from which the wheels are in `folder`."""
    document = tomllib.loads(text)
    for package in document["packages"]:
        for wheel in package["wheels"]:
            wheel["path"] = f"{folder}/{wheel['name']}"
    return tomli_w.dumps(document)


def by_name(wheels: Iterable[LockedWheel]) -> Mapping[NormalizedName, LockedWheel]:
    """Index wheels by project name."""
    return {wheel.name: wheel for wheel in wheels}
