"""Several bundles as the source of one folder: opened only when intact, their files joined by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wheelferry.bundle.reader import hash_files, open_untouched
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.apps import FOLDER as APPS
from wheelferry.models.manifest import Manifest
from wheelferry.models.planning.assets import FOLDER as ASSETS
from wheelferry.system.files import require_space, same_file_system
from wheelferry.verification.static import checks

SMOKE = "smoke/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Intact:
    """A bundle whose manifest is untouched and whose files are the manifest's."""

    root: Path
    manifest: Manifest
    hashes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file for the result: the folder it comes from, where it lies, its bytes."""

    root: Path
    path: Path
    sha256: str


def open_intact(root: Path, tools: Tools) -> Intact:
    """The bundle in `root` after hashing all of it; IntegrityError for anything that its manifest denies."""
    manifest = open_untouched(root)
    tools.progress.note(f"{root}: {', '.join(entry.target.name for entry in manifest.targets)}")
    found = hash_files(root, tools)
    problems = [f"{root}: {problem}" for problem in checks.compare_files(manifest.files, found)]
    problems += [
        f"{root}: {name} is missing; target {entry.target.name} names it"
        for entry in manifest.targets
        for name in entry.named
        if name not in found
    ]
    if problems:
        raise IntegrityError("\n".join(problems), hint=f"wheelferry verify {root} --level static says more")
    hashes = {name: sha256 for name, (_, sha256) in found.items()}
    return Intact(root=root, manifest=manifest, hashes=hashes)


def join(parts: Mapping[Path, Mapping[str, Part]], others: Iterable[str] = ()) -> dict[str, Part]:
    """The files of all folders by name; IntegrityError names all that differ, and `others`."""
    joined: dict[str, Part] = {}
    conflicts = list(others)
    for root, own in parts.items():
        for name, part in own.items():
            first = joined.setdefault(name, part)
            if first.sha256 != part.sha256:
                conflicts.append(f"{name}: {first.sha256} in {first.root}, {part.sha256} in {root}")
    if conflicts:
        raise IntegrityError("these cannot be one:\n" + "\n".join(sorted(conflicts)), hint=_advice(conflicts))
    return dict(sorted(joined.items()))


def _advice(conflicts: Iterable[str]) -> str:
    """What to do about conflicts, by the kind of the first file that differs."""
    name = min(conflicts).partition(": ")[0]
    if name.startswith((SMOKE, f"{APPS}/")):
        return (
            "the bundles were made by different versions of wheelferry or of the recipe, or with different "
            "--app; make them alike"
        )
    if name.startswith(f"{ASSETS}/"):
        return "the bundles carry different files of one name; make one again with --asset NAME=FILE"
    if name.rpartition("/")[2].startswith(("pylock.", "requirements.")):
        return "one target was locked twice, on different days or indexes; leave one of the two bundles out"
    return "two machines made or fetched different files of one name; leave one out, or make it again"


def require_room(out: Path, parts: Mapping[str, Part], *, purpose: str) -> None:
    """Room for what cannot be linked because it lies on another disk."""
    copied = sum(
        part.path.stat().st_size for part in parts.values() if not same_file_system(part.path, out.parent)
    )
    require_space(out.parent, copied, purpose=purpose)


def require_apart(out: Path, roots: Iterable[Path]) -> None:
    """Raise InputError when writing the folder `out` would touch one of the `roots` that it is made of."""
    final = out.resolve()
    for root in roots:
        given = root.resolve()
        if final == given or given in final.parents or final in given.parents:
            raise InputError(f"{out} is, holds or lies in {root}, which is read", hint="choose another --out")
