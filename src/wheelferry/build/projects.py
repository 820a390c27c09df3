"""The projects of a bundle: how each comes by its wheels, and its source, decided and fetched one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.build.cells import ProjectBuild
from wheelferry.build.fetch import fetch
from wheelferry.build.strategy import BuildStrategies, choose_strategies
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.recipe import GitSource
from wheelferry.models.wheel_info import filename_parts


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectStrategy:
    """A project of a bundle before anything is fetched; `source` stands in for the recipe's own."""

    plan: Plan
    folder: Path
    strategies: BuildStrategies
    source: str | None = None


def choose_project_strategies(
    plan: Plan, located: LocatedRecipe, wheels: Sequence[Path], sources: Sequence[str]
) -> list[ProjectStrategy]:
    """Decide for every project of `plan`; `wheels` and `sources` are what the user gives, see `read_sources`.

    Raises InputError as `choose_strategies` and `read_sources` do.
    """
    given = read_sources(plan, sources)
    return [
        ProjectStrategy(
            plan=one,
            folder=recipe.folder,
            strategies=choose_strategies(one, [path for path in wheels if not _is_of_another(one, path)]),
            source=given.get(one.recipe.name),
        )
        for one, recipe in zip(plan.projects, located.projects, strict=True)
    ]


def fetch_projects(chosen: Sequence[ProjectStrategy], tools: Tools) -> list[ProjectBuild]:
    """Each project with its source, where anything of it is built."""
    return [
        ProjectBuild(
            plan=one.plan,
            strategies=one.strategies,
            source=fetch(one.plan, one.folder, tools, source=one.source)
            if one.strategies.need_source
            else None,
        )
        for one in chosen
    ]


def read_sources(plan: Plan, texts: Sequence[str]) -> Mapping[str, str]:
    """By recipe the source that stands in for its own: ``NAME=SOURCE``, or ``SOURCE`` alone.

    Alone it is the first project's, and that of every other one in the same repository. Raises InputError for
    two for one project.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, source = text.partition("=")
        named = [one for one in plan.projects if one.recipe.name == name and equals]
        for one in named or _in_same_repository(plan):
            other = found.setdefault(one.recipe.name, source if named else text)
            if other != (source if named else text):
                raise InputError(
                    f"--source: two are given for {one.recipe.name}",
                    hint="write NAME=SOURCE for each of several projects",
                )
    return found


def _in_same_repository(plan: Plan) -> list[Plan]:
    """The first project, and those whose releases are in the same git repository."""
    own = plan.recipe.source
    if not isinstance(own, GitSource):
        return [plan]
    return [
        one
        for one in plan.projects
        if isinstance(one.recipe.source, GitSource) and one.recipe.source.url == own.url
    ]


def _is_of_another(plan: Plan, path: Path) -> bool:
    """Whether a given wheel is that of another project in the bundle."""
    return bool(plan.beside) and path.is_file() and filename_parts(path.name)[0] in plan.beside
