"""Merge: what several machines made, as one bundle, or one wheelhouse; every byte is checked first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelferry.bundle.pack import CREATED_BY, SEALED, check_output, requirements_name, seal
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.apps import FOLDER as APPS
from wheelferry.models.lock import LockedWheel
from wheelferry.models.manifest import NAME, SIGNATURE, Asset, Manifest, TargetEntry
from wheelferry.models.planning.assets import FOLDER as ASSETS
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.files import (
    check_folder,
    copy_aside,
    folder_aside,
    link_or_copy,
    sha256_file,
)
from wheelferry.system.threads import in_threads
from wheelferry.transfer.sources import SMOKE, Intact, Part, join, open_intact, require_apart, require_room
from wheelferry.verification.static import checks
from wheelferry.wheels.read import read_wheel
from wheelferry.wheels.record import record_problems

# What all bundles must agree on: with one of these different, they are bundles of different things.
_SAME = ("recipe", "release", "distribution", "source", "commit", "further")


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What came of it: the manifest of a bundle, or the wheels of a wheelhouse and no manifest."""

    out: Path
    manifest: Manifest | None
    wheels: tuple[Entry, ...] = ()


def merge(roots: Sequence[Path], out: Path, tools: Tools) -> Merged:
    """Merge bundles of one release into the bundle `out`, or folders of wheels into the folder `out`.

    The result does not depend on the order of `roots`. Raises InputError for what cannot go together,
    IntegrityError for altered bytes and for files of one name that differ.
    """
    _check_roots(roots, out)
    tools.progress.stage(f"merge into {out}: {', '.join(map(str, roots))}")
    if (roots[0] / NAME).is_file():
        return Merged(out=out, manifest=_merge_bundles(roots, out, tools))
    return Merged(out=out, manifest=None, wheels=_merge_wheelhouses(roots, out, tools))


def _check_roots(roots: Sequence[Path], out: Path) -> None:
    """Raise InputError unless all are folders of one kind, none of which `out` would touch.

    One alone is all right: it may be the only one that a row of machines could make.
    """
    bundles = [root for root in roots if (root / NAME).is_file()]
    others = [root for root in roots if root not in bundles]
    for root in others:
        if not root.is_dir() or not any(root.glob("*.whl")):
            raise InputError(
                f"{root} is neither a bundle (it has no {NAME}) nor a folder of wheels",
                hint="give folders that bundle --out or build --out made",
            )
    if bundles and others:
        raise InputError(
            f"{bundles[0]} is a bundle, {others[0]} a folder of wheels",
            hint="merge bundles with bundles, and folders of wheels with folders of wheels",
        )
    require_apart(out, roots)


def _merge_bundles(roots: Sequence[Path], out: Path, tools: Tools) -> Manifest:
    check_output(out)
    inputs = [open_intact(root, tools) for root in roots]
    for one in inputs:
        if (one.root / SIGNATURE).exists():
            tools.progress.note(f"{one.root} is signed; what it is merged into is not until you sign it")
    _require_one_release(inputs)
    single = len({entry.target for item in inputs for entry in item.manifest.targets}) == 1
    parts = join({item.root: _parts(item, single=single) for item in inputs}, _gaps(inputs))
    manifest = Manifest(
        **{name: getattr(inputs[0].manifest, name) for name in _SAME},
        created_by=CREATED_BY,
        targets=_targets(inputs, single=single),
        files=(),
        origins=_origins(inputs),
        assets=_assets(inputs),
        asset_variables=_asset_variables(inputs),
    )
    require_room(out, parts, purpose="the merged folder")
    with folder_aside(out) as work:
        _write(work, parts, tools)
        return seal(work, manifest, {name: part.sha256 for name, part in parts.items()})


def _require_one_release(inputs: Sequence[Intact]) -> None:
    """Raise InputError, naming what differs, unless all bundles are of one release of one source."""
    first = inputs[0]
    differences = [
        f"{name}: {_shown(first.manifest, name)} in {first.root}, "
        f"{_shown(item.manifest, name)} in {item.root}"
        for item in inputs[1:]
        for name in _SAME
        if getattr(item.manifest, name) != getattr(first.manifest, name)
    ]
    if differences:
        raise InputError(
            "these are bundles of different things:\n" + "\n".join(differences),
            hint="merge bundles of one release; several projects share a machine as several bundles",
        )


def _shown(manifest: Manifest, name: str) -> str:
    """One of the facts that have to agree, as an error names it."""
    if name == "further":
        return " + ".join(project.title for project in manifest.further) or "no other project"
    return repr(getattr(manifest, name))


def _parts(item: Intact, *, single: bool) -> dict[str, Part]:
    """The files that a bundle gives to the result, by the name that they have there."""
    renamed = {
        entry.requirements: requirements_name(entry.target, single=single) for entry in item.manifest.targets
    }
    return {
        renamed.get(name, name): Part(root=item.root, path=item.root / name, sha256=sha256)
        for name, sha256 in item.hashes.items()
        if name not in SEALED  # written anew, for all targets
    }


def _gaps(inputs: Sequence[Intact]) -> Iterator[str]:
    """Files of the smoke suite, or of the programs, that one bundle has and another has not."""
    parts = (SMOKE, f"{APPS}/")
    suites = {item.root: {name for name in item.hashes if name.startswith(parts)} for item in inputs}
    for name in sorted(set().union(*suites.values())):
        having = [root for root, names in suites.items() if name in names]
        lacking = [root for root, names in suites.items() if name not in names]
        if lacking:
            yield f"{name}: in {having[0]}, not in {lacking[0]}"


def _targets(inputs: Sequence[Intact], *, single: bool) -> tuple[TargetEntry, ...]:
    """The targets of all bundles, each once, in the order that a bundle has them."""
    found: dict[Target, tuple[TargetEntry, Path]] = {}
    for item in inputs:
        for entry in item.manifest.targets:
            named = replace(entry, requirements=requirements_name(entry.target, single=single))
            first, root = found.setdefault(entry.target, (named, item.root))
            if first != named:
                raise IntegrityError(f"{root} and {item.root} describe {entry.target.name} differently")
    return tuple(found[target][0] for target in sorted(found, key=lambda target: target.rank))


def _origins(inputs: Iterable[Intact]) -> dict[str, str]:
    """Where each wheel came from; of two mirrors the first by name, whatever the order of the bundles."""
    origins: dict[str, str] = {}
    for item in inputs:
        for name, origin in item.manifest.origins.items():
            origins[name] = min(origin, origins.get(name, origin))
    return origins


def _assets(inputs: Iterable[Intact]) -> tuple[Asset, ...]:
    """The assets of all bundles, each once; of two origins the first by name, as with wheels."""
    found: dict[str, tuple[Asset, Path]] = {}
    for item in inputs:
        for asset in item.manifest.assets:
            first, root = found.get(asset.path, (asset, item.root))
            if (first.licence, first.unpack) != (asset.licence, asset.unpack):
                raise IntegrityError(
                    f"{root} and {item.root} describe {asset.path} differently",
                    hint="the bundles were made from different versions of the recipe; make them with one",
                )
            found[asset.path] = (min(first, asset, key=lambda known: known.origin), root)
    return tuple(asset for _, (asset, _) in sorted(found.items()))


def _asset_variables(inputs: Iterable[Intact]) -> dict[str, str]:
    """The environment variable of each asset root; IntegrityError when two bundles name different ones."""
    found: dict[str, tuple[str, Path]] = {}
    for item in inputs:
        for root, variable in item.manifest.asset_variables.items():
            first, where = found.setdefault(root, (variable, item.root))
            if first != variable:
                raise IntegrityError(
                    f"the variable of asset root {root}: {first!r} in {where}, {variable!r} in {item.root}",
                    hint="the bundles were made from different versions of the recipe; make them with one",
                )
    return {root: variable for root, (variable, _) in sorted(found.items())}


def _merge_wheelhouses(roots: Sequence[Path], out: Path, tools: Tools) -> tuple[Entry, ...]:
    parts = join({root: _read_wheelhouse(root, tools) for root in roots})
    _check_wheel_folder(out, set(parts))
    require_room(out, parts, purpose="the merged folder")
    with folder_aside(out) as work:
        _write(work, parts, tools)
    return tuple(
        Entry(sha256=part.sha256, filename=name, size=part.path.stat().st_size)
        for name, part in parts.items()
    )


def _read_wheelhouse(root: Path, tools: Tools) -> dict[str, Part]:
    """The wheels in `root`, each checked against its name and its RECORD; all problems are raised at once."""
    paths = sorted(root.glob("*.whl"))
    left = sorted(path.name for path in root.iterdir() if path not in paths)
    if left:
        tools.progress.note(f"{root}: {', '.join(left[:5])}: no wheels, left out")
    with tools.progress.task(f"check {root}", unit="bytes") as task:
        task.total(sum(path.stat().st_size for path in paths))

        def check(path: Path) -> tuple[str, list[str]]:
            sha256 = sha256_file(path, on_bytes=task.advance)
            return sha256, [f"{path}: {problem}" for problem in _wheel_problems(path)]

        seen = dict(zip(paths, in_threads(check, paths, workers=tools.jobs), strict=True))
    problems = [problem for _, own in seen.values() for problem in own]
    if problems:
        raise IntegrityError("\n".join(problems), hint="build or fetch these wheels again")
    return {path.name: Part(root=root, path=path, sha256=sha256) for path, (sha256, _) in seen.items()}


def _wheel_problems(path: Path) -> Iterator[str]:
    """What is wrong with a wheel: its name, its metadata, its contents."""
    try:
        name, version, tags = filename_parts(path.name)
        info = read_wheel(path)
    except IntegrityError as error:
        yield str(error)
        return
    wheel = LockedWheel(name=name, version=version, filename=path.name, sha256="", size=0, origin="")
    yield from (problem.message for problem in checks.check_wheel(wheel, info, tags))
    yield from record_problems(path)


def _check_wheel_folder(out: Path, names: set[str]) -> None:
    """Raise InputError unless `out` is absent, or a folder without anything that would be lost."""
    if not out.is_dir():
        check_folder(out, option="--out")
        return
    lost = sorted({path.name for path in out.iterdir()} - names)
    if lost:
        raise InputError(
            f"{out} also holds {', '.join(lost[:5])}, which would be lost",
            hint="move these files away, or choose another --out",
        )


def _write(work: Path, parts: Mapping[str, Part], tools: Tools) -> None:
    """Put every part into `work`: wheels and assets as links where that is possible, the rest as copies."""
    with tools.progress.task("link files", total=len(parts)) as task:
        for name, part in parts.items():
            destination = work / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            # a text that someone edits in one bundle must not change in the other
            large = name.endswith(".whl") or name.startswith(f"{ASSETS}/")
            place = link_or_copy if large else copy_aside
            place(part.path, destination)
            task.advance()
