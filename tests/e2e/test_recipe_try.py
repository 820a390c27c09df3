"""A draft of a recipe is built and proven as it was written, but for what a person must decide."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from ferry import Ferry
from wheelferry.catalog import shipped_folder

pytestmark = pytest.mark.e2e

TARGET = ("--python", f"{sys.version_info.major}.{sys.version_info.minor}", "--torch", "2.13.0")


def test_a_project_comes_to_a_verified_bundle_in_three_commands(ferry: Ferry, tmp_path: Path) -> None:
    """The sample's own project, compiled on torch's stable ABI as its shipped recipe does."""
    shutil.copytree(shipped_folder() / "sample" / "project", tmp_path / "skiff source")
    drafted = json.loads(ferry("recipe", "new", tmp_path / "skiff source", "--out", tmp_path, "--json"))
    recipe = Path(drafted["recipe"])
    lines = recipe.read_text("utf-8").splitlines()
    decided = "".join(line.partition("  # decide")[0] + "\n" for line in lines)
    recipe.write_text(decided.replace("[build]\n", "[build]\nstable_abi = true\n"), "utf-8")
    checked = json.loads(ferry("recipe", "check", recipe, "--json"))
    out = tmp_path / "bundle"
    ferry("recipe", "try", f"{recipe}@{checked['release']}", *TARGET, "--out", out)
    report = json.loads((out / "report" / "report.json").read_text("utf-8"))
    assert report["passed"]
    checks = {
        c["name"]: c for target in report["targets"] for level in target["levels"] for c in level["checks"]
    }
    assert {name: check["status"] for name, check in checks.items()} == {
        "check_ops.compiled_modules": "passed",
        "check_ops.operators_answer": "passed",
    }
    assert "skiff._C." in checks["check_ops.compiled_modules"]["values"]["functions"]
