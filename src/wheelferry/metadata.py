"""What a wheel says of itself, in its file name and in its metadata. No I/O."""

from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from wheelferry.errors import IntegrityError

# What our builds leave in their wheel's .dist-info: the torch they were compiled against.
STAMP = "wheelferry.json"


@dataclass(frozen=True, kw_only=True)
class WheelInfo:
    """What a wheel says of itself."""

    name: NormalizedName
    version: Version
    tags: frozenset[Tag]
    requires: tuple[Requirement, ...]
    requires_python: str
    extras: tuple[str, ...]
    files: tuple[str, ...]
    stamp: bytes | None


def filename_parts(filename: str) -> tuple[NormalizedName, Version, frozenset[Tag]]:
    """Name, version and tags that a wheel's file name states; raises IntegrityError for a malformed one."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise IntegrityError(f"{filename}: {error}") from None
    return name, version, tags
