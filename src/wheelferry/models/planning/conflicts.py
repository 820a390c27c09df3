"""Requirements of the user that no package index can meet beside what a target gets anyway."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.errors import InputError
from wheelferry.models.planning.requirements import UserRequirement
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import DEFAULT_BACKEND, Target

if TYPE_CHECKING:  # the plan itself asks here
    from wheelferry.models.planning.plan import Cell


def find_conflicts(recipe: Recipe, cell: "Cell", required: Sequence[UserRequirement]) -> Iterator[InputError]:
    """What is wrong with `required`, all of which count for the cell; nothing where all may be met."""
    for one in required:
        if one.name == canonicalize_name(recipe.distribution):
            yield from _project_conflicts(recipe, cell, one)
        elif one.name == "torch":
            yield from _torch_conflicts(cell, one)
        elif one.name == "torchvision" and cell.torchvision:
            yield from _torchvision_conflicts(recipe, cell, one, cell.torchvision)
        else:
            yield from _recipe_conflicts(recipe, cell, one)
            yield from _companion_conflicts(cell, one)
    for first, second in combinations(required, 2):
        if first.name == second.name:
            yield from _mutual_conflicts(first, second)


def find_unused(required: Iterable[UserRequirement], targets: Sequence[Target]) -> Iterator[InputError]:
    """What is wrong with requirements that have to count for some target, and do for none."""
    for one in required:
        if one.must_apply and not any(one.applies(target) for target in targets):
            yield InputError(
                f"{one.place}: its marker is true for no target ({', '.join(t.name for t in targets)})",
                hint="leave the marker or the requirement out, or choose other targets",
            )


def _mutual_conflicts(first: UserRequirement, second: UserRequirement) -> Iterator[InputError]:
    if exclude_each_other(first.requirement, second.requirement):
        yield InputError(
            f"{second.place}: {second.requirement} excludes {first.requirement} ({first.place})",
            hint=f"require versions of {first.name} that both allow",
        )
    if first.hashes and second.hashes and first.hashes.isdisjoint(second.hashes):
        yield InputError(
            f"{second.place}: it has no hash in common with {first.place}",
            hint=f"give {first.name} the same hashes in both places",
        )


def _allows(one: UserRequirement, versions: Iterable[str]) -> bool:
    specifier = one.requirement.specifier
    return any(specifier.contains(version, prereleases=True) for version in versions)


def exclude_each_other(first: Requirement, second: Requirement) -> bool:
    """Whether no version meets both."""
    both: SpecifierSet = first.specifier & second.specifier
    return both.is_unsatisfiable()


def _pinned(one: UserRequirement) -> Version | None:
    """The version that it names, where it allows no other."""
    for specifier in one.requirement.specifier:
        if specifier.operator == "==" and "*" not in specifier.version:
            return Version(specifier.version)
    return None


def _project_conflicts(recipe: Recipe, cell: "Cell", one: UserRequirement) -> Iterator[InputError]:
    if not _allows(one, (cell.wheel_version, cell.tied_version)):
        releases = recipe.releases.items()
        fitting = [f"{recipe.name}@{name}" for name, entry in releases if _allows(one, [entry.version])]
        other = f", or make the bundle of {' or '.join(fitting)}" if fitting else ""
        yield InputError(
            f"{one.place}: the bundle is of {one.name} {cell.wheel_version}",
            hint=f"leave {one.name} out{other}",
        )
    if one.hashes:
        yield InputError(
            f"{one.place}: the wheel of {one.name} is built here, so its hash is not known beforehand",
            hint="leave the hash out",
        )


def _torch_conflicts(cell: "Cell", one: UserRequirement) -> Iterator[InputError]:
    torch = cell.target.torch
    if _allows(one, _builds(torch, cell)):
        return
    pinned = _pinned(one)
    backend = f" --backend {pinned.local}" if pinned and pinned.local else ""
    if pinned and pinned.public == torch:
        hint = f"write torch=={torch}; {backend.strip()} chooses that build"
    elif pinned:
        hint = f"leave torch out, or choose it with --torch {pinned.public}{backend}"
    else:
        hint = "leave torch out, or choose one that fits with --torch"
    yield InputError(f"{one.place}: the torch of {cell.target.name} is {torch}", hint=hint)


def _torchvision_conflicts(
    recipe: Recipe, cell: "Cell", one: UserRequirement, torchvision: str
) -> Iterator[InputError]:
    if _allows(one, _builds(torchvision, cell)):
        return
    fitting = [pair.version for pair in recipe.torch if pair.torchvision and _allows(one, [pair.torchvision])]
    other = f", or take --torch {' or '.join(fitting[-3:])}" if fitting else ""
    yield InputError(
        f"{one.place}: torchvision {torchvision} is the one that goes with torch {cell.target.torch}",
        hint=f"leave torchvision out{other}",
    )


def _companion_conflicts(cell: "Cell", one: UserRequirement) -> Iterator[InputError]:
    for text in cell.companions:
        limit = Requirement(text)
        if canonicalize_name(limit.name) == one.name and exclude_each_other(limit, one.requirement):
            yield InputError(
                f"{one.place}: compiled with another torch; with torch {cell.target.torch} goes {text}",
                hint=f"require {one.name} without a version, or choose its torch with --torch",
            )


def _builds(version: str, cell: "Cell") -> tuple[str, ...]:
    """The versions that torch or torchvision of a release can have: PyTorch's index names the build too."""
    if cell.torch_index is None or cell.target.backend == DEFAULT_BACKEND:
        return (version,)
    return version, f"{version}+{cell.target.backend}"


def _recipe_conflicts(recipe: Recipe, cell: "Cell", one: UserRequirement) -> Iterator[InputError]:
    for text in (*cell.requirements, *cell.constraints):
        own = Requirement(text)
        if canonicalize_name(own.name) == one.name and exclude_each_other(own, one.requirement):
            yield InputError(
                f"{one.place}: the recipe {recipe.name} needs {text} on {cell.target.name}",
                hint=f"require a version of {one.name} that {text} allows, or leave it out",
            )
