"""How results look: the same values as text or as JSON."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import typer

from wheelferry.cache.store import Entry
from wheelferry.catalog import load_recipe, shipped_names
from wheelferry.cli.console import print_json, print_line, print_table
from wheelferry.cli.session import plan_document
from wheelferry.client.signature import CHECK_COMMAND
from wheelferry.errors import IntegrityError
from wheelferry.models.lock import Lock, pylock_text, requirements_text
from wheelferry.models.manifest import SIGNATURE
from wheelferry.models.plan import Plan
from wheelferry.models.problems import Code
from wheelferry.models.report import OWN_MACHINE, Report
from wheelferry.system.files import human_size, write_atomic
from wheelferry.transfer.differences import Change, Difference
from wheelferry.verification.checks import LongestPath

if TYPE_CHECKING:  # for their names alone: half a second of imports
    from wheelferry.doctor import Finding
    from wheelferry.pipeline import Bundled
    from wheelferry.serving.index import Indexed
    from wheelferry.transfer.delta import Made
    from wheelferry.transfer.sign import Signed
    from wheelferry.transfer.split import Volumes


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
    for problem in report.problems:
        print_line(f"problem: {problem}")
    for line in (*report.not_run, *report.not_tried):
        print_line(f"not run: {line}")
    for note in report.static.facts.get("notes", ()):
        print_line(f"note: {note}")
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


def show_signed(signed: "Signed", *, as_json: bool) -> None:
    """A signature, and what whoever checks it needs."""
    path = signed.root / SIGNATURE
    if as_json:
        print_json(
            {
                "bundle": str(signed.root),
                "digest": signed.digest,
                "signature": str(path),
                "signed_by": signed.signer,
                "allowed_signer": signed.allowed_signer,
            }
        )
        return
    print_line(f"signed by {signed.signer}: {path}")
    print_line("Hand this line on by another way than the bundle, as a file allowed_signers:")
    print_line(signed.allowed_signer)
    print_line(
        "It is checked by wheelferry verify, wheelferry install and install.sh with --key FILE, or before"
    )
    print_line("anything of the bundle is started, in the bundle's folder (on Windows in cmd), by")
    print_line(CHECK_COMMAND)


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """What would be built."""
    if as_json:
        print_json(plan_document(plan))
        return
    print_line(f"{plan.title}, commit {plan.release.pin}")
    for cell in plan.cells:
        print_line(f"\n{cell.target.name}")
        print_line(f"  wheel           {plan.recipe.distribution} {cell.wheel_version}")
        print_line(f"  built with      {', '.join(cell.build_requires)}")
        print_line(f"  shipped with    {', '.join(cell.requirements)}")
        print_line(f"  held to         {', '.join(cell.constraints)}")
        if cell.excluded:
            print_line(f"  left out        {', '.join(exclusion.name for exclusion in cell.excluded)}")
        for item in cell.substitutions:
            print_line(
                f"  substitution    {item.file}: {item.old!r} → {item.new!r} x{item.count}  {item.reason}"
            )
    for asset in plan.assets:
        print_line(f"\n{asset.path}{' (unpacked there)' if asset.unpack else ''}")
        print_line(f"  from            {asset.file or asset.origin}")
        print_line(f"  licence         {asset.licence}")


def show_wheels(out: Path, entries: Iterable[Entry], *, as_json: bool) -> None:
    """Wheels that were built."""
    found = list(entries)
    if as_json:
        print_json({"out": str(out), "wheels": [asdict(entry) for entry in found]})
        return
    for entry in found:
        print_line(f"{out / entry.filename}  {human_size(entry.size)}  sha256:{entry.sha256}")


def show_index(result: "Indexed", *, as_json: bool) -> None:
    """An index that was written, and how it is served and used."""
    size = sum(wheel.size for wheel in result.wheels)
    if as_json:
        files = [{"filename": wheel.filename, "sha256": wheel.sha256} for wheel in result.wheels]
        print_json({"out": str(result.out), "bytes": size, "files": files, "locks": list(result.locks)})
        return
    print_line(
        f"index: {result.out} ({result.projects} projects, {len(result.wheels)} files, {human_size(size)})"
    )
    print_line(f"serve it with any web server, as in: python -m http.server --directory {result.out}")
    print_line("on a client, one lock exactly; SERVER is that server's address, as in server:8000:")
    for name in result.locks:
        if name.endswith(".txt"):
            print_line(
                "  pip install --index-url http://SERVER/simple/ --require-hashes "
                f"-r http://SERVER/{quote(name)}"
            )


def show_locks(out: Path, locks: Iterable[Lock], *, as_json: bool) -> None:
    """Write lock files and say where."""
    written = []
    for lock in locks:
        for name, text in (
            (f"requirements.{lock.target.name}.txt", requirements_text(lock)),
            (f"pylock.{lock.target.name}.toml", pylock_text(lock, created_by="wheelferry")),
        ):
            write_atomic(out / name, text)
            written.append(str(out / name))
    if as_json:
        print_json({"files": written})
        return
    for name in written:
        print_line(name)


def show_recipes(*, as_json: bool) -> None:
    """The shipped recipes."""
    found = [load_recipe(name).recipe for name in shipped_names()]
    if as_json:
        print_json(
            {"recipes": [{"name": r.name, "summary": r.summary, "releases": list(r.releases)} for r in found]}
        )
        return
    print_table(
        "recipes", ["name", "what", "releases"], [[r.name, r.summary, ", ".join(r.releases)] for r in found]
    )


def show_recipe(name: str, *, as_json: bool) -> None:
    """One recipe: its releases, and what each lives with."""
    recipe = load_recipe(name).recipe
    if as_json:
        print_json(recipe.model_dump(mode="json"))
        return
    print_line(f"{recipe.name}: {recipe.summary} ({recipe.license})")
    rows = [[n, r.version, r.torch, r.python, r.pin[:12]] for n, r in recipe.releases.items()]
    print_table("releases", ["release", "version", "torch", "Python", "commit"], rows)
    pairs = [
        [t.version, t.torchvision or "", t.python, t.windows or "—", t.cuda or "", " ".join(t.other_cuda)]
        for t in recipe.torch
    ]
    columns = ["torch", "torchvision", "Python (Linux)", "Python (Windows)", "CUDA", "CUDA elsewhere"]
    print_table("torch", columns, pairs)
    if recipe.assets:
        assets = [[a.name, a.url, "--asset" if a.optional else "always", a.licence] for a in recipe.assets]
        print_table("weights and data", ["name", "from", "travels", "licence"], assets)


def show_doctor(findings: "Iterable[Finding]", *, as_json: bool) -> None:
    """What the doctor found."""
    found = list(findings)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in found]})
        return
    for finding in found:
        mark = "ok     " if finding.good else "MISSING" if finding.blocking else "note   "
        print_line(f"{mark} {finding.subject:14} {finding.seen}")
        if finding.advice:
            print_line(f"        {'':14} → {finding.advice}")


def show_difference(seen: Difference, *, as_json: bool) -> None:
    """How two bundles differ."""
    if as_json:
        print_json(seen.to_json())
        return
    for change in seen.properties:
        print_line(_changed(change))
    for name in seen.targets_added:
        print_line(f"+ target {name}")
    for name in seen.targets_removed:
        print_line(f"- target {name}")
    for target in seen.targets:
        print_line(f"target {target.new}" + ("" if target.old == target.new else f" (was {target.old})"))
        for change in (*target.identity, *target.packages):
            print_line(f"  {_changed(change)}")
        for name in target.rebuilt:
            print_line(f"  {name}: the same version, other bytes")
    for change in seen.assets:
        short = Change(name=change.name, old=(change.old or "")[:12], new=(change.new or "")[:12])
        print_line(f"asset {_changed(short)}")
    for mark, names in (("+", seen.files_added), ("-", seen.files_removed), ("~", seen.files_changed)):
        for name in names:
            print_line(f"{mark} {name}")
    for move in seen.files_moved:
        print_line(f"{move.old} -> {move.new}")
    print_line(
        f"{human_size(seen.bytes_old)} before, {human_size(seen.bytes_new)} now, "
        f"of which {human_size(seen.bytes_lacking)} are new"
    )


def _changed(change: Change) -> str:
    if change.old and change.new:
        return f"{change.name}: {change.old} -> {change.new}"
    return f"+ {change.name} {change.new}" if change.new else f"- {change.name} {change.old}"


def show_delta(made: "Made", *, as_json: bool) -> None:
    """A delta that was made."""
    if as_json:
        print_json(
            {
                "delta": str(made.out),
                "old": made.old.digest,
                "new": made.new.digest,
                "brought": made.brought,
                "bytes": made.bytes,
                "bytes_new": made.bytes_new,
            }
        )
        return
    print_line(
        f"delta: {made.out} ({made.brought} files, {human_size(made.bytes)} "
        f"of the {human_size(made.bytes_new)} of the new bundle)"
    )
    print_line("on the client: sh apply.sh OLD --out NEW (Windows: apply.cmd)")


def show_volumes(made: "Volumes", *, as_json: bool) -> None:
    """Volumes that were written."""
    if as_json:
        volumes = [asdict(volume) for volume in made.volumes]
        print_json({"volumes": volumes, "out": str(made.out), "digest": made.manifest.digest})
        return
    for volume in made.volumes:
        print_line(f"{made.out / volume.path}  {human_size(volume.size)}  sha256 {volume.sha256}")
    print_line("one folder for each medium; on the client: sh join.sh --out BUNDLE (Windows: join.cmd)")
