"""Weights and data: what travels, where it goes, where it comes from, and what may not be."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE, TARGET, pack_bundle
from wheelferry.bundle.assets import carry_assets
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, require_files
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.models.manifest import parse_manifest
from wheelferry.models.planning.assets import PlannedAsset, plan_assets
from wheelferry.models.planning.make_plan import make_plan, plan_digest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.transfer.merge import merge
from wheelferry.verification.static.level import verify_static

WEIGHTS = b"weights" * 1000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
R50 = "https://zoo.example/models/MSRA/R-50.pkl"
ASSETS = f"""
[asset_roots]
cache = "TINY_CACHE"
datasets = "TINY_DATASETS"

[asset_schemes]
"zoo://" = {{ url = "https://zoo.example/models/", root = "cache" }}

[[assets]]
name = "own"
url = "tiny/weights.npz"
root = "cache"
sha256 = "{SHA256}"
licence = "Apache-2.0"

[[assets]]
name = "R-50"
url = "zoo://MSRA/R-50.pkl"
licence = "CC-BY-SA-3.0"
optional = true

[[assets]]
name = "shapes"
url = "https://data.example/archive/shapes.zip"
root = "datasets"
path = "shapes/all.zip"
sha256 = "{SHA256}"
licence = "CC0-1.0"
optional = true
unpack = true
python = ">=3.12"
"""


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE + ASSETS, file="tiny.toml")


@pytest.fixture
def carrying(located: LocatedRecipe, recipe: Recipe) -> LocatedRecipe:
    """The tests' recipe, with weights beside it."""
    (located.folder / "tiny" / "weights.npz").write_bytes(WEIGHTS)
    return LocatedRecipe(recipe=recipe, folder=located.folder)


def planned(recipe: Recipe, *requests: str, python: str = "3.11") -> dict[str, PlannedAsset]:
    target = replace(TARGET, python=python)
    return {asset.path: asset for asset in plan_assets(recipe, "1.0", [target], requests)}


def test_what_travels_without_being_asked_for(recipe: Recipe) -> None:
    (asset,) = planned(recipe).values()
    assert asset == PlannedAsset(
        spec="own",
        path="assets/cache/weights.npz",
        url="tiny/weights.npz",
        sha256=SHA256,
        licence="Apache-2.0",
    )


@pytest.mark.parametrize(
    ("request_", "path", "url", "file"),
    [
        ("R-50", "assets/cache/models/MSRA/R-50.pkl", R50, None),
        ("zoo://MSRA/R-50.pkl", "assets/cache/models/MSRA/R-50.pkl", R50, None),
        (R50, "assets/cache/models/MSRA/R-50.pkl", R50, None),
        ("R-50=./mine.pkl", "assets/cache/models/MSRA/R-50.pkl", R50, "./mine.pkl"),
        ("zoo://MSRA/R-50.pkl=a=b", "assets/cache/models/MSRA/R-50.pkl", R50, "a=b"),
        ("zoo://new/x.pkl", "assets/cache/models/new/x.pkl", "https://zoo.example/models/new/x.pkl", None),
        ("https://far.example/a/b.bin", "assets/files/b.bin", "https://far.example/a/b.bin", None),
        (
            "https://far.example/b.bin?key=1",
            "assets/files/b.bin",
            "https://far.example/b.bin?key=1",
            None,
        ),
        ("some/where/x.pkl", "assets/files/x.pkl", None, "some/where/x.pkl"),
        ("odd=name.pkl", "assets/files/odd=name.pkl", None, "odd=name.pkl"),
    ],
)
def test_requests(recipe: Recipe, request_: str, path: str, url: str | None, file: str | None) -> None:
    asset = planned(recipe, request_)[path]
    assert (asset.url, asset.file) == (url, file)


def test_a_file_may_take_the_place_of_what_travels_anyway(recipe: Recipe) -> None:
    path = "assets/cache/weights.npz"
    assert planned(recipe, "own=here.npz")[path].file == "here.npz"
    # in whatever order, and said twice
    requests = ["zoo://MSRA/R-50.pkl=x", "R-50", R50]
    for order in (requests, requests[::-1]):
        assert planned(recipe, *order)["assets/cache/models/MSRA/R-50.pkl"].file == "x"


def test_conditions_choose_by_target(recipe: Recipe) -> None:
    (asset,) = (a for a in planned(recipe, "shapes", python="3.12").values() if a.spec == "shapes")
    assert (asset.path, asset.unpack) == ("assets/datasets/shapes/all.zip", True)
    with pytest.raises(InputError, match="--asset shapes: the recipe has it for other releases"):
        planned(recipe, "shapes")


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (["ftp://x/y"], "the recipe knows no addresses with ftp://"),
        (["R-50="], "names no file behind the ="),
        (["zoo://"], "cannot be the place of a file"),
        (["zoo://a/../../b"], "cannot be the place of a file"),
        (["zoo://a//b"], "cannot be the place of a file"),
        (["https://far.example/"], "ends in no name"),
        (["a:b"], "ends in no name"),
        (["a/x.pkl", "b/x.pkl"], "two assets would both be assets/files/x.pkl: a/x.pkl and b/x.pkl"),
    ],
)
def test_requests_that_cannot_be(recipe: Recipe, requests: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        planned(recipe, *requests)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cache = "TINY_CACHE"', 'cache = "TINY CACHE"', "asset_roots.cache: "),
        ('cache = "TINY_CACHE"', 'files = "TINY_CACHE"', "asset_roots.files: this name is kept"),
        ('"zoo://" =', '"zoo" =', "asset_schemes.zoo"),
        ('root = "cache" }', 'root = "hut" }', "asset_schemes.\"zoo://\".root: no asset root 'hut'"),
        ('name = "R-50"', 'name = "own"', "assets[1].name: 'own' is there twice"),
        ('url = "tiny/weights.npz"', 'url = "../x"', "assets[0].url: must be a relative path"),
        ('url = "tiny/weights.npz"', 'url = "no://x"', "assets[0].url: neither http(s) nor a prefix"),
        ('root = "cache"\nsha', "sha", "assets[0].root: missing"),
        (f'root = "cache"\nsha256 = "{SHA256}"', 'root = "cache"', "assets[0].sha256: a file beside"),
        ('licence = "CC0-1.0"', "", "assets[2].licence: "),
        ('path = "shapes/all.zip"', 'path = "/all.zip"', "assets[2].path: "),
        ('python = ">=3.12"', 'releases = ["9"]', "assets[2].releases: no release '9'"),
    ],
)
def test_a_malformed_recipe_is_refused_with_the_key_path(old: str, new: str, said: str) -> None:
    assert old in ASSETS
    with pytest.raises(InputError) as caught:
        parse_recipe(RECIPE + ASSETS.replace(old, new, 1), file="tiny.toml")
    assert said in str(caught.value)


def test_assets_change_neither_what_was_verified_nor_what_was_built(recipe: Recipe) -> None:
    bare = parse_recipe(RECIPE, file="tiny.toml")
    assert plan_digest(recipe, "1.0", TARGET) == plan_digest(bare, "1.0", TARGET)
    plans = [make_plan(r, "1.0", [TARGET]) for r in (recipe, bare)]
    assert plans[0].cells == plans[1].cells


def test_files_are_looked_for_before_any_work(carrying: LocatedRecipe) -> None:
    require_files(planned(carrying.recipe).values(), carrying)
    with pytest.raises(
        InputError, match="--asset typo is neither an asset of the recipe nor an address nor a file"
    ) as caught:
        require_files(planned(carrying.recipe, "typo").values(), carrying)
    assert "own, R-50, shapes" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"--asset R-50: .*gone\.pkl is not a file"):
        require_files(planned(carrying.recipe, "R-50=gone.pkl").values(), carrying)
    (carrying.folder / "tiny" / "weights.npz").unlink()
    with pytest.raises(MissingError, match=r"asset own: .*weights\.npz is not a file"):
        require_files(planned(carrying.recipe).values(), carrying)


def test_a_bundle_carries_them(carrying: LocatedRecipe, tmp_path: Path, tools: Tools) -> None:
    mine = tmp_path / "mine ü.pkl"
    mine.write_bytes(b"mine")
    requests = [f"R-50={mine}", str(mine)]
    root = pack_bundle(tmp_path / "out", tmp_path / "made", tools, carrying, assets=requests)
    manifest = parse_manifest((root / "bundle.json").read_text("utf-8"))
    assert {a.path: (a.licence, a.origin) for a in manifest.assets} == {
        "assets/cache/models/MSRA/R-50.pkl": (
            "CC-BY-SA-3.0",
            f"{R50} (no hash published, given as a file)",
        ),
        "assets/cache/weights.npz": ("Apache-2.0", "tiny/weights.npz"),
        "assets/files/mine ü.pkl": ("not stated", "mine ü.pkl, a file that the user gave"),
    }
    assert manifest.asset_variables == {"cache": "TINY_CACHE"}
    assert (root / "assets/cache/models/MSRA/R-50.pkl").read_bytes() == b"mine"
    opened, problems = verify_static(root, tools)
    assert opened is not None
    assert problems == []


def test_a_file_that_is_not_what_the_recipe_pins_is_refused(
    carrying: LocatedRecipe, tmp_path: Path, tools: Tools
) -> None:
    (carrying.folder / "tiny" / "weights.npz").write_bytes(b"changed")
    plan = make_plan(carrying.recipe, "1.0", [TARGET])
    with pytest.raises(IntegrityError, match=r"weights\.npz: SHA-256 is .*, but the recipe says"):
        carry_assets(plan, carrying, tools)


def test_a_download_without_a_published_hash_is_trusted_once(
    carrying: LocatedRecipe, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first download counts; afterwards no network is needed, and other bytes do not slip in."""
    served = tmp_path / "served.pkl"
    served.write_bytes(b"published")
    schemes = carrying.recipe.asset_schemes
    here = {"zoo://": schemes["zoo://"].model_copy(update={"url": tmp_path.as_uri() + "/"})}
    recipe = carrying.recipe.model_copy(update={"asset_schemes": here})
    plan = make_plan(recipe, "1.0", [TARGET], assets=["zoo://served.pkl"])
    first = carry_assets(plan, carrying, tools)
    served.write_bytes(b"other bytes")
    again = carry_assets(plan, carrying, tools)
    assert first == again
    assert {a.sha256 for a in first} == {SHA256, hashlib.sha256(b"published").hexdigest()}


def test_an_unreachable_host_says_how_to_do_without(
    carrying: LocatedRecipe, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wheelferry.cache.download.PAUSE_SECONDS", 0.0)
    local = {
        "zoo://": carrying.recipe.asset_schemes["zoo://"].model_copy(update={"url": "http://127.0.0.1:9/"})
    }
    recipe = carrying.recipe.model_copy(update={"asset_schemes": local})
    plan = make_plan(recipe, "1.0", [TARGET], assets=["R-50"])
    with pytest.raises(MissingError, match=r"http://127\.0\.0\.1:9/MSRA/R-50\.pkl: gave up") as caught:
        carry_assets(plan, carrying, tools)
    assert "--asset R-50=FILE" in str(caught.value.hint)


def test_merging_gives_what_one_run_gives(carrying: LocatedRecipe, tmp_path: Path, tools: Tools) -> None:
    mine = tmp_path / "x.bin"
    mine.write_bytes(b"mine")
    targets = [replace(TARGET, python=python) for python in ("3.10", "3.12")]
    roots = [
        pack_bundle(tmp_path / t.interpreter, tmp_path / f"made-{t.python}", tools, carrying, [t], assets=a)
        for t, a in zip(targets, ([], [str(mine)]), strict=True)
    ]
    whole = pack_bundle(tmp_path / "whole", tmp_path / "made", tools, carrying, targets, assets=[str(mine)])
    for order in (roots, roots[::-1]):
        merge(order, tmp_path / "merged", tools)
        assert (tmp_path / "merged/bundle.json").read_bytes() == (whole / "bundle.json").read_bytes()
    assert (tmp_path / "merged/assets/files/x.bin").read_bytes() == b"mine"


def test_assets_that_differ_cannot_be_merged(carrying: LocatedRecipe, tmp_path: Path, tools: Tools) -> None:
    targets = [replace(TARGET, python=python) for python in ("3.10", "3.12")]
    roots = []
    for number, target in enumerate(targets):
        mine = tmp_path / str(number) / "x.bin"
        mine.parent.mkdir()
        mine.write_bytes(b"%d" % number)
        made = tmp_path / f"made-{number}"
        roots.append(
            pack_bundle(tmp_path / f"b{number}", made, tools, carrying, [target], assets=[str(mine)])
        )
    with pytest.raises(IntegrityError, match=r"assets/files/x\.bin: ") as caught:
        merge(roots, tmp_path / "merged", tools)
    assert "--asset" in str(caught.value.hint)


def test_variables_that_differ_cannot_be_merged(
    carrying: LocatedRecipe, tmp_path: Path, tools: Tools
) -> None:
    other = carrying.recipe.model_copy(update={"asset_roots": {"cache": "OTHER", "datasets": "D"}})
    roots = [
        pack_bundle(
            tmp_path / f"b{python}",
            tmp_path / f"made-{python}",
            tools,
            LocatedRecipe(recipe=recipe, folder=carrying.folder),
            [replace(TARGET, python=python)],
        )
        for python, recipe in (("3.10", carrying.recipe), ("3.12", other))
    ]
    with pytest.raises(IntegrityError, match=r"variable of asset root cache: 'TINY_CACHE' in .*'OTHER' in"):
        merge(roots, tmp_path / "merged", tools)
