"""What a project is taken to need for its build, before its setup.py is asked."""

from pathlib import Path
from typing import Any, cast

import pytest

from conftest import TARGET
from wheelferry.drafting.examine import _Asker


@pytest.mark.parametrize(
    ("declared", "needed"),
    [
        ([], ["setuptools", "wheel"]),
        (["setuptools < 81.0", "torch", "packaging>=21"], ["wheel", "setuptools < 81.0", "packaging>=21"]),
        (["Setuptools", "wheel==0.45"], ["Setuptools", "wheel==0.45"]),
    ],
)
def test_what_is_declared_is_asked_for_once(tmp_path: Path, declared: list[str], needed: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[build-system]\nrequires = {declared!r}\n", "utf-8")
    nothing = cast("Any", None)
    asker = _Asker(tmp_path, "", TARGET, nothing, tmp_path, nothing)
    assert list(asker.needed) == needed
