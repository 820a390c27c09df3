"""Recipe files: TOML to a `Recipe`, every problem named with its key; the JSON Schema for editors."""

import json
import tomllib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from wheelferry.errors import InputError
from wheelferry.models.recipes.recipe import Model, Recipe, Torch

_M = TypeVar("_M", bound=Model)


class _TorchTable(Model):
    torch: Annotated[tuple[Torch, ...], Field(min_length=1)]


def parse_recipe(text: str, *, file: str, torch: tuple[Torch, ...] = ()) -> Recipe:
    """Read a recipe; `torch` is its table of torch releases unless it brings one.

    Raises InputError that lists every problem as ``file: key.path: message``.
    """
    recipe = _validated(Recipe, text, file)
    return recipe if recipe.torch else recipe.model_copy(update={"torch": torch})


def parse_torch_table(text: str, *, file: str) -> tuple[Torch, ...]:
    """Read a table of torch releases; errors as `parse_recipe`."""
    return _validated(_TorchTable, text, file).torch


def _validated(model: type[_M], text: str, file: str) -> _M:
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # thousands of digits or brackets are no TOMLDecodeError
        raise InputError(f"{file}: not TOML: {error}") from None
    unusable = [f"{file}: {_key_path(place)}has a NUL character" for place in _with_nul(data)]
    if unusable:
        raise InputError("\n".join(unusable), hint="no path, address or variable can have one")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [f"{file}: {_key_path(p['loc'])}{' '.join(p['msg'].split())}" for p in error.errors()]
        raise InputError(
            "\n".join(problems),
            hint="the keys are described by recipes/recipe.schema.json (wheelferry recipes --schema)",
        ) from None


def _with_nul(document: object) -> Iterable[tuple[int | str, ...]]:
    """The places of texts that no file system and no process takes."""
    waiting: list[tuple[tuple[int | str, ...], object]] = [((), document)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            yield from ((*place, key) for key in value if "\0" in key)
            waiting += [((*place, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, number), item) for number, item in enumerate(value)]
        elif isinstance(value, str) and "\0" in value:
            yield place


def _key_path(location: Iterable[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in ("git", "folder", "sdist") and path == "source":
            continue  # the discriminator's own branch is not a key
        else:
            plain = part.replace("-", "").replace("_", "").isalnum() and "." not in part
            path += ("." if path else "") + (part if plain else f'"{part}"')
    return f"{path}: " if path else ""


def schema() -> str:
    """The JSON Schema of recipe files, as the text published beside them."""
    document: dict[str, Any] = Recipe.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "wheelferry recipe"
    return json.dumps(document, indent=2) + "\n"
