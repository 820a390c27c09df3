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
[ "$1" = inspect ] && mkdir release && touch release/x.cdx.json
[ "$1" = split ] && for n in 1 2; do
    mkdir -p media/$n-of-2 && touch media/$n-of-2/bundle.tar.00$n media/$n-of-2/join.sh
done
[ "$1" = sign ] && cat "$4" > seen-key && stat -c %a "$4" > key-mode
[ "$1" = matrix ] && [ -n "$RECORDED" ] && echo "$RECORDED" > records.json
case "$*" in *"$FAILING"*) exit "${STATUS:-1}";; esac
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
# Each of these is a shell of its own.
PUBLISH = {
    "github": [
        step("publish", "Sign it, where there is a key"),
        step("publish", "SBOMs, and volumes below GitHub's limit of 2 GiB a file"),
    ],
    # without what installs wheelferry, and the upload at the end
    "gitlab": ["\n".join(GITLAB["publish"]["script"][2:-1])],
}
PROVE = {
    "github": step("prove", "Prove cells") + step("prove", "See what is new"),
    "gitlab": GITLAB["prove"]["script"][-1],
}
VERIFY = {
    "github": step("verify", "Verify every byte, then every Linux cell"),
    "gitlab": gitlab_script("verify"),
}


def run(
    script: str, folder: Path, *, failing: str = "nothing at all", **variables: str
) -> tuple[int, str, list[str]]:
    """Exit status, what was said, and how the program was called."""
    program = folder / "ferry" / "bin" / "wheelferry"
    program.parent.mkdir(parents=True, exist_ok=True)
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
            "RUNNER_TEMP": str(folder),
            **variables,
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


def here(script: str, folder: Path) -> str:
    """The script with its temporary files in a folder of the test's."""
    return script.replace("/tmp/", f"{folder}/")  # noqa: S108 -- what the pipelines call theirs


def signing_key(provider: str, folder: Path) -> dict[str, str]:
    """The key as the provider hands it over: its text, or a file that everybody may read."""
    if provider == "github":
        return {"SIGNING_KEY": "a private key"}
    (folder / "given").write_text("a private key\n", "utf-8")
    return {"WHEELFERRY_SIGNING_KEY": str(folder / "given")}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("provider", PUBLISH)
def test_what_is_published_is_signed_where_there_is_a_key(
    provider: str, signed: bool, tmp_path: Path
) -> None:
    key = signing_key(provider, tmp_path) if signed else {"SIGNING_KEY": "", "WHEELFERRY_SIGNING_KEY": ""}
    for script in PUBLISH[provider]:
        status, said, calls = run(here(script, tmp_path), tmp_path, **key)
        assert status == 0, said
    assert [call.split()[0] for call in calls] == [*(["sign"] if signed else []), "inspect", "split"]
    names = {"bundle.tar.001", "bundle.tar.002", "join.sh", "x.cdx.json"}
    assert {path.name for path in (tmp_path / "release").iterdir()} == {*names, "SHA256SUMS"}
    sums = (tmp_path / "release" / "SHA256SUMS").read_text("utf-8").splitlines()
    assert {line.split()[1] for line in sums} == names
    if signed:
        assert (tmp_path / "seen-key").read_text("utf-8") == "a private key\n"
        assert (tmp_path / "key-mode").read_text("utf-8").strip() == "600"
        assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(("status", "passes"), [("1", True), ("3", False)])
@pytest.mark.parametrize("provider", PROVE)
def test_a_night_proves_and_keeps_what_is_new_as_a_patch(
    provider: str, status: str, passes: bool, tmp_path: Path
) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    (tmp_path / "records.json").write_text("old\n", "utf-8")
    (tmp_path / ".gitignore").write_text("ferry\ncalls\noutput\n*.patch\n", "utf-8")
    git("add", "--all")
    git("commit", "--quiet", "--message", "before")
    script = here(PROVE[provider].replace("/opt/ferry", "ferry"), tmp_path)
    done, said, calls = run(
        script, tmp_path, failing="--prove", STATUS=status, RECORDED="new", GITHUB_OUTPUT="output"
    )
    # a cell that failed was recorded; anything else is a fault of the run
    assert (done == 0) is passes, said
    assert calls == ["matrix detectron2 --prove --budget 2h"]
    if passes:
        patch = (tmp_path / "records.patch").read_text("utf-8")
        assert "-old\n+new" in patch
        if provider == "github":
            assert (tmp_path / "output").read_text("utf-8") == "changed=true\n"
        git("reset", "--hard", "--quiet")
        git("apply", "--index", "records.patch")
        assert (tmp_path / "records.json").read_text("utf-8") == "new\n"


def test_github_gives_the_right_to_write_to_a_job_that_runs_nothing_of_the_projects() -> None:
    jobs = GITHUB["jobs"]
    writes = {name for name, job in jobs.items() if "write" in job.get("permissions", {}).values()}
    assert writes == {"publish", "propose"}
    scripts = [step.get("run", "") for step in jobs["propose"]["steps"]]
    assert not any("ferry/bin" in script or "pip" in script for script in scripts)


def test_at_night_cells_are_proven_and_nothing_else_is_done() -> None:
    jobs = GITHUB["jobs"]
    assert "== 'schedule'" in jobs["prove"]["if"]
    assert all("!= 'schedule'" in jobs[name]["if"] for name in ("linux", "windows", "merge"))
    # the others need one of these
    assert all(set(jobs[name]["needs"]) & {"prove", "merge"} for name in ("propose", "verify", "publish"))
    at_night = {name for name, job in GITLAB.items() if name != "workflow" and _runs_at_night(job)}
    assert at_night == {"prove", "propose"}


def _runs_at_night(job: object) -> bool:
    rules = job.get("rules", []) if isinstance(job, dict) else []
    return any('CI_PIPELINE_SOURCE == "schedule"' in rule["if"] for rule in rules)
