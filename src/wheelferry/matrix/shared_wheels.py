"""Wheels on torch's stable ABI, and the cells that each serves: those with the same changes to the source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from wheelferry.build.capability import suits_stable_abi
from wheelferry.errors import InputError, MissingPythonError
from wheelferry.matrix.alike import newest_first, range_text, served_alike
from wheelferry.matrix.coverage import ARM, LINUX, MACOS, Selection, Status, cells
from wheelferry.models.recipes.recipe import Recipe
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


def _wheel(targets: Sequence[Target], is_here: Callable[[str], bool]) -> SharedWheel:
    newest = sorted(targets, key=newest_first, reverse=True)
    for target in newest:
        if is_here(target.python):
            return SharedWheel(target=target, serves=tuple(targets))
    raise MissingPythonError(newest[0].python)
