"""The command line as a user meets it: help, exit codes, messages, JSON."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import wheelferry, write_wheel
from wheelferry.models.recipes.file import schema

COMMANDS = [
    "demo",
    "bundle",
    "plan",
    "build",
    "lock",
    "pack",
    "verify",
    "inspect",
    "audit",
    "merge",
    "diff",
    "delta",
    "apply",
    "split",
    "join",
    "recipes",
    "matrix",
    "doctor",
    "cache",
]


def test_help_names_every_command_and_the_exit_codes() -> None:
    shown = wheelferry("--help").stdout
    assert [command for command in COMMANDS if f"  {command} " not in shown] == []
    assert "Exit codes: 0 done; 1 verification found problems" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = wheelferry(command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["plan", "nonesuch@1"], 2, "no recipe called 'nonesuch'"),
        (["plan", "sample"], 2, "names no release"),
        (["plan", "sample@9"], 2, "no release '9'"),
        (["plan", "sample@1.0", "--python", "2.7"], 2, "unknown Python '2.7'"),
        (["plan", "sample@1.0", "--python", "3.12", "--torch", "1.10.2"], 2, "no wheels for Python 3.12"),
        (["plan", "sample@1.0", "--torch", "0.4.1"], 2, "does not support torch 0.4.1"),
        (["plan", "sample@1.0", "--torch", "2"], 2, "not a full public version"),
        (["plan", "sample@1.0", "--platform", "amiga"], 2, "unknown platform 'amiga'"),
        (["plan", "sample@1.0", "--backend", "cu999"], 2, "has a cu999 build"),
        (["plan", "sample@1.0", "--with", "a b c"], 2, "is not a requirement"),
        (["plan", "sample@1.0", "-r", "nowhere.txt"], 2, "cannot read nowhere.txt"),
        (["plan", "./nowhere.toml@1"], 2, "cannot read recipe nowhere.toml"),
        (["verify", "."], 2, "is not a bundle"),
        (["inspect", "."], 2, "is not a bundle"),
        (["audit", "."], 2, "is not a bundle"),
        (["audit"], 2, "no bundle is named"),
        (["audit", ".", "--database", "x", "--save", "y"], 2, "does not go with --save"),
        (["audit", ".", "--ignore", "CVE-1"], 2, "gives no reason"),
        (["audit", "--save", "."], 2, ". is a folder"),
        (["audit", ".", "--from", "all.zip"], 2, "is not an address"),
        (["verify", ".", "--windows-python", "x.zip"], 2, "nothing runs it"),
        (["bundle", "sample@1.0", "--out", "x", "--windows-python", "x.zip"], 2, "nothing runs it"),
        (["verify", ".", "--windows-python", "x.zip", "--runner", "qemu"], 2, "add --runner wine"),
        (["verify", ".", "--arm-root", "x.tar"], 2, "add --runner qemu"),
        (["bundle", "sample@1.0", "--out", "x", "--arm-root", "x", "--runner", "wine"], 2, "nothing runs it"),
        (
            ["build", "sample@1.0", "--platform", "win_amd64", "--torch", "2.9.1"],
            2,
            "from torch 2.10 on",
        ),
        (["bundle", "sample@1.0"], 2, "Missing option '--out'"),
        (["plan", "torch-scatter@2.1.2", "--torch", "1.10.2"], 2, "does not support torch 1.10.2"),
        (["merge", ".", "--out", "x"], 2, ". is neither a bundle"),
        (["merge", ".", "nowhere", "--out", "x"], 2, "neither a bundle"),
    ],
)
def test_bad_input(arguments: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = wheelferry(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_an_error_says_what_to_do_and_is_json_too() -> None:
    done = wheelferry("plan", "sample@9", "--json")
    assert json.loads(done.stdout) == {
        "error": "recipe sample has no release '9'",
        "hint": "it has 1.0",
        "exit_code": 2,
    }
    assert "what to do: it has 1.0" in done.stderr


def test_a_malformed_recipe_is_refused_with_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('format = 1\nname = "my"\n', "utf-8")
    done = wheelferry("plan", "./my.toml@1", cwd=tmp_path)
    assert done.returncode == 2
    assert "my.toml: releases: Field required" in done.stderr


def test_an_output_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    done = wheelferry("bundle", "sample@1.0", "--python", "3.11", "--out", tmp_path)
    assert done.returncode == 2
    assert "holds something other than a bundle" in done.stderr
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "years of work"


def test_plan_says_what_would_be_built() -> None:
    done = wheelferry(
        "plan", "detectron2@v0.6", "--python", "3.12", "--torch", "2.13.0", "--torch", "2.9.1", "--json"
    )
    document = json.loads(done.stdout)
    assert document["commit"] == "d1e04565d3bec8719335b88be9e9b961bf3ec464"
    assert [cell["wheel"] for cell in document["cells"]] == [
        "detectron2==0.6+pt2.13.0.stable",
        "detectron2==0.6+pt2.9.1",
    ]
    assert document["cells"][1]["torchvision"] == "0.24.1"


def test_recipes_lists_and_details() -> None:
    assert {"detectron2", "sample"} <= {
        r["name"] for r in json.loads(wheelferry("recipes", "--json").stdout)["recipes"]
    }
    shown = wheelferry("recipes", "detectron2").stdout
    assert "v0.6" in shown
    assert "0.28.0" in shown
    assert wheelferry("recipes", "--schema").stdout == schema()


def test_merge_as_text_and_json(tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two")):
        write_wheel(tmp_path / folder, "tiny", f"1.{number}")
    done = wheelferry("merge", "one", "two", "--out", "both", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wheels = json.loads(done.stdout)["wheels"]
    assert [wheel["filename"] for wheel in wheels] == [
        "tiny-1.0-py3-none-any.whl",
        "tiny-1.1-py3-none-any.whl",
    ]
    assert "merge into both" in done.stderr
    again = wheelferry("merge", "one", "two", "--out", "both", "--quiet", cwd=tmp_path)
    assert again.stderr == ""
    assert "both/tiny-1.0-py3-none-any.whl" in again.stdout


def test_bundles_are_merged_and_verified(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    done = wheelferry("merge", bundle, tmp_path / "copy", "--out", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    assert "not verified; prove it with: wheelferry verify" in done.stdout
    assert wheelferry("verify", tmp_path / "both", "--level", "static").returncode == 0


def test_a_conflict_between_bundles_has_its_own_exit_code(tmp_path: Path) -> None:
    write_wheel(tmp_path / "one", "tiny", "1.0")
    write_wheel(tmp_path / "two", "tiny", "1.0", files={"tiny/more.py": b"1"})
    done = wheelferry("merge", "one", "two", "--out", "both", "--json", cwd=tmp_path)
    assert done.returncode == 4
    assert "tiny-1.0-py3-none-any.whl: " in json.loads(done.stdout)["error"]
    assert not (tmp_path / "both").exists()


def test_cache_commands_on_an_empty_cache() -> None:
    assert json.loads(wheelferry("cache", "info", "--json").stdout)["objects"] == 0
    assert json.loads(wheelferry("cache", "verify", "--json").stdout) == {"damaged": []}
    assert json.loads(wheelferry("cache", "prune", "--json").stdout) == {"freed_bytes": 0}


def test_version() -> None:
    from wheelferry import __version__

    assert wheelferry("--version").stdout == f"wheelferry {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    """What --help imports decides how long a user waits for it."""
    code = "import sys, wheelferry.cli.app; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert (
        set(loaded) & {"rich", "pydantic", "requests", "jinja2", "packaging", "elftools", "build", "uv"}
        == set()
    )


def test_plan_imports_nothing_that_builds_or_verifies() -> None:
    code = """
import sys
from wheelferry.cli.app import main
sys.argv = ["wheelferry", "plan", "sample@1.0"]
try:
    main()
finally:
    print("loaded:", *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("loaded:")[2].split())
    assert "wheelferry.models.planning.make_plan" in loaded
    ours = {name.split(".")[1] for name in loaded if name.count(".") > 1 and name.startswith("wheelferry.")}
    assert ours <= {"cli", "client", "models", "matrix", "build", "system"}
    late = ("system.process", "matrix.fit", "build.compile", "build.prepare", "client.common.bundle")
    assert (
        loaded & {"requests", "jinja2", "elftools", "ctypes", *(f"wheelferry.{name}" for name in late)}
        == set()
    )


def test_shell_completion_is_offered() -> None:
    done = wheelferry("--show-completion", "bash")
    assert done.returncode == 0
    assert "wheelferry" in done.stdout.lower()


def test_each_command_is_told_in_one_line_that_is_not_cut_off() -> None:
    listed = wheelferry("--help").stdout.partition("Commands:")[2]
    assert "..." not in listed
