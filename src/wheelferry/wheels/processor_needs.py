"""What processor the wheels of a target need, as far as that can be told.

Three things tell it: notes in their Python modules, the file in which polars' wheels state the flags that
they were compiled with, and the table of what was seen.
"""

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from wheelferry.binaries.dynamic import x86_level_at_start
from wheelferry.catalog import shipped_processors
from wheelferry.errors import IntegrityError
from wheelferry.models.tables.processors import ProcessorNeed, known_needs, level_of_flags
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import filename_parts
from wheelferry.wheels.archive import UNREADABLE

# Of a module as much as holds its header and, in every file that was seen, its notes.
_START = 8192
_MODULE = re.compile(r"\.(cpython-\w[\w-]*|abi3)\.so$")
# polars checks the processor by these before it loads its binary.
_FLAGS_FILE = "build_feature_flags.py"
_COMPATIBLE = NormalizedName("polars-runtime-compat")
_INSTEAD_OF_POLARS = "make the bundle with --with 'polars[rtcompat]'"


class LevelWatch:
    """Finds the highest x86-64 level that a wheel's own files state, while their bytes pass by."""

    def __init__(self) -> None:
        self.level = 1

    def __call__(self, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on the pieces of the file `name`."""
        if _MODULE.search(name):
            return self._seen(pieces, x86_level_at_start)
        return self._seen(pieces, _level_in) if name.endswith(f"/{_FLAGS_FILE}") else pieces

    def _seen(self, pieces: Iterator[bytes], level_in: Callable[[bytes], int]) -> Iterator[bytes]:
        first = next(pieces, b"")
        self.level = max(self.level, level_in(first[:_START]))
        yield first
        yield from pieces


def processor_needs(
    wheels: Iterable[Path], target: Target, *, level_of: Callable[[Path], int] | None = None
) -> tuple[ProcessorNeed, ...]:
    """The wheels that not every processor of the target's platform runs.

    `level_of` knows the level that a wheel's files state; without it, they are read. polars takes its
    compatible binary where there is one, so then its others need nothing. Raises IntegrityError for a wheel
    that cannot be read.
    """
    paths = {filename_parts(path.name)[0]: path for path in wheels}
    machine = target.processor
    found: list[ProcessorNeed] = []
    for name, path in sorted(paths.items()):
        if name.startswith("polars-runtime-") and name != _COMPATIBLE and _COMPATIBLE in paths:
            continue
        level = (level_of or stated_level)(path) if machine == "x86_64" else 0
        found += _needs_of(name, filename_parts(path.name)[1], machine, level)
    return tuple(found)


def _needs_of(name: NormalizedName, version: Version, machine: str, level: int) -> Iterator[ProcessorNeed]:
    needs = {row.needs: row.instead for row in known_needs(shipped_processors(), name, version, machine)}
    if level > 1:
        instead = _INSTEAD_OF_POLARS if name.startswith("polars-runtime-") else ""
        needs.setdefault(f"x86-64-v{level}", instead)
    if needs:
        instead = next(filter(None, needs.values()), "")
        yield ProcessorNeed(package=name, version=str(version), needs=tuple(sorted(needs)), instead=instead)


def stated_level(wheel: Path) -> int:
    """The highest x86-64 level that a wheel's own files state; raises IntegrityError if it is unreadable."""
    level = 1
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if _MODULE.search(member):
                    with archive.open(member) as stream:
                        level = max(level, x86_level_at_start(stream.read(_START)))
                elif member.endswith(f"/{_FLAGS_FILE}"):
                    level = max(level, _level_in(archive.read(member)[:_START]))
    except UNREADABLE as error:
        raise IntegrityError(f"{wheel.name}: not a readable wheel: {error}") from None
    return level


def _level_in(source: bytes) -> int:
    """The level of the flags that a line such as ``BUILD_FEATURE_FLAGS = "+avx2,+fma"`` states."""
    stated = re.search(rb"^BUILD_FEATURE_FLAGS\s*=\s*[\"']([\w., +-]*)[\"']", source, re.MULTILINE)
    return level_of_flags(stated[1].decode("ascii", "replace").split(",")) if stated else 1
