"""Wheels on torch's stable ABI, and the cells that each serves: those with the same changes to the source."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache

from packaging.version import Version

from wheelferry.build.capability import suits_stable_abi
from wheelferry.errors import InputError, MissingPythonError
from wheelferry.matrix.alike import newness, range_text, served_alike
from wheelferry.matrix.coverage import Selection, Status, backends_of, cells
from wheelferry.models import stable_abi
from wheelferry.models.cuda import backend_of, parse_version, version_of
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import DEFAULT_BACKEND, Target
from wheelferry.system.this_machine import is_own_platform


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
    recipe: Recipe,
    release: str,
    platforms: Sequence[str],
    has_python: Callable[[str], bool],
    *,
    cuda: str | None = None,
) -> tuple[SharedWheel, ...]:
    """The wheels on torch's stable ABI that this machine can make of a release, each with what it serves.

    Each is built for the newest torch that it serves and the newest Python here, by `has_python`. With
    `cuda` (``13.0``) they have code for GPUs too, made with that CUDA, and serve the later ones of its major
    version. Raises InputError where there is none, and MissingPythonError where no Python of one is here.
    """
    backends = _with_cuda(recipe, cuda) if cuda else (DEFAULT_BACKEND, "cpu")
    selection = Selection(releases=(release,), backends=backends, platforms=tuple(platforms))
    possible = [
        verdict.target
        for verdict in cells(recipe, (), selection)
        if verdict.status is not Status.UNSUPPORTED and _suits(verdict.target, recipe, cuda=cuda is not None)
    ]
    if not possible or not recipe.build.stable_abi:
        raise InputError(
            f"{recipe.name}@{release} has no wheel on torch's stable ABI that serves several targets",
            hint="build one for each target, with --python, --torch and --platform",
        )
    is_here = cache(has_python)
    # where code for GPUs is made by another CUDA than that of PyPI's torch, another index has to be reached
    near = {one.version for one in recipe.torch if cuda and one.cuda == cuda}
    made_with = backend_of(cuda) if cuda else None
    alike = served_alike(recipe, release, possible)
    wheels = [_wheel(targets, made_with, near, is_here) for targets in alike]
    return tuple(sorted(wheels, key=lambda one: platforms.index(one.target.platform)))


def _with_cuda(recipe: Recipe, made_with: str) -> tuple[str, ...]:
    """The builds of torch that code for GPUs serves which was made with that CUDA."""
    known = {version_of(backend) for one in recipe.torch for backend in backends_of(recipe, one.version)}
    fitting = [cuda for cuda in known if cuda and stable_abi.cuda_obstacle(made_with, cuda) is None]
    return tuple(backend_of(cuda) for cuda in sorted(fitting, key=parse_version))


def _suits(target: Target, recipe: Recipe, *, cuda: bool) -> bool:
    """Whether this machine compiles for the target on the stable ABI, of CUDA ops where it is asked to."""
    if not cuda:
        return suits_stable_abi(target, recipe)
    return is_own_platform(target) and stable_abi.serves(Version(target.torch))


def _wheel(
    targets: Sequence[Target], made_with: str | None, near: Container[str], is_here: Callable[[str], bool]
) -> SharedWheel:
    fitting = [target for target in targets if made_with in (None, target.backend)]
    for target in sorted(fitting, key=lambda target: _preference(target, near), reverse=True):
        if is_here(target.python):
            return SharedWheel(target=target, serves=tuple(targets))
    raise MissingPythonError(max(fitting, key=lambda target: _preference(target, near)).python)


def _preference(target: Target, near: Container[str]) -> tuple[object, ...]:
    return target.torch in near, *newness(target)
