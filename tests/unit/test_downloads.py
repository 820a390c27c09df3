"""Packages that download something later: the table, who is told, builds that reach for other machines."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from conftest import RECIPE, TARGET, write_wheel
from wheelferry.build import populate
from wheelferry.build.dependencies import prefetch
from wheelferry.build.dependencies.lock import warn_of_downloads
from wheelferry.cache.source import Source
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_downloads
from wheelferry.cli.live import ConsoleProgress
from wheelferry.errors import BuildError
from wheelferry.models.lock import Choice
from wheelferry.models.planning.downloads import (
    LaterDownload,
    downloads_of,
    downloads_of_requested,
    parse_downloads,
)
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.progress import Silent
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.process import run
from wheelferry.verification.static.checks import check_downloads
from wheelferry.wheels.read import read_wheel

TABLE = shipped_downloads()
PYTHON = Interpreter(path=Path(sys.executable), version="3.11.7", headers=Path("include"))
# A name that RFC 6761 keeps from existing.
NO_NAME = "nowhere.invalid"


def names(*texts: str) -> set[NormalizedName]:
    return {canonicalize_name(text) for text in texts}


def download(package: str, **changes: Any) -> LaterDownload:
    """A row of the table."""
    values: dict[str, Any] = {
        "package": canonicalize_name(package), "required_by": (), "what": "a server", "at_build": (),
        "hosts": ("a.example", "b.example"), "when": "it is built", "instead": "bring it", "seen": "1.0",
    }  # fmt: skip
    return LaterDownload(**{**values, **changes})


# ------------------------------------------------------------------------------------------------ the table


def test_the_table_names_each_package_once_and_says_where_it_was_seen() -> None:
    packages = [row.package for row in TABLE]
    assert len(packages) == len(set(packages))
    assert all(row.hosts and row.what and row.when and row.instead and row.seen[0].isdigit() for row in TABLE)
    assert not any(text.endswith(".") for row in TABLE for text in (row.what, row.when, row.instead))


def test_a_row_is_a_sentence_with_what_to_do() -> None:
    assert str(download("Some_Package")) == (
        "some-package fetches a server from a.example and b.example when it is built. "
        "For a machine without a network: bring it"
    )


def test_names_are_compared_as_the_index_does() -> None:
    (row,) = parse_downloads(
        '[[downloads]]\npackage = "A_B"\nrequired_by = ["C.D"]\nwhat = "x"\nhosts = ["h"]\n'
        'when = "y"\ninstead = "z"\nseen = "1"\n'
    )
    assert (row.package, row.required_by, row.at_build) == ("a-b", ("c-d",), ())
    assert list(downloads_of([row], names("a.b"))) == [row]
    assert list(downloads_of([row], names("c-d"))) == []


def test_what_is_asked_for_counts_with_what_it_is_known_to_require() -> None:
    asked = [row.package for row in downloads_of_requested(TABLE, names("fiftyone", "numpy"), ())]
    assert asked == ["fiftyone-db", "fiftyone"]
    left = [row.package for row in downloads_of_requested(TABLE, names("fiftyone"), names("fiftyone-db"))]
    assert left == ["fiftyone"]


@pytest.mark.parametrize(
    ("files", "missed"),
    [
        (["one/bin/server", "one/__init__.py"], False),
        (["one-1.0.data/purelib/one/bin/server.exe"], False),
        (["one/bin/exception.txt"], True),
        (["one/bin/server.txt", "another-one/bin/server"], True),
    ],
)
def test_a_wheel_has_what_its_build_fetches_or_not(files: list[str], missed: bool) -> None:
    row = download("one", at_build=("one/bin/server", "one/bin/server.exe"))
    assert row.is_missed_by(files) is missed
    assert not download("one").is_missed_by(files), "nothing is known to be fetched by the build"


# ------------------------------------------------------------------------------------------------ who is told


def info(folder: Path, name: str, *files: str) -> WheelInfo:
    return read_wheel(write_wheel(folder, name, "1.0", files=dict.fromkeys(files, b"")))


def test_a_wheel_without_what_its_build_fetches_is_a_problem(tmp_path: Path) -> None:
    table = [download("one", at_build=("one/server",)), download("two"), download("three")]
    infos = {canonicalize_name(name): info(tmp_path, name) for name in ("one", "two")}
    paths: Mapping[NormalizedName, str] = {name: f"wheelhouse/{name}.whl" for name in infos}
    problem, note = check_downloads(infos, paths, table)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.file) == (Code.INCOMPLETE, "wheelhouse/one.whl")
    assert problem.message.startswith("lacks a server, which its build did not get. one fetches a server ")
    assert note == Note(file="wheelhouse/two.whl", message=str(table[1]))
    whole = {canonicalize_name("one"): info(tmp_path, "one", "one/server")}
    assert list(check_downloads(whole, paths, table)) == []


@dataclass
class Heard(Silent):
    """Keeps the warnings."""

    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def choices(*packages: str) -> list[Choice]:
    return [
        Choice(
            name=canonicalize_name(name),
            version=Version("1.0"),
            filename=f"{name}-1.0-py3-none-any.whl",
            url=f"https://files.example/{name}",
            sha256=None,
            is_sdist=False,
        )
        for name in packages
    ]


def test_the_recipes_own_requirements_are_not_warned_of(tools: Tools) -> None:
    text = RECIPE.replace('{ requires = "leaf" }', '{ requires = "leaf" }, { requires = "torchvision" }')
    plan = make_plan(parse_recipe(text, file="tiny.toml"), "1.0", [TARGET])
    heard = Heard()
    closure = choices("timm", "numpy", "torchvision")
    warn_of_downloads(plan, closure, plan.cells[0], replace(tools, progress=heard))
    (message,) = heard.warnings
    assert message.startswith(f"{TARGET.name}: timm fetches weights from huggingface.co when ")


def test_a_warning_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress()
    for message in ("one", "two", "one"):
        progress.warn(message)
    assert capsys.readouterr().err == "warning: one\nwarning: two\n"


# ------------------------------------------------------------------------------------------------ builds


@dataclass
class Builder:
    """Builds an sdist as uv does: in a Python with the given environment, which runs `program` first."""

    program: str
    files: Iterable[str] = ()
    built: int = 0

    def build_sdist(self, _: Path, out: Path, *, environment: Mapping[str, str], **__: Any) -> Path:
        self.built += 1
        out.mkdir()
        run([sys.executable, "-c", self.program], step="build", env=environment)
        return write_wheel(out, "hull", "1.0", files=dict.fromkeys(self.files, b""))


REACHES = f"""
import contextlib, socket
for _ in range(2):
    with contextlib.suppress(OSError):
        socket.create_connection(("{NO_NAME}", 443))
"""


def hull(folder: Path) -> Choice:
    path = folder / "hull-1.0.tar.gz"
    path.write_bytes(b"an sdist")
    return Choice(
        name=canonicalize_name("hull"), version=Version("1.0"), filename=path.name, url=path.as_uri(),
        sha256=None, is_sdist=True,
    )  # fmt: skip


def test_a_build_that_reaches_for_another_machine_is_told_each_time(tmp_path: Path, tools: Tools) -> None:
    builder, heard = Builder(REACHES), Heard()
    tools = replace(tools, uv=builder, progress=heard)  # type: ignore[arg-type]
    for _ in range(2):
        populate.build_sdists([hull(tmp_path)], TARGET, PYTHON, tools)
    assert builder.built == 1, "the second time it is in the store"
    tried = f"the build of hull-1.0.tar.gz tried to reach {NO_NAME}:443: "
    assert heard.warnings == [f"{tried}what it got there, or did not get, no lock knows"] * 2


def test_a_build_that_stays_here_is_not_told(tmp_path: Path, tools: Tools) -> None:
    builder, heard = Builder("import socket; socket.socket().bind(('127.0.0.1', 0))"), Heard()
    tools = replace(tools, uv=builder, progress=heard)  # type: ignore[arg-type]
    for _ in range(2):
        populate.build_sdists([hull(tmp_path)], TARGET, PYTHON, tools)
    assert heard.warnings == []


def test_a_wheel_without_what_its_build_fetches_is_refused_and_not_kept(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (download("hull", at_build=("hull/server",)),)
    monkeypatch.setattr(populate, "shipped_downloads", lambda: table)
    builder = Builder(REACHES, files=["hull/exception.txt"])
    broken = replace(tools, uv=builder)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(populate.IncompleteWheelError) as caught:
            populate.build_sdists([hull(tmp_path)], TARGET, PYTHON, broken)
    assert builder.built == 2
    assert str(caught.value) == (
        f"build hull-1.0.tar.gz: the wheel that was made lacks a server; it tried to reach {NO_NAME}:443"
    )
    assert (caught.value.hint, caught.value.exit_code) == ("bring it", 5)
    whole = replace(tools, uv=Builder("", files=["hull/server"]))  # type: ignore[arg-type]
    assert len(populate.build_sdists([hull(tmp_path)], TARGET, PYTHON, whole)) == 1


def test_a_useless_wheel_ends_the_job_before_the_compiler_starts(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(parse_recipe(RECIPE, file="tiny.toml"), "1.0", [TARGET])
    asked = prefetch.Asked(cell=plan.cells[0], interpreter=PYTHON, backend=())
    source = Source(location=Path("nowhere"), identity="", epoch=0, kind="folder")

    def fail_with(error: BuildError) -> None:
        def resolve(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(prefetch, "_resolve", resolve)

    fail_with(BuildError("the backend does not tell"))
    prefetch.require_closure(plan, asked, source, tools, given=())
    fail_with(populate.IncompleteWheelError("no server"))
    with pytest.raises(populate.IncompleteWheelError, match="no server"):
        prefetch.require_closure(plan, asked, source, tools, given=())
