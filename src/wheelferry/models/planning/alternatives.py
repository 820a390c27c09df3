"""Packages that install the same modules, of which an environment can have one; and what is left out."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternatives:
    """`packages` that install the same `module`; `source` says where that was seen."""

    module: str
    packages: tuple[NormalizedName, ...]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """A package that is left out although others may require it.

    `instead` is the alternative that was preferred to it, None when the package itself was excluded.
    """

    name: NormalizedName
    instead: NormalizedName | None = None


def parse_alternatives(text: str) -> tuple[Alternatives, ...]:
    """Read the table of alternatives that is shipped."""
    return tuple(
        Alternatives(
            module=entry["module"],
            packages=tuple(canonicalize_name(name) for name in entry["packages"]),
            source=entry["source"],
        )
        for entry in tomllib.loads(text)["alternatives"]
    )


def warnings(table: Iterable[Alternatives], names: Iterable[NormalizedName]) -> Iterator[str]:
    """A sentence for each module that several of the packages `names` install."""
    chosen = set(names)
    for alternatives in table:
        found = [name for name in alternatives.packages if name in chosen]
        if len(found) > 1:
            yield (
                f"{' and '.join(found)} install the same module, {alternatives.module}: the client gets "
                f"files of either, or a mixture. Keep one, as in --prefer {found[0]}"
            )


def exclusions(
    table: Iterable[Alternatives], excluded: Iterable[str], preferred: Iterable[str]
) -> tuple[Exclusion, ...]:
    """What --exclude and --prefer leave out.

    Raises InputError for a preferred package to which no alternative is known.
    """
    known = tuple(table)
    found = [Exclusion(name=canonicalize_name(name)) for name in excluded]
    for name in map(canonicalize_name, preferred):
        others = {other for a in known if name in a.packages for other in a.packages} - {name}
        if not others:
            raise InputError(
                f"--prefer {name}: no alternative to it is known",
                hint="name the packages to leave out, as in --exclude NAME",
            )
        found += [Exclusion(name=other, instead=name) for other in sorted(others)]
    return tuple(found)
