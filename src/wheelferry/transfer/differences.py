"""How two bundles differ: targets, packages, assets, files, bytes. From their manifests and locks alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version

from wheelferry.models.manifest import File, Manifest, TargetEntry
from wheelferry.models.targets import Target

# Version and SHA-256 of each package of a lock.
Pins = Mapping[NormalizedName, tuple[Version, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """What is compared of a bundle: its manifest, and what each target's lock pins, by the target's name."""

    manifest: Manifest
    pins: Mapping[str, Pins]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A value that is another one now; None for one that is, or was, not there."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetChange:
    """A target of both bundles: what identifies it, if that differs, and its packages.

    `rebuilt` are packages of the same version with other bytes. `left_out` are packages that are left out on
    purpose now and were not before, although something requires them; `left_out_before` the other way round.
    """

    old: str
    new: str
    identity: tuple[Change, ...]
    packages: tuple[Change, ...]
    rebuilt: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    left_out_before: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        return bool(self.identity or self.packages or self.rebuilt or self.left_out or self.left_out_before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A file that has the bytes of one of the old bundle, which had another name."""

    old: str
    new: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Everything that differs. `bytes_old` and `bytes_new` are all files, `bytes_lacking` those to bring."""

    properties: tuple[Change, ...]
    targets_added: tuple[str, ...]
    targets_removed: tuple[str, ...]
    targets: tuple[TargetChange, ...]
    assets: tuple[Change, ...]
    files_added: tuple[str, ...]
    files_removed: tuple[str, ...]
    files_changed: tuple[str, ...]
    files_moved: tuple[Move, ...]
    bytes_old: int
    bytes_new: int
    bytes_lacking: int

    def to_json(self) -> dict[str, Any]:
        """The difference as plain values; targets in which nothing differs are left out."""
        return asdict(self)


def compare(old: Bundle, new: Bundle) -> Difference:
    """What is different in `new`."""
    pairs = _pairs(old.manifest.targets, new.manifest.targets)
    known = {one.target for one, _ in pairs}, {other.target for _, other in pairs}
    changes = [_target_change(one, other, old, new) for one, other in pairs]
    before, after = ({file.path: file for file in side.manifest.files} for side in (old, new))
    by_content: dict[str, str] = {}
    for file in old.manifest.files:
        by_content.setdefault(file.sha256, file.path)
    added = sorted(after.keys() - before.keys())
    return Difference(
        properties=_properties(old.manifest, new.manifest),
        targets_added=_names(new.manifest, known[1]),
        targets_removed=_names(old.manifest, known[0]),
        targets=tuple(change for change in changes if change.differs),
        assets=_assets(old.manifest, new.manifest),
        files_added=tuple(path for path in added if after[path].sha256 not in by_content),
        files_removed=tuple(sorted(before.keys() - after.keys())),
        files_changed=tuple(
            sorted(p for p in before.keys() & after.keys() if before[p].sha256 != after[p].sha256)
        ),
        files_moved=tuple(
            Move(old=by_content[after[path].sha256], new=path)
            for path in added
            if after[path].sha256 in by_content
        ),
        bytes_old=sum(file.size for file in old.manifest.files),
        bytes_new=sum(file.size for file in new.manifest.files),
        bytes_lacking=sum(size for sha, size in _contents(after.values()).items() if sha not in by_content),
    )


def _contents(files: Iterable[File]) -> dict[str, int]:
    """The size of each different content: what is there twice is brought once."""
    return {file.sha256: file.size for file in files}


def _pairs(
    old: tuple[TargetEntry, ...], new: tuple[TargetEntry, ...]
) -> list[tuple[TargetEntry, TargetEntry]]:
    """The targets of both bundles, in the new one's order.

    The same ones first; of the rest those that differ in torch, Python or backend alone, where no other
    one could be meant.
    """
    found: list[tuple[TargetEntry, TargetEntry]] = []
    keys: tuple[Callable[[Target], object], ...] = (
        lambda t: t,
        lambda t: (t.python, t.platform, t.backend),
        lambda t: (t.platform, t.torch, t.backend),
        lambda t: (t.python, t.platform, t.torch),
    )
    for key in keys:
        left = [one for one in old if all(one is not pair[0] for pair in found)]
        right = [one for one in new if all(one is not pair[1] for pair in found)]
        for other in right:
            same = [one for one in left if key(one.target) == key(other.target)]
            rivals = [one for one in right if key(one.target) == key(other.target)]
            if len(same) == 1 and len(rivals) == 1:
                found.append((same[0], other))
    return sorted(found, key=lambda pair: pair[1].target.rank)


def _target_change(one: TargetEntry, other: TargetEntry, old: Bundle, new: Bundle) -> TargetChange:
    names = ("python", "platform", "torch", "backend")
    identity = [Change(name=n, old=getattr(one.target, n), new=getattr(other.target, n)) for n in names]
    before, after = old.pins[one.target.name], new.pins[other.target.name]
    packages = [
        Change(name=name, old=_version(before, name), new=_version(after, name))
        for name in sorted(before.keys() | after.keys())
    ]
    return TargetChange(
        old=one.target.name,
        new=other.target.name,
        identity=_differing(identity),
        packages=_differing(packages),
        rebuilt=tuple(
            name
            for name in sorted(before.keys() & after.keys())
            if before[name][0] == after[name][0] and before[name][1] != after[name][1]
        ),
        left_out=tuple(sorted({*other.excluded} - {*one.excluded})),
        left_out_before=tuple(sorted({*one.excluded} - {*other.excluded})),
    )


def _version(pins: Pins, name: NormalizedName) -> str | None:
    return str(pins[name][0]) if name in pins else None


def _properties(old: Manifest, new: Manifest) -> tuple[Change, ...]:
    names = ("recipe", "release", "distribution", "source", "commit", "created_by")
    return _differing(Change(name=n, old=getattr(old, n), new=getattr(new, n)) for n in names)


def _assets(old: Manifest, new: Manifest) -> tuple[Change, ...]:
    """Weights and data by path, with their SHA-256."""
    before, after = (
        {asset.path: hashes.get(asset.path) for asset in side.assets}
        for side in (old, new)
        for hashes in [{file.path: file.sha256 for file in side.files}]
    )
    names = sorted(before.keys() | after.keys())
    return _differing(Change(name=n, old=before.get(n), new=after.get(n)) for n in names)


def _differing(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(change for change in changes if change.old != change.new)


def _names(manifest: Manifest, known: set[Target]) -> tuple[str, ...]:
    return tuple(entry.target.name for entry in manifest.targets if entry.target not in known)
