"""How inspections and audits look: the same values as text or as JSON."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from wheelferry.cache.pip_config import public_url
from wheelferry.cli.console import print_json, print_line, print_table
from wheelferry.client.common.sizes import human_size
from wheelferry.inspection.audit import Audit, Finding, Subject
from wheelferry.inspection.inspect import Evidence, InspectedTarget, Inspection, Origin, Package
from wheelferry.inspection.osv import Database
from wheelferry.inspection.vulnerabilities import Severity
from wheelferry.models.manifest import Manifest, TargetEntry
from wheelferry.models.problems import Note, Problem


def show_inspection(seen: Inspection, written: Iterable[Path], *, whole: bool, as_json: bool) -> None:
    """What a bundle holds, and the files that were written about it; `whole` addresses or only hosts."""
    if as_json:
        print_json({**_inspection(seen), "written": [str(path) for path in written]})
        return
    manifest = seen.manifest
    size = sum(file.size for file in manifest.files)
    print_line(f"{manifest.title}, {manifest.created_by}")
    for project in manifest.projects:
        print_line(f"source        {public_url(project.source)}, commit {project.commit}")
    print_line(f"digest        {manifest.digest}")
    print_line(f"size          {human_size(size)} in {len(manifest.files)} files")
    print_line(f"signature     {'there (verify --key checks it)' if seen.signed else 'none'}")
    print_line(f"report        {_evidence_line(seen.evidence)}")
    for target in seen.targets:
        _show_target(target, seen.evidence)
    _show_packages(seen, whole=whole)
    for asset in manifest.assets:
        size = next(file.size for file in manifest.files if file.path == asset.path)
        licence = asset.licence or "no licence named"
        print_line(f"{asset.path}: {human_size(size)}, {licence}, {public_url(asset.origin)}")
    for name, told in seen.programs.items():
        print_line(f"program for the client: {name}: {told}")
    for package in seen.unclear:
        print_line(f"licence unclear: {package.title} {package.licence.doubt}{_texts(package)}")
    for package in seen.packages:
        for code in package.startup:
            print_line(f"runs by itself: {package.title}: {code}")
    for path in written:
        print_line(f"written: {path}")


def _show_target(target: InspectedTarget, evidence: Evidence) -> None:
    entry = target.entry
    wheels = sum(package.file.size for package in target.packages)
    print_line(f"\n{entry.target.name}")
    print_line(f"  wheels      {len(target.packages)}, {human_size(wheels)}")
    if entry.footprint:
        installed = entry.footprint
        print_line(f"  installed   {human_size(installed.bytes)} in {installed.files} files")
    for one in entry.of_each_project:
        print_line(f"  ops         {_ops(one)}")
    if entry.runtime:
        print_line(f"  Python      {entry.runtime.version} travels with it: {entry.runtime.path}")
    print_line(f"  installers  {', '.join(package.title for package in target.installers) or 'none'}")
    if target.entry.target.name in evidence.levels:
        print_line(f"  passed      {', '.join(evidence.levels[entry.target.name]) or 'nothing'}")
    if entry.present:
        print_line(f"  must be     {', '.join(map(str, entry.present))} on the client already")
    if entry.excluded:
        print_line(f"  left out    {', '.join(entry.excluded)}, although it is required")
    for finding in target.findings:
        print_line(f"  {'problem' if isinstance(finding, Problem) else 'note':<10}  {finding}")


def _ops(entry: TargetEntry) -> str:
    if not entry.has_ops:
        return "none: made without them"
    against = "on torch's stable ABI" if entry.on_stable_abi else f"compiled for torch {entry.target.torch}"
    images = f", GPU code {', '.join(entry.cuda.images)}" if entry.cuda else ""
    return f"{', '.join(entry.extensions)}: {against}{images}"


def _show_packages(seen: Inspection, *, whole: bool) -> None:
    print_line("")
    rows = [
        [
            str(package.info.name),
            str(package.info.version),
            package.licence.expression or "unclear",
            human_size(package.file.size),
            _origin_line(package.origin, whole=whole),
        ]
        for package in seen.packages
    ]
    print_table("packages", ["name", "version", "licence", "size", "from"], rows)


def _origin_line(origin: Origin, *, whole: bool) -> str:
    length = None if whole else 12
    if origin.kind == "built":
        key = f", build {origin.key[:length]}" if origin.key else ", built elsewhere"
        return f"commit {origin.commit[:length]}{key}"
    if origin.kind == "unknown":
        return "not recorded"
    if origin.kind == "file":
        return "a local file"
    where = origin.url if whole else urlsplit(origin.url).hostname or origin.url
    return f"sdist of {where}, built here" if origin.kind == "sdist" else where


def _evidence_line(evidence: Evidence) -> str:
    if evidence.trouble:
        return evidence.trouble
    return f"{'passed' if evidence.passed else 'FAILED'} at level {evidence.level}, {evidence.date}"


def _texts(package: Package) -> str:
    """Where its licence can be read, the file that is called a licence first."""
    files = sorted(package.licence_files, key=lambda name: "licen" not in name.rpartition("/")[2].lower())
    return f"; see {files[0]} in the wheel" if files else ""


def _further(manifest: Manifest) -> dict[str, Any]:
    """The projects beside the first, where there are any."""
    if not manifest.further:
        return {}
    return {
        "further": [
            {
                "recipe": one.recipe,
                "release": one.release,
                "source": public_url(one.source),
                "commit": one.commit,
            }
            for one in manifest.further
        ]
    }


def _inspection(seen: Inspection) -> dict[str, Any]:
    manifest = seen.manifest
    sizes = {file.path: file.size for file in manifest.files}
    return {
        "bundle": str(seen.root),
        "recipe": manifest.recipe,
        "release": manifest.release,
        "source": public_url(manifest.source),
        "commit": manifest.commit,
        **_further(manifest),
        "created_by": manifest.created_by,
        "digest": manifest.digest,
        "files": len(manifest.files),
        "bytes": sum(sizes.values()),
        "signed": seen.signed,
        "report": _evidence(seen.evidence),
        "targets": [_target(target) for target in seen.targets],
        "packages": [_package(package) for package in seen.packages],
        "unclear_licences": [package.filename for package in seen.unclear],
        "assets": [
            {
                "path": asset.path,
                "bytes": sizes[asset.path],
                "licence": asset.licence,
                "origin": public_url(asset.origin),
                "unpack": asset.unpack,
            }
            for asset in manifest.assets
        ],
        "programs": [{"name": name, "help": told} for name, told in seen.programs.items()],
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    if evidence.trouble:
        return {"usable": False, "reason": evidence.trouble}
    return {
        "usable": True,
        "date": evidence.date,
        "level": evidence.level,
        "passed": evidence.passed,
        "levels": {name: list(levels) for name, levels in evidence.levels.items()},
    }


def _target(target: InspectedTarget) -> dict[str, Any]:
    entry = target.entry
    return {
        "target": entry.target.name,
        "python": entry.target.python,
        "platform": entry.target.platform,
        "torch": entry.target.torch,
        "backend": entry.target.backend,
        "ops": list(entry.all_extensions),
        "on_stable_abi": entry.on_stable_abi,
        "gpu_code": list(entry.cuda.images) if entry.cuda else [],
        "bytes": sum(package.file.size for package in target.packages),
        "installed_bytes": entry.footprint.bytes if entry.footprint else None,
        "wheels": [package.filename for package in target.packages],
        "installers": [package.filename for package in target.installers],
        "runtime": {"path": entry.runtime.path, "version": entry.runtime.version} if entry.runtime else None,
        "excluded": list(entry.excluded),
        "present": [one.to_json() for one in entry.present],
        "findings": [_about_wheel(finding) for finding in target.findings],
    }


def _about_wheel(finding: Problem | Note) -> dict[str, Any]:
    code = finding.code.name if isinstance(finding, Problem) else None
    return {"problem": code, "file": finding.file, "message": finding.message}


def _package(package: Package) -> dict[str, Any]:
    return {
        "name": package.info.name,
        "version": str(package.info.version),
        "file": package.file.path,
        "bytes": package.file.size,
        "sha256": package.file.sha256,
        "licence": package.licence.expression or None,
        "stated_licence": package.licence.stated,
        "licence_doubt": package.licence.doubt or None,
        "licence_files": list(package.licence_files),
        "startup": [
            {"file": code.file, "line": code.line or None, "harmless": code.harmless or None}
            for code in package.startup
        ],
        "origin": {
            "kind": package.origin.kind,
            "url": package.origin.url,
            "commit": package.origin.commit or None,
            "build_key": package.origin.key or None,
        },
    }


def show_audit(bundle: Path, seen: Audit, threshold: Severity | None, *, as_json: bool) -> None:
    """What is known of a bundle's packages."""
    if as_json:
        print_json({"bundle": str(bundle), **_audit(seen, threshold)})
        return
    rows = [
        [
            finding.vulnerability.id,
            f"{finding.vulnerability.package} {finding.vulnerability.version}",
            finding.vulnerability.severity.name.lower(),
            ", ".join(map(str, finding.vulnerability.fixed_in)) or "no fix known",
            finding.vulnerability.summary,
        ]
        for finding in seen.findings
        if not finding.ignored
    ]
    if rows:
        print_table("known vulnerabilities", ["id", "package", "severity", "fixed in", "what"], rows)
    for finding in seen.findings:
        if finding.ignored:
            one = finding.vulnerability
            print_line(f"ignored: {one.id} of {one.package} {one.version}: {finding.ignored}")
    if seen.unknown:
        names = ", ".join(f"{subject.name} {subject.version}" for subject in seen.unknown)
        print_line(f"not judged, because the database does not cover them: {names}")
    runtimes = sorted({entry.runtime.version for entry in seen.manifest.targets if entry.runtime})
    if runtimes:
        print_line(f"not judged, because no package: Python {', '.join(runtimes)}")
    judged = len(seen.subjects) - len(seen.unknown)
    print_line(f"{len(rows)} known vulnerabilities in {judged} packages, by {_database_line(seen.database)}")
    if seen.old_days is not None:
        print_line(f"warning: the database is {seen.old_days} days old; what came since is not in it")


def end_of_audit(seen: Audit, threshold: Severity | None) -> None:
    """Exit 1 when a vulnerability counts; 3 when packages could not be judged."""
    if seen.failing(threshold):
        raise typer.Exit(1)
    if seen.unknown:
        raise typer.Exit(3)


def show_database(file: Path, database: Database, *, as_json: bool) -> None:
    """A database that was saved."""
    if as_json:
        print_json({"file": str(file), **_database(database)})
        return
    print_line(f"{file}: {_database_line(database)}, all of PyPI")


def _database_line(database: Database) -> str:
    return f"{database.place} of {database.date:%Y-%m-%d}"


def _database(database: Database) -> dict[str, Any]:
    return {
        "place": database.place,
        "date": database.date.isoformat(timespec="seconds"),
        "complete": database.covers is None,
    }


def _audit(seen: Audit, threshold: Severity | None) -> dict[str, Any]:
    return {
        "digest": seen.manifest.digest,
        "database": {**_database(seen.database), "old_days": seen.old_days},
        "fail_on": threshold.name.lower() if threshold is not None else None,
        "failed": bool(seen.failing(threshold)),
        "packages": [_subject(subject) for subject in seen.subjects],
        "vulnerabilities": [_finding(finding) for finding in seen.findings if not finding.ignored],
        "ignored": [
            {**_finding(finding), "reason": finding.ignored} for finding in seen.findings if finding.ignored
        ],
        "not_judged": [_subject(subject) for subject in seen.unknown],
    }


def _subject(subject: Subject) -> dict[str, Any]:
    return {"name": subject.name, "version": str(subject.version), "targets": list(subject.targets)}


def _finding(finding: Finding) -> dict[str, Any]:
    one = finding.vulnerability
    return {
        "id": one.id,
        "aliases": list(one.aliases),
        "package": one.package,
        "version": str(one.version),
        "severity": one.severity.name.lower(),
        "fixed_in": [str(version) for version in one.fixed_in],
        "summary": one.summary,
        "targets": list(finding.targets),
    }
