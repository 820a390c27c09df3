"""Inspect: what a bundle holds and where it came from, read without hashing it; `verify` proves it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.bundle.reader import open_untouched, select_targets
from wheelferry.cache.pip_config import public_url
from wheelferry.client.apps.start import read_programs
from wheelferry.errors import InputError, IntegrityError, WheelferryError
from wheelferry.matrix.record import read_report
from wheelferry.models.apps import FOLDER as APPS
from wheelferry.models.apps import LISTING
from wheelferry.models.lock import parse_pylock
from wheelferry.models.manifest import NAME, REPORT, SIGNATURE, File, Manifest, TargetEntry
from wheelferry.models.problems import Note, Problem
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.progress import Progress
from wheelferry.system.files import sha256_file
from wheelferry.system.threads import in_threads
from wheelferry.verification.static.checks import check_installation
from wheelferry.wheels.licences import Licence, Terms, judge
from wheelferry.wheels.read import read_terms, read_wheel
from wheelferry.wheels.startup import StartupCode, startup_code

# Reading a wheel is waiting for the disk, and a little of unzipping.
READERS = 4
_UNFIT = "copy the bundle again from where it was made; wheelferry verify says more"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a wheel's bytes come from.

    `kind` is ``index`` (downloaded as it is from `url`), ``sdist`` (built from the one at `url`), ``built``
    (the project itself, made from `commit` under the build key `key`), ``file`` (a local one) or
    ``unknown`` (the manifest does not say it of the installers' own wheels).
    """

    kind: str
    url: str
    commit: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One wheel of the bundle: what it says of itself, its licence, where it comes from.

    `startup` is its code that runs whenever Python starts.
    """

    file: File
    info: WheelInfo
    origin: Origin
    licence: Licence
    licence_files: tuple[str, ...]
    startup: tuple[StartupCode, ...]

    @property
    def filename(self) -> str:
        """The name of the wheel's file."""
        return self.file.path.rpartition("/")[2]

    @property
    def title(self) -> str:
        """Name and version, as in ``torch 2.13.0``."""
        return f"{self.info.name} {self.info.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedTarget:
    """One target: its wheels in name order, and those that its installer itself consists of."""

    entry: TargetEntry
    packages: tuple[Package, ...]
    installers: tuple[Package, ...]

    @property
    def findings(self) -> tuple[Problem | Note, ...]:
        """What installers stop at, or pass over in silence; `verify` says the same."""
        wheels = {package.file.path: package.info for package in self.packages}
        return tuple(check_installation(wheels, self.entry.target))

    @property
    def all(self) -> tuple[Package, ...]:
        """Every wheel that reaches a client of the target."""
        return (*self.packages, *self.installers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the bundle's report says, or in `trouble` why it says nothing.

    `levels` are the levels that passed, by target; a static report names no target.
    """

    date: str = ""
    level: str = ""
    passed: bool = False
    levels: Mapping[str, tuple[str, ...]]
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What a bundle says of itself; nothing here is proven but the digest of the manifest.

    `programs` are those for the client: what each does, by its name.
    """

    root: Path
    manifest: Manifest
    targets: tuple[InspectedTarget, ...]
    evidence: Evidence
    signed: bool
    programs: Mapping[str, str]

    @property
    def packages(self) -> tuple[Package, ...]:
        """The wheels of all targets, each once, in the order of their files."""
        found = {package.file.path: package for target in self.targets for package in target.all}
        return tuple(package for _, package in sorted(found.items()))

    @property
    def unclear(self) -> tuple[Package, ...]:
        """The wheels whose licence is in doubt."""
        return tuple(package for package in self.packages if package.licence.doubt)


def inspect(root: Path, progress: Progress, *, only: str | None = None) -> Inspection:
    """Read the bundle in `root`, all targets or `only`.

    Raises InputError for what is not a bundle or has no such target, IntegrityError for an altered
    manifest or lock, and for files that are missing or have another size.
    """
    manifest = open_untouched(root)
    _require_files(root, manifest)
    entries = select_targets(manifest, only)
    locks = {entry.target: locked_paths(root, manifest, entry) for entry in entries}
    own = {entry.target: [path for path in (entry.uv, entry.pip) if path] for entry in entries}
    paths = sorted({path for by_target in (locks, own) for found in by_target.values() for path in found})
    with progress.task("read wheels", total=len(paths)) as task:

        def read(path: str) -> tuple[WheelInfo, Terms, tuple[StartupCode, ...]]:
            wheel = root / path
            info = read_wheel(wheel)
            seen = info, read_terms(wheel), startup_code(wheel, info)
            task.advance()
            return seen

        seen = dict(zip(paths, in_threads(read, paths, workers=READERS), strict=True))
    files = {file.path: file for file in manifest.files}
    packages = {
        path: Package(
            file=files[path],
            info=info,
            origin=_origin(path, info, manifest),
            licence=judge(terms),
            licence_files=terms.files,
            startup=startup,
        )
        for path, (info, terms, startup) in seen.items()
    }
    return Inspection(
        root=root,
        manifest=manifest,
        targets=tuple(
            InspectedTarget(
                entry=entry,
                packages=tuple(packages[path] for path in locks[entry.target]),
                installers=tuple(packages[path] for path in own[entry.target]),
            )
            for entry in entries
        ),
        evidence=_evidence(root, manifest),
        signed=(root / SIGNATURE).is_file(),
        programs=_programs(root, files),
    )


def _programs(root: Path, files: Mapping[str, File]) -> dict[str, str]:
    """What each program for the client does, by its name; IntegrityError for an altered list."""
    name = f"{APPS}/{LISTING}"
    if name not in files:
        return {}
    if sha256_file(root / name) != files[name].sha256:
        raise IntegrityError(f"{root / name}: it is not the list that was packed", hint=_UNFIT)
    return {str(one["name"]): str(one["help"]) for one in read_programs(str(root / APPS))}


def locked_paths(root: Path, manifest: Manifest, entry: TargetEntry) -> tuple[str, ...]:
    """The bundle's paths of a target's wheels in name order; raises IntegrityError for an altered lock."""
    files = {file.path: file for file in manifest.files}
    path = root / entry.pylock
    try:
        if entry.pylock not in files or sha256_file(path) != files[entry.pylock].sha256:
            raise IntegrityError(f"{path}: it is not the lock that was packed", hint=_UNFIT)
        locked: Mapping[NormalizedName, tuple[Any, str, str]] = parse_pylock(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: it cannot be read ({error})", hint=_UNFIT) from None
    foreign = [wheel for _, wheel, _ in locked.values() if wheel not in files]
    if foreign:
        raise IntegrityError(
            f"{path} names {', '.join(foreign[:5])}, which {NAME} does not list", hint=_UNFIT
        )
    return tuple(wheel for _, (_, wheel, _) in sorted(locked.items()))


def _require_files(root: Path, manifest: Manifest) -> None:
    """Raise IntegrityError, naming them, for files that are missing, not listed, or of another size."""
    listed = {file.path for file in manifest.files}
    named = [path for entry in manifest.targets for path in entry.named]
    named += [asset.path for asset in manifest.assets]
    unfit = [f"{path} is named in {NAME}, but not listed" for path in named if path not in listed]
    for file in manifest.files:
        path = root / file.path
        if not path.is_file():
            unfit.append(f"{path} is missing")
        elif path.stat().st_size != file.size:
            unfit.append(f"{path} has {path.stat().st_size} bytes instead of {file.size}")
    if unfit:
        more = f"\nand {len(unfit) - 10} more" if len(unfit) > 10 else ""
        raise IntegrityError("\n".join(unfit[:10]) + more, hint=_UNFIT)


def _origin(path: str, info: WheelInfo, manifest: Manifest) -> Origin:
    filename = path.rpartition("/")[2]
    url = public_url(manifest.origins.get(filename, ""))
    # a stamp is also in what was built with torch from the sdist of another project
    if info.stamp is not None and (not url or url.endswith(".whl")):
        own = [one for one in manifest.projects if canonicalize_name(one.distribution) == info.name]
        project = own[0] if own else manifest.projects[0]
        return Origin(
            kind="built", url=public_url(project.source), commit=project.commit, key=_key(info.stamp)
        )
    if not url.startswith(("https:", "http:")):
        return Origin(kind="file" if url else "unknown", url=url)
    return Origin(kind="index" if url.endswith(".whl") else "sdist", url=url)


def _key(stamp: bytes) -> str:
    """The build key in a wheel's stamp; a wheel that was built elsewhere and then tied has none."""
    try:
        return str(json.loads(stamp).get("key", ""))
    except (ValueError, AttributeError):
        return ""


def _evidence(root: Path, manifest: Manifest) -> Evidence:
    """What the report says; a report that cannot count says why."""
    if not (root / REPORT / "report.json").is_file():
        return Evidence(levels={}, trouble="none: it was not verified, or the report was left behind")
    try:
        report = read_report(root, manifest)
        return Evidence(
            date=str(report["date"]),
            level=str(report["level"]),
            passed=bool(report["passed"]),
            levels={
                str(target["target"]): tuple(str(lv["level"]) for lv in target["levels"] if lv["passed"])
                for target in report["targets"]
            },
        )
    except WheelferryError as error:
        return Evidence(levels={}, trouble=str(error))
    except (KeyError, TypeError, ValueError) as error:
        return Evidence(levels={}, trouble=f"its report makes no sense ({type(error).__name__}: {error})")


def require_outside(root: Path, output: Path, *, option: str) -> None:
    """Raise InputError for an output that is the bundle or lies in it."""
    bundle, final = root.resolve(), output.resolve()
    if final == bundle or bundle in final.parents:
        raise InputError(
            f"{output} is or lies in the bundle, whose files must stay as they are",
            hint=f"choose another place for {option}",
        )
