"""Several projects in one bundle: whether they go together, and their plans as one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheelferry.errors import InputError, raise_all
from wheelferry.models.planning.assets import PlannedAsset
from wheelferry.models.planning.conflicts import exclude_each_other
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.recipes.recipe import ALL_PROGRAMS, Program, Recipe

_APART = "make a bundle of each: several can be installed on one machine, in folders of their own"


def join_plans(plans: Sequence[Plan]) -> Plan:
    """The plan of the first project with those of the `others` beside it; one alone stays as it is.

    All are for the same targets. Raises InputError, naming everything, for projects that cannot share a
    bundle: the same one twice, requirements that exclude each other, two files for one place.
    """
    first, *others = plans
    if not others:
        return first
    raise_all(_the_same_twice(plans))
    raise_all([*_requirement_conflicts(plans), *_root_conflicts(plans)])
    assets = _distinct_assets(plans)
    distributions = frozenset(canonicalize_name(plan.recipe.distribution) for plan in plans)
    programs = _distinct_programs(plans)

    def beside(plan: Plan) -> Plan:
        name, own = plan.recipe.name, canonicalize_name(plan.recipe.distribution)
        return replace(plan, beside=distributions - {own}, programs=programs[name], assets=assets[name])

    return replace(beside(first), others=tuple(map(beside, others)))


def joined_cell(cells: Sequence[Cell]) -> Cell:
    """What the cells of all projects for one target require together, as the first one's."""
    first = cells[0]
    return replace(
        first,
        requirements=tuple(dict.fromkeys(text for cell in cells for text in cell.requirements)),
        constraints=tuple(dict.fromkeys(text for cell in cells for text in cell.constraints)),
    )


def asked_of(recipes: Sequence[Recipe], names: Iterable[str]) -> list[tuple[str, ...]]:
    """For each recipe those of the programs in `names` that it has; the first also gets what none has.

    It then says so.
    """
    wanted = list(names)
    known = [{one.name for one in recipe.apps.programs} if recipe.apps else set() for recipe in recipes]
    everywhere = set[str]().union(*known)
    shared = []
    for number, own in enumerate(known):
        mine = [name for name in wanted if name in own or (name == ALL_PROGRAMS and own)]
        nobody = [name for name in wanted if name not in everywhere and name != ALL_PROGRAMS]
        shared.append((*mine, *(nobody if number == 0 else ())))
    return shared


def assets_of(recipes: Sequence[Recipe], requests: Iterable[str]) -> list[tuple[str, ...]]:
    """For each recipe the requests for weights and data that it knows, by name or by the kind of address.

    What none knows is for the first.
    """
    shared: list[list[str]] = [[] for _ in recipes]
    for text in requests:
        spec, _, _ = text.partition("=")
        named = [any(entry.name == spec for entry in recipe.assets) for recipe in recipes]
        addressed = [text.partition("://")[0] + "://" in recipe.asset_schemes for recipe in recipes]
        knowing = named if any(named) else addressed
        shared[knowing.index(True) if any(knowing) else 0].append(text)
    return [tuple(texts) for texts in shared]


def _the_same_twice(plans: Sequence[Plan]) -> Iterator[InputError]:
    for one, other in combinations(plans, 2):
        if canonicalize_name(one.recipe.distribution) == canonicalize_name(other.recipe.distribution):
            yield InputError(
                f"{one.title} and {other.title} are the same project, and a Python holds one release of it",
                hint=f"name one of them, or {_APART}",
            )
        elif one.recipe.name == other.recipe.name:
            yield InputError(
                f"two recipes are called {one.recipe.name}", hint="give one of them another name"
            )


def _requirement_conflicts(plans: Sequence[Plan]) -> Iterator[InputError]:
    """What two projects require that no version can meet."""
    for one, other in combinations(plans, 2):
        for cell, beside in zip(one.cells, other.cells, strict=True):
            for text, against in _excluding(_texts(cell), _texts(beside)):
                yield InputError(
                    f"{one.title} needs {text} on {cell.target.name}, {other.title} needs {against}",
                    hint=_APART,
                )


def _texts(cell: Cell) -> list[str]:
    return list(dict.fromkeys((*cell.requirements, *cell.constraints)))


def _excluding(first: Iterable[str], second: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in first:
        for other in second:
            one, two = Requirement(text), Requirement(other)
            if canonicalize_name(one.name) == canonicalize_name(two.name) and exclude_each_other(one, two):
                yield text, other


def _root_conflicts(plans: Sequence[Plan]) -> Iterator[InputError]:
    """Folders of weights and data that two projects call alike and find by different variables."""
    for one, other in combinations(plans, 2):
        for root, variable in one.recipe.asset_roots.items():
            against = other.recipe.asset_roots.get(root, variable)
            if against != variable:
                yield InputError(
                    f"{one.title} and {other.title} both have a folder {root!r} of weights and data, which "
                    f"one finds by {variable}, the other by {against}",
                    hint=f"rename it in one of the recipes (asset_roots), or {_APART}",
                )


def _distinct_assets(plans: Sequence[Plan]) -> dict[str, tuple[PlannedAsset, ...]]:
    """Each recipe's assets, one that several share only with the first; InputError for two at one place."""
    found: dict[str, tuple[PlannedAsset, Plan]] = {}
    for plan in plans:
        for asset in plan.assets:
            first, owner = found.setdefault(asset.path, (asset, plan))
            if (first.url, first.sha256, first.file) != (asset.url, asset.sha256, asset.file):
                raise InputError(
                    f"{owner.title} and {plan.title} would both put a file at {asset.path}",
                    hint=f"leave one of them out, or {_APART}",
                )
    return {
        plan.recipe.name: tuple(asset for asset in plan.assets if found[asset.path][1] is plan)
        for plan in plans
    }


def _distinct_programs(plans: Sequence[Plan]) -> dict[str, tuple[Program, ...]]:
    """Each recipe's programs; those that are called alike have their recipe's name in front."""
    names = [program.name for plan in plans for program in plan.programs]
    return {
        plan.recipe.name: tuple(
            program.model_copy(update={"name": f"{plan.recipe.name}-{program.name}"})
            if names.count(program.name) > 1
            else program
            for program in plan.programs
        )
        for plan in plans
    }
