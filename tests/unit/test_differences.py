"""diff: what two bundles say of themselves, side by side."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TARGET
from shipments import OLDER_TORCH, OTHER_PYTHON, Yard
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.cli.render.transfer import show_difference
from wheelferry.errors import InputError, IntegrityError
from wheelferry.transfer.diff import diff, read_bundle
from wheelferry.transfer.differences import Bundle, Change, compare


@pytest.fixture
def yard(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Yard:
    return Yard(tmp_path, tools, located)


def test_a_bundle_and_itself(yard: Yard) -> None:
    old = yard.pack("old")
    seen = diff(old, old)
    assert (seen.properties, seen.targets, seen.files_added, seen.files_changed) == ((), (), (), ())
    assert seen.bytes_lacking == 0
    assert seen.bytes_old == seen.bytes_new > 0


def test_another_torch_is_a_change_of_the_target(yard: Yard) -> None:
    seen = diff(yard.pack("old", [OLDER_TORCH]), yard.pack("new"))
    (target,) = seen.targets
    assert (target.old, target.new) == (OLDER_TORCH.name, TARGET.name)
    assert target.identity == (Change(name="torch", old="2.12.0", new="2.13.0"),)
    assert Change(name="torch", old="2.12.0", new="2.13.0") in target.packages
    assert seen.targets_added == seen.targets_removed == ()
    assert "wheelhouse/torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl" in seen.files_added
    assert "wheelhouse/torch-2.12.0-cp311-cp311-manylinux_2_28_x86_64.whl" in seen.files_removed


def test_another_python_is_one_too_where_nothing_else_could_be_meant(yard: Yard) -> None:
    (target,) = diff(yard.pack("old"), yard.pack("new", [OTHER_PYTHON])).targets
    assert target.identity == (Change(name="python", old="3.11", new="3.12"),)
    seen = diff(yard.pack("one"), yard.pack("both", [TARGET, OTHER_PYTHON]))
    assert seen.targets_added == (OTHER_PYTHON.name,)
    assert seen.targets == ()


def test_packages_that_came_went_and_were_built_anew(yard: Yard) -> None:
    gone, came = yard.cargo("gone", 100), yard.cargo("came", 100)
    before, after = yard.cargo("again", 100), yard.cargo("again", 100, seed=1)
    (target,) = diff(yard.pack("old", more=[gone, before]), yard.pack("new", more=[came, after])).targets
    assert target.packages == (
        Change(name="came", old=None, new="1.0"),
        Change(name="gone", old="1.0", new=None),
    )
    assert target.rebuilt == ("again",)


def test_packages_that_are_left_out_on_purpose(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (read_bundle(yard.pack(name)) for name in ("old", "new"))
    (entry,) = old.manifest.targets

    def without(bundle: Bundle, *names: str) -> Bundle:
        changed = replace(entry, excluded=names)
        return replace(bundle, manifest=replace(bundle.manifest, targets=(changed,)))

    seen = compare(without(old, "cv2", "gone"), without(new, "cv2", "spare"))
    (target,) = seen.targets
    assert (target.left_out, target.left_out_before) == (("spare",), ("gone",))
    show_difference(seen, as_json=False)
    said = capsys.readouterr().out
    assert "  spare: left out now (--exclude), although something requires it" in said
    assert "  gone: no longer left out (--exclude)" in said
    show_difference(seen, as_json=True)
    assert json.loads(capsys.readouterr().out)["targets"][0]["left_out"] == ["spare"]
    assert compare(without(old, "cv2"), without(new, "cv2")).targets == ()


def test_another_release_and_its_bytes(yard: Yard) -> None:
    big = yard.cargo("big", 50_000)
    old, new = yard.pack("old", more=[big]), yard.pack("new", release="1.1", more=[big])
    seen = diff(old, new)
    assert Change(name="release", old="1.0", new="1.1") in seen.properties
    assert 0 < seen.bytes_lacking < seen.bytes_new - 50_000


def test_a_file_under_another_name_has_moved(yard: Yard) -> None:
    """The requirements of a bundle of one target have a name of their own."""
    old, new = yard.pack("old"), yard.pack("new", [TARGET, OTHER_PYTHON])
    (moved,) = diff(old, new).files_moved
    assert (moved.old, moved.new) == ("requirements.txt", f"requirements.{TARGET.name}.txt")


def test_what_cannot_be_compared(yard: Yard, tmp_path: Path) -> None:
    old, new = yard.pack("old"), yard.pack("new", release="1.1")
    with pytest.raises(InputError, match="is not a bundle"):
        diff(tmp_path, new)
    (old / "requirements.txt").unlink()
    with pytest.raises(IntegrityError, match=r"requirements\.txt is missing"):
        diff(old, new)
    path = new / "bundle.json"
    path.write_text(path.read_text("utf-8").replace('"1.1"', '"1.2"'), "utf-8")
    with pytest.raises(IntegrityError, match="altered"):
        diff(new, new)
