"""Which versions a record is about, how bad it is, and which records are one; records made up."""

from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version

from osvserver import HIGH, MEDIUM_4, record
from wheelferry.inspection.vulnerabilities import Severity, Vulnerability, assess, packages_of, parse_record

LEAF = NormalizedName("leaf")


def judge(version: str, *documents: dict[str, Any]) -> tuple[Vulnerability, ...]:
    return assess(LEAF, Version(version), [parse_record(document) for document in documents])


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.9", False),
        ("1.0", True),
        ("1.4.post1", True),
        ("1.5rc1", True),
        ("1.5", False),
        ("1.9", False),
        ("2.0", True),
        ("2.3", True),
        ("2.3.1", False),
        ("1.4+cpu", True),  # judged as 1.4
        ("1!1.2", False),
    ],
)
def test_ranges(version: str, affected: bool) -> None:
    events = [{"introduced": "2.0"}, {"last_affected": "2.3"}, {"fixed": "1.5"}, {"introduced": "1.0"}]
    assert bool(judge(version, record("X-1", "Leaf", *events))) is affected


def test_from_the_first_version_on_and_again_where_it_had_been_fixed() -> None:
    assert judge("0.0.1.dev1", record("X-1", "leaf", {"introduced": "0"}))
    again = record("X-1", "leaf", {"introduced": "0"}, {"fixed": "1"}, {"introduced": "1"}, {"fixed": "3"})
    assert [v.fixed_in for v in judge("1", again)] == [(Version("3"),)]


def test_versions_that_are_listed_count_too() -> None:
    listed = record("X-1", "leaf", versions=["1.0.0", "not pep 440"])
    assert judge("1.0", listed)
    assert not judge("1.0.1", listed)


@pytest.mark.parametrize(
    "document",
    [
        record("X-1", "twig", {"introduced": "0"}),
        record("X-1", "leaf", {"introduced": "0"}, ecosystem="npm"),
        record("X-1", "leaf", {"introduced": "0"}, kind="GIT"),
        record("X-1", "leaf", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"),
        {"id": "X-1", "modified": "2026-01-01T00:00:00Z"},
    ],
)
def test_what_is_not_about_it(document: dict[str, Any]) -> None:
    assert not judge("1.0", document)


def test_an_ecosystem_may_have_a_suffix() -> None:
    document = record("X-1", "leaf", {"introduced": "0"}, ecosystem="PyPI:https://index.example")
    assert judge("1.0", document)
    assert packages_of(document) == {LEAF}


def test_versions_that_nobody_can_compare_make_a_range_larger() -> None:
    assert judge("1.0", record("X-1", "leaf", {"introduced": "2004d"}))
    assert judge("1.0", record("X-1", "leaf", {"introduced": "0"}, {"fixed": "2004d"}))


@pytest.mark.parametrize(
    ("more", "severity"),
    [
        ({}, Severity.UNKNOWN),
        ({"severity": [HIGH]}, Severity.HIGH),
        ({"severity": [MEDIUM_4]}, Severity.MEDIUM),
        ({"severity": [MEDIUM_4, HIGH]}, Severity.HIGH),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:C/I:C/A:C"}]}, Severity.CRITICAL),
        (
            {"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N"}]},
            Severity.LOW,
        ),
        ({"severity": [{"type": "CVSS_V3", "score": "nonsense"}]}, Severity.UNKNOWN),
        ({"severity": [{"type": "Ubuntu", "score": "low"}]}, Severity.UNKNOWN),
        ({"database_specific": {"severity": "MODERATE"}}, Severity.MEDIUM),
        ({"database_specific": {"severity": "MODERATE"}, "severity": [HIGH]}, Severity.HIGH),
        ({"database_specific": {"severity": "?"}}, Severity.UNKNOWN),
    ],
)
def test_severities(more: dict[str, Any], severity: Severity) -> None:
    (found,) = judge("1.0", record("X-1", "leaf", {"introduced": "0"}, **more))
    assert found.severity is severity


def test_records_of_one_thing_are_one() -> None:
    found = judge(
        "1.0",
        record("PYSEC-2026-1", "leaf", {"introduced": "0"}, {"fixed": "1.1"}, aliases=["CVE-2026-1"]),
        record("X-9", "leaf", {"introduced": "0"}, {"fixed": "3"}),
        record(
            "GHSA-aaaa-bbbb-cccc",
            "leaf",
            {"introduced": "0"},
            {"fixed": "1.2"},
            aliases=["CVE-2026-1"],
            severity=[HIGH],
            summary="Leaves\n fall",
        ),
    )
    assert [(v.id, v.aliases, v.severity) for v in found] == [
        ("X-9", (), Severity.UNKNOWN),  # what nobody has rated comes first
        ("CVE-2026-1", ("GHSA-aaaa-bbbb-cccc", "PYSEC-2026-1"), Severity.HIGH),
    ]
    assert found[1].fixed_in == (Version("1.1"), Version("1.2"))
    assert found[1].summary == "Leaves"


def test_a_chain_of_names_makes_one_in_any_order() -> None:
    documents = [
        record("A-1", "leaf", {"introduced": "0"}, aliases=["B-1"]),
        record("C-1", "leaf", {"introduced": "0"}, aliases=["D-1"]),
        record("B-1", "leaf", {"introduced": "0"}, aliases=["C-1"]),
    ]
    for order in (documents, documents[::-1]):
        assert [(v.id, v.aliases) for v in judge("1.0", *order)] == [("A-1", ("B-1", "C-1", "D-1"))]


def test_what_is_shown_cannot_steer_a_terminal() -> None:
    (found,) = judge("1.0", record("X-1", "leaf", {"introduced": "0"}, summary="a\x1b[2J\tb"))
    assert found.summary == "a[2J b"


def test_without_a_summary_the_first_line_of_the_details_is_shown() -> None:
    (found,) = judge("1.0", record("X-1", "leaf", {"introduced": "0"}, details="a " * 300 + "\nb"))
    assert len(found.summary) == 200
    assert found.summary.endswith("…")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": 1},
        {"id": "X-1", "affected": "all"},
        {"id": "X-1", "affected": [{"package": {"name": "leaf"}}]},
        {"id": "X-1", "affected": [{"package": {"name": "leaf", "ecosystem": "PyPI"}, "ranges": [{}]}]},
        {"id": "X-1", "affected": [], "severity": [{}]},
        {"id": "X-1", "aliases": [None]},
        {"id": "X-1", "aliases": ["CVE\x1b[2J"]},
        {"id": "../X-1"},
        [],
    ],
)
def test_what_is_no_record_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"not a record of OSV|is not the identifier of a record"):
        parse_record(document)
