"""Plans: what is decided before anything is touched."""

import pytest

from conftest import RECIPE, TARGET
from wheelferry.errors import InputError
from wheelferry.plan import build_key, default_torch, find_release, make_plan, plan_digest
from wheelferry.recipe import parse_recipe
from wheelferry.targets import Target

TINY = parse_recipe(RECIPE, file="tiny.toml")


def test_a_cell_knows_its_wheel_and_pins_torch() -> None:
    (cell,) = make_plan(TINY, "1.0", [TARGET], extra_requirements=["scipy"]).cells
    assert cell.wheel_version == "1.0+pt2.13.0cpu"
    assert cell.requirements == ("torch==2.13.0", "leaf", "scipy")
    assert cell.constraints == ("torch==2.13.0",)


def test_a_branch_is_told_apart_from_the_tag_of_the_same_version() -> None:
    text = RECIPE.replace('{ kind = "folder", path = "tiny/project" }', '{ kind = "git", url = "x" }')
    commit = 'branch = "main"\ncommit = "0123456789abcdef0123456789abcdef01234567"'
    recipe = parse_recipe(text.replace(f'tree = "{"0" * 64}"', commit), file="t")
    (cell,) = make_plan(recipe, "1.0", [TARGET]).cells
    assert cell.wheel_version == "1.0+git01234567.pt2.13.0cpu"


def test_a_pair_pins_torchvision() -> None:
    paired = parse_recipe(
        RECIPE.replace('version = "2.13.0"', 'version = "2.13.0"\ntorchvision = "0.28.0"'), file="t"
    )
    (cell,) = make_plan(paired, "1.0", [TARGET]).cells
    assert "torchvision==0.28.0" in cell.constraints


@pytest.mark.parametrize(
    ("python", "torch", "said", "hint"),
    [
        ("3.8", "2.13.0", r"does not support Python 3.8 \(it supports >=3.9\)", "none is known"),
        ("3.11", "1.9.0", r"does not support torch 1.9.0 \(it supports >=2.0\)", "2.13.0"),
        ("3.9", "2.13.0", "torch 2.13.0 has no wheels for Python 3.9", "none is known"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(python: str, torch: str, said: str, hint: str) -> None:
    target = Target(python=python, platform=TARGET.platform, torch=torch, backend="cpu")
    with pytest.raises(InputError, match=said) as caught:
        make_plan(TINY, "1.0", [target])
    assert hint in (caught.value.hint or "")


def test_unknown_release_names_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"no release '2\.0'") as caught:
        find_release(TINY, "2.0")
    assert caught.value.hint == "it has 1.0"


def test_default_torch_is_the_newest_that_fits() -> None:
    text = RECIPE + '\n[[torch]]\nversion = "2.9.1"\npython = ">=3.9"\n'
    recipe = parse_recipe(text.replace("[smoke]", "[smoke]"), file="t")
    assert default_torch(recipe, "1.0", python="3.11", platform=TARGET.platform) == "2.13.0"
    assert default_torch(recipe, "1.0", python="3.9", platform=TARGET.platform) == "2.9.1"
    with pytest.raises(InputError, match=r"Python 3\.6"):
        default_torch(TINY, "1.0", python="3.6", platform=TARGET.platform)


def test_the_plan_digest_changes_with_what_the_recipe_says_for_the_target() -> None:
    elsewhere = '\n[[constraints]]\nrequires = "numpy<2"\ntorch = "<2.3"\n'
    here = elsewhere.replace("<2.3", ">=2.3")
    digest = plan_digest(TINY, "1.0", TARGET)
    assert digest == plan_digest(parse_recipe(RECIPE + elsewhere, file="t"), "1.0", TARGET)
    assert digest != plan_digest(parse_recipe(RECIPE + here, file="t"), "1.0", TARGET)
    moved = RECIPE.replace("0" * 64, "1" * 64)
    assert digest != plan_digest(parse_recipe(moved, file="t"), "1.0", TARGET)


def test_the_build_key_changes_with_every_input() -> None:
    plan = make_plan(TINY, "1.0", [TARGET])
    other = make_plan(
        TINY, "1.0", [Target(python="3.12", platform=TARGET.platform, torch="2.13.0", backend="cpu")]
    )
    keys = {
        build_key(plan, plan.cells[0], source_id="a", inputs={"x": "1"}, toolchain="gcc 12"),
        build_key(plan, plan.cells[0], source_id="b", inputs={"x": "1"}, toolchain="gcc 12"),
        build_key(plan, plan.cells[0], source_id="a", inputs={"x": "2"}, toolchain="gcc 12"),
        build_key(plan, plan.cells[0], source_id="a", inputs={"x": "1"}, toolchain="gcc 13"),
        build_key(other, other.cells[0], source_id="a", inputs={"x": "1"}, toolchain="gcc 12"),
    }
    assert len(keys) == 5
    again = build_key(plan, plan.cells[0], source_id="a", inputs={"x": "1"}, toolchain="gcc 12")
    assert again in keys
