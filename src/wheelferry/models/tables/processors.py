"""Packages that need more than the plain processor of their platform: those that do not say so themselves."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

# What each x86-64 level adds, by the names that compilers give it; source: the x86-64 psABI.
_FLAGS = {
    2: ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cmpxchg16b"),
    3: ("avx", "avx2", "fma", "bmi1", "bmi2", "lzcnt", "f16c", "movbe"),
    4: ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessorNeed:
    """A locked package that not every processor of the target's platform runs.

    `needs` are levels of x86-64 (``x86-64-v3``) or features of Arm as Linux names them (``atomics``);
    `instead` says what to do for another processor, empty where nothing is known.
    """

    package: NormalizedName
    version: str
    needs: tuple[str, ...]
    instead: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownNeed:
    """What the releases `versions` of a package need on one machine, and where that was seen."""

    package: NormalizedName
    versions: SpecifierSet
    machine: str
    needs: str
    instead: str
    source: str


def parse_processors(text: str) -> tuple[KnownNeed, ...]:
    """Read the table that is shipped."""
    return tuple(
        KnownNeed(
            package=canonicalize_name(entry["package"]),
            versions=SpecifierSet(entry["versions"]),
            machine=entry["machine"],
            needs=entry["needs"],
            instead=entry["instead"],
            source=entry["source"],
        )
        for entry in tomllib.loads(text)["processors"]
    )


def known_needs(
    table: Iterable[KnownNeed], package: NormalizedName, version: Version, machine: str
) -> Iterator[KnownNeed]:
    """The rows about one release of a package on one machine."""
    for row in table:
        fits = row.versions.contains(version, prereleases=True)
        if (row.package, row.machine) == (package, machine) and fits:
            yield row


def level_of_flags(flags: Iterable[str]) -> int:
    """The x86-64 level that compiler flags (``+avx2``) take, 1 for the baseline."""
    named = {flag.strip().removeprefix("+") for flag in flags if not flag.strip().startswith("-")}
    return max([1, *(level for level, names in _FLAGS.items() if named & set(names))])
