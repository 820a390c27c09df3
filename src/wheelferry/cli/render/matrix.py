"""What the matrix command does: from references to verdicts, and how they look."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wheelferry.catalog import LocatedRecipe, load_recipe, load_records, recipe_files, shipped_folder
from wheelferry.cli.console import print_json, print_line, print_table
from wheelferry.errors import InputError
from wheelferry.matrix.ci_jobs import choose_jobs
from wheelferry.matrix.coverage import (
    Selection,
    Status,
    Verdict,
    advice_text,
    cells,
    nearest,
    verdict_document,
)
from wheelferry.matrix.grid import LEGEND, make_grid
from wheelferry.matrix.spans import Span, find_spans
from wheelferry.models.planning.supported import find_release
from wheelferry.models.records import Record
from wheelferry.models.report import shown_command
from wheelferry.models.targets import parse_backend, parse_platform, parse_python, parse_torch
from wheelferry.system.files import write_atomic

# So many cells are listed one by one, each with its reason; more make a grid.
_FEW = 24


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One recipe of the command line: as it was named, its records, and the cells that are asked for."""

    reference: str
    located: LocatedRecipe
    records: tuple[Record, ...]
    selection: Selection


def read_references(
    references: Sequence[str],
    *,
    python: list[str] | None,
    torch: list[str] | None,
    backend: list[str] | None,
    platform: list[str] | None,
    records: Path | None,
) -> list[Asked]:
    """The recipes that are asked for, each with the releases named; raises InputError for unknown ones."""
    selection = Selection(
        pythons=tuple(map(parse_python, python or [])),
        torches=tuple(map(parse_torch, torch or [])),
        backends=tuple(map(parse_backend, backend or [])),
        platforms=tuple(parse_platform(name, host_glibc_minor=None) for name in platform or []),
    )
    releases: dict[str, list[str]] = {}
    for reference in references or sorted(recipe_files()):
        name, at, release = reference.rpartition("@")
        named = releases.setdefault(name if at else reference, [])
        if at:
            named.append(release)
    found = []
    for reference, named in releases.items():
        located = load_recipe(reference)
        for release in named:
            find_release(located.recipe, release)
        found.append(
            Asked(
                reference=reference,
                located=located,
                records=load_records(located, file=records),
                selection=replace(selection, releases=tuple(named)),
            )
        )
    return found


def show(asked: Sequence[Asked], statuses: Sequence[str], *, as_json: bool, every_cell: bool = False) -> None:
    """The matrix as JSON, as a list with reasons, or as rows of wheels that serve many cells and a grid.

    With `every_cell` all cells are in the grid.
    """
    every: list[Verdict] = []
    documents: list[dict[str, Any]] = []
    wheels: list[dict[str, Any]] = []
    for one in asked:
        found = cells(one.located.recipe, one.records, one.selection)
        found = [verdict for verdict in found if not statuses or verdict.status in statuses]
        every += found
        if as_json:
            name = one.located.recipe.name
            near = _nearest(one, found)
            for verdict in found:
                other = near.get(verdict)
                document = {"recipe": name, **verdict_document(verdict)}
                documents.append({**document, "nearest": verdict_document(other) if other else None})
            spans, _ = find_spans(one.located.recipe, found)
            wheels += [{"recipe": name, **span.to_document()} for span in spans]
        elif statuses or len(found) <= _FEW:
            _show_list(one, found)
        else:
            spans, rest = ([], found) if every_cell else find_spans(one.located.recipe, found)
            _show_spans(one, spans)
            _show_grid(one, rest, within=len(found) - len(rest))
            print_line(_summary(found))
            print_line(f"why, for one square: wheelferry matrix {_named(one)} --python X.Y --torch VERSION")
    if as_json:
        print_json({"counts": _counts(every), "wheels": wheels, "cells": documents})


def _nearest(one: Asked, found: Sequence[Verdict]) -> dict[Verdict, Verdict | None]:
    """For few cells, what to ask for instead of those that cannot be; for many it would take long."""
    if len(found) > _FEW:
        return {}
    return {
        verdict: nearest(one.located.recipe, verdict.release, verdict.target, one.records)
        for verdict in found
        if verdict.status is Status.UNSUPPORTED
    }


def _counts(found: Sequence[Verdict]) -> dict[str, int]:
    return {status.value: sum(v.status is status for v in found) for status in Status}


def _summary(found: Sequence[Verdict]) -> str:
    return ", ".join(f"{count} {name}" for name, count in _counts(found).items())


def _show_list(one: Asked, found: Sequence[Verdict]) -> None:
    recipe = one.located.recipe
    near = {v: advice_text(recipe, other, asked=v.release) for v, other in _nearest(one, found).items()}
    rows = [
        [
            v.release,
            v.target.torch,
            v.target.python,
            v.target.backend,
            v.target.platform,
            v.status.value,
            "\n".join(filter(None, [v.reason, near.get(v), *_evidence(v.record)])),
        ]
        for v in found
    ]
    columns = ["release", "torch", "Python", "backend", "platform", "status", "what is known"]
    print_table(recipe.name, columns, rows)
    print_line(_summary(found))


def _evidence(record: Record | None) -> list[str]:
    if record is None:
        return []
    with_torch = f", with torch {record.torch}" if record.torch else ""
    return [
        f"{record.date[:10]}: {', '.join(record.levels) or 'nothing'} passed{with_torch}",
        *([f"{record.wheel.file} sha256:{record.wheel.sha256}"] if record.wheel else []),
        record.command,
    ]


def _show_spans(one: Asked, spans: Sequence[Span]) -> None:
    """A row for each wheel that serves many cells."""
    if not spans:
        return
    rows = [
        [
            span.release,
            span.platform,
            span.torches,
            span.pythons,
            " ".join(span.backends),
            str(len(span.verdicts)),
            ", ".join(f"{count} {name}" for name, count in span.counts.items()),
        ]
        for span in spans
    ]
    columns = ["release", "platform", "torch", "Python", "backends", "cells", "seen, to which level"]
    print_table(f"{one.located.recipe.name}: each row is one wheel, on torch's stable ABI", columns, rows)
    print_line(f"its cells one by one: wheelferry matrix {_named(one)} --cells")


def _named(one: Asked) -> str:
    return one.reference if not one.selection.releases else f"{one.reference}@{one.selection.releases[0]}"


def _show_grid(one: Asked, found: Sequence[Verdict], *, within: int) -> None:
    """The cells that have a wheel each; `within` are in the rows before."""
    grid = make_grid(found)
    if not grid.rows:
        return
    rows = [
        [row.release, row.torch, " ".join(row.backends), *(square.text for square in row.squares)]
        for row in grid.rows
    ]
    title = f"{one.located.recipe.name}: a wheel for each cell" if within else one.located.recipe.name
    print_table(title, ["release", "torch", "backends", *grid.pythons], rows)
    print_line(LEGEND)
    order = "one mark for each backend of the row" + (
        f"; {' / '.join(grid.platforms)}" if len(grid.platforms) > 1 else f"; {grid.platforms[0]}"
    )
    print_line(f"{order}; marks that are alike are written once")
    if grid.left_out:
        print_line(f"{grid.left_out} rows in which every cell is unsupported are left out")


def write_pages(asked: Sequence[Asked], out: str | None) -> None:
    """The coverage pages: the overview, and beside it a folder of its name with two pages for each recipe."""
    from wheelferry.matrix.pages import Covered, coverage_pages

    overview = Path(out or "coverage.md")
    if out == "-" or overview.suffix != ".md" or overview.is_dir():
        raise InputError(
            f"--out {out} is no file for the overview",
            hint="name one, as in --markdown --out docs/coverage.md",
        )
    shipped = shipped_folder().resolve()
    found = [
        Covered(
            recipe=one.located.recipe,
            verdicts=cells(one.located.recipe, one.records, one.selection),
            own=one.located.folder != shipped,
        )
        for one in asked
    ]
    folder = overview.with_suffix("")
    for name, text in coverage_pages(found, folder=folder.name, command=_command()).items():
        path = folder / name if name else overview
        write_atomic(path, text)
        print_line(str(path))


def write_pipeline(asked: Sequence[Asked], out: str | None, *, provider: str) -> None:
    """A CI pipeline for the cells of one recipe."""
    from wheelferry.matrix.render import github_workflow, gitlab_pipeline

    if len(asked) > 1:
        raise InputError("a pipeline is for one recipe", hint="run the command once for each")
    (one,) = asked
    recipe = one.located.recipe
    jobs = choose_jobs(recipe, one.selection, provider=provider)
    write = github_workflow if provider == "github" else gitlab_pipeline
    text = write(recipe, one.reference, jobs, command=_command())
    _write(text, out or f"ci/{provider}/{recipe.name}.yml")


def _command() -> str:
    """The command line, less where the result goes: a file must not depend on its own name."""
    arguments = iter(sys.argv[1:])
    kept = []
    for argument in arguments:
        if argument == "--out":
            next(arguments, None)
        elif not argument.startswith("--out="):
            kept.append(argument)
    return shown_command(kept)


def _write(text: str, out: str | None) -> None:
    if out in (None, "-"):
        sys.stdout.write(text)
        return
    write_atomic(Path(str(out)), text)
    print_line(str(out))


def record_reports(
    names: Sequence[str], *, command: str | None, file: Path | None, trust_recipe: bool, as_json: bool
) -> None:
    """Add the evidence in bundles to the records, and say what was added.

    `names` are a recipe and bundles of it, or only bundles, each of which says what recipe it is of.
    """
    from wheelferry.matrix.record import record, record_each

    first = names[0] if names else ""
    recipe = first if first in recipe_files() or first.endswith(".toml") else None
    bundles = [Path(name) for name in (names[1:] if recipe else names)]
    if not bundles:
        raise InputError("--record was given no bundle", hint="wheelferry matrix --record BUNDLE...")
    if recipe:
        located = load_recipe(recipe)
        results = [record(bundles, located, command=command, file=file, trust_recipe=trust_recipe)]
    elif file:
        raise InputError("--records is for one recipe", hint="name it before the bundles")
    else:
        results = record_each(bundles, command=command, trust_recipe=trust_recipe)
    if as_json:
        print_json(
            {
                "files": [
                    {"file": str(path), "records": [entry.model_dump(mode="json") for entry in new]}
                    for path, new in results
                ]
            }
        )
        return
    for path, new in results:
        for entry in new:
            status = "verified" if entry.verified else "fails" if entry.failed else "builds"
            print_line(f"{status:9} {entry.release} {entry.target.name} ({', '.join(entry.levels)})")
        print_line(f"records: {path}")
