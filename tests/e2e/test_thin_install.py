"""Thin bundles for real: a torch that is not carried, its libraries, and one that no index has."""

import json
import shutil
import sys

import pytest

from ferry import Ferry
from wheelferry.cache.store import Store

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MAKE = ("bundle", "sample@1.0", "--python", PYTHON)


def test_the_sample_beside_a_torch_that_is_there(ferry: Ferry) -> None:
    """Compiled ops find the libraries of a torch in another environment's packages."""
    out = ferry.cache.parent / "thin ü"
    ferry(*MAKE, "--present", "torch==2.13.0", "--out", out, "--level", "smoke")
    (entry,) = json.loads((out / "bundle.json").read_text("utf-8"))["targets"]
    assert [one["name"] for one in entry["present"]] == ["torch"]
    carried = sum(path.stat().st_size for path in (out / "wheelhouse").iterdir())
    assert carried < 30_000_000, "numpy is the largest"
    report = json.loads((out / "report" / "report.json").read_text("utf-8"))
    assert report["passed"]
    (target,) = report["targets"]
    levels = {level["level"]: level for level in target["levels"]}
    assert "pip" in levels["install"]["facts"]["installer"]
    assert [level["passed"] for level in levels.values()] == [True, True]
    for folder in Store(ferry.cache).machines.glob("present-*"):
        shutil.rmtree(folder)  # five gigabytes that no other test needs


def test_a_vendors_torch_is_compared_with_nothing_and_proven_elsewhere(ferry: Ferry) -> None:
    out = ferry.cache.parent / "vendor"
    said = ferry(*MAKE, "--present", "torch==2.13.0a0+nv25.10", "--out", out, "--level", "install", status=3)
    assert (
        "install: what must be on the client is not to be had here: torch 2.13.0a0+nv25.10 (no index has it)"
        in said
    )
    report = json.loads((out / "report" / "report.json").read_text("utf-8"))
    assert report["static"]["passed"]
    assert "whether the wheels find in its libraries what they want" in " ".join(
        report["static"]["facts"]["notes"]
    )
