"""A store, or what a killed process left, in any state of decay: nothing wrong is used, and it heals."""

import errno
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wheelferry.cache.download import Download, download_all
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.store import Entry, Store
from wheelferry.cache.tools import Tools
from wheelferry.progress import Silent
from wheelferry.system import files
from wheelferry.system.files import clear_leftovers, folder_aside

DATA = random.Random(5).randbytes(30_000)
Damage = Callable[[Path, random.Random], object]


def flip(path: Path, chance: random.Random) -> None:
    """One byte becomes another."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    data[place] ^= chance.randrange(1, 256)
    path.write_bytes(data)


def cut(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def grow(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(1 + chance.randrange(50)))


def scribble(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(chance.randrange(500)))


DAMAGES: list[Damage] = [flip, cut, grow, scribble, lambda path, _: path.unlink()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    path.write_bytes(DATA)
    return path


def hurt(path: Path, damage: Damage, chance: random.Random) -> None:
    """Damage a file as a disk would: without asking for permission, and without a new name or date."""
    before = path.stat()
    path.chmod(0o644)
    damage(path, chance)
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_object_is_never_used_and_comes_again(source: Path, store: Store, seed: int) -> None:
    chance = random.Random(seed)
    item = Download(url=source.as_uri(), filename=source.name, sha256=None)
    sha256 = download_all([item], store, IndexSettings(), Silent())[item.url].sha256
    hurt(store.path(sha256), DAMAGES[seed % len(DAMAGES)], chance)
    later = Store(store.root)  # another process: it has hashed nothing yet
    known = Download(url=source.as_uri(), filename=source.name, sha256=sha256)
    if seed % 2:
        assert later.take(sha256) is None
    assert download_all([known], later, IndexSettings(), Silent())[item.url].sha256 == sha256
    assert later.path(sha256).read_bytes() == DATA


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_record_is_as_good_as_absent(source: Path, store: Store, seed: int) -> None:
    entry = store.add(source)
    store.remember("build", "key", entry)
    store.remember_text("environment", "key", '[{"name": "tiny"}]')
    for kind in ("build", "environment"):
        hurt(store.root / "keys" / kind / "key", DAMAGES[seed % len(DAMAGES)], random.Random(seed))
    assert store.recall("build", "key") is None
    assert store.recall_text("environment", "key") is None
    store.remember("build", "key", entry)
    assert store.recall("build", "key") == entry


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", "7", '"x"', '{"sha256": "00"}', '{"a": 1}', "[" * 100_000,
        '{"sha256": 5, "filename": "x", "size": 1}',
        '{"sha256": "../victim", "filename": "x", "size": 1}',
    ],
)  # fmt: skip
def test_a_record_of_another_version_does_no_harm(store: Store, tmp_path: Path, text: str) -> None:
    (tmp_path / "victim").write_text("mine", "utf-8")
    store.objects.mkdir(parents=True)
    store.remember_text("build", "key", text)
    assert store.recall("build", "key") is None
    assert (tmp_path / "victim").read_text("utf-8") == "mine"


def test_cache_verify_names_damaged_records_too(source: Path, store: Store) -> None:
    entry = store.add(source)
    for key in ("good", "bad"):
        store.remember("build", key, entry)
    hurt(store.root / "keys" / "build" / "bad", flip, random.Random(0))
    assert store.damaged() == ["keys/build/bad"]
    assert store.damaged() == []
    assert store.recall("build", "good") == entry


def test_an_object_that_another_process_has_healed_is_left_alone(
    source: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between hashing and removing, somebody else puts a whole one there."""
    entry = store.add(source)
    hurt(store.path(entry.sha256), flip, random.Random(0))
    hashed = files.sha256_file

    def slow(path: Path, **options: object) -> str:
        found = hashed(path)
        if found != entry.sha256:
            whole = path.with_name("whole")
            whole.write_bytes(DATA)
            whole.replace(path)
        return found

    monkeypatch.setattr("wheelferry.cache.store.sha256_file", slow)
    assert store.take(entry.sha256) == store.path(entry.sha256)
    assert store.path(entry.sha256).read_bytes() == DATA


def test_what_was_written_aside_goes_when_it_is_old(source: Path, store: Store) -> None:
    entry = store.add(source)
    store.remember("build", "key", entry)
    old = [store.path(entry.sha256).with_name(".x.1.part"), store.root / "keys" / "build" / ".key.x.part"]
    new = store.root / "keys" / "build" / ".other.x.part"
    for path in (*old, new):
        path.write_bytes(b"half")
    for path in old:
        os.utime(path, (time.time() - 7200,) * 2)
    assert store.usage().builds == 1
    store.prune(older_than=60)
    assert [path.exists() for path in (*old, new)] == [False, False, True]
    assert store.recall("build", "key") == entry


def leave(final: Path, end: str, text: str) -> Path:
    """What `folder_aside` of a process leaves when it is killed."""
    folder = final.with_name(f".{final.name}.abcd1234.part{end}")
    folder.mkdir()
    (folder / "file").write_text(text, "utf-8")
    final.with_name(f".{final.name}.abcd1234.part.lock").touch()
    return folder


ASIDE = """
import sys
from pathlib import Path
from wheelferry.system.files import folder_aside
with folder_aside(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["out", "b ü (1).d"])
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path, name: str) -> None:
    final = tmp_path / name
    other = leave(tmp_path / "another", "", "half")
    command = [sys.executable, "-X", "utf8", "-c", ASIDE, str(final)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        clear_leftovers(final)
        assert folder.is_dir()
        process.kill()
    assert folder.is_dir()
    with folder_aside(final) as work:
        (work / "file").write_text("new", "utf-8")
    assert not folder.exists()
    assert other.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [name, other.name, f"{other.name}.lock"]
    )
    assert (final / "file").read_text("utf-8") == "new"


def test_leftovers_of_earlier_versions_go(tmp_path: Path) -> None:
    """They had the number of the process in their name, and no lock."""
    (tmp_path / ".out.4194303-abcd_123.part").mkdir()
    clear_leftovers(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_without_a_folder_stays_while_its_folder_may_be_about_to_be_made(tmp_path: Path) -> None:
    young, old = tmp_path / ".out.aaaaaaaa.part.lock", tmp_path / ".out.bbbbbbbb.part.lock"
    for file in (young, old):
        file.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    clear_leftovers(tmp_path / "out")
    assert list(tmp_path.iterdir()) == [young]


def test_where_there_are_no_locks_nothing_counts_as_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("wheelferry.system.leftovers.FileLock.acquire", refuse)
    folder = leave(tmp_path / "out", "", "half")
    with folder_aside(tmp_path / "out") as work:
        (work / "file").write_text("new", "utf-8")
    assert folder.exists()
    assert (tmp_path / "out" / "file").read_text("utf-8") == "new"


def test_a_folder_that_was_moved_away_comes_back(tmp_path: Path) -> None:
    """Killed between two renamings: the new folder is not there yet, the old one no more."""
    final = tmp_path / "out"
    leave(final, "", "new")
    leave(final, ".old", "old")
    clear_leftovers(final)
    assert (final / "file").read_text("utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_was_replaced_does_not_come_back(tmp_path: Path) -> None:
    """Killed after the second renaming, before the old folder was removed."""
    final = tmp_path / "out"
    final.mkdir()
    leave(final, ".old", "old")
    clear_leftovers(final)
    assert list(final.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_verification_left_is_not_held_against_the_bundle(bundle: Path, tools: Tools) -> None:
    from wheelferry.bundle.pack import check_output
    from wheelferry.models.report import Level
    from wheelferry.verification.verify import verify

    leave(bundle / "report", "", "half a report")
    check_output(bundle)
    leave(bundle / "report", "", "half a report")
    assert verify(bundle, Level.STATIC, tools).problems == ()
    assert [path.name for path in bundle.iterdir() if path.name.startswith(".")] == []


def test_an_object_from_another_disk_leaves_no_half_copy(
    source: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wheelferry.cache.store.rename", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(source)
    assert [path for path in store.objects.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    assert isinstance(store.add(source), Entry)
