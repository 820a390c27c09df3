"""Merging: the same bytes as one run with several targets would give, or an error that names what differs."""

import itertools
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE, TARGET, pack_bundle, write_wheel
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.manifest import parse_manifest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.system.files import sha256_file
from wheelferry.transfer.merge import merge
from wheelferry.verification.static.level import verify_static

OTHERS = tuple(replace(TARGET, python=python) for python in ("3.10", "3.12"))
TARGETS = (OTHERS[1], TARGET, OTHERS[0])  # as nobody would sort them


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def bundles(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> list[Path]:
    """A bundle for each of three Pythons."""
    return [
        pack_bundle(
            tmp_path / target.interpreter, tmp_path / f"made-{target.python}", tools, located, [target]
        )
        for target in TARGETS
    ]


def reseal(root: Path, **changes: object) -> None:
    """Make the manifest true again after a change on disk, as a bundle packed like that would have it."""
    manifest = parse_manifest((root / "bundle.json").read_text("utf-8"))
    files = [
        replace(manifest.files[0], path=name, size=len(data), sha256=sha256_file(root / name))
        for name, data in contents(root).items()
        if name != "bundle.json"
    ]
    sealed = replace(manifest, files=tuple(files), **changes)  # type: ignore[arg-type]
    (root / "bundle.json").write_text(sealed.to_text(), "utf-8", newline="\n")


def overwrite(path: Path, data: bytes) -> None:
    """Replace a file whose bytes are shared with the store."""
    path.unlink()
    path.write_bytes(data)


def test_the_result_is_what_one_run_with_all_targets_gives(
    bundles: list[Path], tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    whole = contents(pack_bundle(tmp_path / "whole", tmp_path / "made", tools, located, TARGETS))
    for number, order in enumerate(itertools.permutations(bundles)):
        out = tmp_path / f"merged-{number}"
        merged = merge(order, out, tools)
        assert contents(out) == whole
        assert merged.manifest is not None
        assert [entry.target.python for entry in merged.manifest.targets] == ["3.10", "3.11", "3.12"]
    opened, problems = verify_static(out, tools)
    assert problems == []
    assert opened is not None
    assert opened.manifest.to_text() == whole["bundle.json"].decode()


def test_merging_in_steps_gives_the_same(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    merge(bundles[:2], tmp_path / "two", tools)
    merge([tmp_path / "two", bundles[2]], tmp_path / "steps", tools)
    merge(bundles, tmp_path / "once", tools)
    assert contents(tmp_path / "steps") == contents(tmp_path / "once")


def test_wheels_are_shared_and_texts_are_not(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    merge(bundles, tmp_path / "out", tools)
    links = {
        p.relative_to(tmp_path / "out").as_posix(): p.stat().st_nlink for p in (tmp_path / "out").rglob("*.*")
    }
    assert all(count > 1 for name, count in links.items() if name.endswith(".whl"))
    assert {count for name, count in links.items() if name.endswith((".py", ".txt", ".toml", ".json"))} == {1}


def test_reports_stay_behind(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    (bundles[0] / "report").mkdir()
    (bundles[0] / "report" / "report.json").write_text("{}", "utf-8")
    merge(bundles, tmp_path / "out", tools)
    assert not (tmp_path / "out" / "report").exists()


def test_the_same_bundle_twice_is_one(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    again = pack_bundle(tmp_path / "again", tmp_path / "made-again", tools, located)
    merge([bundle, again], tmp_path / "out", tools)
    assert contents(tmp_path / "out") == contents(bundle)


def test_an_altered_file_is_named_with_its_bundle(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    overwrite(bundles[1] / "wheelhouse" / "twig-2.1-py3-none-any.whl", b"rotten")
    with pytest.raises(IntegrityError, match=r"cp311: wheelhouse/twig-2\.1-py3-none-any\.whl: has 6 bytes"):
        merge(bundles, tmp_path / "out", tools)
    assert not (tmp_path / "out").exists()


def test_a_file_too_many_is_named(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    (bundles[0] / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(IntegrityError, match=r"cp312: notes\.txt: is not in the manifest"):
        merge(bundles, tmp_path / "out", tools)


def test_an_altered_manifest_is_refused(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    path = bundles[2] / "bundle.json"
    path.write_text(path.read_text("utf-8").replace('"release": "1.0"', '"release": "1.1"'), "utf-8")
    with pytest.raises(IntegrityError, match=r"cp310.bundle\.json: its digest does not fit"):
        merge(bundles, tmp_path / "out", tools)


def test_a_target_whose_lock_is_not_there(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    (bundles[0] / "requirements.txt").unlink()
    reseal(bundles[0])
    with pytest.raises(IntegrityError, match=r"requirements\.txt is missing; target cp312"):
        merge(bundles, tmp_path / "out", tools)


def test_two_files_of_one_name_are_a_conflict(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    name = "wheelhouse/twig-2.1-py3-none-any.whl"
    first = sha256_file(bundles[0] / name)
    overwrite(bundles[1] / name, b"another build of the same version")
    second = sha256_file(bundles[1] / name)
    reseal(bundles[1])
    with pytest.raises(IntegrityError) as caught:
        merge(bundles, tmp_path / "out", tools)
    assert f"{name}: {first} in {bundles[0]}, {second} in {bundles[1]}" in str(caught.value)


def test_a_target_that_was_locked_twice(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    other = pack_bundle(tmp_path / "other", tmp_path / "made-other", tools, located)
    text = (other / "requirements.txt").read_text("utf-8")
    (other / "requirements.txt").write_text(text.replace("leaf==1.5", "leaf==1.6"), "utf-8")
    reseal(other)
    with pytest.raises(
        IntegrityError, match=r"requirements\.txt: [0-9a-f]{64} in .*, [0-9a-f]{64} in"
    ) as caught:
        merge([bundle, other], tmp_path / "out", tools)
    assert caught.value.hint is not None
    assert "locked twice" in caught.value.hint


def test_a_target_that_is_described_twice(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    other = pack_bundle(tmp_path / "other", tmp_path / "made-other", tools, located)
    manifest = parse_manifest((other / "bundle.json").read_text("utf-8"))
    reseal(other, targets=(replace(manifest.targets[0], extensions=("tiny._D",)),))
    with pytest.raises(IntegrityError, match=r"describe cp311-.* differently"):
        merge([bundle, other], tmp_path / "out", tools)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda smoke: (smoke / "check_tiny.py").write_text("other = 1\n", "utf-8"), "smoke/check_tiny.py: "),
        (
            lambda smoke: (smoke / "more.py").write_text("", "utf-8"),
            "smoke/more.py: in .*cp311, not in .*cp312",
        ),
        (lambda smoke: (smoke / "check_tiny.py").unlink(), "smoke/check_tiny.py: in .*cp312, not in .*cp311"),
    ],
)
def test_another_smoke_suite_is_a_conflict(
    damage: "object", said: str, bundles: list[Path], tmp_path: Path, tools: Tools
) -> None:
    damage(bundles[1] / "smoke")  # type: ignore[operator]
    reseal(bundles[1])
    with pytest.raises(IntegrityError, match=said) as caught:
        merge(bundles, tmp_path / "out", tools)
    assert caught.value.hint is not None
    assert "different versions" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipe", "small"),
        ("release", "1.1"),
        ("commit", "1" * 40),
        ("distribution", "small"),
        ("source", "x"),
    ],
)
def test_bundles_of_different_things(
    name: str, value: str, bundles: list[Path], tmp_path: Path, tools: Tools
) -> None:
    reseal(bundles[1], **{name: value})
    with pytest.raises(InputError, match=f"different things:\n{name}: .* in .*cp312, '{value}' in .*cp311"):
        merge(bundles, tmp_path / "out", tools)


def test_two_mirrors_of_the_same_wheels(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    name = "leaf-1.5-py3-none-any.whl"
    manifest = parse_manifest((bundles[0] / "bundle.json").read_text("utf-8"))
    reseal(bundles[0], origins={**manifest.origins, name: "https://a.example/leaf"})
    texts = []
    for order in (bundles, bundles[::-1]):
        merge(order, tmp_path / "out", tools)
        texts.append((tmp_path / "out" / "bundle.json").read_text("utf-8"))
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["origins"][name] == "https://a.example/leaf"


@pytest.mark.parametrize("out", ["cp311", "cp311/merged", "."])
def test_the_result_touches_no_input(out: str, bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    before = contents(tmp_path / "cp311")
    with pytest.raises(InputError, match="is, holds or lies in"):
        merge(bundles, tmp_path / out, tools)
    assert contents(tmp_path / "cp311") == before


def test_a_folder_with_something_else_is_left_alone(
    bundles: list[Path], tmp_path: Path, tools: Tools
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(InputError, match="holds something other than a bundle"):
        merge(bundles, tmp_path / "out", tools)


def test_one_alone_is_checked_and_passed_on(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    merge(bundles[:1], tmp_path / "out", tools)
    report = {name for name in contents(bundles[0]) if name.startswith("report/")}
    kept = {name: data for name, data in contents(bundles[0]).items() if name not in report}
    assert contents(tmp_path / "out") == kept


def test_an_earlier_result_is_replaced(bundles: list[Path], tmp_path: Path, tools: Tools) -> None:
    merge(bundles[:2], tmp_path / "out", tools)
    merge(bundles, tmp_path / "out", tools)
    merge(bundles, tmp_path / "fresh", tools)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.fixture
def wheelhouses(tmp_path: Path) -> list[Path]:
    """Two folders of wheels that share one."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        write_wheel(folder, "leaf", "1.5")
        write_wheel(folder, "tiny", f"1.{number}")
    return folders


def test_wheelhouses_make_a_wheelhouse(wheelhouses: list[Path], tmp_path: Path, tools: Tools) -> None:
    (wheelhouses[0] / "README.md").write_text("where builds land", "utf-8")
    merged = merge(wheelhouses, tmp_path / "out", tools)
    names = ["leaf-1.5-py3-none-any.whl", "tiny-1.0-py3-none-any.whl", "tiny-1.1-py3-none-any.whl"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert merged.manifest is None
    assert [(w.filename, w.sha256) for w in merged.wheels] == [
        (name, sha256_file(tmp_path / "out" / name)) for name in names
    ]
    merge(wheelhouses[::-1], tmp_path / "out", tools)  # an earlier result is replaced


def test_a_wheel_of_one_name_and_two_contents(wheelhouses: list[Path], tmp_path: Path, tools: Tools) -> None:
    write_wheel(wheelhouses[1], "leaf", "1.5", files={"leaf/more.py": b"1"})
    with pytest.raises(
        IntegrityError, match=r"leaf-1\.5-py3-none-any\.whl: [0-9a-f]{64} in .*one, [0-9a-f]{64} in"
    ):
        merge(wheelhouses, tmp_path / "out", tools)


def test_a_wheel_that_is_not_what_it_says(wheelhouses: list[Path], tmp_path: Path, tools: Tools) -> None:
    (wheelhouses[1] / "rotten-1.0-py3-none-any.whl").write_bytes(b"no zip")
    (wheelhouses[1] / "wheel.whl").write_bytes(b"")
    (wheelhouses[1] / "tiny-1.1-py3-none-any.whl").rename(wheelhouses[1] / "tiny-1.2-py3-none-any.whl")
    with pytest.raises(IntegrityError) as caught:
        merge(wheelhouses, tmp_path / "out", tools)
    said = str(caught.value)
    assert "rotten-1.0-py3-none-any.whl: not a readable wheel" in said
    assert "tiny-1.2-py3-none-any.whl: metadata says tiny 1.1" in said
    assert "wheel.whl: Invalid wheel filename" in said


def test_a_wheel_whose_contents_are_not_its_record(
    wheelhouses: list[Path], tmp_path: Path, tools: Tools
) -> None:
    path = wheelhouses[1] / "tiny-1.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tiny/more.py", b"1")
    with pytest.raises(IntegrityError, match=r"tiny-1\.1-py3-none-any\.whl: tiny/more\.py: not in RECORD"):
        merge(wheelhouses, tmp_path / "out", tools)


def test_wheels_that_would_be_lost(wheelhouses: list[Path], tmp_path: Path, tools: Tools) -> None:
    write_wheel(tmp_path / "out", "mine", "1.0")
    with pytest.raises(InputError, match=r"also holds mine-1\.0-py3-none-any\.whl, which would be lost"):
        merge(wheelhouses, tmp_path / "out", tools)


def test_bundles_and_wheelhouses_do_not_mix(
    bundle: Path, wheelhouses: list[Path], tmp_path: Path, tools: Tools
) -> None:
    with pytest.raises(InputError, match=r"bundle is a bundle, .*one a folder of wheels"):
        merge([wheelhouses[0], bundle], tmp_path / "out", tools)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="nothing is neither a bundle"):
        merge([bundle, tmp_path / "nothing"], tmp_path / "out", tools)


def test_a_recipe_that_moved_is_another_source(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    moved = parse_recipe(RECIPE.replace('path = "tiny/project"', 'path = "tiny/elsewhere"'), file="tiny.toml")
    other = pack_bundle(
        tmp_path / "other",
        tmp_path / "made-other",
        tools,
        replace(located, recipe=moved),
        [Target(python="3.12", platform=TARGET.platform, torch=TARGET.torch, backend=TARGET.backend)],
    )
    with pytest.raises(InputError, match="source: 'tiny/project' in"):
        merge([bundle, other], tmp_path / "out", tools)
