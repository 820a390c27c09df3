"""A clone that travels: a worker that cannot reach the git host exports the same files from it."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE
from wheelferry.cache.source import Source, clone_release, export
from wheelferry.cache.store import Store
from wheelferry.distributed.source_archive import pack_source, unpack_source
from wheelferry.errors import IntegrityError
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.system.files import remove_tree, tree_hash
from wheelferry.system.process import run


def git(folder: Path, *arguments: str) -> str:
    who = {
        f"GIT_{role}_{key}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
    }
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **who}
    ).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Source:
    """A release of two commits, of which the clone has the last one alone; the host is gone."""
    host = tmp_path / "höst"
    host.mkdir()
    git(host, "init", "--quiet")
    for text in ("old", "new"):
        (host / "setup.py").write_text(text, "utf-8")
        git(host, "add", "setup.py")
        git(host, "commit", "--quiet", "-m", text)
    git(host, "tag", "v1.0")
    release = parse_recipe(RECIPE, file="tiny.toml").releases["1.0"]
    pinned = release.model_copy(
        update={"tag": "v1.0", "commit": git(host, "rev-parse", "HEAD"), "tree": None}
    )
    source = clone_release("tiny@1.0", pinned, str(host), Store(tmp_path / "here"), run)
    remove_tree(host)
    return source


def test_a_clone_arrives_with_its_commit(clone: Source, tmp_path: Path) -> None:
    store = Store(tmp_path / "there")
    arrived = unpack_source(pack_source(clone), store, run)
    assert replace(arrived, location=clone.location) == clone
    export(clone, tmp_path / "one", run)
    export(arrived, tmp_path / "two", run)
    assert tree_hash(tmp_path / "one") == tree_hash(tmp_path / "two")
    assert (tmp_path / "two" / "setup.py").read_text("utf-8") == "new"
    # a clone that was damaged since is replaced
    remove_tree(arrived.location / "objects")
    assert unpack_source(pack_source(clone), store, run) == arrived
    export(arrived, tmp_path / "three", run)


def test_a_clone_of_something_else_is_refused(clone: Source, tmp_path: Path) -> None:
    store = Store(tmp_path / "there")
    with pytest.raises(IntegrityError, match="something else"):
        unpack_source(replace(pack_source(clone), identity="1" * 40), store, run)
    assert not store.sources.exists()
