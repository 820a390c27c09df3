"""Packages that are compiled against torch without saying against which: what goes with which torch."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """Which `versions` of a package go with the releases `torch`; `source` says where that was seen."""

    package: NormalizedName
    torch: SpecifierSet
    versions: SpecifierSet
    source: str


def parse_companions(text: str) -> tuple[Companion, ...]:
    """Read the table that is shipped."""
    return tuple(
        Companion(
            package=canonicalize_name(entry["package"]),
            torch=SpecifierSet(entry["torch"]),
            versions=SpecifierSet(entry["versions"]),
            source=entry["source"],
        )
        for entry in tomllib.loads(text)["companions"]
    )


def limits(table: Iterable[Companion], torch: str) -> tuple[str, ...]:
    """The constraints, as pip writes them, that hold packages to those that go with a torch."""
    fitting = [row for row in table if row.torch.contains(torch, prereleases=True)]
    return tuple(f"{row.package}{row.versions}" for row in fitting)
