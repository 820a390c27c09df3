"""split and join: volumes for small media, and the same bundle again from them, in whatever order."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shipments import CHANGES, Yard, contents, ferry, flip, kill_and_repeat, python_of, run
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.client.common.console import Console
from wheelferry.client.common.documents import read_sealed, seal
from wheelferry.client.common.errors import Damaged
from wheelferry.client.transfer.volumes import find_volumes, join
from wheelferry.errors import InputError, IntegrityError
from wheelferry.transfer.split import split
from wheelferry.verification.static.level import verify_static

LIMIT = 300_000


@pytest.fixture
def yard(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Yard:
    return Yard(tmp_path, tools, located)


@pytest.fixture
def bundle(yard: Yard) -> Path:
    """A bundle with a file that is larger than a volume."""
    return yard.pack("bundle", more=[yard.cargo("large", 600_000), yard.cargo("small", 10_000)])


@pytest.fixture
def media(bundle: Path, tmp_path: Path, tools: Tools) -> list[Path]:
    """The folders of all volumes."""
    made = split(bundle, LIMIT, tmp_path / "vol ümes", tools)
    folders = [tmp_path / "vol ümes" / Path(volume.path).parent for volume in made.volumes]
    assert len(folders) > 4
    return folders


def volume_in(folder: Path) -> Path:
    (found,) = folder.glob("bundle.tar.*")
    return found


def test_each_medium_stays_below_its_size_and_has_all_that_joins(media: list[Path]) -> None:
    assert [folder.name for folder in media] == [f"{n}-of-{len(media)}" for n in range(1, len(media) + 1)]
    for folder in media:
        names = {path.name for path in folder.iterdir()}
        beside = {"volumes.json", "join.pyz", "join.sh", "join.cmd", "README.txt"}
        assert names == beside | {volume_in(folder).name}
        assert sum(path.stat().st_size for path in folder.iterdir()) < LIMIT
        assert (folder / "volumes.json").read_bytes() == (media[0] / "volumes.json").read_bytes()
    assert {path.name for path in media[0].parent.iterdir()} == {folder.name for folder in media}


def test_joined_volumes_are_the_bundle(media: list[Path], bundle: Path, tmp_path: Path, tools: Tools) -> None:
    (media[0].parent / "README.txt").write_text("whose stick this is", "utf-8")
    before = contents(media[0].parent)
    ferry("join", media[0].parent, "--out", tmp_path / "out ö")
    assert contents(tmp_path / "out ö") == contents(bundle)
    assert contents(media[0].parent) == before
    assert os.access(tmp_path / "out ö" / "install.sh", os.X_OK)
    (tmp_path / "out ö" / "bundle.json.sig").unlink()
    assert verify_static(tmp_path / "out ö", tools)[1] == []
    assert not (tmp_path / ".out ö.part").exists()


def test_the_same_volumes_are_made_again_and_earlier_ones_replaced(
    media: list[Path], bundle: Path, tools: Tools
) -> None:
    out = media[0].parent
    first = contents(out)
    split(bundle, LIMIT, out, tools)
    assert contents(out) == first
    split(bundle, 10**9, out, tools)
    assert [path.name for path in out.iterdir()] == ["1-of-1"]
    (out / "1-of-1" / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(InputError, match=r"something other than volumes: 1-of-1/thesis\.txt"):
        split(bundle, LIMIT, out, tools)
    assert (out / "1-of-1" / "thesis.txt").exists()


def test_one_medium_after_the_other_in_any_order(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    """As with one drive: the same command from each medium, which has the same name each time."""
    out, drive = tmp_path / "out", tmp_path / "drive"
    order = random.Random(5).sample(media, len(media))
    for number, medium in enumerate(order, start=1):
        shutil.copytree(medium, drive)
        last = number == len(order)
        said = run("sh", drive / "join.sh", "--out", out, status=0 if last else 3)
        if not last:
            missing = [volume_in(one).name for one in sorted(order[number:])]
            assert all(name in said for name in missing)
            assert volume_in(medium).name not in said.partition("still missing")[2]
            assert not out.exists()
        shutil.rmtree(drive)
    assert contents(out) == contents(bundle)


def test_folders_volumes_and_one_heap(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    heap = tmp_path / "heap"
    for folder in media:
        shutil.copytree(folder, heap, dirs_exist_ok=True)
    given: dict[str, list[Path]] = {
        "folders": media[::-1],
        "heap": [heap],
        "volumes": [*map(volume_in, media)],
        "mixed": [media[0], *map(volume_in, media[1:])],
    }
    for name, arguments in given.items():
        ferry("join", *arguments, "--out", tmp_path / f"from {name}")
        assert contents(tmp_path / f"from {name}") == contents(bundle)


def test_a_lost_index_does_not_lose_the_set(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    for folder in media[1:]:
        (folder / "volumes.json").unlink()
    ferry("join", *media, "--out", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(bundle)
    (media[0] / "volumes.json").unlink()
    said = ferry("join", *media, "--out", tmp_path / "other", status=2)
    assert "there is no volumes.json" in said


def test_a_bad_volume_is_named_and_the_others_are_not_read_again(
    media: list[Path], bundle: Path, tmp_path: Path
) -> None:
    bad, short = volume_in(media[1]), volume_in(media[3])
    whole = bad.read_bytes(), short.read_bytes()
    flip(bad, random.Random(6))
    short.write_bytes(whole[1][:-1])
    said = ferry("join", *media, "--out", tmp_path / "out", status=4)
    assert f"{bad} has other content than was written" in said
    assert f"{short} has {len(whole[1]) - 1} bytes instead of {len(whole[1])}" in said
    assert not (tmp_path / "out").exists()
    bad.write_bytes(whole[0])
    short.write_bytes(whole[1])
    said = ferry("join", media[1], media[3], "--out", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(bundle)


def test_a_second_copy_of_a_bad_volume_serves(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(media[2], tmp_path / "copy")
    flip(volume_in(media[2]), random.Random(7))
    said = ferry("join", *media, tmp_path / "copy", "--out", tmp_path / "out")
    assert f"WARNING: {volume_in(media[2])} has other content" in said
    assert contents(tmp_path / "out") == contents(bundle)


def test_every_changed_byte_of_a_set_is_found(media: list[Path], tmp_path: Path) -> None:
    chance = random.Random(20261123)
    root = media[0].parent
    names = [name for name in contents(root) if not name.endswith("/")]
    for _ in range(CHANGES):
        name = chance.choice(names)
        whole = (root / name).read_bytes()
        place = flip(root / name, chance)
        with pytest.raises(Damaged) as caught:
            join(find_volumes([str(root)]), str(tmp_path / "out"), Console(quiet=True))
        assert str(root / name) in str(caught.value), f"{name} at {place}"
        assert not (tmp_path / "out").exists()
        shutil.rmtree(tmp_path / ".out.part", ignore_errors=True)
        (root / name).write_bytes(whole)


def test_join_killed_at_any_moment_is_completed_by_the_same_command(
    yard: Yard, tools: Tools, tmp_path: Path
) -> None:
    bundle = yard.pack("bundle", more=[yard.cargo(f"cargo{n}", 1_000_000) for n in range(10)])
    split(bundle, 2_000_000, tmp_path / "volumes", tools)
    before = contents(tmp_path / "volumes")
    first = next(iter(sorted((tmp_path / "volumes").iterdir())))
    command: list[str | Path] = [sys.executable, "-I", first / "join.pyz", "--out", tmp_path / "out"]
    assert kill_and_repeat(command, tmp_path / "out", contents(bundle)) > 0
    assert contents(tmp_path / "volumes") == before


def test_what_was_changed_between_two_runs_is_found(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    ferry("join", *media[:3], "--out", tmp_path / "out", status=3)
    tree = tmp_path / ".out.part" / "tree"
    flip(tree / "bundle.json", random.Random(8))
    (tree / "foreign.txt").write_text("foreign", "utf-8")
    said = ferry("join", *media[3:], "--out", tmp_path / "out", status=4)
    assert "bundle.json was changed since an earlier run wrote it" in said
    assert volume_in(media[0]).name in said
    ferry("join", *media, "--out", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(bundle)


@pytest.mark.parametrize("version", ["3.7", "3.8", "3.13"])
def test_joining_needs_nothing_but_a_python(
    version: str, media: list[Path], bundle: Path, tmp_path: Path
) -> None:
    said = run(python_of(version), "-I", media[2] / "join.pyz", "--out", tmp_path / "out", "--json")
    assert '"volumes"' in said
    assert contents(tmp_path / "out") == contents(bundle)


def test_joining_without_a_python(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    """As README.txt says it."""
    out = tmp_path / "out"
    out.mkdir()
    command = f"cat */bundle.tar.* | tar -xf - -C '{out}'"
    subprocess.run(["sh", "-c", command], cwd=media[0].parent, check=True)
    assert contents(out) == contents(bundle)


def test_a_damaged_program_does_not_start(media: list[Path], tmp_path: Path) -> None:
    flip(media[0] / "join.pyz", random.Random(9))
    said = run("sh", media[0] / "join.sh", "--out", tmp_path / "out", status=4)
    assert "join.pyz or " in said
    assert "start that of another" in said
    run("sh", media[1] / "join.sh", media[1].parent, "--out", tmp_path / "out", status=4)


def test_the_starter_says_what_to_do_without_a_python(media: list[Path], tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    said = run("env", f"PATH={programs}", "sh", media[0] / "join.sh", "--out", tmp_path / "out", status=3)
    assert "no Python 3.7 or newer here" in said
    assert "README.txt says" in said


def test_volumes_of_two_sets(
    yard: Yard, media: list[Path], bundle: Path, tmp_path: Path, tools: Tools
) -> None:
    other = yard.pack("other", release="1.1")
    split(other, LIMIT, tmp_path / "others", tools)
    said = ferry("join", *media, tmp_path / "others", "--out", tmp_path / "out", status=2)
    assert "different sets" in said
    assert "tiny@1.1" in said
    # on one stick beside one another, each finds its own
    for folder in sorted((tmp_path / "others").iterdir()):
        shutil.move(folder, media[0].parent / f"other-{folder.name}")
    run("sh", media[0] / "join.sh", "--out", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(bundle)


def test_arguments_that_cannot_be(media: list[Path], bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "is not there" in ferry("join", tmp_path / "nowhere", "--out", out, status=2)
    assert "is empty" in ferry("join", "", "--out", out, status=2)
    assert "--out" in ferry("join", *media, status=2)
    assert "is not a size" in ferry("split", bundle, "--size", "big", "--out", out, status=2)
    assert "too small" in ferry("split", bundle, "--size", "1kB", "--out", out, status=2)
    assert "is not a bundle" in ferry("split", media[0], "--out", out, status=2)
    assert "is, holds or lies in" in ferry("split", bundle, "--out", bundle / "x", status=2)
    before = contents(media[0].parent)
    assert "is, holds or lies in" in ferry("join", *media, "--out", media[0] / "x", status=2)
    assert contents(media[0].parent) == before
    out.write_text("mine", "utf-8")
    assert "is not a folder" in ferry("join", *media, "--out", out, status=2)
    assert out.read_text("utf-8") == "mine"


def test_a_bundle_that_is_not_whole_is_not_split(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    flip(bundle / "smoke" / "harness.py", random.Random(10))
    with pytest.raises(IntegrityError, match=r"harness\.py has other content"):
        split(bundle, LIMIT, tmp_path / "volumes", tools)
    assert not (tmp_path / "volumes").exists()
    assert not list(tmp_path.glob(".volumes*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files[0].update(path="../outside"), "leads out of the folder"),
        (lambda files: files[0].update(path="c:outside"), "signs that no name"),
        (lambda files: files.append(dict(files[0])), "is there twice"),
        (lambda files: files[0].update(path=files[1]["path"].upper()), "not every file system tells apart"),
        (lambda files: files[0].update(size=10**15), "two files in one place"),
        (lambda files: files[-1].update(size=10**15), "beyond the end"),
        (lambda files: files[1].update(begins=files[0]["begins"]), "two files in one place"),
        (lambda files: files[0].update(begins=-1), "is not a number of bytes"),
        (lambda files: files[0].pop("begins"), "is not an index of volumes"),
    ],
)
def test_an_index_that_was_made_to_deceive(
    change: Callable[[list[dict[str, object]]], object], said: str, media: list[Path], tmp_path: Path
) -> None:
    path = media[0] / "volumes.json"
    document = read_sealed(str(path), 1, "index", "")
    document["files"] = [item for item in document["files"] if item["size"]]
    change(document["files"])
    del document["digest"]
    path.write_text(seal(document), "ascii")
    assert said in ferry("join", media[0], "--out", tmp_path / "out", status=4)
    assert not list(tmp_path.glob("*out*"))


def test_split_says_what_it_made(bundle: Path, tmp_path: Path) -> None:
    made = json.loads(ferry("split", bundle, "--size", "400kB", "--out", tmp_path / "v", "--json", "--quiet"))
    assert made["volumes"][0]["path"] == f"1-of-{len(made['volumes'])}/bundle.tar.001"
    assert made["digest"] == json.loads((bundle / "bundle.json").read_text("utf-8"))["digest"]
    done = json.loads(ferry("join", tmp_path / "v", "--out", tmp_path / "out", "--json", "-q"))
    assert done["digest"] == made["digest"]
    assert done["volumes"] == len(made["volumes"])
