"""What a wheel says of itself, in its file name and in its metadata. No I/O."""

from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from wheelferry.errors import IntegrityError

# What our builds leave in their wheel's .dist-info: the torch they were compiled against.
STAMP = "wheelferry.json"
_SHORT_NAME = len("ABCDEFGH.EXT")


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


def installed_path(member: str, *, windows: bool) -> str:
    """Where a wheel's member goes, from the environment's folder, in the deepest of the usual layouts.

    The folders are those of sysconfig's scheme "venv" and, for headers, of pip.
    """
    packages = "Lib/site-packages/" if windows else "lib/python3.99/site-packages/"
    folder, _, inside = member.partition("/")
    scheme, _, rest = inside.partition("/")
    if not folder.endswith(".data") or not rest:
        return packages + member
    places = {
        "data": "",
        "scripts": "Scripts/" if windows else "bin/",
        "headers": f"include/site/python3.99/{folder.partition('-')[0]}/",
    }
    return places.get(scheme, packages) + rest


def path_length(member: str, *, windows: bool) -> int:
    """The characters that a wheel's member takes from the environment's folder on.

    On Windows a folder can only be made where a name of 8.3 characters would still fit into it
    (learn.microsoft.com, "Maximum Path Length Limitation"): it counts with the 12 characters of one.
    Byte code is left out: Python and pip write it where they can, and do without it elsewhere.
    """
    path = installed_path(member, windows=windows)
    folder = path.rpartition("/")[0]
    return max(len(path), len(folder) + _SHORT_NAME) if windows else len(path)
