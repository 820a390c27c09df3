"""The documentation says what is true of the program: its commands, options, recipe and pages."""

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from wheelferry.catalog import load_recipe, shipped_names
from wheelferry.cli.app import app
from wheelferry.models.recipes.file import parse_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Their options are read on the client, by the standard library.
ON_CLIENTS = {"install", "apply", "join"}


@cache
def commands() -> Mapping[str, Any]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


@cache
def programs() -> set[str]:
    """What clients start in an installation, of all shipped recipes."""
    shipped = [load_recipe(name).recipe.apps for name in shipped_names()]
    return {program.name for apps in shipped if apps for program in apps.programs}


def examples(page: Path) -> Iterator[str]:
    """The lines of code blocks that start the program, without the explanation beside them."""
    for block in re.findall(r"(?ms)^ *```(?:sh)?\n(.*?)^ *```", page.read_text("utf-8")):
        for line in block.splitlines():
            found = re.match(r"\s*(?:\S*/)?wheelferry ([a-z](?:\S+ ?)*)", line)
            if found:
                yield found[1].replace("…", "").rstrip("\\ ")


def unknown(example: str) -> list[str]:
    """What of the example's command and options the program does not have."""
    words = shlex.split(example)
    if words[0] in ON_CLIENTS | programs():
        return []
    command = commands().get(words[0])
    if command is None:
        return words[:1]
    if isinstance(command, TyperGroup):
        command = command.commands.get(words[1])
        if command is None:
            return words[:2]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    return [word for word in words[1:] if word.startswith("--") and word not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_use_commands_and_options_that_exist(page: Path) -> None:
    assert [(example, unknown(example)) for example in examples(page) if unknown(example)] == []


def test_there_are_examples_to_look_at() -> None:
    assert sum(len(list(examples(page))) for page in PAGES) > 50
    assert unknown("bundle detectron2@v0.6 --no-such-option") == ["--no-such-option"]
    assert unknown("bundel detectron2@v0.6") == ["bundel"]


def test_the_recipe_to_start_from_is_one() -> None:
    page = (ROOT / "docs/how-to/own-recipe.md").read_text("utf-8")
    (text,) = re.findall(r"(?ms)^```toml\n(.*?)^```", page)
    recipe = parse_recipe(text, file="own-recipe.md")
    assert (recipe.name, list(recipe.releases)) == ("mine", ["1.0"])


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "docs/index.md").read_text("utf-8")
    listed = set(re.findall(r"(?m)^((?:[a-z-]+/)?[a-z-]+)$", contents))
    written = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES[1:]} - {"index"}
    # docs/conf.py puts those of the recipes below the overview
    assert {name for name in written if not name.startswith("coverage/")} <= listed
