"""The shell scripts inside the pipelines in ci/: a cell that failed is named and leaves the others usable."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
GITHUB: Mapping[str, Any] = YAML(typ="safe").load(ROOT / "ci/github/detectron2.yml")
GITLAB: Mapping[str, Any] = YAML(typ="safe").load(ROOT / "ci/gitlab/detectron2.yml")
CELLS: list[str] = GITHUB["jobs"]["merge"]["env"]["CELLS"].split()

# Stands for the program: says how it was called, and fails for what FAILING names.
STUB = """#!/bin/sh
echo "$*" >> calls
case "$*" in *"$FAILING"*) exit 1;; esac
"""


def step(job: str, name: str) -> str:
    """The script of a step of the GitHub workflow."""
    (script,) = (s["run"] for s in GITHUB["jobs"][job]["steps"] if s.get("name") == name)
    return str(script)


def gitlab_script(job: str) -> str:
    """The script of a GitLab job, from the first line that is about cells, with its own environment."""
    lines: list[str] = GITLAB[job]["script"]
    first = next(number for number, line in enumerate(lines) if "cell" in line)
    return "\n".join(lines[first:]).replace("/opt/ferry", "ferry")


MERGE = {
    "github": step("merge", "Say which cells are there") + step("merge", "Merge"),
    "gitlab": gitlab_script("merge"),
}
VERIFY = {
    "github": step("verify", "Verify every byte, then every Linux cell"),
    "gitlab": gitlab_script("verify"),
}


def run(script: str, folder: Path, *, failing: str = "nothing at all") -> tuple[int, str, list[str]]:
    """Exit status, what was said, and how the program was called."""
    program = folder / "ferry" / "bin" / "wheelferry"
    program.parent.mkdir(parents=True)
    program.write_text(STUB, "utf-8")
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "CELLS": " ".join(CELLS),
            "FAILING": failing,
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        },
    )
    calls = folder / "calls"
    return done.returncode, done.stdout, calls.read_text("utf-8").splitlines() if calls.exists() else []


def put(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}", "utf-8")


@pytest.mark.parametrize("provider", MERGE)
def test_merging_takes_what_was_built_and_names_what_was_not(provider: str, tmp_path: Path) -> None:
    for cell in CELLS[:2]:
        put(tmp_path / "cells" / cell / "bundle.json")
    status, said, calls = run(MERGE[provider], tmp_path)
    assert status == 0
    told = {
        cell: line for line in said.splitlines() for cell in CELLS if cell in line.replace("|", " ").split()
    }
    assert list(told) == CELLS
    assert [cell for cell, line in told.items() if "missing" not in line.lower()] == CELLS[:2]
    (call,) = calls
    assert call.split() == ["merge", *(f"cells/{c}" for c in CELLS[:2]), "--out", "bundle"]


@pytest.mark.parametrize("provider", VERIFY)
def test_a_cell_that_fails_is_named_and_the_others_are_verified(provider: str, tmp_path: Path) -> None:
    targets = [f"cp3{minor}-manylinux_2_28_x86_64-torch2_15_0-cpu" for minor in (11, 12, 13)]
    put(tmp_path / "bundle" / "bundle.json")
    for target in [*targets, "cp312-win_amd64-torch2_15_0-cpu"]:
        put(tmp_path / "bundle" / f"pylock.{target}.toml")
    status, said, calls = run(VERIFY[provider], tmp_path, failing=f"--target {targets[1]}")
    assert status == 1
    assert (
        [line for line in said.splitlines() if "failed" in line]
        == [line for line in said.splitlines() if targets[1] in line]
        != []
    )
    assert calls[0] == "verify bundle --level static --report static"
    assert calls[1:] == [
        f"verify bundle --level train --target {t} --report reports/{t}/report" for t in targets
    ]
    # what is needed to record a cell lies beside its report
    assert sorted(p.parent.name for p in tmp_path.glob("reports/*/bundle.json")) == targets


@pytest.mark.parametrize("provider", VERIFY)
def test_everything_verified_is_success(provider: str, tmp_path: Path) -> None:
    put(tmp_path / "bundle" / "bundle.json")
    put(tmp_path / "bundle" / "pylock.cp312-manylinux_2_28_x86_64-torch2_15_0-cpu.toml")
    status, _, calls = run(VERIFY[provider], tmp_path)
    assert status == 0
    assert len(calls) == 2
