"""Recipes: every problem named with its key path; the published schema is the code's."""

from dataclasses import replace

import pytest

from conftest import RECIPE
from wheelferry.catalog import load_recipe, shipped_folder, shipped_names, split_reference
from wheelferry.errors import InputError
from wheelferry.models.recipes.file import parse_recipe, schema
from wheelferry.models.targets import Target

APPS = '[apps]\npath = "apps"\n[[apps.programs]]\nname = "look"\nhelp = "see it"\nmodule = "look"\n'


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_recipes_are_valid_and_their_folders_are_there(name: str) -> None:
    located = load_recipe(name)
    assert located.recipe.name == name
    smoke = located.folder / located.recipe.smoke.path
    assert [m for m in located.recipe.smoke.modules if not (smoke / f"{m}.py").is_file()] == []


def test_published_schema_is_current() -> None:
    published = (shipped_folder() / "recipe.schema.json").read_text("utf-8")
    assert published == schema(), "run: wheelferry recipes --schema > recipes/recipe.schema.json"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "tiny"', 'name = "Tiny!"', "tiny.toml: name: "),
        ('torch = ">=2.0"', 'torch = "2.0 or so"', 'tiny.toml: releases."1.0".torch: '),
        ('requires = "leaf"', 'requires = "leaf >"', "tiny.toml: requirements[0].requires: "),
        ('python = ">=3.10,<3.15"', 'pythons = "3"', "tiny.toml: torch[0].pythons: "),
        ('path = "tiny/smoke"', 'path = "../smoke"', "tiny.toml: smoke.path: "),
        ('path = "tiny/smoke"', 'path = "/smoke"', "tiny.toml: smoke.path: "),
        (
            'modules = ["check_tiny"]',
            'modules = ["check_tiny"]\nconnections = [{ module = "leaf" }]',
            "tiny.toml: smoke.connections[0].reason: ",
        ),
        (
            'modules = ["check_tiny"]',
            'modules = ["check_tiny"]\nconnections = [{ reason = "it is harmless" }]',
            "tiny.toml: smoke.connections[0]: Value error, needs a module or an address",
        ),
        ('kind = "folder", path', 'kind = "folder", folder', "tiny.toml: source.path: "),
        ('kind = "folder", path = "tiny/project"', 'kind = "ftp"', "tiny.toml: source: "),
        ("format = 1", "format = 2", "tiny.toml: format: "),
        ("[smoke]", '[apps]\npath = "a"\n[smoke]', "tiny.toml: apps.programs: "),
        ("[smoke]", f"{APPS}requires = ['flask >']\n[smoke]", "tiny.toml: apps.programs[0].requires[0]: "),
        ("[smoke]", f"{APPS}uses = ['../x']\n[smoke]", "tiny.toml: apps.programs[0].uses[0]: "),
        ("[smoke]", APPS.replace("look", "all", 1) + "[smoke]", "apps.programs[0].name: 'all' is what --app"),
        (
            "[smoke]",
            APPS.replace("look", "data", 1) + "[smoke]",
            "apps.programs[0].name: 'data' is a command",
        ),
        (
            "[smoke]",
            APPS + APPS[APPS.index("[[") :] + "[smoke]",
            "apps.programs[1].name: 'look' is there twice",
        ),
        ("format = 1", "format = ", "tiny.toml: not TOML: "),
        ('tree = "00', 'commit = "00', 'tiny.toml: releases."1.0".commit: '),
        (
            'requires = "leaf"',
            'requires = "leaf", releases = ["9"]',
            "requirements[0].releases: no release '9'",
        ),
    ],
)
def test_a_malformed_recipe_is_refused_with_the_key_path(old: str, new: str, said: str) -> None:
    assert old in RECIPE
    with pytest.raises(InputError) as caught:
        parse_recipe(RECIPE.replace(old, new), file="tiny.toml")
    assert said in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    broken = RECIPE.replace('name = "tiny"', 'name = "!"').replace('version = "1.0"', 'version = "one"')
    with pytest.raises(InputError) as caught:
        parse_recipe(broken, file="tiny.toml")
    assert len(str(caught.value).splitlines()) == 2


def test_a_git_source_must_pin_each_release() -> None:
    text = RECIPE.replace(
        '{ kind = "folder", path = "tiny/project" }', '{ kind = "git", url = "https://git.example/x" }'
    )
    with pytest.raises(InputError, match="needs commit and either tag or branch"):
        parse_recipe(text, file="tiny.toml")


def test_conditions() -> None:
    text = RECIPE.replace('requires = "leaf"', 'requires = "leaf", torch = "<2.3", python = ">=3.9"')
    (entry,) = parse_recipe(text, file="tiny.toml").requirements
    fits = Target(python="3.10", platform="manylinux_2_28_x86_64", torch="2.0.1", backend="cpu")
    assert entry.applies("1.0", fits)
    assert not entry.applies("1.0", replace(fits, torch="2.3.0"))
    assert not entry.applies("1.0", replace(fits, python="3.8"))


@pytest.mark.parametrize(
    ("platform", "on_windows", "on_linux"), [("windows", True, False), ("linux", False, True)]
)
def test_a_condition_on_the_platform(platform: str, on_windows: bool, on_linux: bool) -> None:
    text = RECIPE.replace('requires = "leaf"', f'requires = "leaf", platform = "{platform}"')
    (entry,) = parse_recipe(text, file="tiny.toml").requirements
    target = Target(python="3.10", platform="win_amd64", torch="2.0.1", backend="cpu")
    assert entry.applies("1.0", target) is on_windows
    assert entry.applies("1.0", replace(target, platform="manylinux_2_28_x86_64")) is on_linux


def test_references() -> None:
    assert split_reference("./my@home.toml@1.0") == ("./my@home.toml", "1.0")
    for text in ("detectron2", "@v1", "detectron2@"):
        with pytest.raises(InputError, match="names no release"):
            split_reference(text)
    with pytest.raises(InputError, match="no recipe called 'nonesuch'"):
        load_recipe("nonesuch")
    with pytest.raises(InputError, match="cannot read recipe"):
        load_recipe("./nowhere.toml")
