"""The simple repository API: what an index says of its projects and files, as JSON. No I/O.

PEP 503 and 691 (the pages), 658 and 714 (metadata beside the file), 700 (versions and sizes).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from packaging.utils import NormalizedName
from packaging.version import Version

# Where the pages and the files are, from the top of what is served.
PAGES = "simple"
FILES = "files"
# What a file's metadata is called, after the name of the file (PEP 658).
METADATA = ".metadata"
_API_VERSION = "1.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedWheel:
    """A wheel as an index offers it; sizes in bytes. When it was uploaded is not known, and not said."""

    filename: str
    name: NormalizedName
    version: Version
    sha256: str
    size: int
    requires_python: str
    metadata_sha256: str

    @property
    def url(self) -> str:
        """The file's address, from the page of its project; a local version has a ``+`` in it."""
        return f"../../{FILES}/{quote(self.filename)}"


def by_project(wheels: Iterable[ServedWheel]) -> dict[NormalizedName, tuple[ServedWheel, ...]]:
    """The wheels of each project, projects by name, wheels by version and file name."""
    found: dict[NormalizedName, list[ServedWheel]] = {}
    for wheel in wheels:
        found.setdefault(wheel.name, []).append(wheel)
    return {
        name: tuple(sorted(found[name], key=lambda wheel: (wheel.version, wheel.filename)))
        for name in sorted(found)
    }


def projects_json(names: Iterable[NormalizedName]) -> str:
    """The index's root as JSON."""
    return _text({"meta": {"api-version": _API_VERSION}, "projects": [{"name": name} for name in names]})


def project_json(name: NormalizedName, wheels: Iterable[ServedWheel]) -> str:
    """The page of one project as JSON."""
    offered = list(wheels)
    return _text(
        {
            "meta": {"api-version": _API_VERSION},
            "name": name,
            "versions": list(dict.fromkeys(str(wheel.version) for wheel in offered)),
            "files": [_file(wheel) for wheel in offered],
        }
    )


def _file(wheel: ServedWheel) -> dict[str, Any]:
    stated = {
        "filename": wheel.filename,
        "url": wheel.url,
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size,
        "core-metadata": {"sha256": wheel.metadata_sha256},
    }
    return {**stated, "requires-python": wheel.requires_python} if wheel.requires_python else stated


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
