"""What the files in a wheel are: everything that takes unpacking them, found in one pass over its bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.wheels.compiled import ElfFiles, ElfWatch, MachoFiles, MachoWatch, PeFiles, PeWatch
from wheelferry.wheels.processor_needs import LevelWatch
from wheelferry.wheels.record import check_contents


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What was read of a wheel's files.

    `differences` are those from its RECORD, one line each. `x86_level` is the highest x86-64 level that its
    files state, 1 where they state none.
    """

    differences: tuple[str, ...] = ()
    elf_files: ElfFiles = field(default_factory=ElfFiles)
    pe_files: PeFiles = field(default_factory=PeFiles)
    macho_files: MachoFiles = field(default_factory=MachoFiles)
    x86_level: int = 1

    @property
    def sound(self) -> bool:
        """Whether all of it could be read, and is as RECORD says."""
        files = (self.elf_files, self.pe_files, self.macho_files)
        return not (self.differences or any(found.unreadable for found in files))


def read_contents(
    wheel: Path, work: Path, *, on_bytes: Callable[[int], None] | None = None
) -> tuple[str, Contents]:
    """Read a wheel once: its SHA-256, and what its files are.

    `work` is a folder for what has to lie unpacked; `on_bytes` hears of the bytes that are read.
    """
    elf_files, pe_files, macho_files, level = ElfWatch(), PeWatch(work), MachoWatch(work), LevelWatch()

    def watch(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return elf_files(name, pe_files(name, macho_files(name, level(name, pieces))))

    sha256, differences = check_contents(wheel, on_bytes=on_bytes, watch=watch)
    contents = Contents(
        differences=tuple(differences),
        elf_files=elf_files.finish(wheel, work),
        pe_files=pe_files.finish(),
        macho_files=macho_files.finish(),
        x86_level=level.level,
    )
    return sha256, contents
