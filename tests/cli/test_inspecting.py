"""inspect and audit as a user meets them: text, JSON, exit codes; no network but loopback."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TARGET, locked, pack_bundle, wheelferry, write_wheel
from osvserver import HIGH, MEDIUM_4, OsvServer, export, record, serving
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe

RECORDS = [
    record(
        "GHSA-aaaa-bbbb-cccc",
        "torch",
        {"introduced": "2.0"},
        {"fixed": "2.14.0"},
        aliases=["CVE-2026-1"],
        severity=[HIGH],
        summary="Tensors leak",
    ),
    record("X-2", "leaf", {"introduced": "0"}, {"fixed": "1.5"}),
    record("X-3", "tiny", {"introduced": "1.0"}, severity=[MEDIUM_4], summary="Too small"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OsvServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(RECORDS) as made:
        yield made


def test_inspect_as_text_and_json(bundle: Path) -> None:
    shown = wheelferry("inspect", bundle).stdout
    assert "tiny@1.0" in shown
    assert TARGET.name in shown
    assert "tiny._C: compiled for torch 2.13.0" in shown
    assert "index.example" in shown
    assert "index.example/leaf" not in shown
    assert "licence unclear: leaf 1.5 says nothing of its licence" in shown
    assert "https://index.example/leaf-1.5-py3-none-any.whl" in wheelferry("inspect", bundle, "-v").stdout
    document = json.loads(wheelferry("inspect", bundle, "--json").stdout)
    assert [target["target"] for target in document["targets"]] == [TARGET.name]
    leaf = next(package for package in document["packages"] if package["name"] == "leaf")
    assert leaf["origin"]["url"] == "https://index.example/leaf-1.5-py3-none-any.whl"
    assert document["report"]["usable"] is False
    assert document["signed"] is False


def test_inspect_writes_what_is_asked_for_and_leaves_the_bundle_alone(bundle: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}
    done = wheelferry(
        "inspect", bundle, "--sbom", tmp_path / "sbom", "--licences", tmp_path / "texts", "--json"
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)["written"]
    assert written == [str(tmp_path / "texts"), str(tmp_path / "sbom" / f"{TARGET.name}.cdx.json")]
    assert all(Path(path).exists() for path in written)
    assert {path: path.stat().st_mtime_ns for path in bundle.rglob("*")} == before


def test_a_damaged_bundle_has_its_own_exit_code(bundle: Path) -> None:
    (bundle / "wheelhouse" / "leaf-1.5-py3-none-any.whl").unlink()
    done = wheelferry("inspect", bundle)
    assert done.returncode == 4
    assert "leaf-1.5-py3-none-any.whl is missing" in done.stderr.replace("\n", "")


def test_weights_and_a_wheel_with_other_problems(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"w" * 10)
    wheel = locked(write_wheel(tmp_path / "made", "mine", "1", metadata_lines=["License: Mine"]), tools.store)
    out = pack_bundle(
        tmp_path / "b",
        tmp_path / "made",
        tools,
        located,
        assets=[str(weights)],
        more=[replace(wheel, origin=wheel.filename)],
    )
    shown = wheelferry("inspect", out).stdout
    assert "assets/files/weights.bin: 10 B" in shown
    assert "licence unclear: mine 1 says only 'Mine', which names more than one licence" in shown
    assert "a local file" in shown


@pytest.mark.parametrize(
    ("level", "status"),
    [("none", 0), ("any", 1), ("low", 1), ("medium", 1), ("high", 1), ("critical", 0)],
)
def test_fail_on_decides_the_exit_code(bundle: Path, tmp_path: Path, level: str, status: int) -> None:
    database = export(tmp_path / "all.zip", RECORDS)
    done = wheelferry("audit", bundle, "--database", database, "--fail-on", level)
    assert done.returncode == status, done.stderr
    assert "CVE-2026-1" in done.stdout
    assert "X-2" not in done.stdout  # fixed in what travels
    assert "2 known vulnerabilities in 6 packages" in done.stdout


def test_what_nobody_rated_counts_as_the_worst(bundle: Path, tmp_path: Path) -> None:
    database = export(tmp_path / "all.zip", [record("X-1", "twig", {"introduced": "0"})])
    done = wheelferry("audit", bundle, "--database", database, "--fail-on", "critical", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["vulnerabilities"][0]["severity"] == "unknown"


def test_the_same_by_service_by_what_it_saved_and_by_an_export(
    bundle: Path, tmp_path: Path, server: OsvServer
) -> None:
    saved = tmp_path / "saved.zip"
    asked = wheelferry("audit", bundle, "--from", server.url, "--save", saved, "--json")
    assert asked.returncode == 1, asked.stderr
    server.answer = b"gone"
    documents = [
        json.loads(asked.stdout),
        json.loads(wheelferry("audit", bundle, "--database", saved, "--json").stdout),
        json.loads(
            wheelferry("audit", bundle, "--database", export(tmp_path / "all.zip", RECORDS), "--json").stdout
        ),
    ]
    assert [finding["id"] for finding in documents[0]["vulnerabilities"]] == ["CVE-2026-1", "X-3"]
    assert documents[0]["vulnerabilities"][0]["aliases"] == ["GHSA-aaaa-bbbb-cccc"]
    assert documents[0]["vulnerabilities"][0]["fixed_in"] == ["2.14.0"]
    for document in documents[1:]:
        assert document["vulnerabilities"] == documents[0]["vulnerabilities"]
    assert [document["database"]["complete"] for document in documents] == [False, False, True]


def test_the_service_may_come_from_the_environment(
    bundle: Path, server: OsvServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFERRY_OSV", server.url)
    assert wheelferry("audit", bundle).returncode == 1
    assert "POST /v1/querybatch" in server.requests


def test_an_export_is_fetched_saved_and_used(bundle: Path, tmp_path: Path, server: OsvServer) -> None:
    server.files["/PyPI/all.zip"] = export(tmp_path / "all.zip", RECORDS).read_bytes()
    address = f"{server.url}/PyPI/all.zip"
    saved = tmp_path / "new" / "osv.zip"
    done = wheelferry("audit", "--save", saved, "--from", address, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["complete"] is True
    assert saved.read_bytes() == server.files["/PyPI/all.zip"]
    assert wheelferry("audit", bundle, "--from", address).returncode == 1
    server.files["/PyPI/all.zip"] = b"no zip"
    assert wheelferry("audit", "--save", saved, "--from", address).returncode == 4
    assert zipfile.is_zipfile(io.BytesIO(saved.read_bytes()))


def test_what_is_ignored_needs_a_reason_and_is_told(bundle: Path, tmp_path: Path) -> None:
    database = export(tmp_path / "all.zip", RECORDS)
    ignore = ["--ignore", "GHSA-aaaa-bbbb-cccc=no tensors leave", "--ignore", "X-3=is = small"]
    done = wheelferry("audit", bundle, "--database", database, *ignore, "--ignore", "X-7=old")
    assert done.returncode == 0, done.stderr
    assert "ignored: CVE-2026-1 of torch 2.13.0: no tensors leave" in done.stdout
    assert "ignored: X-3 of tiny 1.0+pt2.13.0cpu: is = small" in done.stdout
    assert "--ignore X-7: no package here has this vulnerability" in done.stderr


def test_a_package_that_the_database_does_not_cover_is_not_called_clean(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe, server: OsvServer
) -> None:
    server.records.clear()
    saved = tmp_path / "saved.zip"
    assert wheelferry("audit", bundle, "--from", server.url, "--save", saved).returncode == 0
    more = [locked(write_wheel(tmp_path / "made", "newer", "1"), tools.store)]
    other = pack_bundle(tmp_path / "other", tmp_path / "made", tools, located, more=more)
    done = wheelferry("audit", other, "--database", saved)
    assert done.returncode == 3
    assert "not cover them: newer 1" in done.stdout


def test_an_old_database_is_told(bundle: Path, tmp_path: Path) -> None:
    old = record("X-1", "elsewhere", {"introduced": "0"}, modified="2020-01-01T00:00:00Z")
    done = wheelferry("audit", bundle, "--database", export(tmp_path / "all.zip", [old]))
    assert done.returncode == 0
    assert "all.zip of 2020-01-01" in done.stdout
    assert "days old; what came since is not in it" in done.stdout


def test_no_service_is_something_missing(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    done = wheelferry("audit", bundle, "--from", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert "no answer" in done.stderr
    assert "--database" in done.stderr
    assert "Traceback" not in done.stderr
