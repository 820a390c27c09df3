"""Programs for clients: which of a recipe's travel in a bundle, and what they require of its lock."""

from collections.abc import Iterable

from packaging.requirements import Requirement

from wheelferry.errors import InputError
from wheelferry.models.planning.requirements import UserRequirement
from wheelferry.models.recipes.recipe import ALL_PROGRAMS, Program, Recipe

FOLDER = "apps"  # of a bundle, and of an installation
LISTING = "apps.json"  # in it: the programs that can be run
START = "__main__.py"  # in it: what runs one of them
FORMAT = 1


def choose_programs(recipe: Recipe, names: Iterable[str]) -> tuple[Program, ...]:
    """The programs of `names`, and those that always travel, in the recipe's order.

    ``all`` names every one. Raises InputError for a name that the recipe does not have.
    """
    programs = recipe.apps.programs if recipe.apps else ()
    known = [program.name for program in programs]
    wanted = set(names)
    for name in sorted(wanted - {ALL_PROGRAMS, *known} if programs else wanted):
        raise InputError(
            f"--app {name}: recipe {recipe.name} has no program called that"
            if programs
            else f"--app {name}: recipe {recipe.name} has no programs for clients",
            hint=f"it has {', '.join(known)}; all stands for every one"
            if programs
            else "leave --app away, or give the recipe an [apps] table",
        )
    return tuple(
        program
        for program in programs
        if not program.is_optional or program.name in wanted or ALL_PROGRAMS in wanted
    )


def requirements_of(programs: Iterable[Program]) -> list[UserRequirement]:
    """What the programs require of the lock, each with the option that asked for it."""
    return [
        UserRequirement(requirement=Requirement(text), place=f"--app {program.name}")
        for program in programs
        for text in program.requires
    ]
