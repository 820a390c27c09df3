"""Plans: what is decided before anything is touched."""

from dataclasses import replace

import pytest

from conftest import RECIPE, TARGET
from wheelferry.errors import InputError
from wheelferry.models.cuda import Cuda
from wheelferry.models.planning.build_key import build_key
from wheelferry.models.planning.make_plan import make_plan, plan_digest
from wheelferry.models.planning.requirements import given_with
from wheelferry.models.planning.supported import default_torch, find_release
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import Target

TINY = parse_recipe(RECIPE, file="tiny.toml")


def test_a_cell_knows_its_wheel_and_pins_torch() -> None:
    (cell,) = make_plan(TINY, "1.0", [TARGET], required=[given_with("scipy")]).cells
    assert cell.wheel_version == "1.0+pt2.13.0cpu"
    assert cell.requirements == ("torch==2.13.0", "leaf", "scipy")
    assert cell.constraints == ("torch==2.13.0",)


def keys(text: str, pythons: tuple[str, ...], *, inputs: dict[str, str] | None = None) -> set[str]:
    """The build keys of targets that differ in their Python, on the stable ABI."""
    targets = [replace(TARGET, python=python) for python in pythons]
    plan = make_plan(parse_recipe(text, file="t"), "1.0", targets, on_stable_abi=targets)
    return {build_key(plan, cell, source_id="s", inputs=inputs or {}, toolchain="g++") for cell in plan.cells}


LIMITED = RECIPE.replace("build = { ", "build = { stable_abi = true, limited_api = true, ")
NEWER_ALONE = (
    '[[substitutions]]\nfile = "a.py"\nold = "a"\nnew = "b"\ncount = 1\npython = ">=3.12"\n'
    'reason = "as it is now"\n'
)


def test_on_the_limited_api_one_build_serves_every_python() -> None:
    pythons = ("3.11", "3.12")
    assert len(keys(LIMITED, pythons)) == 1
    assert keys(LIMITED, pythons, inputs={"wheel": "1"}) != keys(LIMITED, pythons)
    assert len(keys(RECIPE.replace("build = { ", "build = { stable_abi = true, "), pythons)) == 2
    assert len(keys(LIMITED + NEWER_ALONE, pythons)) == 2, "the sources are not the same"


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
        ("3.8", "2.13.0", r"does not support Python 3.8 \(it supports >=3.9\)", "no torch is known"),
        ("3.11", "1.9.0", r"does not support torch 1.9.0 \(it supports >=2.0\)", "2.13.0"),
        ("3.9", "2.13.0", "torch 2.13.0 has no wheels for Python 3.9", "no torch is known"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(python: str, torch: str, said: str, hint: str) -> None:
    target = Target(python=python, platform=TARGET.platform, torch=torch, backend="cpu")
    with pytest.raises(InputError, match=said) as caught:
        make_plan(TINY, "1.0", [target])
    assert hint in (caught.value.hint or "")


PROGRAMS = """
[apps]
path = "tiny/apps"
programs = [
    { name = "train", help = "train it", module = "train" },
    { name = "look", help = "look at it", module = "look", requires = ["flask>=2"] },
]
"""


@pytest.mark.parametrize(
    ("asked", "travelling", "required"),
    [
        ([], ["train"], ()),
        (["look"], ["train", "look"], ("flask>=2",)),
        (["all"], ["train", "look"], ("flask>=2",)),
    ],
)
def test_programs_that_require_something_travel_when_they_are_asked_for(
    asked: list[str], travelling: list[str], required: tuple[str, ...]
) -> None:
    plan = make_plan(parse_recipe(RECIPE + PROGRAMS, file="t"), "1.0", [TARGET], apps=asked)
    assert [program.name for program in plan.programs] == travelling
    assert plan.cells[0].requirements == ("torch==2.13.0", "leaf", *required)


@pytest.mark.parametrize(("more", "hint"), [("", "an [apps] table"), (PROGRAMS, "it has train, look")])
def test_an_unknown_program_is_refused_with_those_that_exist(more: str, hint: str) -> None:
    with pytest.raises(InputError, match="--app see") as caught:
        make_plan(parse_recipe(RECIPE + more, file="t"), "1.0", [TARGET], apps=["see"])
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


def test_default_torch_has_a_build_for_the_backend() -> None:
    text = RECIPE + '\n[[torch]]\nversion = "2.9.1"\npython = ">=3.9"\ncuda = "12.8"\n'
    recipe = parse_recipe(
        text.replace('python = ">=3.10,<3.15"', 'python = ">=3.10"\ncuda = "13.0"'), file="t"
    )

    def newest(backend: str) -> str:
        return default_torch(recipe, "1.0", python="3.12", platform=TARGET.platform, backend=backend)

    assert [newest("default"), newest("cpu"), newest("cu130"), newest("cu128")] == [
        "2.13.0",
        "2.13.0",
        "2.13.0",
        "2.9.1",
    ]
    with pytest.raises(InputError, match=r"has a cu999 build for Python 3\.12"):
        newest("cu999")


def test_the_plan_digest_changes_with_what_the_recipe_says_for_the_target() -> None:
    elsewhere = '\n[[constraints]]\nrequires = "numpy<2"\ntorch = "<2.3"\n'
    here = elsewhere.replace("<2.3", ">=2.3")
    digest = plan_digest(TINY, "1.0", TARGET)
    assert digest == plan_digest(parse_recipe(RECIPE + elsewhere, file="t"), "1.0", TARGET)
    assert digest != plan_digest(parse_recipe(RECIPE + here, file="t"), "1.0", TARGET)
    moved = RECIPE.replace("0" * 64, "1" * 64)
    assert digest != plan_digest(parse_recipe(moved, file="t"), "1.0", TARGET)


def test_a_cell_has_the_digest_of_the_recipe_whatever_the_user_adds() -> None:
    (cell,) = make_plan(TINY, "1.0", [TARGET], required=[given_with("scipy")], on_stable_abi={TARGET}).cells
    assert cell.plan_digest == plan_digest(TINY, "1.0", TARGET)


def test_a_torch_that_only_the_given_index_has_is_planned_with_its_digest() -> None:
    target = Target(python="3.9", platform=TARGET.platform, torch="2.13.0", backend="cpu")
    with pytest.raises(InputError, match=r"has no wheels for Python 3\.9"):
        plan_digest(TINY, "1.0", target)
    (cell,) = make_plan(TINY, "1.0", [target], torch_index="https://mirror/whl").cells
    assert len(cell.plan_digest) == 64


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


def with_torch(row: str) -> Recipe:
    return parse_recipe(RECIPE.replace('version = "2.13.0"\n', f'version = "2.13.0"\n{row}\n'), file="t")


@pytest.mark.parametrize(
    ("backend", "platform", "given", "index"),
    [
        ("default", "manylinux_2_28_x86_64", None, None),
        ("cpu", "manylinux_2_28_x86_64", None, "https://download.pytorch.org/whl/cpu"),
        ("cu130", "manylinux_2_28_x86_64", None, None),
        ("cu126", "manylinux_2_28_x86_64", None, "https://download.pytorch.org/whl/cu126"),
        ("cu130", "win_amd64", None, "https://download.pytorch.org/whl/cu130"),
        ("cpu", "manylinux_2_28_x86_64", "https://mirror/{backend}", "https://mirror/cpu"),
        ("default", "manylinux_2_28_x86_64", "/mnt/wheels", "/mnt/wheels"),
    ],
)
def test_where_torch_comes_from(backend: str, platform: str, given: str | None, index: str | None) -> None:
    recipe = with_torch('cuda = "13.0"\nother_cuda = ["12.6"]\nwindows = ">=3.10"')
    target = Target(python="3.11", platform=platform, torch="2.13.0", backend=backend)
    (cell,) = make_plan(recipe, "1.0", [target], torch_index=given).cells
    assert cell.torch_index == index


def test_a_cuda_target_knows_version_and_architectures() -> None:
    target = Target(python="3.11", platform=TARGET.platform, torch="2.13.0", backend="cu130")
    (cell,) = make_plan(TINY, "1.0", [target], cuda_architectures=["9.0;12.0"]).cells
    assert cell.cuda == Cuda(version="13.0", architectures=("9.0", "12.0"))
    assert cell.wheel_version == "1.0+pt2.13.0cu130"


def test_a_build_that_torch_does_not_have_is_refused() -> None:
    target = Target(python="3.11", platform=TARGET.platform, torch="2.13.0", backend="cu118")
    recipe = with_torch('cuda = "13.0"\nother_cuda = ["12.6"]')
    with pytest.raises(InputError, match=r"has no cu118 build \(it has cu130, cu126\)"):
        make_plan(recipe, "1.0", [target])


def test_a_torchvision_with_fewer_pythons_than_torch_is_refused_where_it_is_needed() -> None:
    narrow = 'torchvision = "0.28.0"\ntorchvision_python = "<3.11"'
    make_plan(with_torch(narrow), "1.0", [TARGET])
    text = RECIPE.replace('[{ requires = "leaf" }]', '[{ requires = "torchvision" }]')
    needy = parse_recipe(text.replace('version = "2.13.0"\n', f'version = "2.13.0"\n{narrow}\n'), file="t")
    with pytest.raises(InputError, match=r"torchvision 0\.28\.0, .* has no wheels for Python 3\.11"):
        make_plan(needy, "1.0", [TARGET])


def test_architectures_need_a_cuda_backend() -> None:
    with pytest.raises(InputError, match="no target has a CUDA backend"):
        make_plan(TINY, "1.0", [TARGET], cuda_architectures=["9.0"])


def test_one_index_does_not_serve_two_backends() -> None:
    both = [
        Target(python="3.11", platform=TARGET.platform, torch="2.13.0", backend=name)
        for name in ("cpu", "cu130")
    ]
    with pytest.raises(InputError, match="cannot serve cpu, cu130"):
        make_plan(TINY, "1.0", both, torch_index="https://mirror/whl")


@pytest.mark.parametrize(
    ("backend", "given", "possible"),
    [("default", None, False), ("cpu", None, True), ("default", "/mnt/w", True)],
)
def test_what_pypi_lacks_another_index_may_have(backend: str, given: str | None, possible: bool) -> None:
    """No Windows wheel in the table: PyPI's index has none, PyTorch's has, and the user's own may have."""
    target = Target(python="3.11", platform="win_amd64", torch="2.13.0", backend=backend)
    if possible:
        make_plan(TINY, "1.0", [target], torch_index=given)
        return
    with pytest.raises(InputError, match="has no wheels for Windows"):
        make_plan(TINY, "1.0", [target], torch_index=given)
