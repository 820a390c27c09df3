"""Rows of the matrix: what one wheel serves, and how far its cells were seen."""

from dataclasses import replace

import pytest
from packaging.version import Version

from wheelferry.catalog import load_recipe
from wheelferry.matrix.coverage import Selection, Status, Verdict, cells
from wheelferry.matrix.spans import Span, find_spans
from wheelferry.models import stable_abi
from wheelferry.models.planning.make_plan import plan_digest
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.records import Record
from wheelferry.models.targets import Target

LINUX, MACOS = "manylinux_2_28_x86_64", "macosx_14_0_arm64"


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("sample").recipe


def select(recipe: Recipe, *records: Record, platforms: tuple[str, ...] = (LINUX, MACOS)) -> list[Verdict]:
    return cells(recipe, records, Selection(releases=("1.0",), platforms=platforms))


def record(recipe: Recipe, target: Target, *levels: str, failed: str | None = None) -> Record:
    return Record(
        release="1.0",
        target=target,
        levels=levels,
        failed=failed,
        date="2026-12-01T00:00:00+00:00",
        command="wheelferry bundle",
        plan=plan_digest(recipe, "1.0", target),
        wheelferry="0.1.0",
        machine="x86_64",
    )


def test_one_wheel_is_one_row_with_what_was_seen_of_its_cells(recipe: Recipe) -> None:
    one = Target(python="3.12", platform=LINUX, torch="2.13.0", backend="default")
    seen = [
        record(recipe, one, "static", "install", "smoke", "train"),
        record(recipe, replace(one, torch="2.10.0"), "static"),
        record(recipe, replace(one, python="3.11"), "static", failed="install"),
        record(recipe, replace(one, platform=MACOS), "static"),
    ]
    spans, rest = find_spans(recipe, select(recipe, *seen))
    assert [span.platform for span in spans] == [LINUX, MACOS]
    linux, macos = spans
    assert (linux.release, linux.pythons) == ("1.0", "3.10 to 3.14")
    assert linux.torches.startswith("2.10.0 to 2.1")
    assert set(linux.backends) == {"default", "cpu"}
    untried = len(linux.verdicts) - 3
    assert linux.counts == {"train": 1, "static": 1, "fails": 1, "not tried": untried}
    # of macOS nothing was ever run
    assert macos.counts == {"static": 1, "not tried": len(macos.verdicts) - 1}
    document = linux.to_document()
    assert document["cells"] == len(linux.verdicts) == sum(linux.counts.values())
    # every cell is in one row, or among the others
    assert len(rest) + sum(len(span.verdicts) for span in spans) == len(select(recipe, *seen))
    assert all(v.target.backend not in ("default", "cpu") for v in rest if _could_be_served(v))


def _could_be_served(verdict: Verdict) -> bool:
    return verdict.status is not Status.UNSUPPORTED and stable_abi.serves(Version(verdict.target.torch))


def test_a_wheel_for_each_cell_makes_no_row(recipe: Recipe) -> None:
    alone = recipe.model_copy(update={"build": recipe.build.model_copy(update={"stable_abi": False})})
    every = select(alone)
    assert find_spans(alone, every) == ([], every)


def test_without_the_limited_api_each_python_has_its_row(recipe: Recipe) -> None:
    tied = recipe.model_copy(update={"build": recipe.build.model_copy(update={"limited_api": False})})
    spans, _ = find_spans(tied, select(tied, platforms=(LINUX,)))
    assert sorted(span.pythons for span in spans) == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert all(isinstance(span, Span) and " to " in span.torches for span in spans)
