"""Weights from files of strangers: arrays are read, code is refused without being run."""

import collections
import importlib.util
import os
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from page.unfit import Unfit

from wheelferry.catalog import shipped_folder


@pytest.fixture(scope="module")
def weights() -> ModuleType:
    path = shipped_folder() / "detectron2" / "apps" / "weights_only.py"
    spec = importlib.util.spec_from_file_location("weights_only", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Evil:
    """What runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_as_they_were(weights: ModuleType, tmp_path: Path, protocol: int) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float64(2.5), "c": np.ones(0)}
    given = {"model": collections.OrderedDict(arrays), "__author__": "somebody", "n": [1, (2.5, None)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(given, protocol))
    read = weights.read_weights(str(tmp_path / "a.pkl"))
    assert {name: value.tolist() for name, value in read["model"].items()} == {
        "a": [[0, 1, 2], [3, 4, 5]],
        "b": 2.5,
        "c": [],
    }
    assert (read["__author__"], read["n"]) == ("somebody", [1, (2.5, None)])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_named_and_not_made(weights: ModuleType, tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "was here"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": {"a": Evil(mark)}}, protocol))
    with pytest.raises(Unfit, match=r"wants to call (posix|nt)\.mkdir: it was refused"):
        weights.read_weights(str(tmp_path / "a.pkl"))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no weights"),
        (b"hello", "holds no weights"),
        (b"<html>not found</html>", "holds no weights"),
        (pickle.dumps({"a": np.ones(9)})[:-20], "cannot be read"),
        (pickle.dumps([1]), "holds a list instead of weights"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "wants to call builtins.eval"),
        (b"cnumpy.testing._private.utils\nrunstring\n(S'1'\ntR.", "wants to call numpy.testing"),
        (b"c_codecs\ndecode\n.", "wants to call _codecs.decode"),
    ],
)
def test_what_holds_no_weights_is_refused(
    weights: ModuleType, tmp_path: Path, data: bytes, said: str
) -> None:
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(Unfit, match=said):
        weights.read_weights(str(tmp_path / "a.pkl"))
