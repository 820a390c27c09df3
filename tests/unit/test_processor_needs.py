"""What processor wheels need: told by their notes, their own files and the table; carried, and compared."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from conftest import TARGET, locked, pack_bundle, reseal, write_wheel
from elffiles import elf_file
from machines import machine, target
from wheelferry.binaries.processor_notes import read_x86_level
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, shipped_processors
from wheelferry.client.common.bundle import open_bundle
from wheelferry.client.preflight.findings import Finding
from wheelferry.client.preflight.systems import examine_processor
from wheelferry.matrix.fit import preflight_problems
from wheelferry.models.manifest import parse_manifest
from wheelferry.models.tables.processors import ProcessorNeed, level_of_flags
from wheelferry.models.targets import Target
from wheelferry.verification.static.level import verify_static
from wheelferry.wheels.processor_needs import processor_needs

TAG = "cp311-cp311-manylinux_2_17_x86_64"
MODULE = "extra/_x.cpython-311-x86_64-linux-gnu.so"
ARM = Target(python="3.11", platform="manylinux_2_28_aarch64", torch="2.10.0", backend="cpu")
FLAGS = b'BUILD_FEATURE_FLAGS = "+sse3,+sse4.2,+avx,+avx2,+fma"\n'


def needs(
    folder: Path, name: str, version: str, files: Mapping[str, bytes], to: Target = TARGET
) -> list[Any]:
    wheel = write_wheel(folder, name, version, tag=TAG, files=files)
    return [(need.package, need.needs, bool(need.instead)) for need in processor_needs([wheel], to)]


@pytest.mark.parametrize("level", [2, 3, 4])
def test_the_note_of_a_module_counts(level: int, tmp_path: Path) -> None:
    found = needs(tmp_path, "extra", "1.0", {MODULE: elf_file(level=level)})
    assert found == [("extra", (f"x86-64-v{level}",), False)]


def test_a_module_of_the_baseline_and_a_library_that_may_be_one_of_several_need_nothing(
    tmp_path: Path,
) -> None:
    files = {
        MODULE: elf_file(level=1),
        "extra/libfast-v3.so": elf_file(level=3),
        "extra/b.abi3.so": b"\x7fELF",
    }
    assert needs(tmp_path, "extra", "1.0", files) == []


@pytest.mark.parametrize("notes", [b"", b"x" * 11, b"\xff" * 64, bytes(4096)])
def test_notes_that_are_none(notes: bytes) -> None:
    assert read_x86_level(notes) == 0


@pytest.mark.parametrize(
    ("version", "expected"), [("2.3.5", []), ("2.4.0", ["x86-64-v2"]), ("2.5.0rc1", ["x86-64-v2"])]
)
def test_the_table_knows_releases(version: str, expected: list[str], tmp_path: Path) -> None:
    found = needs(tmp_path, "numpy", version, {})
    assert [need for _, several, _ in found for need in several] == expected
    assert needs(tmp_path, "numpy", version, {}, ARM) == []


def test_an_arm_processor_without_atomics_and_torch(tmp_path: Path) -> None:
    assert needs(tmp_path, "torch", "2.10.0", {}, ARM) == [("torch", ("atomics",), True)]
    assert needs(tmp_path, "torch", "2.10.0", {}) == []


def test_the_table_says_where_everything_was_seen() -> None:
    assert all(row.source.strip() and row.instead for row in shipped_processors())


def test_polars_says_its_flags_and_has_a_build_for_others(tmp_path: Path) -> None:
    files = {"_polars_runtime_32/build_feature_flags.py": FLAGS}
    assert needs(tmp_path, "polars_runtime_32", "2.1.0", files) == [
        ("polars-runtime-32", ("x86-64-v3",), True)
    ]
    both = [
        write_wheel(tmp_path, "polars_runtime_32", "2.1.0", tag=TAG, files=files),
        write_wheel(tmp_path, "polars_runtime_compat", "2.1.0", tag=TAG),
    ]
    assert processor_needs(both, TARGET) == ()


@pytest.mark.parametrize(
    ("flags", "level"), [("", 1), ("+sse3", 2), ("+sse3,+lzcnt", 3), ("-avx2,+popcnt", 2), ("+avx512bw", 4)]
)
def test_levels_of_flags(flags: str, level: int) -> None:
    assert level_of_flags(flags.split(",")) == level


@pytest.fixture
def packed(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """A bundle with a package that needs x86-64-v3."""
    wheel = write_wheel(tmp_path, "extra", "1.0", tag=TAG, files={MODULE: elf_file(level=3)})
    return pack_bundle(tmp_path / "b", tmp_path / "made", tools, located, more=[locked(wheel, tools.store)])


def test_the_bundle_carries_what_it_needs_and_static_tells_it(packed: Path, tools: Tools) -> None:
    (entry,) = parse_manifest((packed / "bundle.json").read_text("utf-8")).targets
    assert entry.processor == (
        ProcessorNeed(package=NormalizedName("extra"), version="1.0", needs=("x86-64-v3",)),
    )
    opened, problems = verify_static(packed, tools)
    assert opened is not None
    assert problems == []
    assert "needs a processor with x86-64-v3 (AVX2)" in [note.message for note in opened.notes]


def cpu(level: int | None = None, features: list[str] | None = None) -> dict[str, Any]:
    return {"model": "A processor", "cores": 4, "level": level, "features": features}


def test_a_client_that_lacks_it_is_told_before_and_at_home(packed: Path) -> None:
    bundle = open_bundle(str(packed))
    assert preflight_problems(machine(cpu=cpu(3)), bundle) == []
    (problem,) = preflight_problems(machine(cpu=cpu(2)), bundle)
    said = (
        "extra 1.0 needs a processor with x86-64-v3 (AVX2); here is A processor, x86-64-v2; make the bundle"
    )
    assert said in problem


def test_an_older_bundle_says_nothing_of_processors_and_works(packed: Path) -> None:
    document = json.loads((packed / "bundle.json").read_text("utf-8"))
    del document["targets"][0]["processor"]
    (packed / "bundle.json").write_text(json.dumps(document))
    reseal(packed)
    bundle = open_bundle(str(packed))
    assert bundle.targets[0].processor is None
    (warning,) = preflight_problems(machine(cpu=cpu(1)), bundle)
    assert "lacks a part of x86-64-v2 (SSE4.2); the newest numpy stops without it" in warning


def look(found: dict[str, Any], *wanted: str, on: str = "x86_64") -> Finding:
    entry: dict[str, Any] = {
        "processor": [{"package": "extra", "version": "1.0", "needs": list(wanted), "instead": "take less"}]
    }
    (finding,) = examine_processor(machine(machine=on, cpu=found), target(**entry))
    assert isinstance(finding, Finding)
    return finding


def test_what_cannot_be_read_is_said_with_what_is_needed() -> None:
    finding = look(cpu(), "x86-64-v3")
    assert finding.level == "note"
    assert finding.message == (
        "which instruction sets the processor (A processor) has is not known; "
        "the bundle needs x86-64-v3 (AVX2) (extra)"
    )


def test_the_remedy_is_the_packages_own() -> None:
    finding = look(cpu(2), "x86-64-v3")
    assert (finding.level, finding.remedy) == ("problem", "take less")


@pytest.mark.parametrize(
    ("features", "level"), [(["asimd"], "problem"), (["asimd", "atomics"], "ok"), (None, "note")]
)
def test_features_of_arm(features: list[str] | None, level: str) -> None:
    assert look(cpu(features=features), "atomics", on="aarch64").level == level
