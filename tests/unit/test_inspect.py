"""Inspect: what a bundle says of itself, SBOMs and licence texts; synthesised bundles."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from conftest import TARGET, locked, pack_bundle, write_wheel
from wheelferry.cache.pip_config import public_url
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError, IntegrityError
from wheelferry.inspection.inspect import Inspection, inspect
from wheelferry.inspection.licences import LIST, collect_licences, joined_texts
from wheelferry.inspection.sbom import write_sboms
from wheelferry.models.lock import LockedWheel
from wheelferry.models.manifest import NAME, parse_manifest
from wheelferry.models.report import Level
from wheelferry.progress import Silent
from wheelferry.verification.verify import verify

OTHER = replace(TARGET, python="3.12")


@pytest.fixture
def extra(tmp_path: Path, tools: Tools) -> LockedWheel:
    """A wheel with a licence, an extra and an address that has a password in it."""
    wheel = write_wheel(
        tmp_path / "made",
        "clear",
        "3.0",
        requires=["leaf; extra == 'more'", "nothere; sys_platform == 'win32'"],
        metadata_lines=["License-Expression: MIT", "License-File: LICENSE", "Provides-Extra: more"],
        files={
            "clear-3.0.dist-info/licenses/LICENSE": "Grüße\r\nvon hier\r\n".encode("latin-1"),
            "clear/vendor/COPYING": b"Gr\xfc\xdfe\nvon hier\n",
            "clear/vendor/NOTICE.pdf": b"%PDF\0",
        },
    )
    return replace(
        locked(wheel, tools.store), origin=f"https://me:secret@index.example/{wheel.name}?token=x#y"
    )


@pytest.fixture
def seen(tmp_path: Path, tools: Tools, located: LocatedRecipe, extra: LockedWheel) -> Inspection:
    out = pack_bundle(tmp_path / "bündel 1", tmp_path / "made", tools, located, more=[extra])
    return inspect(out, Silent())


def test_a_bundle_says_what_it_holds(seen: Inspection) -> None:
    (target,) = seen.targets
    assert [package.title for package in target.packages] == [
        "clear 3.0",
        "leaf 1.5",
        "tiny 1.0+pt2.13.0cpu",
        "torch 2.13.0",
        "twig 2.1",
    ]
    assert [package.title for package in target.installers] == ["uv 0.9.0", "pip 26.0"]
    assert [package.info.name for package in seen.unclear] == ["pip", "uv", "leaf", "tiny", "torch", "twig"]
    assert not seen.signed
    assert target.findings == ()


def test_what_installers_pass_over_is_told(
    tmp_path: Path, tools: Tools, located: LocatedRecipe, extra: LockedWheel
) -> None:
    other = write_wheel(tmp_path / "made", "other", "1.0", files={"clear/vendor/COPYING": b"another"})
    more = [extra, locked(other, tools.store)]
    (target,) = inspect(
        pack_bundle(tmp_path / "b", tmp_path / "made", tools, located, more=more), Silent()
    ).targets
    (problem,) = target.findings
    assert str(problem).startswith(
        "wheelhouse/clear-3.0-py3-none-any.whl: installs a file that other-1.0-py3"
    )
    assert "clear/vendor/COPYING" in str(problem)


def test_origins_show_no_secret_and_name_commit_and_key(seen: Inspection) -> None:
    origins = {str(package.info.name): package.origin for package in seen.packages}
    assert (origins["clear"].kind, origins["clear"].url) == (
        "index",
        "https://index.example/clear-3.0-py3-none-any.whl",
    )
    assert (origins["tiny"].kind, origins["tiny"].commit) == ("built", "0" * 64)
    assert origins["pip"].kind == "unknown"


def test_the_build_key_comes_from_the_stamp(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    stamped = write_wheel(tmp_path / "other", "keyed", "1", stamp=b'{"key": "abc"}')
    broken = write_wheel(tmp_path / "other", "broken", "1", stamp=b"[]")
    more = [locked(stamped, tools.store), locked(broken, tools.store)]
    out = pack_bundle(tmp_path / "bundle", tmp_path / "made", tools, located, more=more)
    keys = {p.info.name: p.origin.key for p in inspect(out, Silent()).packages if p.origin.kind == "built"}
    assert keys == {"keyed": "abc", "broken": "", "tiny": ""}


def test_what_was_built_with_torch_comes_from_its_own_sdist(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    wheel = write_wheel(tmp_path / "other", "hull", "1.0+pt2.13.0cpu", stamp=b'{"key": "abc"}')
    hull = replace(locked(wheel, tools.store), origin="https://index.example/hull-1.0.tar.gz")
    out = pack_bundle(tmp_path / "bundle", tmp_path / "made", tools, located, more=[hull])
    (origin,) = (p.origin for p in inspect(out, Silent()).packages if p.info.name == "hull")
    assert (origin.kind, origin.url, origin.commit) == ("sdist", "https://index.example/hull-1.0.tar.gz", "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h.example:8443/x.whl?sig=1#sha256=2", "https://h.example:8443/x.whl"),
        ("x-1-py3-none-any.whl", "x-1-py3-none-any.whl"),
        ("", ""),
    ],
)
def test_public_addresses(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_a_signature_and_a_report_are_seen(bundle: Path, tools: Tools) -> None:
    (bundle / f"{NAME}.sig").write_text("signature")
    assert inspect(bundle, Silent()).evidence.trouble.startswith("none: it was not verified")
    (bundle / f"{NAME}.sig").unlink()
    verify(bundle, Level.STATIC, tools)
    (bundle / f"{NAME}.sig").write_text("signature")
    seen = inspect(bundle, Silent())
    assert seen.signed
    assert (seen.evidence.level, seen.evidence.passed, seen.evidence.trouble) == ("static", True, "")
    (bundle / "report" / "report.json").write_text("{}")
    assert "its report was altered" in inspect(bundle, Silent()).evidence.trouble


def test_an_altered_manifest_lock_or_file_is_refused(bundle: Path) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    wheel = bundle / "wheelhouse" / "leaf-1.5-py3-none-any.whl"
    data = wheel.read_bytes()
    wheel.unlink()
    with pytest.raises(IntegrityError, match=r"leaf-1\.5-py3-none-any\.whl is missing"):
        inspect(bundle, Silent())
    wheel.write_bytes(data[:-1])
    with pytest.raises(IntegrityError, match=f"has {len(data) - 1} bytes instead of {len(data)}"):
        inspect(bundle, Silent())
    wheel.write_bytes(data)
    lock = bundle / manifest.targets[0].pylock
    text = lock.read_text("utf-8")
    lock.write_text(text.replace("leaf", "feal", 1), "utf-8", newline="\n")
    with pytest.raises(IntegrityError, match="not the lock that was packed"):
        inspect(bundle, Silent())
    lock.write_text(text, "utf-8", newline="\n")
    (bundle / NAME).write_text((bundle / NAME).read_text("utf-8").replace("tiny", "tin"), "utf-8")
    with pytest.raises(IntegrityError, match="altered after packing"):
        inspect(bundle, Silent())


def test_a_manifest_that_leads_outside_is_refused(bundle: Path) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    outside = replace(manifest.files[0], path="../elsewhere")
    changed = replace(manifest, files=(*manifest.files, outside))
    (bundle / NAME).write_text(changed.to_text(), "utf-8", newline="\n")
    with pytest.raises(InputError, match=r"'\.\./elsewhere' is not a path inside the bundle"):
        inspect(bundle, Silent())


@pytest.mark.parametrize("kept", ["wheelhouse/", "tools/"])
def test_a_manifest_that_names_what_it_does_not_list_is_refused(bundle: Path, kept: str) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    changed = replace(manifest, files=tuple(f for f in manifest.files if f.path.startswith(kept)))
    (bundle / NAME).write_text(changed.to_text(), "utf-8", newline="\n")
    with pytest.raises(IntegrityError, match=r"named in bundle\.json, but not listed"):
        inspect(bundle, Silent())


def test_one_target_of_several(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    out = pack_bundle(tmp_path / "b", tmp_path / "made", tools, located, [TARGET, OTHER])
    both = inspect(out, Silent())
    one = inspect(out, Silent(), only=OTHER.name)
    assert [len(seen.targets) for seen in (both, one)] == [2, 1]
    assert len(one.packages) == len(both.packages) - 2  # torch and the project of the other one
    with pytest.raises(InputError, match="has no target 'nonesuch'"):
        inspect(out, Silent(), only="nonesuch")


def test_an_sbom_is_valid_complete_and_has_the_same_bytes_each_time(seen: Inspection, tmp_path: Path) -> None:
    (path,) = write_sboms(seen, tmp_path / "sbom ü")
    assert path.name == f"{TARGET.name}.cdx.json"
    text = path.read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    (again,) = write_sboms(inspect(seen.root, Silent()), tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()
    document = json.loads(text)
    parts = {part["name"]: part for part in document["components"]}
    assert set(parts) == {"clear", "leaf", "tiny", "torch", "twig", "uv", "pip"}
    clear = parts["clear"]
    assert clear["purl"] == "pkg:pypi/clear@3.0?file_name=clear-3.0-py3-none-any.whl"
    assert clear["licenses"] == [{"license": {"acknowledgement": "declared", "id": "MIT"}}]
    assert clear["hashes"] == [
        {"alg": "SHA-256", "content": next(p.file.sha256 for p in seen.packages if p.info.name == "clear")}
    ]
    assert "secret" not in text
    assert "token" not in text


def test_an_sboms_graph_is_that_of_the_target(seen: Inspection, tmp_path: Path) -> None:
    (path,) = write_sboms(seen, tmp_path / "sbom")
    document = json.loads(path.read_text("utf-8"))
    names = {part["bom-ref"]: part["name"] for part in document["components"]}
    root = document["metadata"]["component"]["bom-ref"]
    graph = {
        names.get(node["ref"], "root" if node["ref"] == root else "?"): sorted(
            names[other] for other in node.get("dependsOn", ())
        )
        for node in document["dependencies"]
    }
    assert graph == {
        "root": ["clear", "leaf", "pip", "tiny", "torch", "uv"],
        "tiny": ["leaf", "torch"],
        "leaf": ["twig"],
        "clear": [],  # its extra was not asked for, and this is not Windows
        "torch": [],
        "twig": [],
        "uv": [],
        "pip": [],
    }


def test_sboms_of_two_targets_differ_in_their_serial_number(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    out = pack_bundle(tmp_path / "b", tmp_path / "made", tools, located, [TARGET, OTHER])
    paths = write_sboms(inspect(out, Silent()), tmp_path / "sbom")
    assert len({json.loads(path.read_text("utf-8"))["serialNumber"] for path in paths}) == 2


def test_licence_texts_are_collected_once_each(seen: Inspection, tmp_path: Path) -> None:
    folder = tmp_path / "texte"
    collected = collect_licences(seen, folder, Silent())
    assert sorted(path.name for path in folder.iterdir()) == ["clear-3.0.txt", LIST]
    text = (folder / "clear-3.0.txt").read_text("utf-8")
    assert text.count("Grüße\nvon hier\n") == 1  # two files, one text, in another encoding
    assert "clear-3.0.dist-info/licenses/LICENSE" in text
    assert "clear/vendor/COPYING" in text
    assert "PDF" not in text
    listed = json.loads((folder / LIST).read_text("utf-8"))
    assert [item["name"] for item in listed["packages"]] == [one.name for one in collected]
    clear = next(item for item in listed["packages"] if item["name"] == "clear")
    assert clear["wheels"][0]["licence"] == "MIT"
    assert len(clear["wheels"][0]["texts"]) == 3
    assert {item["file"] for item in listed["packages"]} == {None, "clear-3.0.txt"}
    # a second run replaces the first, and gives the same
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    collect_licences(seen, folder, Silent())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_wheels_of_one_version_with_different_texts_keep_both(seen: Inspection) -> None:
    one = seen.packages[0]
    other = replace(one, file=replace(one.file, path="wheelhouse/other.whl"))
    text = joined_texts(
        [one, other],
        {one.file.path: {"a/LICENSE": b"for Linux"}, other.file.path: {"a/LICENSE": b"for Windows"}},
    )
    assert f"{one.filename}: a/LICENSE" in text
    assert "other.whl: a/LICENSE" in text
    assert text.index("for Linux") < text.index("other.whl") < text.index("for Windows")


@pytest.mark.parametrize("place", [".", "wheelhouse/x"])
def test_nothing_is_written_into_a_bundle(seen: Inspection, place: str) -> None:
    with pytest.raises(InputError, match="whose files must stay as they are"):
        write_sboms(seen, seen.root / place)
    with pytest.raises(InputError, match="whose files must stay as they are"):
        collect_licences(seen, seen.root / place, Silent())


def test_a_folder_with_other_things_is_left_alone(seen: Inspection, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match=r"also holds thesis\.txt"):
        collect_licences(seen, folder, Silent())
    (folder / LIST).write_text("[]")
    with pytest.raises(InputError, match=r"also holds thesis\.txt"):
        collect_licences(seen, folder, Silent())
    assert (folder / "thesis.txt").read_text() == "years"
    for place in (folder / LIST, folder / LIST / "below"):
        with pytest.raises(InputError, match=r"licences\.json is not a folder"):
            collect_licences(seen, place, Silent())
        with pytest.raises(InputError, match=r"licences\.json is not a folder"):
            write_sboms(seen, place)
    with pytest.raises(InputError, match="which would be lost"):
        collect_licences(seen, seen.root.parent, Silent())


def test_an_sbom_may_lie_beside_the_bundle(seen: Inspection) -> None:
    (path,) = write_sboms(seen, seen.root.parent)
    assert path.parent == seen.root.parent
