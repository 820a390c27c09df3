"""Known vulnerabilities: records in OSV's format, which versions they are about, how bad they are. No I/O.

The format and how it is evaluated: ossf.github.io/osv-schema.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cvss
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

ECOSYSTEM = "PyPI"
_COMPARABLE = ("ECOSYSTEM", "SEMVER")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What a database says in words, GitHub's above all, where a record has no vector.
_WORDS = {"LOW": "LOW", "MODERATE": "MEDIUM", "MEDIUM": "MEDIUM", "HIGH": "HIGH", "CRITICAL": "CRITICAL"}
_VECTORS = {"CVSS_V2": cvss.CVSS2, "CVSS_V3": cvss.CVSS3, "CVSS_V4": cvss.CVSS4}
# The names that people know best come first.
_KNOWN_NAMES = ("CVE-", "GHSA-", "PYSEC-")
_SUMMARY_LENGTH = 200


class Severity(IntEnum):
    """How bad it is, after CVSS. What nobody has rated may be the worst, and counts so."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4
    UNKNOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A version at which it begins (``introduced``), ends (``fixed``) or was last seen (``last_affected``).

    An introduction at None was there from the first version on.
    """

    kind: str
    at: Version | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Affected:
    """The versions of one package that a record is about: those listed, and those in its ranges."""

    name: NormalizedName
    versions: frozenset[Version]
    ranges: tuple[tuple[Event, ...], ...]

    def holds(self, version: Version) -> bool:
        """Whether it is about that version."""
        return version in self.versions or any(_within(events, version) for events in self.ranges)

    def fixes(self, version: Version) -> Iterator[Version]:
        """The first release with a fix in each range that the version lies in, or in all if it is listed."""
        around = [events for events in self.ranges if _within(events, version)] or self.ranges
        for events in around:
            later = [e.at for e in events if e.kind == "fixed" and e.at is not None and e.at > version]
            if later:
                yield min(later)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One record of a database."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: Severity
    withdrawn: bool
    affected: tuple[Affected, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vulnerability:
    """One vulnerability of one version of a package, under whatever names databases have it."""

    id: str
    aliases: tuple[str, ...]
    package: NormalizedName
    version: Version
    severity: Severity
    fixed_in: tuple[Version, ...]
    summary: str


def identifier_of(document: Mapping[str, Any]) -> str:
    """A record's identifier, which is the name of its file too; ValueError for what cannot be one."""
    identifier = document.get("id") if isinstance(document, Mapping) else None
    if not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is not the identifier of a record")
    return identifier


def packages_of(document: Mapping[str, Any]) -> frozenset[NormalizedName]:
    """The packages of PyPI that a record is about; ValueError for what is not a record."""
    try:
        found = [item["package"] for item in document.get("affected") or [] if item.get("package")]
        return frozenset(canonicalize_name(p["name"]) for p in found if _of_pypi(p["ecosystem"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{_identity(document)}: not a record of OSV ({type(error).__name__}: {error})"
        ) from None


def parse_record(document: Mapping[str, Any]) -> Record:
    """Read a record, of which only what concerns PyPI counts; ValueError for what is not a record."""
    try:
        affected = [
            item
            for item in document.get("affected") or []
            if item.get("package") and _of_pypi(item["package"]["ecosystem"])
        ]
        return Record(
            id=identifier_of(document),
            aliases=tuple(_name(alias) for alias in document.get("aliases") or []),
            summary=_summary(document),
            severity=_severity(document, affected),
            withdrawn=bool(document.get("withdrawn")),
            affected=tuple(_affected(item) for item in affected),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{_identity(document)}: not a record of OSV ({type(error).__name__}: {error})"
        ) from None


def assess(name: NormalizedName, version: Version, records: Iterable[Record]) -> tuple[Vulnerability, ...]:
    """What is known of one version of a package, the worst first; records of one thing are one.

    A local version (``2.13.0+cpu``) is judged as the public one that it was made from: no database knows it.
    """
    public = Version(version.public)
    telling = [
        record
        for record in records
        if not record.withdrawn and any(a.name == name and a.holds(public) for a in record.affected)
    ]
    found = [_as_one(group, name, version) for group in _grouped(telling)]
    return tuple(sorted(found, key=lambda one: (-one.severity, one.id)))


def _grouped(records: Iterable[Record]) -> list[list[Record]]:
    """Records that share a name, directly or through others."""
    groups: list[tuple[set[str], list[Record]]] = []
    for record in records:
        names, members = {record.id, *record.aliases}, [record]
        apart = []
        for group in groups:
            if group[0] & names:
                names |= group[0]
                members = [*group[1], *members]
            else:
                apart.append(group)
        groups = [*apart, (names, members)]
    return [members for _, members in groups]


def _as_one(records: list[Record], name: NormalizedName, version: Version) -> Vulnerability:
    public = Version(version.public)
    names = sorted({known for record in records for known in (record.id, *record.aliases)}, key=_rank)
    rated = [record.severity for record in records if record.severity is not Severity.UNKNOWN]
    fixes = {
        fix
        for r in records
        for a in r.affected
        if a.name == name and a.holds(public)
        for fix in a.fixes(public)
    }
    return Vulnerability(
        id=names[0],
        aliases=tuple(names[1:]),
        package=name,
        version=version,
        severity=max(rated, default=Severity.UNKNOWN),
        fixed_in=tuple(sorted(fixes)),
        summary=next((record.summary for record in records if record.summary), ""),
    )


def _rank(name: str) -> tuple[int, str]:
    places = (place for place, prefix in enumerate(_KNOWN_NAMES) if name.startswith(prefix))
    return next(places, len(_KNOWN_NAMES)), name


def _within(events: Iterable[Event], version: Version) -> bool:
    """Whether a version lies in a range: the state after the last event that is not beyond it."""
    affected = False
    for event in sorted(events, key=_order):
        if event.at is None or version >= event.at:
            if event.kind == "introduced":
                affected = True
            elif event.kind == "fixed" or (event.at is not None and version > event.at):
                affected = False
    return affected


def _order(event: Event) -> tuple[bool, Version, bool]:
    """By version; what ends at a version and begins again there has begun."""
    return event.at is not None, event.at or Version("0"), event.kind == "introduced"


def _affected(item: Mapping[str, Any]) -> Affected:
    ranges = [r for r in item.get("ranges") or [] if r["type"] in _COMPARABLE]
    versions = (_version(text) for text in item.get("versions") or [])
    return Affected(
        name=canonicalize_name(item["package"]["name"]),
        versions=frozenset(version for version in versions if version is not None),
        ranges=tuple(tuple(_events(r["events"])) for r in ranges),
    )


def _events(items: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    """The events of a range. One whose version nobody can compare makes the range larger, never smaller."""
    for item in items:
        for kind in ("introduced", "fixed", "last_affected"):
            if kind in item:
                version = _version(item[kind]) if item[kind] != "0" else None
                if kind == "introduced" or version is not None:
                    yield Event(kind=kind, at=version)


def _version(text: object) -> Version | None:
    """A version, or None for one from before PEP 440."""
    try:
        return Version(_text(text))
    except InvalidVersion:
        return None


def _severity(document: Mapping[str, Any], affected: Iterable[Mapping[str, Any]]) -> Severity:
    """The worst rating of a record: by its vectors, else by its database's word."""
    vectors = [*(document.get("severity") or [])]
    vectors += [rating for item in affected for rating in item.get("severity") or []]
    rated = [score for rating in vectors if (score := _score(rating)) is not None]
    if rated:
        return _of_score(max(rated))
    word = (document.get("database_specific") or {}).get("severity")
    known = _WORDS.get(word.upper()) if isinstance(word, str) else None
    return Severity[known] if known else Severity.UNKNOWN


def _score(rating: Mapping[str, Any]) -> float | None:
    """The base score of a CVSS vector; None for another kind of rating, and for a vector that is none."""
    kind = _VECTORS.get(rating["type"])
    if kind is None:
        return None
    try:
        return float(kind(_text(rating["score"])).scores()[0])
    except cvss.CVSSError:
        return None


def _of_score(score: float) -> Severity:
    """The ratings of CVSS 3 and 4; a score of nought, ``none`` there, is low here."""
    limits = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
    return next((severity for limit, severity in limits if score >= limit), Severity.LOW)


def _summary(document: Mapping[str, Any]) -> str:
    """The record's own summary, or the first line of its details."""
    text = _text(document.get("summary") or document.get("details") or "").strip()
    first = " ".join(text.splitlines()[0].split()) if text else ""
    line = "".join(filter(str.isprintable, first))  # it goes to a terminal
    return line if len(line) <= _SUMMARY_LENGTH else line[: _SUMMARY_LENGTH - 1] + "…"


def _of_pypi(ecosystem: str) -> bool:
    """An ecosystem may have a suffix: ``PyPI:https://index.example``."""
    return ecosystem.partition(":")[0] == ECOSYSTEM


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _name(value: object) -> str:
    """Another database's identifier: whatever that looks like, it is shown on a terminal."""
    name = _text(value)
    if not name.isprintable():
        raise TypeError(f"{name!r} is not a name")
    return name


def _identity(document: object) -> str:
    return repr(document.get("id", "a record")) if isinstance(document, Mapping) else "a record"
