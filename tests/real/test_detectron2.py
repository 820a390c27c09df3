"""Upstream's own sources, given by WHEELFERRY_DETECTRON2_SOURCE (a URL or a path)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wheelferry.cache.source import clone_release, export, substitute
from wheelferry.cache.store import Store
from wheelferry.catalog import load_recipe
from wheelferry.models.targets import Target
from wheelferry.system.process import run

RECIPE = load_recipe("detectron2").recipe
SOURCE = os.environ.get("WHEELFERRY_DETECTRON2_SOURCE")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not SOURCE, reason="set WHEELFERRY_DETECTRON2_SOURCE to a URL or path of the repository"
    ),
]


@pytest.mark.parametrize("release", RECIPE.releases)
def test_the_substitutions_of_a_release_fit_its_source(release: str, tmp_path: Path) -> None:
    pinned = RECIPE.releases[release]
    clone = clone_release(release, pinned, str(SOURCE), Store(tmp_path / "cache"), run)
    for torch, python in (("1.3.1", "3.7"), ("1.8.1", "3.8"), ("2.15.0", "3.13")):
        tree = tmp_path / torch
        export(clone, tree, run)
        target = Target(python=python, platform="manylinux_2_28_x86_64", torch=torch, backend="cpu")
        chosen = [s for s in RECIPE.substitutions if s.applies(release, target) and not s.without_ops]
        substitute(tree, tuple(chosen))  # raises for a count that differs
        assert chosen
        said = (tree / "detectron2" / "__init__.py").read_text("utf-8")
        assert f'__version__ = "{pinned.version}"' in said


@pytest.mark.parametrize(
    ("release", "python", "torch"),
    [
        ("v0.1", "3.8", "1.5.1"),
        ("v0.2", "3.7", "1.4.0"),
        ("v0.6", "3.12", "2.13.0"),
        ("main", "3.12", "2.13.0"),
        ("v0.6", "3.9", "2.0.1"),
    ],
)
def test_a_release_passes_all_four_levels(release: str, python: str, torch: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    command = ["bundle", f"detectron2@{release}", "--python", python, "--torch", torch, "--app", "all"]
    done = subprocess.run(
        [sys.executable, "-m", "wheelferry", *command, "--source", str(SOURCE), "--out", out, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "WHEELFERRY_CACHE"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)["report"]
    assert report["passed"]
    levels = report["targets"][0]["levels"]
    assert levels[0]["facts"]["programs"] == ["train", "app"]
    train = levels[-1]["checks"][0]
    assert train["values"]["bbox/AP50"] >= 50
