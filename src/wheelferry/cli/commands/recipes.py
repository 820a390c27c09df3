"""What can be built: the recipes, and the releases of one."""

from typing import Annotated

import typer

from wheelferry.cli.options import Json


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show the releases of this recipe, and what they support.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipe files.")] = False,
    json: Json = False,
) -> None:
    """List what can be built, for which torch and Python."""
    from wheelferry.cli.render.recipes import show_recipe, show_recipes

    if schema:
        from wheelferry.cli.console import print_line
        from wheelferry.models.recipes.file import schema as recipe_schema

        print_line(recipe_schema().rstrip())
    elif name is None:
        show_recipes(as_json=json)
    else:
        show_recipe(name, as_json=json)
