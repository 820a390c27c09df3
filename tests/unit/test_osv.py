"""OSV's service and its files: asked on loopback, saved, read back, damaged."""

import datetime as dt
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from urllib3 import Retry

from osvserver import OsvServer, export, record, serving
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.inspection import osv
from wheelferry.inspection.osv import Database, ask, check_database_file, read_database, write_database
from wheelferry.progress import Silent

LEAF, TWIG, BARK = NormalizedName("leaf"), NormalizedName("twig"), NormalizedName("bark")
RECORDS = [record(f"X-{n}", "leaf", {"introduced": "0"}) for n in range(5)]
RECORDS += [record("X-8", "twig", {"introduced": "0"}), record("X-9", "other", {"introduced": "0"})]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OsvServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(
        osv, "_retries", lambda: Retry(total=2, status_forcelist=(503,), allowed_methods=None)
    )
    with serving(RECORDS) as made:
        yield made


def question(server: OsvServer) -> Database:
    return ask([LEAF, TWIG, BARK], server.url + "/", IndexSettings(), Silent())


def test_all_pages_of_all_packages_are_asked_for(server: OsvServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osv, "_BATCH", 2)
    database = question(server)
    assert sorted(database.records) == ["X-0", "X-1", "X-2", "X-3", "X-4", "X-8"]
    assert database.covers == frozenset((LEAF, TWIG, BARK))
    assert database.knows(BARK)
    assert not database.knows(NormalizedName("other"))
    assert (dt.datetime.now(dt.UTC) - database.date).total_seconds() < 60


def test_a_service_that_stumbles_is_asked_again(server: OsvServer) -> None:
    server.failures = 2
    assert len(question(server).records) == 6


def test_a_service_that_stays_down_is_named(server: OsvServer) -> None:
    server.failures = 100
    with pytest.raises(MissingError, match="no answer") as caught:
        question(server)
    assert "--database" in str(caught.value.hint)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, server: OsvServer) -> None:
    monkeypatch.setattr(osv, "_retries", lambda: Retry(total=0))
    address = f"http://me:secret@127.0.0.1:{server.server.server_port}"
    server.server.server_close()
    with pytest.raises(MissingError) as caught:
        ask([LEAF], address, IndexSettings(), Silent())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"results": []}',
        b'{"results": [{"vulns": [{"id": "../../x"}]}]}',
        b'{"results": [{"vulns": [{}]}]}',
        b'{"results": [{"vulns": [{"id": "X-1"}], "next_page_token": "again"}]}',
    ],
)
def test_what_is_no_answer_of_osv_is_refused(
    server: OsvServer, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osv, "_PAGES", 3)
    server.answer = answer
    with pytest.raises(MissingError):
        ask([LEAF], server.url, IndexSettings(), Silent())


def test_a_record_that_is_not_there_any_more(server: OsvServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "result", lambda _query: {"vulns": [{"id": "X-gone"}]})
    with pytest.raises(MissingError, match="404"):
        question(server)


def test_a_saved_database_gives_back_what_was_asked(server: OsvServer, tmp_path: Path) -> None:
    asked = question(server)
    file = tmp_path / "neu" / "osv ü.zip"
    write_database(file, asked)
    back = read_database(file, [LEAF, TWIG], Silent())
    assert (back.records, back.covers, back.place) == (asked.records, asked.covers, "osv ü.zip")
    assert back.date == asked.date.replace(microsecond=0)
    first = file.read_bytes()
    write_database(file, asked)
    assert file.read_bytes() == first


def test_an_export_is_read_for_what_concerns_the_packages(tmp_path: Path) -> None:
    newer = record("X-10", "other", {"introduced": "0"}, modified="2026-03-04T00:00:00Z")
    file = export(tmp_path / "all.zip", [*RECORDS, newer])
    database = read_database(file, [TWIG], Silent())
    assert list(database.records) == ["X-8"]
    assert database.covers is None
    assert database.knows(BARK)
    assert f"{database.date:%Y-%m-%d}" == "2026-03-04"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "no record about PyPI"),
        ({"a.json": json.dumps(record("A-1", "leaf", ecosystem="npm"))}, "no record about PyPI"),
        ({"a.json": "{"}, "a.json: Expecting"),
        ({"a.json": "[" * 100_000}, "a.json: "),
        ({"a.json": "[]"}, "not a record of OSV"),
        ({"a.json": json.dumps(record("../A", "leaf", {"introduced": "0"}))}, "not the identifier"),
        ({"wheelferry.json": '{"format": 2}'}, "has format 2"),
        ({"wheelferry.json": '{"format": 1, "packages": []}'}, "makes no sense"),
        ({"wheelferry.json": '{"format": 1, "packages": [], "date": "soon"}'}, "Invalid isoformat"),
    ],
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, members: dict[str, Any], said: str) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    with pytest.raises(IntegrityError, match=said):
        read_database(file, [LEAF], Silent())


def test_damage_is_found_and_a_missing_file_is_named(tmp_path: Path) -> None:
    file = export(tmp_path / "all.zip", RECORDS)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="not a readable database"):
        read_database(file, [LEAF], Silent())
    at = data.index(b'"introduced"')
    file.write_bytes(data[:at] + b'"introducee"' + data[at + 12 :])
    with pytest.raises(IntegrityError, match="not a readable database"):
        read_database(file, [LEAF], Silent())
    with pytest.raises(InputError, match="no such file"):
        read_database(tmp_path / "nowhere.zip", [LEAF], Silent())


def test_a_record_of_unlikely_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osv, "_RECORD_BYTES", 100)
    with pytest.raises(IntegrityError, match="which no record has"):
        read_database(export(tmp_path / "all.zip", RECORDS), [LEAF], Silent())


def test_only_a_database_is_written_over(tmp_path: Path) -> None:
    check_database_file(tmp_path / "new.zip")
    check_database_file(export(tmp_path / "old.zip", RECORDS))
    (tmp_path / "thesis.zip").write_text("years")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"")
    for name in ("thesis.zip", "photos.zip", ".", "thesis.zip/x"):
        with pytest.raises(InputError, match=r"something other than a database|is a folder|is not a folder"):
            check_database_file(tmp_path / name)
