"""Packages that download something later: told before anything is fetched, and from the closure."""

import pytest

from clients import PYTHON
from conftest import write_wheel
from yard import Yard

CELL = ("./tiny.toml@1.0", "--python", PYTHON, "--torch", "2.13.0", "--without-ops")


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """An index with a package that requires one of the table, and that one without what its build fetches."""
    yard = Yard(tmp_path_factory.mktemp("downloads") / "yard")
    write_wheel(yard.index, "viewer", "1.0", requires=["fiftyone-db"])
    files = {"fiftyone/db/bin/exception.txt": b"no network"}
    write_wheel(yard.index, "fiftyone_db", "1.4.1", files=files)
    write_wheel(yard.index, "reader", "1.0", requires=["gdown"])
    write_wheel(yard.index, "gdown", "6.5.1")
    return yard


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_plan_tells_of_what_is_asked_for_and_the_lock_of_all(yard: Yard) -> None:
    said = words(yard.run("plan", *CELL, "--with", "FiftyOne"))
    assert "warning: fiftyone-db fetches MongoDB's server (mongod) from fastdl.mongodb.org when" in said
    assert "gdown" not in said
    said = words(yard.run("lock", *CELL, "--out", "locks", "--with", "reader"))
    assert said.count("gdown fetches the file that it is asked for from drive.google.com") == 1


def test_a_bundle_with_a_wheel_that_lacks_what_its_build_fetches_fails(yard: Yard) -> None:
    process = yard.start("bundle", *CELL, "--out", "b", "--with", "viewer", "--level", "static", "-q")
    said = words(process.communicate()[0])
    assert process.returncode == 1
    assert "lacks MongoDB's server (mongod), which its build did not get" in said
    assert "[INCOMPLETE]" in said
