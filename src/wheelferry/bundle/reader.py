"""Opening a bundle: its manifest, its files, and the targets that are asked for."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models import suites
from wheelferry.models.manifest import (
    NAME,
    REPORT,
    SIGNATURE,
    Manifest,
    TargetEntry,
    is_untouched,
    parse_manifest,
)
from wheelferry.system.files import files_below, sha256_file
from wheelferry.system.threads import in_threads

REPORT_FILES = f"{REPORT}/files.json"


def open_bundle(root: Path) -> tuple[Manifest, str]:
    """The manifest of the bundle in `root` and its text; raises InputError when there is none."""
    return parse_bytes(read_manifest(root), root)


def open_untouched(root: Path) -> Manifest:
    """The manifest of the bundle in `root`; IntegrityError when it is not byte for byte as packed."""
    manifest, text = open_bundle(root)
    if not is_untouched(text, manifest):
        raise IntegrityError(
            f"{root / NAME}: its digest does not fit: it was altered after packing",
            hint="copy the bundle again from where it was made; wheelferry verify says more",
        )
    return manifest


def read_manifest(root: Path) -> bytes:
    """The bytes of the manifest in `root`, unread; raises InputError when there is none."""
    try:
        return (root / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(
            f"{root} is not a bundle: it has no {NAME}", hint="give the folder that bundle --out made"
        ) from None


def parse_bytes(data: bytes, root: Path) -> tuple[Manifest, str]:
    """The manifest with the bytes `data` and their text; raises InputError for what is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{root / NAME}: not UTF-8: {error}") from None
    return parse_manifest(text, file=str(root / NAME)), text


def select_targets(manifest: Manifest, only: str | None) -> list[TargetEntry]:
    """All targets of a bundle, or the one called `only`; raises InputError when there is no such target."""
    names = [entry.target.name for entry in manifest.targets]
    if only is not None and only not in names:
        raise InputError(f"the bundle has no target {only!r}", hint=f"it has {', '.join(names)}")
    return [entry for entry in manifest.targets if only in (None, entry.target.name)]


class Suite(NamedTuple):
    """A smoke suite in a bundle: its recipe (empty where there is one project), its folder, what it is."""

    recipe: str
    folder: Path
    document: Mapping[str, Any]


def read_suites(root: Path) -> list[Suite]:
    """The smoke suites of the bundle in `root`, one for each of its projects, in their order."""
    folder = root / suites.FOLDER
    listing = folder / suites.LISTING
    names = json.loads(listing.read_text("utf-8"))["suites"] if listing.is_file() else [""]
    found = [(name, folder / name) for name in names]
    return [Suite(name, own, json.loads((own / suites.SUITE).read_text("utf-8"))) for name, own in found]


class HashedFile(NamedTuple):
    """A file of a bundle as it is on the disk."""

    size: int
    sha256: str


def hash_files(root: Path, tools: Tools) -> dict[str, HashedFile]:
    """Size and SHA-256 of every file but manifest, signature and report, by path with forward slashes."""
    paths = list(own_files(root))
    with tools.progress.task("hash files", unit="bytes") as task:
        task.total(sum(path.stat().st_size for _, path in paths))
        hashes = in_threads(
            lambda item: sha256_file(item[1], on_bytes=task.advance), paths, workers=tools.jobs
        )
        return {
            name: HashedFile(path.stat().st_size, sha256)
            for (name, path), sha256 in zip(paths, hashes, strict=True)
        }


def own_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file but manifest, signature and report: its path in the bundle, and where it is."""
    for path in files_below(root):
        name = path.relative_to(root).as_posix()
        if name not in (NAME, SIGNATURE) and not name.startswith(f"{REPORT}/"):
            yield name, path
