"""A release at one look: squares of torch's minor releases and Pythons, one map for each kind of machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from wheelferry.matrix.coverage import Status, Verdict
from wheelferry.models.records import version
from wheelferry.models.targets import Target


class Mark(StrEnum):
    """How far a cell was seen to work; the best first."""

    VERIFIED = "verified"
    SMOKE = "smoke"
    BUILDS = "builds"
    FAILS = "fails"
    UNTRIED = "not tried"
    UNSUPPORTED = "unsupported"

    @property
    def letter(self) -> str:
        """What stands for a cell that was tried, so that no colour has to be told from another."""
        return self.value[0].upper()


_RANK = {mark: number for number, mark in enumerate(Mark)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Square:
    """The cells of one minor release of torch and one Python: what is known of the `best` of them.

    `also_fails` says that another one of them fails.
    """

    mark: Mark
    best: Verdict | None
    also_fails: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatRow:
    """One minor release of torch, all its `versions`, and a square for each Python of the map."""

    torch: str
    versions: tuple[str, ...]
    squares: tuple[Square, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """What is known of a release on one kind of machine; rows in which nothing can be had are left out."""

    machine: str
    pythons: tuple[str, ...]
    rows: tuple[HeatRow, ...]

    @property
    def is_tried(self) -> bool:
        """Whether anything was seen."""
        return any(square.mark in SEEN for row in self.rows for square in row.squares)


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """Neighbouring rows of a heat map that say the same, in words; every other Python is unsupported."""

    machine: str
    torch: str
    seen: str
    untried: str


SEEN = (Mark.VERIFIED, Mark.SMOKE, Mark.BUILDS, Mark.FAILS)


def mark_of(verdict: Verdict) -> Mark:
    """The mark of one cell: a bundle that passed its checks is told from one that was only made."""
    if verdict.status is Status.BUILDS and verdict.record is not None and "smoke" in verdict.record.levels:
        return Mark.SMOKE
    return Mark(verdict.status.value)


def machine_of(target: Target) -> str:
    """The kind of machine a person has, in words: processor, system, and whether CUDA is asked for."""
    linux = "Linux Arm 64" if target.processor == "aarch64" else "Linux x86-64"
    system = "macOS Arm 64" if target.is_macos else "Windows" if target.is_windows else linux
    return f"{system}{', CUDA' if target.backend.startswith('cu') else ''}"


def heat_maps(verdicts: Sequence[Verdict]) -> tuple[HeatMap, ...]:
    """A map for each kind of machine on which something can be had, all with the same Pythons."""
    possible = [v for v in verdicts if v.status is not Status.UNSUPPORTED]
    pythons = tuple(sorted({v.target.python for v in possible}, key=version))
    machines = sorted({machine_of(v.target) for v in possible}, key=_place)
    return tuple(
        HeatMap(
            machine=machine,
            pythons=pythons,
            rows=_rows([v for v in verdicts if machine_of(v.target) == machine], pythons),
        )
        for machine in machines
    )


def _place(machine: str) -> tuple[bool, bool, bool, bool]:
    """Linux before Windows before Arm, macOS last, each without CUDA first."""
    return "macOS" in machine, "Arm" in machine, "Windows" in machine, "CUDA" in machine


def _rows(verdicts: Iterable[Verdict], pythons: Sequence[str]) -> tuple[HeatRow, ...]:
    minors: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        minors.setdefault(".".join(verdict.target.torch.split(".")[:2]), []).append(verdict)
    return tuple(
        HeatRow(
            torch=minor,
            versions=tuple(sorted({v.target.torch for v in found}, key=version)),
            squares=tuple(_square([v for v in found if v.target.python == python]) for python in pythons),
        )
        for minor, found in sorted(minors.items(), key=lambda item: version(item[0]), reverse=True)
        if any(v.status is not Status.UNSUPPORTED for v in found)
    )


def _square(verdicts: Sequence[Verdict]) -> Square:
    if not verdicts:  # of a platform that the torch table does not speak of only what was recorded is known
        return Square(mark=Mark.UNTRIED, best=None)
    best = min(verdicts, key=lambda v: (_RANK[mark_of(v)], [-n for n in version(v.target.torch).release]))
    mark = mark_of(best)
    fails = mark is not Mark.FAILS and any(v.status is Status.FAILS for v in verdicts)
    return Square(mark=mark, best=best, also_fails=fails)


def table_rows(heat_map: HeatMap) -> list[TableRow]:
    """The map as rows of a table; neighbours that say the same are one row."""
    found = []
    for marks, rows in groupby(heat_map.rows, key=lambda row: [(s.mark, s.also_fails) for s in row.squares]):
        group = list(rows)
        newest, oldest = group[0].versions[-1], group[-1].versions[0]
        pythons: dict[str, list[str]] = {}
        for python, (mark, also_fails) in zip(heat_map.pythons, marks, strict=True):
            pythons.setdefault(f"{mark}, another fails" if also_fails else mark, []).append(python)
        untried = pythons.pop(Mark.UNTRIED, [])
        pythons.pop(Mark.UNSUPPORTED, None)
        found.append(
            TableRow(
                machine=heat_map.machine,
                torch=oldest if newest == oldest else f"{oldest} to {newest}",
                seen="; ".join(f"{mark}: {', '.join(which)}" for mark, which in pythons.items()),
                untried=", ".join(untried),
            )
        )
    return found


def counts(verdicts: Iterable[Verdict]) -> dict[Mark, int]:
    """How many cells have which mark."""
    found = dict.fromkeys(Mark, 0)
    for verdict in verdicts:
        found[mark_of(verdict)] += 1
    return found
