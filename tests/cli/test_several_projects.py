"""Several projects in one bundle: planned, locked, packed, verified and installed together."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clients import PYTHON, one_python
from wheelferry.catalog import load_recipe
from wheelferry.errors import InputError
from wheelferry.matrix.record import read_evidence
from wheelferry.models.planning.make_plan import plan_digest
from wheelferry.system.files import tree_hash
from yard import Yard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="install.sh")

TARGET = ("--python", PYTHON, "--torch", "2.13.0", "--without-ops")
CHECKS = """
@check("tiny is there")
def there(context):
    import leaf, tiny
"""
PLANK = """
format = 1
name = "plank"
summary = "a project that cannot be without tiny, which no index has"
license = "Apache-2.0"
distribution = "plank"
source = { kind = "folder", path = "plank/whole", subdirectory = "inner" }
build = { python_only = true }

[[torch]]
version = "2.13.0"
python = ">=3.10,<3.15"

[releases."1.0"]
tree = "TREE"
version = "1.0"
torch = ">=2.0"
python = ">=3.9"
projects = ["./tiny.toml@1.0"]

[[substitutions]]
file = "inner/backend.py"
old = "leaf>=1"
new = "tiny"
count = 2

[smoke]
path = "plank/smoke"
imports = ["plank"]
modules = ["check_plank"]
"""
PLANK_CHECKS = """
from harness import check, expect

@check("plank is there, and so is what it needs")
def there(context):
    import plank, tiny
    expect(plank.__name__ == "plank", "another module")

@check("it learns", level="train")
def learns(context):
    context.value("loss", 0.5)
"""


# Tells what the wheel will require before it builds one.
TELLS = """
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    import pathlib
    info = pathlib.Path(directory, "tiny-1.0.dist-info")
    info.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: tiny", "Version: 1.0", "Requires-Dist: leaf>=1", ""]
    (info / "METADATA").write_text(chr(10).join(lines))
    return info.name
"""


def add_plank(yard: Yard) -> None:
    """A second project, whose wheel requires the first one's."""
    project = yard.folder / "plank" / "whole" / "inner"
    project.mkdir(parents=True)
    for name in ("backend.py", "pyproject.toml"):
        text = (yard.folder / "tiny" / "project" / name).read_text("utf-8")
        (project / name).write_text(text.replace("tiny", "plank"), "utf-8")
    (yard.folder / "plank" / "smoke").mkdir()
    (yard.folder / "plank" / "smoke" / "check_plank.py").write_text(PLANK_CHECKS, "utf-8")
    recipe = PLANK.replace("TREE", tree_hash(yard.folder / "plank" / "whole"))
    (yard.folder / "plank.toml").write_text(recipe, "utf-8")


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """Two projects, and the bundle of both, verified up to smoke."""
    yard = Yard(tmp_path_factory.mktemp("several") / "yard", backend=TELLS, checks=CHECKS)
    add_plank(yard)
    yard.run("bundle", "./tiny.toml@1.0", "./plank.toml@1.0", *TARGET, "--out", "both", "--level", "smoke")
    return yard


def refused(yard: Yard, *arguments: str) -> str:
    process = yard.start(*arguments)
    said = process.communicate()[0]
    assert process.returncode == 2, said
    return " ".join(said.split())


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def test_one_lock_has_the_wheels_of_both(yard: Yard) -> None:
    lock = (yard.folder / "both" / "requirements.txt").read_text("utf-8")
    pinned = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    assert pinned == {"tiny", "plank", "leaf", "twig", "torch"}
    manifest = read(yard.folder / "both" / "bundle.json")
    assert (manifest["format"], manifest["recipe"]) == (2, "tiny")
    assert [project["recipe"] for project in manifest["further"]] == ["plank"]
    (further,) = manifest["targets"][0]["further"]
    assert further["built"].startswith("plank-1.0+pt2.13.0-")


def test_the_checks_of_each_are_reported_under_its_name(yard: Yard) -> None:
    report = read(yard.folder / "both" / "report" / "report.json")
    assert report["title"] == "tiny@1.0 + plank@1.0"
    smoke = {level["level"]: level for level in report["targets"][0]["levels"]}["smoke"]
    assert [check["name"] for check in smoke["checks"]] == [
        "tiny: check_tiny.there",
        "plank: check_plank.there",
    ]
    kept = {path.name for path in (yard.folder / "both" / "report").glob("*/smoke/*/smoke.json")}
    assert kept == {"smoke.json"}


def test_what_a_release_cannot_be_without_travels_by_itself(yard: Yard) -> None:
    plan = json.loads(yard.run("plan", "./plank.toml@1.0", *TARGET, "--json"))
    assert (plan["recipe"], [further["recipe"] for further in plan["further"]]) == ("plank", ["tiny"])
    yard.run("lock", "./plank.toml@1.0", *TARGET, "--out", "locks")
    (lock,) = (yard.folder / "locks").glob("requirements.*.txt")
    assert "tiny==1.0+pt2.13.0" in lock.read_text("utf-8")
    yard.run("build", "./plank.toml@1.0", *TARGET, "--out", "wheels")
    assert len(list((yard.folder / "wheels").glob("*.whl"))) == 2


def test_a_bundle_of_one_says_nothing_of_others(yard: Yard) -> None:
    yard.run("bundle", "./tiny.toml@1.0", *TARGET, "--out", "one", "--no-verify")
    manifest = read(yard.folder / "one" / "bundle.json")
    assert manifest["format"] == 1
    assert "further" not in manifest
    assert "further" not in manifest["targets"][0]
    assert (yard.folder / "one" / "smoke" / "suite.json").is_file()


def test_the_client_installs_and_checks_both(yard: Yard) -> None:
    environment = {**os.environ, "PATH": one_python(), "HOME": str(yard.folder / "home")}
    install, prefix = yard.folder / "both" / "install.sh", yard.folder / "client"
    command: list[str | Path] = ["sh", install, "--prefix", prefix, "--yes", "--verify", "smoke"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiny@1.0 + plank@1.0" in done.stdout + done.stderr
    receipt = read(prefix / "envs" / "1" / "receipt.json")
    assert receipt["bundle"]["projects"] == ["tiny@1.0", "plank@1.0"]
    smoke = receipt["suite"]["smoke"]
    assert (smoke["passed"], smoke["projects"]["plank"]["passed"]) == (2, 1)
    again: list[str | Path] = [prefix / "wheelferry", "--verify", "smoke"]
    assert subprocess.run(again, env=environment, capture_output=True).returncode == 0


def test_inspection_names_both(yard: Yard) -> None:
    seen = json.loads(yard.run("inspect", "both", "--json"))
    assert [further["recipe"] for further in seen["further"]] == ["plank"]
    said = yard.run("inspect", "both")
    assert "tiny@1.0 + plank@1.0" in said
    origins = {package["name"]: package for package in seen["packages"]}
    assert origins["plank"]["origin"]["commit"] == seen["further"][0]["commit"]


def test_it_is_evidence_for_each_project(yard: Yard) -> None:
    plank = load_recipe(str(yard.folder / "plank.toml"))
    (record,) = read_evidence(yard.folder / "both", plank, command=None, trust_recipe=False)
    assert (record.release, record.levels, record.failed) == ("1.0", ("static", "install", "smoke"), None)
    assert record.wheel is not None
    assert record.wheel.file.startswith("plank-1.0")
    assert record.plan == plan_digest(plank.recipe, "1.0", record.target)
    tiny = load_recipe(str(yard.folder / "tiny.toml"))
    with pytest.raises(InputError, match="without the compiled ops"):
        read_evidence(yard.folder / "both", tiny, command=None, trust_recipe=False)


def test_merged_and_served_it_is_still_of_both(yard: Yard) -> None:
    yard.run("merge", "both", "--out", "merged")
    assert (yard.folder / "merged" / "bundle.json").read_bytes() == (
        yard.folder / "both" / "bundle.json"
    ).read_bytes()
    yard.run("verify", "merged", "--level", "static")
    yard.run("bundle", "./tiny.toml@1.0", *TARGET, "--out", "alone", "--no-verify")
    said = refused(yard, "merge", "both", "alone", "--out", "never")
    assert "further: plank@1.0 in both, no other project in alone" in said


@pytest.mark.parametrize(
    ("references", "said"),
    [
        (("./tiny.toml@1.0", "./tiny.toml@1.0"), "are the same project"),
        (("./tiny.toml@1.0", "./plank.toml@2.0"), "no release '2.0'"),
        (("./tiny.toml@1.0", "plank"), "names no release"),
    ],
)
def test_what_cannot_go_together_is_said_by_plan(yard: Yard, references: tuple[str, str], said: str) -> None:
    assert said in refused(yard, "plan", *references, *TARGET)


def test_metadata_that_exclude_each_other_are_told_before_anything_is_built(yard: Yard) -> None:
    text = (yard.folder / "plank.toml").read_text("utf-8")
    (yard.folder / "clash.toml").write_text(text.replace('new = "tiny"', 'new = "leaf<1"'), "utf-8")
    process = yard.start("bundle", "./clash.toml@1.0", *TARGET, "--out", "never", "--no-verify")
    said = " ".join(process.communicate()[0].split())
    assert process.returncode == 2, said
    assert "leaf<1" in said
    assert "prepare plank" not in said
