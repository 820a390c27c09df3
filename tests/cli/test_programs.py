"""A recipe's programs: in the bundle, in the installation, run by its launcher, gone with it."""

import subprocess
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from clients import one_python, pack_client_bundle
from conftest import RECIPE
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import IntegrityError
from wheelferry.models.problems import Code
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.report import Level
from wheelferry.transfer.merge import merge
from wheelferry.verification.static.level import verify_static
from wheelferry.verification.verify import verify

PROGRAMS = """
[apps]
path = "tiny/apps"

[[apps.programs]]
name = "hello"
help = "say what it was told"
module = "hello"

[[apps.programs]]
name = "load"
help = "say what cargo is there"
module = "load_cargo"
requires = ["cargo>=1"]
"""
HELLO = """
import argparse, os, sys
WORD = "{word}"

def main(arguments):
    parser = argparse.ArgumentParser(description="Say what it was told.")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args(arguments)
    print(WORD, *options.words, "isolated", sys.flags.isolated, "in", sys.prefix)
    return 7 if "seven" in options.words else None
"""
LOAD = """
import argparse
import cargo

def main(arguments):
    argparse.ArgumentParser().parse_args(arguments)
    cargo.main()
"""


@pytest.fixture
def recipe(located: LocatedRecipe) -> LocatedRecipe:
    """The tests' recipe with two programs, of which one has a requirement of its own."""
    folder = located.folder / "tiny" / "apps"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "hello.pyc").write_bytes(b"")
    (folder / "hello.py").write_text(HELLO.format(word="hello"), "utf-8")
    (folder / "load_cargo.py").write_text(LOAD, "utf-8")
    return replace(located, recipe=parse_recipe(RECIPE + PROGRAMS, file="tiny.toml"))


def run(*command: str | Path, status: int = 0, **environ: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"PATH": one_python(), "HOME": "/nonexistent", **environ},
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(bundle: Path, prefix: Path, *options: str) -> str:
    return run("sh", bundle / "install.sh", "--prefix", prefix, "--yes", "--verify", "none", *options)


def test_a_program_that_was_asked_for_is_run_in_the_installed_environment(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe
) -> None:
    bundle, prefix = tmp_path / "st ick", tmp_path / "pre fix"
    pack_client_bundle(bundle, tools, recipe, apps=["load"])
    readme = (bundle / "README.txt").read_text("utf-8")
    assert "./wheelferry load              say what cargo is there" in readme
    assert f"{prefix}/wheelferry hello      say what it was told" in install(bundle, prefix)
    (tmp_path / "hello.py").write_text("raise SystemExit('the wrong one')", "utf-8")
    said = run(prefix / "wheelferry", "hello", "--", "-x", "a b", PYTHONPATH=str(tmp_path))
    assert said == f"hello -x a b isolated 1 in {prefix / 'envs' / '1'}\n"
    assert run(prefix / "wheelferry", "load") == "cargo 1.0\n"
    assert "usage: wheelferry hello" in run(prefix / "wheelferry", "hello", "--help")
    run(prefix / "wheelferry", "hello", "seven", status=7)
    said = run(prefix / "wheelferry", "--help")
    assert "wheelferry hello      say what it was told" in said
    assert "wheelferry load       say what cargo is there" in said
    said = run(prefix / "wheelferry", "helo", status=2)
    assert "no program 'helo'" in said
    assert "it has hello, load" in said
    run(prefix / "wheelferry", "--uninstall", "--yes")
    assert not prefix.exists()


def test_without_being_asked_for_only_what_requires_nothing_travels(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe
) -> None:
    bundle, prefix = pack_client_bundle(tmp_path / "stick", tools, recipe), tmp_path / "prefix"
    install(bundle, prefix)
    assert "hello" in run(prefix / "wheelferry", "hello")
    assert "it has hello;" in run(prefix / "wheelferry", "load", status=2)


def test_a_bundle_without_programs_is_what_it_was(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    bundle, prefix = pack_client_bundle(tmp_path / "stick", tools, located), tmp_path / "prefix"
    assert not (bundle / "apps").exists()
    assert "programs (each" not in install(bundle, prefix)
    assert "programs (each" not in run(prefix / "wheelferry", "--help")
    assert "--app NAME" in run(prefix / "wheelferry", "hello", status=2)


def test_a_rollback_brings_the_programs_of_before(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe
) -> None:
    prefix = tmp_path / "prefix"
    install(pack_client_bundle(tmp_path / "old", tools, recipe), prefix)
    (recipe.folder / "tiny" / "apps" / "hello.py").write_text(HELLO.format(word="good day"), "utf-8")
    install(pack_client_bundle(tmp_path / "new", tools, recipe), prefix)
    assert run(prefix / "wheelferry", "hello").startswith("good day ")
    run(prefix / "wheelferry", "--rollback")
    assert run(prefix / "wheelferry", "hello").startswith("hello ")


def test_what_was_accepted_stays_and_is_no_obstacle(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe
) -> None:
    bundle, prefix = pack_client_bundle(tmp_path / "stick", tools, recipe), tmp_path / "prefix"
    install(bundle, prefix)
    (prefix / "accepted").mkdir()
    (prefix / "accepted" / "record.json").write_text("{}", "utf-8")
    assert "accepted/record.json" in run(prefix / "wheelferry", "--uninstall", "--yes")
    install(bundle, prefix)
    assert (prefix / "accepted" / "record.json").is_file()


def test_into_an_existing_environment(tmp_path: Path, tools: Tools, recipe: LocatedRecipe) -> None:
    bundle = pack_client_bundle(tmp_path / "stick", tools, recipe, apps=["all"])
    env = tmp_path / "env"
    venv.create(env, symlinks=True)
    said = run("sh", bundle / "install.sh", "--into", env, "--yes", "--verify", "none")
    assert f"{env}/bin/python -I {env}/wheelferry/apps load" in said
    assert run(env / "bin" / "python", "-I", env / "wheelferry" / "apps", "load") == "cargo 1.0\n"
    kept = env / "wheelferry" / "accepted"
    kept.mkdir()
    (kept / "record.json").write_text("{}", "utf-8")
    assert "record.json" in run("sh", bundle / "install.sh", "--into", env, "--uninstall", "--yes")
    assert [path.name for path in (env / "wheelferry").iterdir()] == ["accepted"]


def test_each_program_is_started_when_the_bundle_is_verified(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe
) -> None:
    good = pack_client_bundle(tmp_path / "good", tools, recipe, apps=["load"])
    report = verify(good, Level.INSTALL, tools)
    assert report.targets[0].levels[0].facts["programs"] == ["hello", "load"]
    (recipe.folder / "tiny" / "apps" / "hello.py").write_text("import nothing_like_it\n", "utf-8")
    bad = pack_client_bundle(tmp_path / "bad", tools, recipe, apps=["load"])
    (problem,) = (
        one for one in verify(bad, Level.INSTALL, tools).targets[0].levels[0].problems if one.code is Code.APP
    )
    assert "hello --help ended with status 1" in problem.message
    assert "nothing_like_it" in problem.message


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        ('{"format": 9, "programs": []}', "cannot be read (format '9' instead of 1)"),
        ('{"format": 1}', "cannot be read ('programs')"),
        ('{"format": 1, "programs": [{"name": "x", "module": "gone"}]}', "program x has no file gone.py"),
        (None, "is missing"),
    ],
)
def test_a_list_of_programs_that_fits_nothing_is_a_problem(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe, listing: str | None, said: str
) -> None:
    bundle = pack_client_bundle(tmp_path / "stick", tools, recipe)
    if listing is None:
        (bundle / "apps" / "apps.json").unlink()
    else:
        (bundle / "apps" / "apps.json").write_text(listing, "utf-8")
    problems = [one for one in verify_static(bundle, tools)[1] if one.code is Code.APP]
    assert [said in str(one) for one in problems] == [True]


def test_bundles_with_different_programs_cannot_be_one(
    tmp_path: Path, tools: Tools, recipe: LocatedRecipe
) -> None:
    one = pack_client_bundle(tmp_path / "one", tools, recipe)
    other = pack_client_bundle(tmp_path / "other", tools, recipe, apps=["load"])
    with pytest.raises(IntegrityError, match=r"apps/apps\.json"):
        merge([one, other], tmp_path / "both", tools)
