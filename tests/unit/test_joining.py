"""Several projects in one plan: what goes together, and what is refused before anything is fetched."""

from dataclasses import replace

import pytest

from conftest import RECIPE, TARGET
from wheelferry.errors import InputError
from wheelferry.models.planning.joining import asked_of, assets_of, join_plans, joined_cell
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.planning.supported import common_torch
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe

APPS = """
[apps]
path = "tiny/apps"
programs = [{ name = "train", help = "train it", module = "train" }]
"""
WEIGHTS = """
[asset_roots]
cache = "TINY_CACHE"

[asset_schemes."zoo://"]
url = "https://zoo.example/"
root = "cache"

[[assets]]
name = "weights"
url = "zoo://w.bin"
licence = "CC0-1.0"
"""


def recipe(name: str = "tiny", more: str = "", *, requires: str = "leaf") -> Recipe:
    text = RECIPE.replace('name = "tiny"', f'name = "{name}"').replace(
        'distribution = "tiny"', f'distribution = "{name}"'
    )
    return parse_recipe(text.replace('requires = "leaf"', f'requires = "{requires}"') + more, file="t.toml")


def plan(name: str = "tiny", more: str = "", *, requires: str = "leaf") -> Plan:
    return make_plan(recipe(name, more, requires=requires), "1.0", [TARGET])


def test_one_alone_stays_as_it_is() -> None:
    alone = plan()
    assert join_plans([alone]) is alone
    assert (alone.projects, alone.full_title) == ((alone,), "tiny@1.0")


def test_the_wheels_of_the_others_are_asked_of_no_index() -> None:
    joined = join_plans([plan(requires="other>=1"), plan("other")])
    assert joined.full_title == "tiny@1.0 + other@1.0"
    assert joined.requirements_of_others(joined.cells[0]) == ("torch==2.13.0",)
    (other,) = joined.others
    assert other.of_others(["tiny", "leaf<2", "Other"]) == ("leaf<2",)
    cell = joined_cell([one.cells[0] for one in joined.projects])
    assert cell.requirements == ("torch==2.13.0", "other>=1", "leaf")


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (plan(), plan(), "tiny@1.0 and tiny@1.0 are the same project"),
        (plan(requires="leaf<2"), plan("other", requires="leaf>=2"), "tiny@1.0 needs leaf<2 on cp311"),
        (
            plan(more=WEIGHTS),
            plan("other", WEIGHTS.replace("TINY_CACHE", "OTHER_CACHE")),
            "both have a folder 'cache'",
        ),
        (
            plan(more=WEIGHTS),
            plan("other", WEIGHTS.replace("zoo.example/", "far.example/")),
            "would both put a file at assets/cache/w.bin",
        ),
    ],
)
def test_what_cannot_go_together_is_refused_with_both_names(one: Plan, two: Plan, said: str) -> None:
    with pytest.raises(InputError) as caught:
        join_plans([one, two])
    assert said in str(caught.value)
    assert "make a bundle of each" in (caught.value.hint or "")


def test_an_asset_of_both_travels_once_and_programs_called_alike_are_told_apart() -> None:
    joined = join_plans([plan(more=APPS + WEIGHTS), plan("other", APPS + WEIGHTS)])
    assert [len(one.assets) for one in joined.projects] == [1, 0]
    names = [program.name for one in joined.projects for program in one.programs]
    assert names == ["tiny-train", "other-train"]
    apart = join_plans([plan(more=APPS), plan("other")])
    assert [program.name for program in apart.programs] == ["train"]


def test_requests_go_to_the_project_that_knows_them() -> None:
    recipes = [recipe(), recipe("other", APPS + WEIGHTS)]
    assert asked_of(recipes, ["train"]) == [(), ("train",)]
    assert asked_of(recipes, ["all", "see"]) == [("see",), ("all",)]
    requests = ["weights", "weights=w.bin", "zoo://x.bin", "mine.bin"]
    assert assets_of(recipes, requests) == [("mine.bin",), ("weights", "weights=w.bin", "zoo://x.bin")]


OLDER = '[[torch]]\nversion = "2.6.0"\npython = ">=3.9,<3.14"\n'


def test_the_newest_torch_of_all_is_taken() -> None:
    newer, old = recipe(more=OLDER), recipe("other", OLDER)
    bound = old.releases["1.0"].model_copy(update={"torch": "<2.7"})
    bound_old = old.model_copy(update={"releases": {"1.0": bound}})
    where = {"python": "3.11", "platform": TARGET.platform, "backend": TARGET.backend}
    assert common_torch([(newer, "1.0"), (old, "1.0")], "2.13.0", **where) == "2.13.0"
    assert common_torch([(newer, "1.0"), (bound_old, "1.0")], "2.13.0", **where) == "2.6.0"
    newest = newer.releases["1.0"].model_copy(update={"torch": ">=2.7"})
    bound_new = newer.model_copy(update={"releases": {"1.0": newest}})
    with pytest.raises(InputError, match="serves all of these projects") as caught:
        common_torch([(bound_new, "1.0"), (bound_old, "1.0")], "2.13.0", **where)
    assert "other@1.0: torch <2.7" in str(caught.value)


def test_a_project_without_compiled_modules_says_so() -> None:
    text = RECIPE.replace(
        'build = { extensions = ["tiny._C"], cuda_kernels = ["tiny_kernel"] }', "build = {}"
    )
    with pytest.raises(InputError, match="or python_only"):
        parse_recipe(text, file="t")
    pure = parse_recipe(text.replace("build = {}", "build = { python_only = true }"), file="t")
    cuda = replace(TARGET, backend="cu130")
    cells = make_plan(pure, "1.0", [TARGET, cuda], without_ops=True, torch_index="https://x/{backend}").cells
    assert [(cell.ops, cell.cuda, cell.wheel_version) for cell in cells] == [
        (False, None, "1.0+pt2.13.0cpu"),
        (False, None, "1.0+pt2.13.0cu130"),
    ]
    with pytest.raises(InputError, match="python_only: it says that there are no compiled modules"):
        parse_recipe(RECIPE.replace("build = { ", "build = { python_only = true, "), file="t")
