"""Coverage: what a recipe can serve, and what counts as having been seen."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TARGET
from seen_cells import ALL, RECIPES, TEXT, seen, target
from wheelferry.catalog import LocatedRecipe, load_records, records_file
from wheelferry.errors import InputError, IntegrityError
from wheelferry.matrix.coverage import (
    ARM,
    LINUX,
    PYTHONS,
    Selection,
    Status,
    add_records,
    advice,
    cells,
    choose_torch,
    judge,
    nearest,
    require_possible,
)
from wheelferry.matrix.grid import make_grid
from wheelferry.matrix.record import record, record_each
from wheelferry.models.manifest import NAME, parse_manifest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.records import Record, parse_records, records_text
from wheelferry.models.report import FORMAT, OWN_MACHINE
from wheelferry.models.targets import Target
from wheelferry.system.files import sha256_file


def status(*records: Record, where: Target = TARGET, release: str = "1.0") -> tuple[Status, str]:
    verdict = judge(RECIPES, release, where, {r.cell: r for r in records})
    return verdict.status, verdict.reason


def test_only_a_report_in_which_everything_passed_verifies_a_cell() -> None:
    assert status() == (Status.UNTRIED, "")
    assert status(seen()) == (Status.VERIFIED, "")
    assert status(seen(levels=ALL[:1])) == (Status.BUILDS, "")
    failed = seen(levels=ALL[:3], failed="train")
    assert status(failed) == (Status.FAILS, "the train level failed on 2026-11-21")
    assert status(seen(), where=target("3.12")) == (Status.UNTRIED, "")


def test_a_record_counts_only_while_the_recipe_says_the_same_for_its_cell() -> None:
    known = {TARGET: seen()}
    changed = parse_recipe(TEXT + '\n[[constraints]]\nrequires = "leaf<2"\npython = "==3.11"\n', file="t")
    verdict = judge(changed, "1.0", TARGET, {r.cell: r for r in known.values()})
    assert verdict.status is Status.UNTRIED
    assert verdict.reason == "the recipe changed since it was verified on 2026-11-21"
    other = replace(TARGET, python="3.12")
    elsewhere = {("1.0", other): seen(other)}
    assert judge(changed, "1.0", other, elsewhere).status is Status.VERIFIED


def test_a_backend_that_a_project_has_no_ops_for_is_unsupported() -> None:
    line = next(line for line in TEXT.splitlines() if line.startswith("build = "))
    for_gpus = parse_recipe(TEXT.replace(line, 'build = { cuda_extensions = ["tiny._C"] }'), file="t")
    verdicts = [
        judge(for_gpus, "1.0", target(backend=backend), {}) for backend in ("default", "cpu", "cu130")
    ]
    assert [verdict.status for verdict in verdicts] == [
        Status.UNSUPPORTED,
        Status.UNSUPPORTED,
        Status.UNTRIED,
    ]
    assert verdicts[0].reason == "tiny has compiled ops for CUDA alone, and backend default has none of them"
    near = nearest(for_gpus, "1.0", target(), ())
    assert near is not None
    assert near.target.backend == "cu130"


def test_what_cannot_be_says_why_even_where_a_record_exists() -> None:
    found, reason = status(seen(target("3.12")), where=target("3.15"))
    assert found is Status.UNSUPPORTED
    assert "torch 2.13.0 has no wheels for Python 3.15" in reason
    windows = target("3.10", backend="default", platform="win_amd64")
    assert "no Windows wheels for Python 3.10" in status(where=windows)[1]


def test_the_matrix_is_whole() -> None:
    found = cells(RECIPES, (), Selection())
    backends = {"2.5.1": 3, "2.9.1": 4, "2.13.0": 3}
    assert len(found) == 2 * len(PYTHONS) * 2 * sum(backends.values())
    assert len({(v.release, v.target) for v in found}) == len(found)
    assert [v.target.backend for v in found if (v.release, v.target.torch) == ("1.0", "2.9.1")][:4] == [
        "default",
        "cpu",
        "cu128",
        "cu130",
    ]
    picky = [v for v in found if v.release == "2.0" and v.status is not Status.UNSUPPORTED]
    assert {v.target.torch for v in picky} == {"2.13.0"}
    assert {v.target.python for v in picky} == {"3.12", "3.13", "3.14"}


def test_a_selection_is_taken_at_its_word_and_shows_what_only_a_record_knows() -> None:
    chosen = Selection(releases=("1.0",), pythons=("3.12",), torches=("2.13.0",), backends=("cu121",))
    assert {v.reason for v in cells(RECIPES, (), chosen) if v.target.platform == LINUX} == {
        "torch 2.13.0 has no cu121 build (it has cu130)"
    }
    rare = target("3.12", "2.14.7")
    found = cells(RECIPES, [seen(rare)], Selection(releases=("1.0",), pythons=("3.12",)))
    assert [v.status for v in found if v.target == rare] == [Status.VERIFIED]
    assert rare not in {v.target for v in cells(RECIPES, [seen(rare)], Selection(pythons=("3.11",)))}


@pytest.mark.parametrize(
    ("wanted", "records", "answer"),
    [
        # nothing recorded: the smallest step, in Python before torch
        (target("3.14", "2.9.1"), [], ("1.0", "3.14", "2.13.0")),
        (target("3.9", "2.9.1"), [], ("1.0", "3.9", "2.5.1")),
        (target("3.15", "2.13.0"), [], ("1.0", "3.14", "2.13.0")),
        # what was verified does not draw from afar
        (target("3.14", "2.9.1"), [seen(target("3.12", "2.5.1"))], ("1.0", "3.14", "2.13.0")),
        # but not for another platform, nor for another kind of backend
        (target("3.9", "2.13.0", platform="win_amd64"), [seen(target("3.12"))], ("1.0", "3.9", "2.5.1")),
        (target("3.15", backend="cu130"), [seen(target("3.12"))], ("1.0", "3.14", "2.13.0")),
    ],
)
def test_nearest(wanted: Target, records: list[Record], answer: tuple[str, str, str]) -> None:
    found = nearest(RECIPES, "1.0", wanted, records)
    assert found is not None
    assert (found.release, found.target.python, found.target.torch) == answer
    assert found.target.platform == wanted.platform
    assert found.target.backend == wanted.backend


def test_another_release_is_near_only_when_this_one_serves_nothing_there() -> None:
    nothing = parse_recipe(TEXT.replace('torch = ">=2.0"', 'torch = "<2.0"'), file="t")
    found = nearest(nothing, "1.0", target("3.12", platform="win_amd64"), ())
    assert found is not None
    assert (found.release, found.target.platform) == ("2.0", "win_amd64")
    assert advice(nothing, "1.0", target("3.12", platform="win_amd64"), ()) == (
        "nearest: tiny@2.0 --python 3.12 --torch 2.13.0 --backend cpu --platform win_amd64 (not tried)"
    )


def test_a_refusal_gives_the_reason_and_the_nearest_cell() -> None:
    require_possible(RECIPES, "1.0", TARGET, ())
    with pytest.raises(InputError, match=r"torch 2\.5\.1 has no wheels for Python 3\.14") as caught:
        require_possible(RECIPES, "1.0", target("3.14", "2.5.1"), [seen(target("3.14"))])
    assert caught.value.hint == (
        "nearest: --python 3.14 --torch 2.13.0 --backend cpu (verified 2026-11-21); "
        "for Python 3.14 and cpu there is torch 2.13.0"
    )


def test_a_refusal_names_what_was_verified_further_off_too() -> None:
    told = advice(RECIPES, "1.0", target("3.14", "2.9.1"), [seen(target("3.12", "2.5.1"))])
    assert told == (
        "nearest: --python 3.14 --torch 2.13.0 --backend cpu (not tried); "
        "nearest of those verified: --python 3.12 --torch 2.5.1 --backend cpu"
    )


def test_without_any_torch_the_nearest_cell_is_named_too() -> None:
    def chosen(python: str, backend: str) -> str:
        return choose_torch(
            RECIPES, "1.0", python=python, platform=LINUX, backend=backend, records=lambda: ()
        )

    assert chosen("3.12", "cu128") == "2.9.1"
    with pytest.raises(InputError, match=r"no torch that it supports has wheels for Python 3\.15") as caught:
        chosen("3.15", "default")
    assert caught.value.hint == (
        "nearest: --python 3.14 --torch 2.13.0 (not tried); "
        "for manylinux_2_28_x86_64 there is one with Python 3.9, 3.10, 3.11, 3.12, 3.13, 3.14"
    )


def test_of_two_records_the_one_that_says_more_about_todays_recipe_stays() -> None:
    full, short = seen(), seen(levels=ALL[:1], date="2026-11-22T12:00:00+00:00")
    assert add_records(RECIPES, [full], [short]) == (full,)
    assert add_records(RECIPES, [short], [full]) == (full,)
    broken = seen(levels=ALL[:2], failed="smoke", date="2026-11-23T12:00:00+00:00")
    assert add_records(RECIPES, [full], [broken]) == (broken,)
    stale = seen(plan="c" * 64, date="2026-11-24T12:00:00+00:00")
    assert add_records(RECIPES, [full], [stale]) == (full,)
    assert add_records(RECIPES, [stale], [full]) == (full,)
    other = seen(target("3.12"))
    assert add_records(RECIPES, [other], [full]) == add_records(RECIPES, [full], [other]) == (full, other)


def test_records_survive_being_written_in_any_order() -> None:
    records = [seen(target("3.12", "2.5.1")), seen(target("3.9", "2.5.1")), seen(target("3.10"))]
    text = records_text("tiny", records)
    assert text == records_text("tiny", reversed(records))
    again = parse_records(text, file="records.json", recipe="tiny")
    assert [r.target.python for r in again] == ["3.9", "3.12", "3.10"]
    assert set(again) == set(records)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"python": "3.11"', '"python": "3"', "records.0.target: Value error, unknown Python '3'"),
        ('"isolated": true', '"isolated": "perhaps"', "records.0.isolated"),
        ('"format": 1', '"format": 2', "format 2"),
        ('"recipe": "tiny"', '"recipe": "huge"', "holds records of huge"),
        ('"date"', '"day"', "records.0.date: Field required"),
    ],
)
def test_a_malformed_file_of_records_is_refused_with_its_key(old: str, new: str, said: str) -> None:
    text = records_text("tiny", [seen()])
    assert old in text
    with pytest.raises(InputError) as caught:
        parse_records(text.replace(old, new), file="records.json", recipe="tiny")
    assert said in str(caught.value)


def test_a_grid_has_a_mark_for_each_backend_and_platform() -> None:
    verdicts = cells(RECIPES, [seen(target("3.12"))], Selection(releases=("1.0",)))
    grid = make_grid(verdicts)
    assert grid.pythons == PYTHONS
    assert [row.torch for row in grid.rows] == ["2.5.1", "2.9.1", "2.13.0"]
    last = grid.rows[-1]
    assert last.backends == ("default", "cpu", "cu130")
    squares = dict(zip(grid.pythons, last.squares, strict=True))
    assert squares["3.12"].text == "·✓·/·"
    assert squares["3.11"].text == "·"
    assert squares["3.10"].text == "·/—··"
    (reason,) = squares["3.10"].reasons
    assert reason == "this torch has no Windows wheels for this Python"
    assert make_grid(cells(RECIPES, (), Selection(releases=("2.0",)))).left_out == 2


def test_a_platform_of_a_few_records_is_shown_where_it_has_cells() -> None:
    arm = seen(replace(target("3.12"), platform=ARM))
    grid = make_grid(cells(RECIPES, [seen(target("3.12")), arm], Selection(releases=("1.0",))))
    assert grid.platforms == (LINUX, "win_amd64", ARM)
    squares = dict(zip(grid.pythons, grid.rows[-1].squares, strict=True))
    assert squares["3.12"].text == "·✓·/·/✓"
    assert squares["3.11"].text == "·"


# Recording: a bundle's manifest and report become records.


def write_report(
    bundle: Path, *, passed: int = 4, problems: bool = False, own_data: bool = False, **values: object
) -> None:
    """A report as verify leaves it, of which the first `passed` levels passed."""
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    levels = [
        {
            "level": level,
            "passed": number < passed,
            "problems": [{"code": "CHECK", "message": "it is off"}] if problems and number == passed else [],
            "checks": [{"name": "gpu", "status": "skipped"}] if level == "smoke" else [],
            "facts": {"installed": {"torch": "2.13.0+cpu"}} if level == "install" else {},
        }
        for number, level in enumerate(ALL)
    ]
    if own_data:
        levels[-1]["facts"] = {"own_data": {}}
    document = {
        "format": FORMAT,
        "digest": manifest.digest,
        "date": "2026-11-21T12:00:00+00:00",
        "host": {"machine": "x86_64", "glibc": "2.36", "platform": "Linux-secret-host"},
        "command": "wheelferry bundle tiny@1.0",
        "static": {"passed": True},
        "targets": [
            {"target": entry.target.name, "levels": levels[1:], "isolation": {"isolated": True}}
            for entry in manifest.targets
        ],
        **values,
    }
    folder = bundle / "report"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(document), "utf-8")
    (folder / "files.json").write_text(
        json.dumps({"report.json": sha256_file(folder / "report.json")}), "utf-8"
    )


def test_what_fails_on_the_users_data_says_nothing_of_a_cell(bundle: Path, located: LocatedRecipe) -> None:
    write_report(bundle, passed=3, problems=True, own_data=True)
    with pytest.raises(InputError, match="data of the user's") as caught:
        record([bundle], located)
    assert caught.value.hint == "verify the bundle again, without --data"


def test_a_report_becomes_a_record_without_the_wheelhouse(bundle: Path, located: LocatedRecipe) -> None:
    write_report(bundle)
    (wheel,) = (bundle / "wheelhouse").glob("tiny-*.whl")
    expected = (wheel.name, sha256_file(wheel))
    for file in (bundle / "wheelhouse").iterdir():
        file.unlink()
    path, new = record([bundle], located)
    assert path == records_file(located) == located.folder / "tiny" / "records.json"
    assert new == load_records(located)
    (one,) = new
    assert one.verified
    assert one.wheel is not None
    assert (one.wheel.file, one.wheel.sha256) == expected
    assert one.command == "wheelferry bundle tiny@1.0"
    assert one.skipped == ("gpu",)
    assert one.torch == "2.13.0+cpu"
    assert one.machine == "x86_64, glibc 2.36"
    assert "secret" not in path.read_text("utf-8")
    verdict = judge(located.recipe, "1.0", TARGET, {one.cell: one})
    assert verdict.status is Status.VERIFIED
    before = path.read_bytes()
    record([bundle], located)
    assert path.read_bytes() == before


def test_a_bundle_without_ops_says_nothing_about_a_cell(bundle: Path, located: LocatedRecipe) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    (entry,) = manifest.targets
    without = replace(manifest, targets=(replace(entry, extensions=()),))
    (bundle / NAME).write_text(without.to_text(), "utf-8", newline="\n")
    assert parse_manifest((bundle / NAME).read_text("utf-8")) == without
    write_report(bundle)
    with pytest.raises(InputError, match="without the compiled ops"):
        record([bundle], located)


def test_a_bundle_that_lacks_a_package_says_nothing_about_a_cell(
    bundle: Path, located: LocatedRecipe
) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    (entry,) = manifest.targets
    without = replace(manifest, targets=(replace(entry, excluded=("twig",)),))
    (bundle / NAME).write_text(without.to_text(), "utf-8", newline="\n")
    assert parse_manifest((bundle / NAME).read_text("utf-8")) == without
    write_report(bundle)
    with pytest.raises(InputError, match="twig was left out"):
        record([bundle], located)


def test_a_record_says_who_played_the_target(bundle: Path, located: LocatedRecipe) -> None:
    (entry,) = parse_manifest((bundle / NAME).read_text("utf-8")).targets
    result = {"target": entry.target.name, "levels": [], "isolation": {}}
    for runner, machine in (
        ("Wine 8.0", "Wine 8.0, x86_64, glibc 2.36"),
        (OWN_MACHINE, "x86_64, glibc 2.36"),
    ):
        write_report(bundle, targets=[{**result, "runner": runner}])
        (one,) = record([bundle], located)[1]
        assert one.machine == machine


def test_a_report_of_fewer_levels_and_a_failed_one_only_build(bundle: Path, located: LocatedRecipe) -> None:
    write_report(bundle, targets=[])
    (one,) = record([bundle], located)[1]
    assert (one.levels, one.failed, one.verified) == (("static",), None, False)
    write_report(bundle, passed=2, problems=True)
    (one,) = record([bundle], located)[1]
    assert (one.levels, one.failed, one.verified) == (("static", "install"), "smoke", False)


def _alter_report(bundle: Path) -> None:
    path = bundle / "report" / "report.json"
    path.write_text(path.read_text("utf-8").replace('"passed": false', '"passed": true'), "utf-8")


def _other_digest(bundle: Path) -> None:
    write_report(bundle, digest="f" * 64)


def _alter_manifest(bundle: Path) -> None:
    text = (bundle / NAME).read_text("utf-8")
    (bundle / NAME).write_text(text.replace('"release": "1.0"', '"release": "2.0"'), "utf-8")


def _unlisted(bundle: Path) -> None:
    (bundle / "report" / "files.json").write_text("{}", "utf-8")


def _unsound(bundle: Path) -> None:
    write_report(bundle, static={"passed": False})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_alter_report, "its report was altered"),
        (_unlisted, "report.json is not listed"),
        (_other_digest, "its report is about another bundle"),
        (_alter_manifest, "the manifest was altered"),
        (_unsound, "says that the bundle is not sound"),
    ],
)
def test_altered_evidence_is_refused_and_nothing_is_written(
    bundle: Path, located: LocatedRecipe, damage: object, said: str
) -> None:
    write_report(bundle, passed=2)
    damage(bundle)  # type: ignore[operator]
    with pytest.raises(IntegrityError, match=said):
        record([bundle], located)
    assert not records_file(located).exists()


def test_evidence_that_says_too_little_is_refused_with_a_way_out(
    bundle: Path, located: LocatedRecipe
) -> None:
    with pytest.raises(InputError, match="has no report"):
        record([bundle], located)
    write_report(bundle, command=None)
    with pytest.raises(InputError, match="which command made it") as caught:
        record([bundle], located)
    assert "--command" in (caught.value.hint or "")
    (one,) = record([bundle], located, command="wheelferry bundle tiny@1.0 --source /home/me/tiny\n")[1]
    assert one.command == "wheelferry bundle tiny@1.0 --source …/tiny"
    with pytest.raises(InputError, match="No closing quotation"):
        record([bundle], located, command="wheelferry 'bundle")
    write_report(bundle, targets=[{"target": "cp311-other"}])
    with pytest.raises(InputError, match="makes no sense"):
        record([bundle], located)


def test_a_bundle_from_before_plan_digests_needs_a_persons_word(bundle: Path, located: LocatedRecipe) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    older = replace(manifest, targets=tuple(replace(entry, plan="") for entry in manifest.targets))
    (bundle / NAME).write_text(older.to_text(), "utf-8", newline="\n")
    write_report(bundle)
    with pytest.raises(InputError, match="does not say what the recipe said") as caught:
        record([bundle], located)
    assert "--trust-recipe" in (caught.value.hint or "")
    (one,) = record([bundle], located, trust_recipe=True)[1]
    assert judge(located.recipe, "1.0", TARGET, {one.cell: one}).status is Status.VERIFIED


def test_all_bundles_that_are_refused_are_named(bundle: Path, located: LocatedRecipe, tmp_path: Path) -> None:
    write_report(bundle)
    with pytest.raises(InputError) as caught:
        record([tmp_path / "one", bundle, tmp_path / "two"], located)
    assert [name for name in ("one", "two") if f"{tmp_path / name} is not a bundle" in str(caught.value)] == [
        "one",
        "two",
    ]
    assert not records_file(located).exists()


def test_bundles_find_the_records_of_their_own_recipe(bundle: Path, located: LocatedRecipe) -> None:
    write_report(bundle)
    asked = []

    def find(name: str) -> LocatedRecipe:
        asked.append(name)
        return located

    ((path, (one,)),) = record_each([bundle], find=find)
    assert (asked, path, one.verified) == (["tiny"], records_file(located), True)
    path.unlink()
    with pytest.raises(InputError, match="is not a bundle"):
        record_each([bundle, bundle / "nowhere"], find=find)
    assert not path.exists()


def test_a_bundle_of_another_recipe_is_refused(bundle: Path, located: LocatedRecipe) -> None:
    other = LocatedRecipe(recipe=located.recipe.model_copy(update={"name": "huge"}), folder=located.folder)
    write_report(bundle)
    with pytest.raises(InputError, match="is a bundle of tiny, not of huge"):
        record([bundle], other)
