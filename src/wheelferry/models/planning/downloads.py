"""Packages that download something later than at the import: when they are built, or first used."""

import tomllib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name


@dataclass(frozen=True, kw_only=True, slots=True)
class LaterDownload:
    """What `package` downloads beside itself; `str` is a sentence that says it and what to do instead.

    `required_by` are packages whose users meet it without naming it. `at_build` are paths of files, as they
    are installed below site-packages, of which a wheel of the package must have one: without, its build did
    not get what it fetches. `seen` says with which versions this was seen.
    """

    package: NormalizedName
    required_by: tuple[NormalizedName, ...]
    what: str
    hosts: tuple[str, ...]
    when: str
    instead: str
    at_build: tuple[str, ...]
    seen: str

    def __str__(self) -> str:
        hosts = " and ".join(self.hosts)
        return (
            f"{self.package} fetches {self.what} from {hosts} when {self.when}. "
            f"For a machine without a network: {self.instead}"
        )

    def is_missed_by(self, files: Iterable[str]) -> bool:
        """Whether a wheel of the package with these `files` lacks what its build fetches."""
        ends = tuple(f"/{path}" for path in self.at_build)
        return bool(ends) and not any(f"/{file}".endswith(ends) for file in files)


def parse_downloads(text: str) -> tuple[LaterDownload, ...]:
    """Read the table that is shipped."""
    return tuple(
        LaterDownload(
            package=canonicalize_name(entry["package"]),
            required_by=tuple(map(canonicalize_name, entry.get("required_by", ()))),
            what=entry["what"],
            hosts=tuple(entry["hosts"]),
            when=entry["when"],
            instead=entry["instead"],
            at_build=tuple(entry.get("at_build", ())),
            seen=entry["seen"],
        )
        for entry in tomllib.loads(text)["downloads"]
    )


def downloads_of(table: Iterable[LaterDownload], names: Container[NormalizedName]) -> Iterator[LaterDownload]:
    """What the packages `names` download later."""
    return (download for download in table if download.package in names)


def downloads_of_requested(
    table: Iterable[LaterDownload], names: Iterable[NormalizedName], excluded: Container[NormalizedName]
) -> Iterator[LaterDownload]:
    """What the packages `names`, and those that they are known to require, download later."""
    asked = set(names)
    for download in table:
        met = download.package in asked or not asked.isdisjoint(download.required_by)
        if met and download.package not in excluded:
            yield download
