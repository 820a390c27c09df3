"""The matrix as a grid to read: a row for each release and torch, a column for each Python."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wheelferry.matrix.coverage import Status, Verdict

MARKS = {
    Status.VERIFIED: "✓",
    Status.BUILDS: "b",
    Status.FAILS: "✗",
    Status.UNTRIED: "·",
    Status.UNSUPPORTED: "—",
}
LEGEND = "✓ verified   b builds   ✗ fails   · not tried   — unsupported"


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One Python of a row: its marks, and why what is unsupported there cannot be."""

    text: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One torch of one release; `squares` are in the order of the grid's Pythons."""

    release: str
    torch: str
    backends: tuple[str, ...]
    squares: tuple[GridCell, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rows in the order of the verdicts; rows in which nothing can be had are left out and counted."""

    pythons: tuple[str, ...]
    platforms: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int


def make_grid(verdicts: Sequence[Verdict]) -> Grid:
    """Arrange `verdicts`. A square holds a mark for each backend of the row and, behind a slash, the same

    for the next platform; marks that are all alike are written once. Platforms of which only a few cells are
    known stand last, and are left out where there is none.
    """
    pythons = tuple(dict.fromkeys(v.target.python for v in sorted(verdicts, key=_minor)))
    platforms = tuple(name for name, _ in Counter(v.target.platform for v in verdicts).most_common())
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.release, verdict.target.torch), []).append(verdict)
    rows = [
        Row(
            release=release,
            torch=torch,
            backends=tuple(dict.fromkeys(v.target.backend for v in group)),
            squares=tuple(
                _square([v for v in group if v.target.python == python], platforms) for python in pythons
            ),
        )
        for (release, torch), group in groups.items()
        if any(v.status is not Status.UNSUPPORTED for v in group)
    ]
    return Grid(pythons=pythons, platforms=platforms, rows=tuple(rows), left_out=len(groups) - len(rows))


def _minor(verdict: Verdict) -> int:
    return int(verdict.target.python.partition(".")[2])


def _square(verdicts: Sequence[Verdict], platforms: Iterable[str]) -> GridCell:
    parts = [_once("".join(MARKS[v.status] for v in verdicts if v.target.platform == p)) for p in platforms]
    while parts and not parts[-1]:
        parts.pop()
    text = parts[0] if len(set(parts)) == 1 and len(parts[0]) == 1 else "/".join(parts)
    reasons = [general_reason(v) for v in verdicts if v.status is Status.UNSUPPORTED]
    return GridCell(text=text, reasons=tuple(dict.fromkeys(reasons)))


def _once(marks: str) -> str:
    return marks[:1] if len(set(marks)) == 1 else marks


def general_reason(verdict: Verdict) -> str:
    """The reason without what row and column already name, so that equal reasons are written once."""
    text = verdict.reason.replace(f"Python {verdict.target.python}", "this Python")
    text = text.replace(f"torch {verdict.target.torch}", "this torch")
    text = re.sub(r"^torchvision \S+, which goes with this torch,", "the torchvision of this torch", text)
    return re.sub(r" \(it has [^)]*\)$", "", text)
