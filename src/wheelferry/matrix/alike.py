"""Which cells one wheel on torch's stable ABI serves: those with the same changes to the source. No I/O."""

from collections.abc import Iterable

from packaging.version import Version

from wheelferry.matrix.coverage import ARM, LINUX, MACOS
from wheelferry.models import stable_abi
from wheelferry.models.cuda import version_of
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Cell
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.records import version
from wheelferry.models.targets import DEFAULT_BACKEND, Target

# What wheels are made for from one Linux machine.
PLATFORMS = (LINUX, ARM, "win_amd64", MACOS)


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


def newness(target: Target) -> tuple[Version, Version, bool]:
    """How well a target is to build its wheel for: by its torch, then its Python, then PyPI's build."""
    return version(target.torch), version(target.python), target.backend == DEFAULT_BACKEND


def range_text(versions: Iterable[str]) -> str:
    """``2.10.0 to 2.15.0``, the oldest and the newest of some versions; one alone by itself."""
    ordered = sorted(set(versions), key=version)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
