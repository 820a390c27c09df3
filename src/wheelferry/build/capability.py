"""What this machine can compile, and for which targets."""

import platform
import sys
from collections.abc import Iterable

from packaging.version import Version

from wheelferry.errors import InputError
from wheelferry.models import stable_abi
from wheelferry.models.cuda import FIRST_ON_PYPI, Cuda, version_of
from wheelferry.models.planning.plan import Cell
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import Target
from wheelferry.system.this_machine import is_own_platform

# The processors that the compiler from the package index exists for (toolchains/zig.toml).
_HAVE_ZIG = ("x86_64", "aarch64")


def suits_stable_abi(target: Target, recipe: Recipe) -> bool:
    """Whether ops for the target are compiled here on torch's stable ABI unless the user says otherwise.

    For this machine's own platform the recipe must say that its sources can be; for another one there is no
    other way.
    """
    if not is_own_platform(target):
        return _is_open_across(target)
    suits = stable_abi.serves(Version(target.torch)) and version_of(target.backend) is None
    return recipe.build.stable_abi and sys.platform == "linux" and suits


def has_compiler(target: Target, recipe: Recipe) -> bool:
    """Whether ops for the target can be compiled on this machine at all, or there are none to compile."""
    return is_own_platform(target) or recipe.build.python_only or _is_open_across(target)


def _is_open_across(target: Target) -> bool:
    """Whether ops for another platform are compiled here unasked: with CUDA that is an experiment."""
    return _closed_across(target) is None and version_of(target.backend) is None


def _closed_across(target: Target) -> str | None:
    """Why ops for another platform cannot be compiled here; None when they can."""
    if sys.platform != "linux" or platform.machine() not in _HAVE_ZIG:
        return f"this machine is {sys.platform}, {platform.machine()}"
    system = target.system_name if target.is_windows or target.is_macos else "another processor"
    cuda = version_of(target.backend)
    if cuda and not target.is_windows:
        return f"CUDA ops for {system} need such a machine"
    if cuda and not Cuda(version=cuda).on_pypi:
        return f"CUDA ops for {system} need Windows before CUDA {FIRST_ON_PYPI}"
    if not stable_abi.serves(Version(target.torch)):
        return f"for {system} they can be compiled on Linux from torch {stable_abi.FIRST_TORCH} on"
    return None


def _closed(cell: Cell) -> str | None:
    """Why this machine cannot build the cell's wheel; None when it can."""
    if not cell.ops:
        return None
    if not is_own_platform(cell.target):
        untold = "for another platform they need torch's stable ABI"
        if cell.cuda:
            untold = "CUDA ops for Windows need Windows, or --stable-abi, which is an experiment"
        return _closed_across(cell.target) or (None if cell.on_stable_abi else untold)
    if cell.on_stable_abi and sys.platform != "linux":
        return f"--stable-abi needs Linux, and this machine is {sys.platform}"
    return None


def require_compilable(cells: Iterable[Cell]) -> None:
    """Raise InputError for the cells whose ops this machine cannot compile, with what would help."""
    closed = {cell.target: reason for cell in cells if (reason := _closed(cell))}
    if closed:
        raise InputError(
            f"compiled ops for {', '.join(target.name for target in closed)} cannot be built on this "
            f"machine: {'; '.join(dict.fromkeys(closed.values()))}",
            hint="\n".join(
                (
                    "any of these works:",
                    "  --wheel FILE, a wheel that was built on such a machine (`wheelferry build` there)",
                    "  `wheelferry bundle` there, and `wheelferry merge` of its bundle with others here",
                    "  --without-ops, where the release is of use without them",
                )
            ),
        )
