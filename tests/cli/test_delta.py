"""delta and apply: the new bundle, byte for byte, from the old one and what it lacked, on any client."""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TARGET
from shipments import (
    CHANGES,
    OLDER_TORCH,
    OTHER_PYTHON,
    Yard,
    contents,
    ferry,
    flip,
    kill_and_repeat,
    python_of,
    run,
    start,
)
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.client.common.console import Console
from wheelferry.client.common.documents import read_sealed, seal
from wheelferry.client.common.errors import Damaged
from wheelferry.client.transfer.delta import apply_delta
from wheelferry.errors import InputError, IntegrityError
from wheelferry.transfer.delta import make_delta
from wheelferry.verification.static.level import verify_static


@pytest.fixture
def yard(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Yard:
    return Yard(tmp_path, tools, located)


@pytest.fixture
def pair(yard: Yard) -> tuple[Path, Path]:
    """An old and a new bundle: another torch, one cargo that stays and one that is new."""
    stays, new = yard.cargo("stays", 60_000), yard.cargo("fresh", 30_000)
    return yard.pack("old", [OLDER_TORCH], more=[stays]), yard.pack("new", more=[stays, new])


@pytest.fixture
def delta(pair: tuple[Path, Path], tmp_path: Path, tools: Tools) -> Path:
    make_delta(*pair, tmp_path / "dé lta", tools)
    return tmp_path / "dé lta"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (([OLDER_TORCH], "1.0"), ([TARGET], "1.0")),
        (([TARGET], "1.0"), ([TARGET], "1.1")),
        (([TARGET], "1.0"), ([TARGET, OTHER_PYTHON], "1.0")),
        (([TARGET, OTHER_PYTHON], "1.0"), ([OTHER_PYTHON], "1.0")),
        (([TARGET], "1.0"), ([TARGET], "1.0")),
    ],
    ids=["torch", "release", "target more", "target less", "nothing"],
)
def test_a_delta_applied_to_the_old_bundle_is_the_new_one(
    before: tuple[list[object], str], after: tuple[list[object], str], yard: Yard, tools: Tools
) -> None:
    big = yard.cargo("big", 100_000)
    old = yard.pack("old", before[0], before[1], [big])  # type: ignore[arg-type]
    new = yard.pack("new", after[0], after[1], [big], b"signed anew")  # type: ignore[arg-type]
    made = make_delta(old, new, yard.folder / "delta", tools)
    assert made.bytes < 60_000
    given = contents(old), contents(yard.folder / "delta")
    out = yard.folder / "nested" / "out ö"
    ferry("apply", yard.folder / "delta", old, "--out", out)
    assert contents(out) == contents(new)
    assert (contents(old), contents(yard.folder / "delta")) == given
    assert os.access(out / "install.sh", os.X_OK)
    # the signature is checked elsewhere
    (out / "bundle.json.sig").unlink()
    assert verify_static(out, tools)[1] == []


def test_only_what_is_lacking_is_brought(pair: tuple[Path, Path], delta: Path) -> None:
    carried = {name for name in contents(delta / "files") if not name.endswith("/")}
    assert {name for name in carried if name.endswith(".whl")} == {
        "wheelhouse/fresh-1.0-py3-none-any.whl",
        "wheelhouse/tiny-1.0+pt2.13.0cpu-cp311-cp311-manylinux_2_17_x86_64.whl",
        "wheelhouse/torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    }
    assert {"bundle.json", "bundle.json.sig", "report/report.json", "requirements.txt"} <= carried
    assert not {"install.pyz", "smoke/harness.py"} & carried


def test_a_file_that_moved_and_one_that_is_there_twice(yard: Yard, tools: Tools, tmp_path: Path) -> None:
    old, new = yard.pack("old"), yard.pack("new", [TARGET, OTHER_PYTHON])
    (new / "report" / "twice.json").write_bytes((new / "report" / "report.json").read_bytes())
    make_delta(old, new, tmp_path / "delta", tools)
    document = json.loads((tmp_path / "delta" / "delta.json").read_text("utf-8"))
    places = {item["path"]: (item["from"], item["source"]) for item in document["files"]}
    assert places[f"requirements.{TARGET.name}.txt"] == ("old", "requirements.txt")
    assert places["report/twice.json"] == places["report/report.json"]
    ferry("apply", tmp_path / "delta", old, "--out", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(new)


def test_of_the_old_bundle_the_manifest_is_enough(
    pair: tuple[Path, Path], delta: Path, tmp_path: Path, tools: Tools
) -> None:
    (tmp_path / "kept").mkdir()
    shutil.copyfile(pair[0] / "bundle.json", tmp_path / "kept" / "bundle.json")
    make_delta(tmp_path / "kept", pair[1], tmp_path / "again", tools)
    assert contents(tmp_path / "again") == contents(delta)


def test_the_same_delta_is_made_again_and_an_earlier_one_replaced(
    pair: tuple[Path, Path], delta: Path, tools: Tools
) -> None:
    first = contents(delta)
    make_delta(*pair, delta, tools)
    assert contents(delta) == first
    (delta / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(InputError, match=r"something other than a delta: thesis\.txt"):
        make_delta(*pair, delta, tools)
    assert (delta / "thesis.txt").read_text("utf-8") == "years of work"


def test_a_new_bundle_that_is_not_whole_makes_no_delta(
    pair: tuple[Path, Path], tmp_path: Path, tools: Tools
) -> None:
    old, new = pair
    wheels = sorted((new / "wheelhouse").glob("*.whl"))
    flip(wheels[0], random.Random(1))
    with pytest.raises(IntegrityError, match=f"{wheels[0].name.split('-')[0]}.* has other content"):
        make_delta(old, new, tmp_path / "delta", tools)
    wheels[1].unlink()
    (new / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(IntegrityError, match=r"(?s)is missing.*notes\.txt is not in the manifest"):
        make_delta(old, new, tmp_path / "delta", tools)
    (new / "report" / "link").symlink_to("report.json")
    with pytest.raises(InputError, match="report/link is a link"):
        make_delta(old, new, tmp_path / "delta", tools)
    assert not (tmp_path / "delta").exists()


@pytest.mark.parametrize("out", ["old ü", "new ü/delta", "."])
def test_the_delta_touches_no_bundle(out: str, pair: tuple[Path, Path], tmp_path: Path, tools: Tools) -> None:
    before = [contents(root) for root in pair]
    with pytest.raises(InputError, match="is, holds or lies in"):
        make_delta(*pair, tmp_path / out, tools)
    assert [contents(root) for root in pair] == before


@pytest.mark.parametrize("version", ["3.7", "3.8", "3.13"])
def test_a_client_needs_nothing_but_a_python(
    version: str, pair: tuple[Path, Path], delta: Path, tmp_path: Path
) -> None:
    command: list[str | Path] = [
        python_of(version),
        "-I",
        delta / "apply.pyz",
        pair[0],
        "--out",
        tmp_path / "out",
        "--json",
    ]
    assert '"bundle"' in run(*command)
    assert contents(tmp_path / "out") == contents(pair[1])


def test_the_starter_for_linux(pair: tuple[Path, Path], delta: Path, tmp_path: Path) -> None:
    said = run("sh", delta / "apply.sh", pair[0], "--out", "out", cwd=tmp_path)
    assert f"bundle: {tmp_path}/out" in said
    assert contents(tmp_path / "out") == contents(pair[1])
    assert "the delta was made for" in run("sh", delta / "apply.sh", "--help")
    flip(delta / "apply.pyz", random.Random(2))
    said = run("sh", delta / "apply.sh", pair[0], "--out", tmp_path / "other", status=4)
    assert "apply.pyz or " in said
    assert "is damaged" in said


def test_the_wrong_old_bundle_is_refused(
    pair: tuple[Path, Path], delta: Path, yard: Yard, tmp_path: Path
) -> None:
    other = yard.pack("other", release="1.1")
    said = ferry("apply", delta, other, "--out", tmp_path / "out", status=2)
    assert "is for another bundle" in said
    assert "tiny@1.0" in said
    said = ferry("apply", delta, pair[1], "--out", tmp_path / "out", status=2)
    assert "is the new bundle already" in said
    assert "is not a bundle" in ferry("apply", delta, tmp_path, "--out", tmp_path / "out", status=2)
    assert "is not a delta" in ferry("apply", pair[0], pair[0], "--out", tmp_path / "out", status=2)
    assert not list(tmp_path.glob("*out*"))


def test_damage_is_named_and_what_was_right_is_kept(
    pair: tuple[Path, Path], delta: Path, tmp_path: Path
) -> None:
    old = pair[0]
    stays = old / "wheelhouse" / "stays-1.0-py3-none-any.whl"
    fresh = delta / "files" / "wheelhouse" / "fresh-1.0-py3-none-any.whl"
    whole = stays.read_bytes(), fresh.read_bytes()
    flip(stays, random.Random(3))
    fresh.write_bytes(whole[1][:-1])
    said = ferry("apply", delta, old, "--out", tmp_path / "out", "--json", status=4)
    assert f"{stays} has other content than was packed" in said.replace("\\u00fc", "ü")
    assert "fresh-1.0-py3-none-any.whl has " in said
    assert not (tmp_path / "out").exists()
    kept = tmp_path / ".out.part" / "tree" / "smoke" / "harness.py"
    before = kept.stat().st_mtime_ns
    stays.unlink()
    stays.write_bytes(whole[0])
    fresh.write_bytes(whole[1])
    ferry("apply", delta, old, "--out", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(pair[1])
    assert (tmp_path / "out" / "smoke" / "harness.py").stat().st_mtime_ns == before
    assert not (tmp_path / ".out.part").exists()


def test_every_changed_byte_of_a_delta_is_found(pair: tuple[Path, Path], delta: Path, tmp_path: Path) -> None:
    chance = random.Random(20261122)
    names = [name for name in contents(delta) if not name.endswith("/") and (delta / name).stat().st_size]
    for _ in range(CHANGES):
        name = chance.choice(names)
        whole = (delta / name).read_bytes()
        place = flip(delta / name, chance)
        with pytest.raises(Damaged) as caught:
            apply_delta(str(delta), str(pair[0]), str(tmp_path / "out"), Console(quiet=True))
        assert str(delta / name) in str(caught.value), f"{name} at {place}"
        assert not (tmp_path / "out").exists()
        # a rerun would not read what it has already
        shutil.rmtree(tmp_path / ".out.part", ignore_errors=True)
        (delta / name).write_bytes(whole)
    ferry("apply", delta, pair[0], "--out", tmp_path / "out")


def test_apply_killed_at_any_moment_is_completed_by_the_same_command(
    yard: Yard, tools: Tools, tmp_path: Path
) -> None:
    many = [yard.cargo(f"cargo{n}", 400_000) for n in range(30)]
    old = yard.pack("old", more=many[:20])
    new = yard.pack("new", more=many[10:], release="1.1")
    make_delta(old, new, tmp_path / "delta", tools)
    given = contents(old), contents(tmp_path / "delta")
    command: list[str | Path] = [
        sys.executable,
        "-I",
        tmp_path / "delta" / "apply.pyz",
        old,
        "--out",
        tmp_path / "out",
    ]
    assert kill_and_repeat(command, tmp_path / "out", contents(new)) > 0
    assert (contents(old), contents(tmp_path / "delta")) == given


def test_ctrl_c_is_told_and_the_same_command_continues(yard: Yard, tools: Tools, tmp_path: Path) -> None:
    big = yard.cargo("big", 150_000_000)
    old, new = yard.pack("old"), yard.pack("new", more=[big])
    make_delta(old, new, tmp_path / "delta", tools)
    command: list[str | Path] = [
        *("nice", "-n", "19"),  # whoever watches it comes first
        sys.executable,
        "-I",
        tmp_path / "delta" / "apply.pyz",
        old,
        "--out",
        tmp_path / "out",
    ]
    there = tmp_path / ".out.part" / "tree" / "wheelhouse"
    for _ in range(50):  # a machine with other work may notice too late
        process = start(*command)
        while process.poll() is None and not (there.exists() and any(there.iterdir())):
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[0]
        if process.returncode != 0:
            break
        shutil.rmtree(tmp_path / "out")
    assert process.returncode == 130, said
    assert "the same command continues" in said
    assert not (tmp_path / "out").exists()
    run(*command)
    assert contents(tmp_path / "out") == contents(new)


def test_what_is_there_already_is_looked_at_and_never_overwritten(
    pair: tuple[Path, Path], delta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    ferry("apply", delta, pair[0], "--out", out)
    assert "is complete already" in ferry("apply", delta, pair[0], "--out", out)
    (out / "report" / "report.json").write_text("mine", "utf-8")
    before = contents(out)
    assert "is there already" in ferry("apply", delta, pair[0], "--out", out, status=2)
    assert contents(out) == before
    (tmp_path / ".other.part").mkdir()
    (tmp_path / ".other.part" / "thesis.txt").write_text("years of work", "utf-8")
    assert "is in the way" in ferry("apply", delta, pair[0], "--out", tmp_path / "other", status=2)
    assert (tmp_path / ".other.part" / "thesis.txt").exists()
    for place in (delta, pair[0] / "out"):
        assert "is, holds or lies in" in ferry("apply", delta, pair[0], "--out", place, status=2)


def test_a_link_in_what_an_earlier_run_left_is_not_followed(
    pair: tuple[Path, Path], delta: Path, tmp_path: Path
) -> None:
    flip(pair[0] / "wheelhouse" / "stays-1.0-py3-none-any.whl", random.Random(4))
    ferry("apply", delta, pair[0], "--out", tmp_path / "out", status=4)
    (tmp_path / "mine").mkdir()
    tree = tmp_path / ".out.part" / "tree"
    shutil.rmtree(tree / "smoke")
    (tree / "smoke").symlink_to(tmp_path / "mine")
    (tree / "bundle.json").unlink()
    (tree / "bundle.json").symlink_to(tmp_path / "mine" / "file")
    (tree / "more.txt").write_text("foreign", "utf-8")
    ferry("apply", delta, pair[0], "--out", tmp_path / "out", status=4)
    assert list((tmp_path / "mine").iterdir()) == []
    assert not (tree / "more.txt").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item: item.update(path="../outside"), "leads out of the folder"),
        (lambda item: item.update(path="/etc/outside"), "leads out of the folder"),
        (lambda item: item.update(path="nul.txt"), "device"),
        (lambda item: item.update(path="REPORT/x"), "which not every file system tells apart"),
        (lambda item: item.update(size=-1), "is not a number of bytes"),
        (lambda item: item.update(size=True), "is not a number of bytes"),
        (lambda item: item.update(size="9"), "is not a number of bytes"),
        (lambda item: item.update(sha256="0"), "has no SHA-256"),
        (lambda item: item.update(source="../outside"), "leads out of the folder"),
        (lambda item: item.update({"from": "elsewhere"}), "does not say where"),
        (lambda item: item.update({"from": "old", "source": ["x"]}), "does not say where"),
        (lambda item: item.update({"from": "old"}), "from the old bundle that the old bundle does not have"),
        (lambda item: item.pop("path"), "no proper list"),
    ],
)
def test_a_document_that_was_made_to_deceive(
    change: Callable[[dict[str, object]], object],
    said: str,
    pair: tuple[Path, Path],
    delta: Path,
    tmp_path: Path,
) -> None:
    path = str(delta / "delta.json")
    document = read_sealed(path, 1, "document", "")
    change(next(item for item in document["files"] if item["path"] == "bundle.json"))
    del document["digest"]
    Path(path).write_text(seal(document), "ascii")
    assert said in ferry("apply", delta, pair[0], "--out", tmp_path / "out", status=4)
    assert not list(tmp_path.glob("*out*"))


def test_json_and_text(pair: tuple[Path, Path], tmp_path: Path) -> None:
    text = ferry("diff", *pair)
    assert "  torch: 2.12.0 -> 2.13.0" in text
    document = json.loads(ferry("diff", *pair, "--json"))
    assert document["targets"][0]["identity"] == [{"name": "torch", "old": "2.12.0", "new": "2.13.0"}]
    made = json.loads(ferry("delta", *pair, "--out", tmp_path / "delta", "--json", "-q"))
    assert made["bytes"] < made["bytes_new"]
    command = ("apply", tmp_path / "delta", pair[0], "--out", tmp_path / "out", "--json", "-q")
    assert json.loads(ferry(*command))["digest"] == made["new"]
