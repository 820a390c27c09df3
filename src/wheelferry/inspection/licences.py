"""Licences: the texts that the wheels of an inspected bundle carry, one file a package, and a list of all."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wheelferry.errors import InputError
from wheelferry.inspection.inspect import READERS, Inspection, Package, require_outside
from wheelferry.progress import Progress
from wheelferry.system.files import check_folder, folder_aside
from wheelferry.system.threads import in_threads
from wheelferry.wheels.read import read_members

LIST = "licences.json"
# The largest licence text in a wheel of today, torch's own collection, has half a megabyte.
_TEXT_BYTES = 16_000_000
_RULE = "=" * 78


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What was written for one package: its file, or none when its wheels carry no text."""

    name: str
    version: str
    file: str | None
    packages: tuple[Package, ...]


def collect_licences(inspection: Inspection, folder: Path, progress: Progress) -> tuple[Collected, ...]:
    """Write ``<name>-<version>.txt`` for every package with texts, and ``licences.json``, into `folder`.

    The folder appears whole or not at all. Raises InputError for one that holds something else or lies in
    the bundle.
    """
    require_outside(inspection.root, folder, option="--licences")
    _check_folder(folder)
    packages = inspection.packages
    with progress.task("collect licence texts", total=len(packages)) as task:

        def read(package: Package) -> dict[str, bytes]:
            texts = read_members(
                inspection.root / package.file.path, package.licence_files, limit=_TEXT_BYTES
            )
            task.advance()
            return texts

        texts = dict(
            zip((p.file.path for p in packages), in_threads(read, packages, workers=READERS), strict=True)
        )
    groups: dict[tuple[str, str], list[Package]] = {}
    for package in packages:
        groups.setdefault((package.info.name, str(package.info.version)), []).append(package)
    collected = []
    with folder_aside(folder.resolve()) as work:
        for (name, version), own in sorted(groups.items()):
            text = joined_texts(own, texts)
            file = f"{name}-{version}.txt" if text else None
            if file:
                (work / file).write_text(text, "utf-8", newline="\n")
            collected.append(Collected(name=name, version=version, file=file, packages=tuple(own)))
        (work / LIST).write_text(_list(inspection, collected), "utf-8", newline="\n")
    return tuple(collected)


def _check_folder(folder: Path) -> None:
    """Raise InputError unless `folder` is absent, empty, or what an earlier run wrote."""
    check_folder(folder, option="--licences")
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()}
    own = {LIST, *_listed(folder / LIST)} if LIST in names else set()
    lost = sorted(names - own)
    if lost:
        raise InputError(
            f"{folder} also holds {', '.join(lost[:5])}, which would be lost",
            hint="move these files away, or choose another folder for --licences",
        )


def _listed(path: Path) -> set[str]:
    """The files that an earlier list names; nothing when wheelferry did not write it."""
    try:
        return {str(item["file"]) for item in json.loads(path.read_text("utf-8"))["packages"]}
    except (ValueError, KeyError, TypeError):
        return set()


def joined_texts(packages: Iterable[Package], texts: Mapping[str, Mapping[str, bytes]]) -> str:
    """All texts of one version of a package, each once, below the places where it was found."""
    places: dict[str, list[str]] = {}
    for package in packages:
        for name, data in texts[package.file.path].items():
            if b"\0" not in data:  # a PDF or a picture is named in the list, and stays in the wheel
                places.setdefault(_decoded(data), []).append(f"{package.filename}: {name}")
    parts = ["\n".join([_RULE, *where, _RULE, "", text]) for text, where in places.items()]
    return "\n".join(parts)


def _decoded(data: bytes) -> str:
    """A text in UTF-8, or in the older encoding that every byte has a letter in; its line ends made alike."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip() + "\n"


def _list(inspection: Inspection, collected: Iterable[Collected]) -> str:
    document = {
        "bundle": inspection.manifest.digest,
        "packages": [
            {
                "name": one.name,
                "version": one.version,
                "file": one.file,
                "wheels": [
                    {
                        "wheel": package.filename,
                        "licence": package.licence.expression or None,
                        "stated": package.licence.stated,
                        "doubt": package.licence.doubt or None,
                        "texts": list(package.licence_files),
                    }
                    for package in one.packages
                ],
            }
            for one in collected
        ],
        "assets": [{"path": asset.path, "licence": asset.licence} for asset in inspection.manifest.assets],
    }
    return json.dumps(document, indent=1) + "\n"
