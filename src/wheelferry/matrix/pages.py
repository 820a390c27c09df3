"""The coverage pages in Markdown: an overview, and for each recipe what was seen, and the evidence."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from wheelferry.matrix.coverage import LINUX, Status, Verdict, options_text
from wheelferry.matrix.grid import general_reason
from wheelferry.matrix.heat_map import (
    SEEN,
    HeatMap,
    Mark,
    counts,
    heat_maps,
    machine_of,
    table_rows,
)
from wheelferry.matrix.render import render_template
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.records import MAKING, Record, RecordedWheel, version
from wheelferry.models.targets import DEFAULT_BACKEND

Value = TypeVar("Value")
# So many failures stand on the first page; all of them are among the evidence.
_NEWEST = 20
_PROCESSORS = ("x86_64", "aarch64", "AMD64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Covered:
    """A recipe with what is known of its cells; `own` says that it does not ship with wheelferry."""

    recipe: Recipe
    verdicts: Sequence[Verdict]
    own: bool = False


def coverage_pages(found: Sequence[Covered], *, folder: str, command: str) -> dict[str, str]:
    """Every page by its path: the overview as ``""``, and the others as they are called in `folder`.

    `command` is the command line that writes them again.
    """
    pages = {"": _overview(found, folder=folder, command=command)}
    for one in found:
        name = one.recipe.name
        pages[f"{name}.md"] = _recipe_page(one, overview=f"../{folder}.md", command=command)
        pages[f"{name}-evidence.md"] = _evidence_page(one, command=command)
    return pages


def _overview(found: Sequence[Covered], *, folder: str, command: str) -> str:
    rows = [
        {"name": one.recipe.name, "summary": plain(one.recipe.summary), "own": one.own,
         "counts": counts(one.verdicts), "newest": _newest(one.verdicts)}
        for one in found
    ]  # fmt: skip
    groups = [
        ("Your own recipes", [row for row in rows if row["own"]]),
        ("Recipes of wheelferry", [row for row in rows if not row["own"]]),
    ]
    return render_template(
        "coverage.md.j2",
        groups=[group for group in groups if group[1]],
        folder=folder,
        marks=(*SEEN, Mark.UNTRIED),
        command=command,
    )


def _recipe_page(one: Covered, *, overview: str, command: str) -> str:
    failed = [v for v in one.verdicts if v.status is Status.FAILS and v.record]
    failed.sort(key=lambda v: v.record.date if v.record else "", reverse=True)
    by_release = {name: [v for v in one.verdicts if v.release == name] for name in one.recipe.releases}
    maps = {name: heat_maps(cells) for name, cells in reversed(by_release.items())}
    releases = [_release(one.recipe, name, by_release[name], found) for name, found in maps.items() if found]
    machines = list(dict.fromkeys(m.machine for found in maps.values() for m in found))
    return render_template(
        "coverage_recipe.md.j2",
        recipe=one.recipe,
        summary=plain(one.recipe.summary),
        counts=counts(one.verdicts),
        newest=_newest(one.verdicts),
        marks=Mark,
        failures=[_failure(one.recipe, v) for v in failed[:_NEWEST]],
        more_failures=max(0, len(failed) - _NEWEST),
        machines={machine: "Arm" not in machine for machine in machines},
        releases=releases,
        overview=overview,
        command=command,
    )


def _release(
    recipe: Recipe, name: str, verdicts: Sequence[Verdict], maps: Sequence[HeatMap]
) -> dict[str, object]:
    seen = [v for v in verdicts if v.record is not None]
    seen.sort(key=lambda v: (version(v.target.torch), version(v.target.python)), reverse=True)
    places = [one.machine for one in maps]
    seen.sort(key=lambda v: places.index(machine_of(v.target)))
    reasons = [general_reason(v) for v in verdicts if v.status is Status.UNSUPPORTED]
    return {
        "name": name,
        "release": recipe.releases[name],
        "maps": maps,
        "pictures": [_picture(one) for one in maps if one.is_tried],
        "table": [row for one in maps for row in table_rows(one)],
        "told": {m.machine: _told([v for v in verdicts if machine_of(v.target) == m.machine]) for m in maps},
        "seen": [_seen(recipe, v) for v in seen],
        "reasons": [plain(reason) for reason in dict.fromkeys(reasons)],
    }


def _told(verdicts: Iterable[Verdict]) -> str:
    """Counts of one release on one kind of machine, as a person would say them."""
    found = counts(verdicts)
    return ", ".join(f"{found[mark]} {mark}" for mark in SEEN if found[mark]) or "not tried"


def _picture(heat_map: HeatMap) -> dict[str, object]:
    """What is drawn: squares one by one where something was seen, the others as runs in a row."""
    return {
        "machine": heat_map.machine,
        "pythons": heat_map.pythons,
        "torches": [row.torch for row in heat_map.rows],
        "untried": list(_runs(heat_map, Mark.UNTRIED)),
        "unsupported": list(_runs(heat_map, Mark.UNSUPPORTED)),
        "seen": list(_seen_squares(heat_map)),
    }


def _seen_squares(heat_map: HeatMap) -> Iterator[dict[str, object]]:
    for number, row in enumerate(heat_map.rows):
        for column, (python, square) in enumerate(zip(heat_map.pythons, row.squares, strict=True)):
            if square.best is None or square.best.record is None:
                continue
            title = f"Python {python}, torch {square.best.target.torch}: {seen_text(square.best.record)}"
            if square.also_fails:
                title += "; another cell of this square fails"
            yield {"row": number, "column": column, "mark": square.mark, "also_fails": square.also_fails,
                   "title": title}  # fmt: skip


def _runs(heat_map: HeatMap, wanted: Mark) -> Iterator[dict[str, int]]:
    for number, row in enumerate(heat_map.rows):
        column = 0
        for mark, group in groupby(square.mark for square in row.squares):
            count = len(list(group))
            if mark is wanted:
                yield {"row": number, "column": column, "count": count}
            column += count


def _seen(recipe: Recipe, verdict: Verdict) -> dict[str, object]:
    record = verdict.record
    text = seen_text(record) if record is not None else ""
    return {"target": verdict.target, "machine": _machine_text(verdict), "text": plain(text),
            "command": bundle_command(recipe, verdict)}  # fmt: skip


def _machine_text(verdict: Verdict) -> str:
    target = verdict.target
    backend = "" if target.backend == DEFAULT_BACKEND else f" ({target.backend})"
    return machine_of(target).removesuffix(", CUDA") + backend


def seen_text(record: Record) -> str:
    """What a record says of its cell, in one short sentence without what went wrong."""
    day = f"on {record.date[:10]}"
    if record.failed is not None:
        what = "no bundle could be made" if record.failed == MAKING else f"fails at {record.failed}"
        return f"{what} {day}"
    what = {"static": "built and read", "install": "installed", "smoke": "passed its checks",
            "train": "verified to train"}[record.levels[-1]]  # fmt: skip
    player = record.machine.partition(",")[0]
    under = "" if player in _PROCESSORS or not player else f", under {player}"
    open_network = "" if record.isolated or record.levels == ("static",) else ", not cut off from the network"
    return f"{what} {day}{under}{open_network}"


def bundle_command(recipe: Recipe, verdict: Verdict) -> str:
    """The command that makes the bundle of a cell."""
    options = options_text(recipe, verdict, asked=verdict.release)
    return f"wheelferry bundle {recipe.name}@{verdict.release} {options} --out bundle"


def _failure(recipe: Recipe, verdict: Verdict) -> dict[str, object]:
    record = verdict.record
    reason = record.reason if record is not None else None
    return {"release": verdict.release, "target": verdict.target, "machine": _machine_text(verdict),
            "text": seen_text(record) if record is not None else "", "reason": plain(reason or "not kept"),
            "command": bundle_command(recipe, verdict)}  # fmt: skip


def _newest(verdicts: Iterable[Verdict]) -> str | None:
    """The day of the newest record that counts."""
    return max((v.record.date[:10] for v in verdicts if v.record is not None), default=None)


def _evidence_page(one: Covered, *, command: str) -> str:
    """Wheels and sets of skipped checks are the same for many cells: each is written once, with a number."""
    seen = [v for v in one.verdicts if v.record is not None]
    records = [v.record for v in seen if v.record is not None]
    wheels = _numbered(record.wheel for record in records if record.wheel)
    skips = _numbered(record.skipped for record in records if record.skipped)
    names = list(one.recipe.releases)
    releases = [(name, [_evidence(v, wheels, skips) for v in seen if v.release == name]) for name in names]
    return render_template(
        "coverage_evidence.md.j2",
        recipe=one.recipe,
        releases=[item for item in releases if item[1]],
        wheels=wheels,
        skips=skips,
        stale=[v for v in one.verdicts if v.status is Status.UNTRIED and v.reason],
        linux=LINUX,
        command=command,
    )


def _numbered(values: Iterable[Value]) -> dict[Value, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values), start=1)}


def _evidence(
    verdict: Verdict, wheels: Mapping[RecordedWheel, int], skips: Mapping[tuple[str, ...], int]
) -> dict[str, object]:
    record = verdict.record
    if record is None:
        raise ValueError(f"nothing was recorded of {verdict.target.name}")
    return {
        "target": verdict.target,
        "torch": record.torch or verdict.target.torch,
        "text": seen_text(record),
        "reason": plain(record.reason or ""),
        "seconds": round(sum(seconds for _, seconds in record.seconds)) or "",
        "wheel": wheels.get(record.wheel, "") if record.wheel else "",
        "skipped": skips.get(record.skipped, ""),
        "command": record.command.replace("|", "\\|"),
    }


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is, also in a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(text.split())).replace("&", "&amp;")
