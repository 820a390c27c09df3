"""The store and the files in it."""

import os
import time
from pathlib import Path

import pytest

from wheelferry.cache.store import Entry, Store
from wheelferry.client.common.sizes import human_size
from wheelferry.errors import IntegrityError, MissingError
from wheelferry.system.files import (
    contained,
    folder_aside,
    require_space,
    tree_hash,
    write_atomic,
)


def add(store: Store, folder: Path, data: bytes = b"data") -> Entry:
    path = folder / "x-1.0-py3-none-any.whl"
    path.write_bytes(data)
    return store.add(path)


def test_add_take_and_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    entry = add(store, tmp_path)
    assert store.take(entry.sha256) == store.path(entry.sha256)
    store.place(entry.sha256, tmp_path / "again.whl")
    assert (tmp_path / "again.whl").read_bytes() == b"data"
    assert (tmp_path / "again.whl").stat().st_ino == store.path(entry.sha256).stat().st_ino


def test_add_refuses_other_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"data")
    with pytest.raises(IntegrityError, match="expected 000"):
        Store(tmp_path / "store").add(tmp_path / "x", expected="0" * 64)


def test_a_key_leads_to_an_object_only_while_that_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    entry = add(store, tmp_path)
    store.remember("build", "key", entry)
    assert store.recall("build", "key") == entry
    assert store.recall("build", "other") is None
    path = store.path(entry.sha256)
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    assert store.recall("build", "key") is None
    assert not path.exists()


def test_verify_finds_and_removes_damage(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    good, bad = add(store, tmp_path), add(store, tmp_path, b"other")
    store.path(bad.sha256).chmod(0o644)
    store.path(bad.sha256).write_bytes(b"rotten")
    assert store.damaged() == [bad.sha256]
    assert store.has(good.sha256)
    assert not store.has(bad.sha256)


def test_prune_keeps_what_a_bundle_shares(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kept, gone = add(store, tmp_path), add(store, tmp_path, b"other")
    store.place(kept.sha256, tmp_path / "in-a-bundle.whl")
    assert store.prune(older_than=3600) == 0
    assert store.prune() == len(b"other")
    assert store.has(kept.sha256)
    assert not store.has(gone.sha256)


def test_prune_removes_leftovers_but_not_those_of_a_living_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    work = store.root / "work"
    for name in ("build-0123abcd", "build-4194303-abc"):  # of a killed process, and of an earlier version
        (work / name).mkdir(parents=True)
    (store.root / "locks").mkdir()
    (store.root / "locks" / "build-0123abcd.lock").touch()
    with store.workspace("build") as alive:
        store.prune()
        assert list(work.iterdir()) == [alive]
    assert list((store.root / "locks").iterdir()) == []


def test_prune_leaves_logs_that_may_still_be_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    new, old = store.log_path("new"), store.log_path("old")
    store.logs.mkdir()
    for log in (new, old):
        log.write_text("x", "utf-8")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.prune() == 1
    assert [new.exists(), old.exists()] == [True, False]


def test_a_workspace_is_gone_after_a_failure(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail() -> None:
        with store.workspace("build") as work:
            (work / "file").write_text("x", "utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((tmp_path / "work").iterdir()) == []


def test_usage_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    entry = add(store, tmp_path)
    store.remember("build", "key", entry)
    usage = store.usage()
    assert (usage.objects, usage.object_bytes, usage.builds) == (1, 4, 1)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "out"

    def fail() -> None:
        with folder_aside(final) as work:
            (work / "half").write_text("x", "utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with folder_aside(final) as work:
        (work / "one").write_text("1", "utf-8")
    with folder_aside(final) as work:
        (work / "two").write_text("2", "utf-8")
    assert [path.name for path in final.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_write_atomic_leaves_nothing_aside(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.txt", "text")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
    assert (tmp_path / "a" / "b.txt").read_text("utf-8") == "text"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x"])
def test_paths_that_would_leave(name: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="does not stay inside"):
        contained(tmp_path, name)


def test_tree_hash_sees_names_and_contents_but_no_byte_code(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1", "utf-8")
    first = tree_hash(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x", "utf-8")
    assert tree_hash(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert tree_hash(tmp_path) != first


def test_space_is_asked_for_before_it_is_needed(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "yet", 1, purpose="a test")
    with pytest.raises(MissingError, match=r"a test needs 1000000\.0 TB"):
        require_space(tmp_path, 10**18, purpose="a test")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (2_700_000_000, "2.7 GB"), (5e12, "5.0 TB")]
)
def test_human_size(size: float, text: str) -> None:
    assert human_size(size) == text
