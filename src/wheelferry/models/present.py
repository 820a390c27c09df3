"""What a client has already: packages that a thin bundle requires and does not carry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from wheelferry.client.preflight.present import NO_CUDA, shown
from wheelferry.models.cuda import version_of


@dataclass(frozen=True, kw_only=True, slots=True)
class PresentPackage:
    """A package that the client must have already, in this version.

    The rest is of torch: `cuda` is the CUDA that it is built with (``13.0``, ``none`` for a build without),
    empty where that is not known; `cxx11_abi` whether its libraries use the C++ ABI of GCC 5 and later, None
    where that is not known; `libraries` are its shared libraries and their SHA-256, by their paths below the
    folder of packages, as far as a probe listed them.
    """

    name: NormalizedName
    version: Version
    cuda: str = ""
    cxx11_abi: bool | None = None
    libraries: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """``torch 2.11.0 (CUDA 13.0)``."""
        return str(shown(self.to_json()))

    @property
    def is_torch(self) -> bool:
        """Whether it is torch, of which more is compared than the version."""
        return self.name == "torch"

    def satisfies(self, requirement: Requirement) -> bool:
        """Whether the version is one that `requirement` allows."""
        return requirement.specifier.contains(self.version, prereleases=True)

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it; what is not known is not a key."""
        document: dict[str, Any] = {"name": self.name, "version": str(self.version)}
        if self.cuda:
            document["cuda"] = self.cuda
        if self.cxx11_abi is not None:
            document["cxx11_abi"] = self.cxx11_abi
        if self.libraries:
            document["libraries"] = dict(self.libraries)
        return document


def cuda_of_local(version: Version) -> str:
    """The CUDA that a local version of PyTorch's own builds names; empty for any other."""
    return NO_CUDA if version.local == "cpu" else version_of(version.local or "") or ""


def by_name(present: Iterable[PresentPackage]) -> Mapping[NormalizedName, PresentPackage]:
    """Index present packages by their names."""
    return {one.name: one for one in present}


def needed_of(
    present: Iterable[PresentPackage],
    roots: Iterable[Requirement],
    requires: Mapping[NormalizedName, Iterable[Requirement]],
    environment: Mapping[str, str],
) -> tuple[PresentPackage, ...]:
    """Those of `present` that `roots`, or what is carried for them, require on a target.

    `requires` are the requirements of what is carried, by its name; `environment` are the target's marker
    values. What present packages require themselves does not count: whoever installed them saw to that.
    """
    todo = [one for one in roots if one.marker is None or one.marker.evaluate({**environment, "extra": ""})]
    reached: set[NormalizedName] = set()
    seen: set[tuple[NormalizedName, str]] = set()
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        reached.add(name)
        for extra in ({"", *one.extras}) - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            todo += [
                required
                for required in requires.get(name, ())
                if required.marker is None or required.marker.evaluate({**environment, "extra": extra})
            ]
    return tuple(sorted((one for one in present if one.name in reached), key=lambda one: one.name))
