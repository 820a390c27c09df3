"""What a wheel says of itself, in its file name and in its metadata. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from wheelferry.errors import IntegrityError

# What our builds leave in their wheel's .dist-info: the torch they were compiled against.
STAMP = "wheelferry.json"
_SHORT_NAME = len("ABCDEFGH.EXT")
_LONGEST_PYTHON = "3.99"


class Member(NamedTuple):
    """A file of a wheel as the archive's directory has it: its size in bytes, CRC-32, and how it is packed.

    `method` is a compression method of ZIP archives, such as `zipfile.ZIP_DEFLATED`.
    """

    size: int
    crc: int
    method: int


@dataclass(frozen=True, kw_only=True)
class WheelInfo:
    """What a wheel says of itself.

    `files` are its files by their names in the archive, `links` those that are symbolic links; `metadata` and
    `entry_points` are the texts of METADATA and ``entry_points.txt``. `wheel_version` is that of the format,
    `dist_info` the folder of the metadata.
    """

    name: NormalizedName
    version: Version
    tags: frozenset[Tag]
    requires: tuple[Requirement, ...]
    requires_python: str
    extras: tuple[str, ...]
    files: Mapping[str, Member]
    metadata: str
    entry_points: str
    stamp: bytes | None
    wheel_version: str = "1.0"
    dist_info: str = ""
    links: tuple[str, ...] = ()


def filename_parts(filename: str) -> tuple[NormalizedName, Version, frozenset[Tag]]:
    """Name, version and tags that a wheel's file name states; raises IntegrityError for a malformed one."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise IntegrityError(f"{filename}: {error}") from None
    return name, version, tags


def entry_point_scripts(entry_points: str) -> dict[str, str]:
    """The programs that installers make of ``entry_points.txt``: what each starts (``tool:main``).

    Both kinds, those for the console and those with windows. Raises ValueError for a line that is none of an
    entry point, at which installers stop. Extras, in brackets behind what is started, are heeded by none.
    """
    found: dict[str, str] = {}
    section = ""
    for line in filter(None, map(str.strip, entry_points.splitlines())):
        name, equals, start = line.partition("=")
        if line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif not section or not equals:
            raise ValueError(f"{line[:80]!r} is not an entry point")
        elif section in ("console_scripts", "gui_scripts"):
            found[name.strip()] = "".join(start.partition("[")[0].split())
    return found


def packages_folder(*, windows: bool, python: str = _LONGEST_PYTHON) -> str:
    """The folder of an environment that Python imports from, with a slash at its end."""
    return "Lib/site-packages/" if windows else f"lib/python{python}/site-packages/"


def scripts_folder(*, windows: bool) -> str:
    """The folder of an environment that its programs lie in, with a slash at its end."""
    return "Scripts/" if windows else "bin/"


def installed_path(member: str, *, windows: bool, python: str = _LONGEST_PYTHON) -> str:
    """Where a wheel's member goes, from the environment's folder, by default in the deepest usual layout.

    The folders are those of sysconfig's scheme "venv" and, for headers, of pip.
    """
    packages = packages_folder(windows=windows, python=python)
    folder, _, inside = member.partition("/")
    scheme, _, rest = inside.partition("/")
    if not folder.endswith(".data") or not rest:
        return packages + member
    places = {
        "data": "",
        "scripts": scripts_folder(windows=windows),
        "headers": f"include/site/python{python}/{folder.partition('-')[0]}/",
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
