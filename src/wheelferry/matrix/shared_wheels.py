"""Wheels on torch's stable ABI, and the cells that each serves: those with the same changes to the source."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from packaging.version import Version

from wheelferry.build.capability import suits_stable_abi
from wheelferry.errors import InputError, MissingPythonError
from wheelferry.matrix.coverage import ARM, LINUX, MACOS, Selection, Status, cells
from wheelferry.models import stable_abi
from wheelferry.models.cuda import version_of
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Cell
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.records import version
from wheelferry.models.targets import DEFAULT_BACKEND, Target

# What wheels are made for from one Linux machine.
PLATFORMS = (LINUX, ARM, "win_amd64", MACOS)


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedWheel:
    """One wheel: the target that it is built for, and all that it serves."""

    target: Target
    serves: tuple[Target, ...]

    @property
    def description(self) -> str:
        """``torch 2.10.0 to 2.15.0 (cpu and default), Python 3.10 to 3.14: 60 targets``."""
        torches = range_text(one.torch for one in self.serves)
        pythons = range_text(one.python for one in self.serves)
        backends = " and ".join(sorted({one.backend for one in self.serves}))
        return f"torch {torches} ({backends}), Python {pythons}: {len(self.serves)} targets"


def shared_wheels(
    recipe: Recipe, release: str, platforms: Sequence[str], has_python: Callable[[str], bool]
) -> tuple[SharedWheel, ...]:
    """The wheels on torch's stable ABI that this machine can make of a release, each with what it serves.

    Each is built for the newest torch that it serves and the newest Python that is here, by `has_python`.
    Raises InputError where there is none, and MissingPythonError where no Python of one is here.
    """
    selection = Selection(releases=(release,), backends=(DEFAULT_BACKEND, "cpu"), platforms=tuple(platforms))
    possible = [
        verdict.target
        for verdict in cells(recipe, (), selection)
        if verdict.status is not Status.UNSUPPORTED and suits_stable_abi(verdict.target, recipe)
    ]
    if not possible or not recipe.build.stable_abi:
        raise InputError(
            f"{recipe.name}@{release} has no wheel on torch's stable ABI that serves several targets",
            hint="build one for each target, with --python, --torch and --platform",
        )
    is_here = cache(has_python)
    wheels = [_wheel(targets, is_here) for targets in served_alike(recipe, release, possible)]
    return tuple(sorted(wheels, key=lambda one: platforms.index(one.target.platform)))


def can_share(recipe: Recipe, target: Target) -> bool:
    """Whether the target can have a wheel on torch's stable ABI, which serves others too."""
    return (
        recipe.build.stable_abi
        and not recipe.build.python_only
        and version_of(target.backend) is None
        and stable_abi.serves(version(target.torch))
    )


def served_alike(recipe: Recipe, release: str, targets: Iterable[Target]) -> list[tuple[Target, ...]]:
    """`targets`, of which each can have a wheel on torch's stable ABI, by the wheel that serves them."""
    possible = list(targets)
    plan = make_plan(recipe, release, possible, on_stable_abi=possible)
    alike: dict[object, list[Target]] = {}
    for cell in plan.cells:
        alike.setdefault(_what_is_built(cell), []).append(cell.target)
    return [tuple(found) for found in alike.values()]


def _what_is_built(cell: Cell) -> tuple[object, ...]:
    """What makes a wheel another one; the torch that it calls itself after does not."""
    python = None if cell.on_limited_api else cell.target.python
    _, _, local = cell.wheel_version.partition("+")
    environment = tuple((name, value.replace(local, "")) for name, value in cell.environment)
    changes = tuple((one.file, one.old, one.new, one.count) for one in cell.substitutions)
    return (cell.target.platform, python, environment, changes)


def _wheel(targets: Sequence[Target], is_here: Callable[[str], bool]) -> SharedWheel:
    newest = sorted(targets, key=newest_first, reverse=True)
    for target in newest:
        if is_here(target.python):
            return SharedWheel(target=target, serves=tuple(targets))
    raise MissingPythonError(newest[0].python)


def newest_first(target: Target) -> tuple[Version, Version, bool]:
    """Sorts the targets of a wheel by how well each is to build it for: the newest torch, then Python."""
    return version(target.torch), version(target.python), target.backend == DEFAULT_BACKEND


def range_text(versions: Iterable[str]) -> str:
    """``2.10.0 to 2.15.0``, the oldest and the newest of some versions; one alone by itself."""
    ordered = sorted(set(versions), key=version)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
