"""verify --prefix-length, and what verification says of a Windows bundle on the screen and in the report."""

import json
from pathlib import Path

import pytest

from conftest import wheelferry
from pefiles import pe_file
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from winbundles import pack_windows, sound_wheels


@pytest.fixture
def bundle(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """One with a path of 140 characters and a module that wants Media Foundation."""
    wheels = sound_wheels()
    files = {"leaf/" + "n" * 135: b"", "leaf/cv.pyd": pe_file(["MF.dll"])}
    wheels["leaf"]["files"] = files
    return pack_windows(tmp_path, tools, located, wheels)


def test_the_length_of_the_prefix(bundle: Path) -> None:
    """140 characters, 18 for Lib/site-packages/ and 11 for envs/9999 leave a prefix of 90."""
    fine = wheelferry("verify", bundle, "--level", "static", "--prefix-length", "90")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    longer = wheelferry("verify", bundle, "--level", "static", "--prefix-length", "91")
    assert longer.returncode == 1
    assert "1 characters longer than Windows allows below a folder of 91" in longer.stdout
    off = wheelferry("verify", bundle, "--level", "static", "--prefix-length", "0")
    assert off.returncode == 0


def test_the_longest_path_is_told_when_all_is_well(bundle: Path) -> None:
    outcome = wheelferry("verify", bundle, "--level", "static")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    target = "cp311-win_amd64-torch2_13_0-cpu"
    assert f"longest path: {target}: 220 of 259 characters below a folder of 51 (leaf/nnn" in outcome.stdout
    assert "note: wheelhouse/leaf-1.5-py3-none-any.whl: leaf/cv.pyd needs MF.dll: Windows N" in outcome.stdout
    page = (bundle / "report" / "report.html").read_text("utf-8")
    assert f"Longest path on {target}: 220 characters below a folder of 51" in page
    assert "leaf/cv.pyd needs MF.dll" in page
    facts = json.loads((bundle / "report" / "report.json").read_text("utf-8"))["static"]["facts"]
    assert facts["longest_paths"][0]["characters"] == 220
