"""The compiled files of a wheel, read while its bytes pass by on their way to be hashed."""

import itertools
import mmap
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.binaries import macho, pe
from wheelferry.binaries.dynamic import MAGIC, Dynamic, Excerpt, Gap, Mapped, read_dynamic
from wheelferry.binaries.macho import MachoFacts
from wheelferry.binaries.pe import PeFacts
from wheelferry.wheels.archive import UNREADABLE, read_unpacked


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfFiles:
    """What the ELF files of one wheel say to the dynamic linker, by their paths in it; why some could not
    be read."""

    facts: Mapping[str, Dynamic] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> Iterator[str]:
        """The names that other binaries find these files by."""
        for member, facts in self.facts.items():
            yield member.rsplit("/", 1)[-1]
            yield facts.soname


@dataclass(frozen=True, kw_only=True, slots=True)
class PeFiles:
    """The DLLs and extension modules of one wheel, by their paths in it; why some could not be read."""

    facts: Mapping[str, PeFacts] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class MachoFiles:
    """The macOS binaries of one wheel, by their paths in it; why some could not be read."""

    facts: Mapping[str, MachoFacts] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


class ElfWatch:
    """Reads the ELF files of a wheel; of each a few kilobytes are kept (see `Excerpt`)."""

    def __init__(self) -> None:
        self._facts: dict[str, Dynamic] = {}
        self._unreadable: dict[str, str] = {}
        self._again: list[str] = []

    def __call__(self, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on the pieces of the file `name`."""
        first = next(pieces, b"")
        yield first
        if not first.startswith(MAGIC):
            yield from pieces
            return
        excerpt = Excerpt()
        excerpt.add(first)
        for piece in pieces:
            excerpt.add(piece)
            yield piece
        try:
            self._keep(name, read_dynamic(excerpt))
        except Gap:
            self._again.append(name)
        except ValueError as error:
            self._unreadable[name] = str(error)

    def finish(self, wheel: Path, work: Path) -> ElfFiles:
        """What was read.

        A file that keeps its names in an unusual place is unpacked to the folder `work` and read once more.
        """
        if self._again:
            try:
                with zipfile.ZipFile(wheel) as archive:
                    for name in self._again:
                        found = read_unpacked(archive, name, work, lambda data: read_dynamic(Mapped(data)))
                        self._keep(name, found)
            except UNREADABLE as error:
                self._unreadable.update({name: str(error) for name in self._again})
        return ElfFiles(facts=self._facts, unreadable=self._unreadable)

    def _keep(self, name: str, facts: Dynamic | None) -> None:
        if facts is not None and facts.is_for_a_processor:
            self._facts[name] = facts


class PeWatch:
    """Reads the DLLs and extension modules for Windows of a wheel.

    One at a time is kept in the folder `work` (torch_cpu.dll has 300 MB), and of it only the pages that are
    read come into memory.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._facts: dict[str, PeFacts] = {}
        self._unreadable: dict[str, str] = {}

    def __call__(self, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on the pieces of the file `name`."""
        return self._kept(name, pieces) if pe.is_binary(name) else pieces

    def _kept(self, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        def read(data: mmap.mmap) -> None:
            self._facts[name] = pe.read_pe(data)

        return _unpacked(name, pieces, self._work, read, self._unreadable)

    def finish(self) -> PeFiles:
        """What was read."""
        return PeFiles(facts=self._facts, unreadable=self._unreadable)


class MachoWatch:
    """Reads the macOS binaries of a wheel, whatever their names; one at a time is kept, as `PeWatch` does.

    All of each is read: its signature has hashes of every page.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._facts: dict[str, MachoFacts] = {}
        self._unreadable: dict[str, str] = {}

    def __call__(self, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on the pieces of the file `name`."""
        first = next(pieces, b"")
        all_pieces = itertools.chain([first], pieces)
        if not macho.is_macho(first[:8]):
            yield from all_pieces
            return

        def read(data: mmap.mmap) -> None:
            facts = macho.read_macho(data)
            if facts is not None:
                self._facts[name] = facts

        yield from _unpacked(name, all_pieces, self._work, read, self._unreadable)

    def finish(self) -> MachoFiles:
        """What was read."""
        return MachoFiles(facts=self._facts, unreadable=self._unreadable)


def _unpacked(
    name: str,
    pieces: Iterator[bytes],
    work: Path,
    read: Callable[[mmap.mmap], None],
    unreadable: dict[str, str],
) -> Iterator[bytes]:
    """Pass on the pieces of a file; then `read` gets all of it, and `unreadable` hears why that failed."""
    with tempfile.TemporaryFile(dir=work) as file:
        try:
            for piece in pieces:
                file.write(piece)
                yield piece
        except UNREADABLE as error:
            unreadable[name] = str(error)
            raise  # it differs from RECORD too
        try:
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                read(data)
        except UNREADABLE as error:
            unreadable[name] = str(error)
