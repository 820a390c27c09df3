"""Git submodules: fetched with the commit that the repository names, exported in their place, or told."""

import subprocess
from pathlib import Path

import pytest

from conftest import RECIPE, TARGET
from wheelferry.cache.source import clone_release, export, longest_path, submodule_addresses, submodules_of
from wheelferry.cache.tools import Tools
from wheelferry.distributed.source_archive import pack_source
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.planning.make_plan import make_plan, plan_digest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe, Release
from wheelferry.system.process import run

PLACE = "third party/table"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    command = ["git", *who, "-c", "init.defaultBranch=main", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``whole``, a repository with the submodule ``table`` beside it."""
    folder = tmp_path_factory.mktemp("repositories")
    for name, file in (("table", "table.h"), ("whole", "setup.py")):
        (folder / name).mkdir()
        git(folder / name, "init", "-q")
        (folder / name / file).write_text(f"// {name}\n", "utf-8")
        git(folder / name, "add", ".")
        git(folder / name, "commit", "-q", "-m", name)
    git(folder / "whole", "submodule", "add", "-q", "../table", PLACE)
    git(folder / "whole", "commit", "-q", "-m", "with it")
    return folder


def release(repositories: Path, **submodules: str) -> Release:
    commits = {name: git(repositories / name, "rev-parse", "HEAD") for name in ("whole", "table")}
    pinned = {"url": (repositories / "table").as_uri(), "commit": commits["table"], **submodules}
    return Release.model_validate(
        {
            "branch": "main",
            "commit": commits["whole"],
            "version": "1",
            "torch": ">=2",
            "python": ">=3.9",
            "submodules": {PLACE: pinned},
        }
    )


def test_their_files_lie_in_their_place(repositories: Path, tmp_path: Path, tools: Tools) -> None:
    source = clone_release("whole", release(repositories), str(repositories / "whole"), tools.store, run)
    export(source, tmp_path / "tree", run)
    assert (tmp_path / "tree" / PLACE / "table.h").read_text("utf-8") == "// table\n"
    assert (tmp_path / "tree" / "setup.py").is_file()
    assert longest_path(source, run) == len(f"{PLACE}/table.h")
    with pytest.raises(InputError, match="git submodules"):
        pack_source(source)


def test_a_commit_that_the_repository_does_not_name_is_refused(repositories: Path, tools: Tools) -> None:
    with pytest.raises(IntegrityError, match=f"of its submodule {PLACE}, the recipe pins 0000"):
        clone_release(
            "whole", release(repositories, commit="0" * 40), str(repositories / "whole"), tools.store, run
        )


def test_a_place_that_is_none_is_refused_with_those_that_are(repositories: Path, tools: Tools) -> None:
    named = release(repositories)
    elsewhere = named.model_copy(update={"submodules": {"other": named.submodules[PLACE]}})
    with pytest.raises(InputError, match="other is no git submodule") as caught:
        clone_release("whole", elsewhere, str(repositories / "whole"), tools.store, run)
    assert caught.value.hint == f"submodules: {PLACE}"


def test_what_a_repository_says_of_them(repositories: Path, tools: Tools) -> None:
    bare = release(repositories).model_copy(update={"submodules": {}})
    source = clone_release("whole", bare, str(repositories / "whole"), tools.store, run)
    assert submodules_of(source, run) == {PLACE: git(repositories / "table", "rev-parse", "HEAD")}
    addresses = submodule_addresses(source, "https://git.example/team/whole.git", run)
    assert addresses == {PLACE: "https://git.example/team/table"}


def recipe(more: str = "") -> Recipe:
    text = RECIPE.replace('{ kind = "folder", path = "tiny/project" }', '{ kind = "git", url = "x" }')
    commit = f'branch = "main"\ncommit = "{"1" * 40}"'
    return parse_recipe(text.replace(f'tree = "{"0" * 64}"', commit) + more, file="t.toml")


def test_they_are_part_of_what_is_built() -> None:
    pinned = '\n[releases."1.0".submodules."third/table"]\nurl = "y"\ncommit = "{}"\n'
    digests = {plan_digest(recipe(pinned.format(sign * 40)), "1.0", TARGET) for sign in "23"}
    assert len({*digests, plan_digest(recipe(), "1.0", TARGET)}) == 3
    assert make_plan(recipe(pinned.format("2" * 40)), "1.0", [TARGET]).release.submodules


@pytest.mark.parametrize(
    ("place", "commit", "said"),
    [("../out", "2" * 40, "must be a relative path"), ("table", "2", "commit")],
)
def test_malformed_ones_are_refused_with_their_key(place: str, commit: str, said: str) -> None:
    table = f'\n[releases."1.0".submodules."{place}"]\nurl = "y"\ncommit = "{commit}"\n'
    with pytest.raises(InputError, match=said):
        recipe(table)


def test_only_repositories_have_them() -> None:
    table = f'\n[releases."1.0".submodules.table]\nurl = "y"\ncommit = "{"2" * 40}"\n'
    with pytest.raises(InputError, match="only a git source has submodules"):
        parse_recipe(RECIPE + table, file="t.toml")
