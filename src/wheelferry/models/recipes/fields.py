"""The kinds of values that a recipe's keys have: version ranges, requirements, paths, hashes."""

from functools import cache
from pathlib import PurePosixPath
from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"not a version range: {error}") from None
    return text


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"not a requirement: {error}") from None
    return text


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        raise ValueError("not a version") from None


def stay_inside(text: str) -> str:
    """The text, if it is a relative POSIX path that stays in its folder; raises ValueError."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        raise ValueError("must be a relative path with forward slashes that stays inside")
    return text


Range = Annotated[str, AfterValidator(_specifier), Field(examples=[">=1.8"])]
RequirementText = Annotated[str, AfterValidator(_requirement), Field(examples=["numpy>=1.24"])]
VersionText = Annotated[str, AfterValidator(_version), Field(examples=["2.13.0"])]
RelativePath = Annotated[str, AfterValidator(stay_inside)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="full SHA-1 of the commit")]
TreeHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 over a folder's files")]
SdistHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the source archive")]
ProjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
PackageName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["mine"])]
RootName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", examples=["cache"])]
ReferenceText = Annotated[
    str, Field(pattern=r"^[^@\s]+@[^@\s]+$", description="RECIPE@RELEASE", examples=["other@1.0"])
]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["ZOO_CACHE"])]
SchemePrefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://$", examples=["zoo://"])]


@cache
def in_range(specifier: str, version: str) -> bool:
    """Whether `version` is in the range; a matrix asks the same few questions thousands of times."""
    return SpecifierSet(specifier).contains(version, prereleases=True)


@cache
def name_of(requirement: str) -> str:
    """The project that a requirement names; cached, as a matrix asks for the same few thousands of times."""
    return Requirement(requirement).name
