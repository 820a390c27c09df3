"""Which files make the model: those that are named, here or in the bundle, and what nobody has to name."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from page.unfit import Unfit

from wheelferry.catalog import shipped_folder


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, with nothing of Detectron2 behind it, in an environment that carries weights."""
    carried = tmp_path / "environment [1]" / "assets" / "files"
    carried.mkdir(parents=True)
    for name in ("own.pth", "config.yaml", "classes.txt"):
        (carried / name).write_text("dent\n", "utf-8")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment [1]"))
    for name in ("detectron2", "detectron2.model_zoo", "detectron2.config"):
        module = ModuleType(name)
        module.get_cfg = module.model_zoo = None  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(shipped_folder() / "detectron2" / "apps"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "model_files", raising=False)
    yield importlib.import_module("model_files")
    del sys.modules["model_files"]


def test_what_the_bundle_carries_goes_by_its_name(files: ModuleType) -> None:
    carried = Path(files.carried_files())
    expected = str(carried / "own.pth")
    assert files.find_weights(None, None) == expected
    assert files.find_weights("own.pth", None) == expected
    assert files.find_start("own.pth", "") == expected
    assert files.config_beside("own.pth") == str(carried / "config.yaml")


def test_a_file_of_this_machine_comes_first(files: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"")
    assert files.find_weights("own.pth", None) == "own.pth"
    assert files.config_beside("own.pth") is None


def test_a_training_begins_from_the_only_weights_of_the_bundle(files: ModuleType) -> None:
    carried = Path(files.carried_files())
    assert files.default_start() == str(carried / "own.pth")
    (carried / "other.pth").write_bytes(b"")
    assert files.default_start() is None
    (carried / "other.pth").unlink()
    (carried / "config.yaml").unlink()
    assert files.default_start() is None


def test_a_name_that_is_nowhere_is_told_with_what_there_is(files: ModuleType) -> None:
    with pytest.raises(Unfit, match=r"missing\.pth is no file") as caught:
        files.find_start("missing.pth", "")
    assert caught.value.hint == "the bundle carries own.pth"
