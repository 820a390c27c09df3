"""Build strategies: how each cell comes by its wheel, decided before anything is downloaded or compiled."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.build.capability import require_compilable
from wheelferry.errors import InputError
from wheelferry.models import stable_abi
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import WheelInfo, filename_parts
from wheelferry.wheels.read import read_wheel


class BuildStrategy(Enum):
    """How a cell comes by its wheel."""

    PREBUILT = "a wheel that the user has"
    PYTHON_ONLY = "built here, without compiled ops"
    NATIVE = "compiled here"
    STABLE = "compiled here on torch's stable ABI, on Linux also for other systems"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildStrategies:
    """The strategy of each target, the project's own wheels that were given, and those of dependencies."""

    by_target: Mapping[Target, BuildStrategy]
    prebuilt: Mapping[Target, Path]
    dependencies: tuple[Path, ...] = ()

    @property
    def need_source(self) -> bool:
        """Whether anything is built, so that the release's source is needed."""
        return any(strategy is not BuildStrategy.PREBUILT for strategy in self.by_target.values())


def choose_strategies(plan: Plan, wheels: Sequence[Path] = ()) -> BuildStrategies:
    """Decide for every cell of `plan`; `wheels` are files that the user gives.

    Raises InputError for a wheel that serves no target, and for targets that need another machine's
    compiler, with what can be done about it.
    """
    infos = {path: _read(path) for path in dict.fromkeys(wheels)}
    own = canonicalize_name(plan.recipe.distribution)
    prebuilt: dict[Target, Path] = {}
    for path in (path for path, info in infos.items() if info.name == own):
        for cell in _served(plan, path, infos[path]):
            other = prebuilt.setdefault(cell.target, path)
            if other != path:
                raise InputError(
                    f"two wheels are given for {cell.target.name}: {other.name} and {path.name}",
                    hint="give one for each target",
                )
    dependencies = tuple(path for path, info in infos.items() if info.name != own)
    for path in dependencies:
        _require_use(plan, path, infos[path])
    require_compilable([cell for cell in plan.cells if cell.target not in prebuilt])
    return BuildStrategies(
        by_target={cell.target: _strategy(cell, prebuilt) for cell in plan.cells},
        prebuilt=prebuilt,
        dependencies=dependencies,
    )


def _read(path: Path) -> WheelInfo:
    if not path.is_file():
        raise InputError(f"--wheel {path}: no such file", hint="give a wheel (.whl)")
    return read_wheel(path)


def _served(plan: Plan, path: Path, info: WheelInfo) -> Iterable[Cell]:
    """The cells that a wheel of the project was built for: by us for just this torch, or by somebody else."""
    fitting = [cell for cell in plan.cells if _fits(path, cell.target)]
    if info.stamp is None:
        cells = [cell for cell in fitting if cell.ops and info.version.public == plan.release.version]
        wanted = plan.release.version
        if len({(cell.target.torch, cell.target.backend) for cell in cells}) > 1:
            names = ", ".join(cell.target.name for cell in cells)
            raise InputError(
                f"--wheel {path.name} fits {names}, and does not say for which torch it was compiled",
                hint="make a bundle for the one it was compiled for; `wheelferry merge` adds the others",
            )
    elif stable_abi.is_stable(info.stamp):
        cells = [cell for cell in fitting if _serves(info, cell, plan)]
        wanted = f"{plan.release.version}, with torch {stable_abi.FIRST_TORCH} or newer"
        obstacles = dict.fromkeys(filter(None, (_cuda_obstacle(info, cell) for cell in fitting if cell.ops)))
        if not cells and obstacles:
            raise InputError(
                f"--wheel {path.name} serves no target: {'; '.join(obstacles)}",
                hint="choose a torch built with such a CUDA (--backend), or build the wheel for this one",
            )
    else:
        cells = [cell for cell in fitting if str(info.version) == cell.tied_version]
        wanted = ", ".join(dict.fromkeys(cell.tied_version for cell in fitting))
    if not cells:
        reason = f"it is version {info.version}, wanted is {wanted}" if fitting else "its tags fit none"
        if fitting and info.stamp is None and not any(cell.ops for cell in fitting):
            reason = "with --without-ops only a wheel that wheelferry built so can be given"
        raise InputError(
            f"--wheel {path.name} serves no target: {reason}",
            hint="its release, Python, platform and torch must be those of a target "
            f"({', '.join(cell.target.name for cell in plan.cells)})",
        )
    return cells


def _serves(info: WheelInfo, cell: Cell, plan: Plan) -> bool:
    """Whether a wheel on the stable ABI is for that release and torch; its source is looked at later."""
    return (
        cell.ops
        and _cuda_obstacle(info, cell) is None
        and stable_abi.serves(Version(cell.target.torch))
        and info.version.public == plan.release.version
    )


def _cuda_obstacle(info: WheelInfo, cell: Cell) -> str | None:
    """Why the code for GPUs in a wheel on the stable ABI is none for the cell."""
    wanted = cell.cuda.version if cell.cuda else None
    return stable_abi.cuda_obstacle(stable_abi.cuda_of(info.stamp), wanted)


def _fits(path: Path, target: Target) -> bool:
    return not filename_parts(path.name)[2].isdisjoint(target.tags)


def _require_use(plan: Plan, path: Path, info: WheelInfo) -> None:
    """Raise InputError for a wheel that fits no target, or that none can have beside its torch."""
    fitting = [cell for cell in plan.cells if _fits(path, cell.target)]
    if not fitting:
        names = ", ".join(cell.target.name for cell in plan.cells)
        raise InputError(f"--wheel {path.name} serves no target: its tags fit none of {names}")
    against = [_limit_against(cell, info) for cell in fitting]
    if all(against):
        raise InputError(
            f"--wheel {path.name} serves no target: with torch {fitting[0].target.torch} goes {against[0]}",
            hint="give the release that fits, leave the wheel away, or choose its torch with --torch",
        )


def _limit_against(cell: Cell, info: WheelInfo) -> str | None:
    """What the recipe or torch itself allows of a package, where that is another version than the wheel's."""
    for text in (*cell.constraints, *cell.companions):
        limit = Requirement(text)
        same = canonicalize_name(limit.name) == info.name
        if same and not limit.specifier.contains(info.version, prereleases=True):
            return text
    return None


def _strategy(cell: Cell, prebuilt: Mapping[Target, Path]) -> BuildStrategy:
    if cell.target in prebuilt:
        return BuildStrategy.PREBUILT
    if not cell.ops:
        return BuildStrategy.PYTHON_ONLY
    return BuildStrategy.STABLE if cell.on_stable_abi else BuildStrategy.NATIVE
