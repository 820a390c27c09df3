"""Audit: which packages of a bundle have known vulnerabilities, by a service or by a saved database."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from wheelferry.bundle.reader import open_untouched, select_targets
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.pip_config import public_url
from wheelferry.cache.tools import Tools
from wheelferry.errors import IntegrityError
from wheelferry.inspection.inspect import locked_paths, require_outside
from wheelferry.inspection.osv import (
    Database,
    ask,
    check_database_file,
    read_database,
    write_database,
)
from wheelferry.inspection.vulnerabilities import Severity, Vulnerability, assess, parse_record
from wheelferry.models.manifest import Manifest, TargetEntry
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.files import copy_aside

# A database that is older than so many days is warned about.
OLD_DAYS = 30
_EXPORT_SUFFIX = ".zip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A version of a package that travels, and the targets it is for."""

    name: NormalizedName
    version: Version
    targets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A known vulnerability, and the reason why it does not count, if it does not."""

    vulnerability: Vulnerability
    targets: tuple[str, ...]
    ignored: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What a database knows of a bundle; `unknown` are the packages that it says nothing about."""

    manifest: Manifest
    subjects: tuple[Subject, ...]
    findings: tuple[Finding, ...]
    unknown: tuple[Subject, ...]
    database: Database
    old_days: int | None

    def failing(self, threshold: Severity | None) -> tuple[Finding, ...]:
        """What counts, from a severity on; nothing without one."""
        return tuple(
            finding
            for finding in self.findings
            if threshold is not None and not finding.ignored and finding.vulnerability.severity >= threshold
        )


def audit(
    root: Path,
    tools: Tools,
    *,
    place: str,
    database: Path | None = None,
    save: Path | None = None,
    only: str | None = None,
    ignored: Mapping[str, str],
) -> Audit:
    """Judge the packages of the bundle in `root`, on all targets or on `only`, its installers' own included.

    `place` is an OSV service, or an export of it (a zip); with `database`, a file, no network is used.
    What was asked for is kept in the file `save`. `ignored` are identifiers that do not count, each with the
    reason. Raises InputError, MissingError and IntegrityError as reading a bundle and a database do.
    """
    if save is not None:
        require_outside(root, save, option="--save")
        check_database_file(save)
    manifest = open_untouched(root)
    subjects = _subjects(root, manifest, select_targets(manifest, only))
    names = {subject.name for subject in subjects}
    if database is not None:
        known = read_database(database, names, tools.progress)
    elif place.endswith(_EXPORT_SUFFIX):
        known = read_database(_download(place, tools), names, tools.progress, place=public_url(place))
    else:
        known = ask(names, place, tools.index, tools.progress)
    if save is not None:
        # what was looked at; an export knows more, but only of these was anything taken out
        write_database(save, known if known.covers is not None else _narrowed(known, names))
    findings = _judge(subjects, known, ignored, tools)
    age = (dt.datetime.now(dt.UTC) - known.date).days
    return Audit(
        manifest=manifest,
        subjects=subjects,
        findings=findings,
        unknown=tuple(subject for subject in subjects if not known.knows(subject.name)),
        database=known,
        old_days=age if age > OLD_DAYS else None,
    )


def save_export(url: str, file: Path, tools: Tools) -> Database:
    """Fetch OSV's export of all of PyPI into `file`, which is replaced only by a whole one; says its date."""
    check_database_file(file)
    fetched = _download(url, tools)
    database = read_database(fetched, (), tools.progress, place=public_url(url))
    file.parent.mkdir(parents=True, exist_ok=True)
    copy_aside(fetched, file)
    return database


def _download(url: str, tools: Tools) -> Path:
    """An export in the store, downloaded each time: what it holds changes every day."""
    entry = download_all(
        [Download(url=url, filename=public_url(url).rpartition("/")[2], sha256=None)],
        tools.store,
        tools.index,
        tools.progress,
    )[url]
    return tools.store.path(entry.sha256)


def _narrowed(database: Database, names: Iterable[NormalizedName]) -> Database:
    return Database(
        records=database.records, date=database.date, place=database.place, covers=frozenset(names)
    )


def _subjects(root: Path, manifest: Manifest, entries: Iterable[TargetEntry]) -> tuple[Subject, ...]:
    """Every package of the targets, in name order."""
    found: dict[tuple[NormalizedName, Version], list[str]] = {}
    for entry in entries:
        paths = [*locked_paths(root, manifest, entry), *(path for path in (entry.uv, entry.pip) if path)]
        for path in paths:
            name, version, _ = filename_parts(path.rpartition("/")[2])
            targets = found.setdefault((name, version), [])
            if entry.target.name not in targets:
                targets.append(entry.target.name)
    return tuple(
        Subject(name=name, version=version, targets=tuple(targets))
        for (name, version), targets in sorted(found.items())
    )


def _judge(
    subjects: Iterable[Subject], database: Database, ignored: Mapping[str, str], tools: Tools
) -> tuple[Finding, ...]:
    """All findings, the worst first; identifiers that are ignored in vain are warned about."""
    try:
        records = [parse_record(document) for document in database.records.values()]
    except ValueError as error:
        raise IntegrityError(
            f"{database.place}: {error}", hint="fetch the database again, or take another one"
        ) from None
    findings = []
    used: set[str] = set()
    for subject in subjects:
        for vulnerability in assess(subject.name, subject.version, records):
            names = [n for n in (vulnerability.id, *vulnerability.aliases) if n in ignored]
            used.update(names)
            reason = ignored[names[0]] if names else ""
            findings.append(Finding(vulnerability=vulnerability, targets=subject.targets, ignored=reason))
    for name in sorted(set(ignored) - used):
        tools.progress.warn(f"--ignore {name}: no package here has this vulnerability")
    return tuple(sorted(findings, key=lambda f: (bool(f.ignored), -f.vulnerability.severity)))
