"""What was read out of a wheel holds for equal bytes and the same code, and for nothing else."""

import datetime as dt
import zipfile
from pathlib import Path

import pytest

from conftest import locked, pack_bundle, reseal, write_wheel
from elffiles import elf_file
from wheelferry.binaries.dynamic import Dynamic
from wheelferry.binaries.pe import PeFacts
from wheelferry.binaries.symbols import TorchNames
from wheelferry.cache import readings
from wheelferry.cache.readings import KIND, recall_reading, remember_reading
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.models.problems import Code
from wheelferry.system.files import sha256_file
from wheelferry.verification.static import level
from wheelferry.verification.static.level import verify_static
from wheelferry.wheels.compiled import ElfFiles, PeFiles
from wheelferry.wheels.contents import Contents

SHA256 = "ab" * 32
TAG = "cp311-cp311-manylinux_2_17_x86_64"
MODULE = "extra/_x.cpython-311-x86_64-linux-gnu.so"
CONTENTS = Contents(
    elf_files=ElfFiles(
        facts={
            MODULE: Dynamic(
                machine=62,
                needed=("libc.so.6",),
                soname="x",
                versions={"libc.so.6": ("GLIBC_2.28",)},
                torch_names=TorchNames(wanted=frozenset({"_ZN2at1aE"}), had=frozenset({"_ZN3c101bE"})),
                x86_level=3,
            )
        }
    ),
    pe_files=PeFiles(facts={"a.dll": PeFacts(machine=0x8664, imports=("KERNEL32.dll",), managed=True)}),
    x86_level=3,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_was_read_is_what_is_recalled(store: Store) -> None:
    remember_reading(store, SHA256, CONTENTS)
    found = recall_reading(store, SHA256)
    assert found is not None
    assert found.contents == CONTENTS
    assert found.date == dt.datetime.now(dt.UTC).date()
    assert recall_reading(store, "cd" * 32) is None


@pytest.mark.parametrize(
    "contents",
    [
        Contents(differences=("a: hash differs from RECORD",)),
        Contents(elf_files=ElfFiles(unreadable={"a.so": "not an ELF file"})),
        Contents(pe_files=PeFiles(unreadable={"a.dll": "no PE file"})),
    ],
)
def test_what_is_wrong_is_looked_at_every_time(store: Store, contents: Contents) -> None:
    remember_reading(store, SHA256, contents)
    assert recall_reading(store, SHA256) is None


def test_what_other_code_read_does_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_reading(store, SHA256, CONTENTS)
    monkeypatch.setattr(readings, "_reader", lambda: "another")
    assert recall_reading(store, SHA256) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"contents": 1, "date": "2026-01-01", "reader": "x"}'])
def test_a_damaged_entry_is_as_good_as_none(store: Store, text: str) -> None:
    store.remember_text(KIND, SHA256, text)
    assert recall_reading(store, SHA256) is None
    remember_reading(store, SHA256, CONTENTS)
    path = store.root / "keys" / KIND / SHA256
    path.write_bytes(path.read_bytes().replace(b'"x86_level":3', b'"x86_level":1'))
    assert recall_reading(store, SHA256) is None


@pytest.mark.parametrize("name", ["", ".", "../../objects", "AB" * 32, "x" * 64])
def test_what_is_no_hash_leads_to_no_file(store: Store, name: str) -> None:
    assert recall_reading(store, name) is None


@pytest.fixture
def packed(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    files = {MODULE: elf_file(level=3), "extra/data": bytes(range(256))}
    wheel = write_wheel(tmp_path, "extra", "1.0", tag=TAG, files=files)
    more = [locked(wheel, tools.store)]
    return pack_bundle(tmp_path / "b", tmp_path / "made", tools, located, more=more)


def added(bundle: Path) -> Path:
    return next((bundle / "wheelhouse").glob("extra-*"))


def test_the_second_time_wheels_are_hashed_alone(
    packed: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, problems = verify_static(packed, tools)
    assert first is not None
    assert (first.read_before, problems) == ({}, [])
    with monkeypatch.context() as context:
        context.setattr(level, "read_contents", None)  # nothing calls it
        second, problems = verify_static(packed, tools)
    assert second is not None
    assert problems == []
    assert second.read_before.keys() == second.wheels.keys()
    assert (second.contents, second.hashes, second.notes) == (first.contents, first.hashes, first.notes)
    assert any("x86-64-v3" in note.message for note in second.notes)


def test_on_demand_all_are_unpacked_again(packed: Path, tools: Tools) -> None:
    verify_static(packed, tools)
    opened, _ = verify_static(packed, tools, again=True)
    assert opened is not None
    assert opened.read_before == {}


def test_every_changed_byte_is_found_although_the_wheel_was_read(packed: Path, tools: Tools) -> None:
    verify_static(packed, tools)
    wheel = added(packed)
    whole = wheel.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 0x20
        wheel.unlink()
        wheel.write_bytes(changed)
        opened, problems = verify_static(packed, tools)
        assert {(Code.FILE_CHANGED, f"wheelhouse/{wheel.name}")} <= {(p.code, p.file) for p in problems}
        assert opened is not None
        assert f"wheelhouse/{wheel.name}" not in opened.read_before


def test_what_is_wrong_in_a_wheel_of_a_sealed_bundle_is_said_each_time(packed: Path, tools: Tools) -> None:
    """The manifest has the hash of the wheel, so nothing but reading it tells."""
    wheel = added(packed)
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    wheel.unlink()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, b"other" if name == "extra/data" else data)
    reseal(packed)
    for _ in range(2):
        opened, _ = verify_static(packed, tools)
        assert opened is not None
        # the fixture's index has it so: reported, and no problem
        assert opened.published_so == (f"wheelhouse/{wheel.name}: extra/data: hash differs from RECORD",)
        assert f"wheelhouse/{wheel.name}" not in opened.read_before


def test_an_entry_says_nothing_about_another_file_of_the_hash_that_the_manifest_states(
    packed: Path, tools: Tools
) -> None:
    """An entry for the hash in the manifest, but the file has other bytes: they count."""
    wheel = added(packed)
    stated = sha256_file(wheel)
    verify_static(packed, tools)
    assert recall_reading(tools.store, stated) is not None
    wheel.unlink()
    write_wheel(
        wheel.parent,
        "extra",
        "1.0",
        tag=TAG,
        files={MODULE: elf_file(machine=40)},
    )
    _, problems = verify_static(packed, tools)
    assert {Code.FILE_CHANGED, Code.MACHINE} <= {problem.code for problem in problems}


def test_prune_forgets_what_was_read(store: Store) -> None:
    remember_reading(store, SHA256, CONTENTS)
    store.prune()
    assert recall_reading(store, SHA256) is None
