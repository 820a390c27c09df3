"""Libraries that a client's system may lack although wheels expect them there, and what brings them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemLibraries:
    """`packages` has Debian's package of each library, `headless` what does the same without a screen."""

    packages: Mapping[str, str]
    headless: Mapping[NormalizedName, str]


def parse_system_libraries(text: str) -> SystemLibraries:
    """Read the table that is shipped."""
    table = tomllib.loads(text)
    return SystemLibraries(
        packages={library: package for package, found in table["packages"].items() for library in found},
        headless={canonicalize_name(name): other for name, other in table["headless"].items()},
    )
