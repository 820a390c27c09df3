"""A real compiler with the store before it: what is found there is what it would have made."""

import os
import subprocess
from pathlib import Path

import pytest

from wheelferry.cache.store import Store
from wheelferry.toolchains.object_cache import write_compiler

pytestmark = pytest.mark.e2e

COMPILER = Path("/usr/bin/g++")
HEADER = "inline int twice(int value) { return 2 * value; }\n"
CODE = """
#include <string>
#include "twice.h"
#ifndef FACTOR
#define FACTOR 1
#endif
static std::string where = __FILE__;
extern "C" int work(int value) { return FACTOR * twice(value) + static_cast<int>(where.size()); }
"""


class Project:
    """A folder with a source and a header, compiled in a folder of its own by a compiler of its own."""

    def __init__(self, folder: Path, store: Store, compiler: Path = COMPILER) -> None:
        self.folder, self.store = folder, store
        folder.mkdir()
        (folder / "work.cpp").write_text(CODE)
        (folder / "twice.h").write_text(HEADER)
        self.caching = write_compiler(folder / "compiler", compiler, store)

    def compile(self, *options: str, compiler: Path | None = None) -> bytes:
        """The object; by the caching compiler unless another is named."""
        mapped = f"-ffile-prefix-map={self.folder}=source"
        wanted = ["-O2", "-g0", "-fPIC", mapped, *options, "-MMD", "-MF", "work.d"]
        command = [str(compiler or self.caching), *wanted, "-c", f"{self.folder}/work.cpp", "-o", "work.o"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return (self.folder / "work.o").read_bytes()

    @property
    def kept(self) -> int:
        """How many objects the store has."""
        return len(self.store.keys("object"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "st ore")


def test_a_hit_has_the_bytes_of_a_compilation_wherever_the_folder_is(tmp_path: Path, store: Store) -> None:
    one, other = Project(tmp_path / "one", store), Project(tmp_path / "other one", store)
    plain = one.compile(compiler=COMPILER)
    assert one.compile() == plain
    assert one.kept == 1
    (one.folder / "work.o").unlink()
    assert one.compile() == plain
    other_plain = other.compile(compiler=COMPILER)
    assert other.compile() == other_plain == plain
    assert one.kept == 1
    assert "work.o:" in (other.folder / "work.d").read_text()
    assert "twice.h" in (other.folder / "work.d").read_text()


def test_whatever_changes_is_compiled_anew(tmp_path: Path, store: Store) -> None:
    project = Project(tmp_path / "one", store)
    seen = {project.compile()}
    for number, options in enumerate([["-O1"], ["-DFACTOR=3"], ["-fno-plt", "-ffast-math"]], start=2):
        assert project.compile(*options) == project.compile(*options, compiler=COMPILER)
        assert project.kept == number
    (project.folder / "twice.h").write_text(HEADER.replace("2 *", "5 *"))
    changed = project.compile()
    assert changed == project.compile(compiler=COMPILER)
    assert changed not in seen
    (project.folder / "work.cpp").write_text(CODE.replace("work(int", "work_more(int"))
    assert project.compile() == project.compile(compiler=COMPILER)
    assert project.kept == 6


def test_another_compiler_does_not_get_the_objects_of_the_first(tmp_path: Path, store: Store) -> None:
    """One with the same name that is another program, as after an update."""
    Project(tmp_path / "one", store).compile()
    updated = tmp_path / "g++"
    updated.write_text(f'#!/bin/sh\n# updated\nexec {COMPILER} "$@"\n')
    updated.chmod(0o755)
    other = Project(tmp_path / "other", store, updated)
    other.compile()
    assert other.kept == 2


def test_a_damaged_object_is_never_used(tmp_path: Path, store: Store) -> None:
    project = Project(tmp_path / "one", store)
    plain = project.compile()
    entry = store.recall("object", store.keys("object")[0])
    assert entry is not None
    store.path(entry.sha256).chmod(0o644)
    store.path(entry.sha256).write_bytes(b"damaged")
    assert project.compile() == plain


def test_what_does_not_compile_is_explained_by_the_compiler(tmp_path: Path, store: Store) -> None:
    project = Project(tmp_path / "one", store)
    (project.folder / "work.cpp").write_text(CODE + "int broken( { }\n")
    command = ["-c", "work.cpp", "-o", "work.o"]
    said = [
        subprocess.run([program, *command], cwd=project.folder, capture_output=True, text=True, check=False)
        for program in (project.caching, COMPILER)
    ]
    assert said[0].returncode == said[1].returncode != 0
    assert said[0].stderr == said[1].stderr
    assert "int broken( { }" in said[0].stderr
    assert not (project.folder / "work.o").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_store_that_cannot_be_written_to_costs_nothing(tmp_path: Path, store: Store) -> None:
    project = Project(tmp_path / "one", store)
    store.root.mkdir(exist_ok=True)
    store.root.chmod(0o555)
    assert project.compile() == project.compile(compiler=COMPILER)
