"""wheelferry probe, and --profile on the commands that make targets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import wheelferry
from machines import H100, machine, nvidia


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """The profile of a machine with a GPU whose driver is old."""
    path = tmp_path / "client.json"
    path.write_text(json.dumps(machine(nvidia=nvidia("535.183.01", H100))), "utf-8")
    return path


def test_probe_writes_and_prints_the_profile(tmp_path: Path) -> None:
    out, new = tmp_path / "me.json", tmp_path / "new"
    done = wheelferry("probe", "--out", out, "--folder", new, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen == json.loads(out.read_text("ascii"))
    assert seen["folders"][0]["path"] == str(new)
    assert sorted(tmp_path.iterdir()) == [out]
    planned = wheelferry("plan", "sample@1.0", "--profile", out, "--python", "3.12", "--torch", "2.13.0")
    assert planned.returncode in (0, 2), planned.stderr  # 2: this machine has no Python 3.12


def test_probe_writes_itself_as_one_file(tmp_path: Path) -> None:
    script = tmp_path / "stick" / "look.py"
    script.parent.mkdir()
    done = wheelferry("probe", "--script", script)
    assert done.returncode == 0
    assert f"{script}: on the client, python3 look.py --out profile.json" in done.stdout
    ran = subprocess.run(
        [sys.executable, "-I", script, "--json", "--folder", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["format"] == 1


@pytest.mark.parametrize("option", ["--out", "--script"])
def test_a_folder_that_is_not_there(option: str, tmp_path: Path) -> None:
    done = wheelferry("probe", option, tmp_path / "absent" / "file", "--folder", tmp_path)
    assert done.returncode == 2
    assert "cannot write" in done.stderr


def test_a_plan_for_a_client(client: Path) -> None:
    done = wheelferry("plan", "sample@1.0", "--profile", client, "--json")
    assert done.returncode == 0
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["python"], cell["platform"], cell["backend"]) == ("3.11", "manylinux_2_28_x86_64", "default")
    assert "the driver is 535.183.01" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--backend", "cu130"], "--backend cu130 would not run on the client"),
        (["--platform", "win_amd64"], "--platform win_amd64 would not run on the client"),
        (["--platform", "manylinux_2_39_x86_64"], "glibc is 2.36"),
    ],
)
def test_what_would_not_run_there_is_refused(client: Path, options: list[str], reason: str) -> None:
    done = wheelferry("plan", "sample@1.0", "--profile", client, *options)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "what to do:" in done.stderr


def test_a_bundle_needs_a_python_for_its_client(tmp_path: Path) -> None:
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(machine(pythons=[])), "utf-8")
    done = wheelferry("bundle", "sample@1.0", "--out", tmp_path / "out", "--profile", bare)
    assert done.returncode == 2
    assert "the client has no Python for sample@1.0" in done.stderr
    assert "--runtime" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", [None, "no json", '{"format": 7}'])
def test_a_file_that_is_no_profile(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "profile.json"
    if text is not None:
        path.write_text(text, "utf-8")
    done = wheelferry("plan", "sample@1.0", "--profile", path)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "wheelferry probe --script probe.pyz" in done.stderr
