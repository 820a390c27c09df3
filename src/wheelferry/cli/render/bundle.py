"""What bundle and verify print: the bundle, its wheels, its report."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wheelferry.cache.store import Entry
from wheelferry.cli.console import print_json, print_line
from wheelferry.client.common.sizes import human_size
from wheelferry.errors import IntegrityError
from wheelferry.models.problems import Code
from wheelferry.models.report import OWN_MACHINE, Report
from wheelferry.verification.static.checks import LongestPath

if TYPE_CHECKING:  # for their names alone
    from wheelferry.pipeline import Bundled

_NOTES = 5  # that the console shows; the report has them all


def show_bundle(result: "Bundled", *, as_json: bool) -> None:
    """A bundle that was made."""
    size = sum(file.size for file in result.manifest.files)
    if as_json:
        document = {
            "bundle": str(result.out),
            "digest": result.manifest.digest,
            "files": len(result.manifest.files),
        }
        report = result.report.to_json() if result.report else None
        print_json(
            {
                **document,
                "bytes": size,
                "targets": [t.target.name for t in result.manifest.targets],
                "report": report,
            }
        )
        return
    if result.report is not None:
        show_report(result.out / "report", result.report, as_json=False)
    print_line(f"bundle: {result.out} ({len(result.manifest.files)} files, {human_size(size)})")
    if result.report is None:
        print_line(f"not verified; prove it with: wheelferry verify {result.out}")


def show_report(folder: Path, report: Report, *, as_json: bool) -> None:
    """What verification saw."""
    if as_json:
        print_json(report.to_json())
        return
    levels = [
        ("static", "", None, report.static),
        *((lv.level.name.lower(), t.target, t.runner, lv) for t in report.targets for lv in t.levels),
    ]
    for name, target, runner, level in levels:
        outcome = "not run" if level.not_run else "passed" if level.passed else "FAILED"
        skipped = sum(check.status == "skipped" for check in level.checks)
        checks = f", {len(level.checks)} checks" if level.checks else ""
        checks += f" ({skipped} skipped)" if skipped else ""
        by = f"  ({runner})" if runner and runner != OWN_MACHINE else ""
        print_line(f"{name:8} {outcome:8} {level.seconds:6.1f} s{checks}  {target}{by}".rstrip())
        for metric, value in level.facts.get("own_data", {}).get("figures", {}).items():
            print_line(f"  on your data: {metric} {value:.4g}")
    if before := report.static.facts.get("wheels_read_before"):
        wheels, since = report.static.facts["wheels"], report.static.facts["read_before_since"]
        print_line(f"{before} of {wheels} wheels: hashed now, unpacked and read before ({since} or later)")
    for name, present in report.static.facts.get("present", {}).items():
        print_line(f"must be there already: {', '.join(present)}  {name}")
    for problem in report.problems:
        print_line(f"problem: {problem}")
    for line in (*report.not_run, *report.not_tried):
        print_line(f"not run: {line}")
    for note in report.notes[:_NOTES]:
        print_line(f"note: {note}")
    if len(report.notes) > _NOTES:
        print_line(f"note: {len(report.notes) - _NOTES} more are in the report")
    if "signed_by" in report.static.facts:
        print_line(f"signed by: {report.static.facts['signed_by']}")
    for path in report.static.facts.get("longest_paths", ()):
        print_line(f"longest path: {path['target']}: {LongestPath(**path)}")
    if report.targets and not report.isolated and not report.not_run:
        print_line("note: not cut off from the network on this machine")
    print_line(f"report: {folder / 'report.html'}")


def end_of_verification(report: Report) -> None:
    """Exit 4 for a wrong signature, 1 for other problems; 3 when a level could not run on this machine."""
    if any(problem.code is Code.SIGNATURE for problem in report.problems):
        raise typer.Exit(IntegrityError.exit_code)
    if report.problems:
        raise typer.Exit(1)
    if report.not_run:
        raise typer.Exit(3)


def show_wheels(
    out: Path, entries: Iterable[Entry], *, serves: Mapping[str, str] | None = None, as_json: bool
) -> None:
    """Wheels that were built; `serves` says by file name what one serves beside its own target."""
    found = list(entries)
    serves = serves or {}
    if as_json:
        told = [asdict(one) | {"serves": serves.get(one.filename)} for one in found]
        print_json({"out": str(out), "wheels": told})
        return
    for entry in found:
        print_line(f"{out / entry.filename}  {human_size(entry.size)}  sha256:{entry.sha256}")
        if entry.filename in serves:
            print_line(f"  serves {serves[entry.filename]}")
