"""A plan: a release and the cells to make of it. The values that every stage is given."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.models import stable_abi
from wheelferry.models.cuda import Cuda
from wheelferry.models.planning.alternatives import Exclusion
from wheelferry.models.planning.assets import PlannedAsset
from wheelferry.models.planning.requirements import UserRequirement, allowed_hashes
from wheelferry.models.present import PresentPackage, by_name
from wheelferry.models.recipes.recipe import Program, Recipe, Release, Substitution
from wheelferry.models.targets import Target


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One target with all that a build, a lock and a smoke test of it need to know.

    `torch_index` is the index (URL or folder) that torch and torchvision come from, None for the
    user's own; `cuda` is None unless CUDA ops are compiled. Without `ops` nothing is compiled: the wheel
    is the project's Python part alone. With `on_stable_abi` its ops serve more than the target's torch, with
    `on_limited_api` more than the target's Python.

    `required` is what the user requires, which is also among `requirements`, and limits; of that, `left_out`
    has a marker that is not true for the target.
    `excluded` are packages that the lock leaves out, whoever requires them. `companions` hold packages that
    are compiled against torch to what goes with the target's. `present` are packages that the client has
    already: nothing of them is carried. `plan_digest` is over what the recipe says for
    the target, whatever else the user chose.
    """

    target: Target
    torchvision: str | None
    build_requires: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    substitutions: tuple[Substitution, ...]
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    wheel_version: str
    torch_index: str | None = None
    cuda: Cuda | None = None
    ops: bool = True
    on_stable_abi: bool = False
    on_limited_api: bool = False
    required: tuple[UserRequirement, ...] = ()
    left_out: tuple[UserRequirement, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    companions: tuple[str, ...] = ()
    present: tuple[PresentPackage, ...] = ()
    plan_digest: str = ""

    @property
    def tied_version(self) -> str:
        """The version of a wheel that is tied to the target's torch alone."""
        return self.wheel_version.removesuffix(f".{stable_abi.SUFFIX}")

    @property
    def user_constraints(self) -> tuple[str, ...]:
        """The user's own limits: for what is shipped, not for what the wheel is built with."""
        return tuple(str(one.requirement) for one in self.required if one.is_constraint)

    @property
    def shipped_constraints(self) -> tuple[str, ...]:
        """All limits of what is shipped; what is present already has its version."""
        limits = (*self.constraints, *self.companions, *self.user_constraints)
        there = by_name(self.present)
        return tuple(text for text in limits if canonicalize_name(Requirement(text).name) not in there)

    @property
    def carries_torch(self) -> bool:
        """Whether torch is in the bundle, and not on the client already."""
        return not any(one.is_torch for one in self.present)

    @property
    def shipped_torch(self) -> str:
        """What the bundle requires of torch: the target's release, or the very build that is present."""
        there = by_name(self.present).get(NormalizedName("torch"))
        return f"torch=={there.version if there else self.target.torch}"

    @property
    def hashes(self) -> Mapping[NormalizedName, frozenset[str]]:
        """By project the SHA-256 that the file to be shipped must have one of, where the user gave any."""
        return allowed_hashes(self.required)

    @property
    def torch_requirement(self) -> str:
        """What the wheel demands: the torch it is compiled against, or all with the stable ABI."""
        return stable_abi.REQUIREMENT if self.on_stable_abi else f"torch=={self.target.torch}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A release, the cells to make of it, in the order asked for, and what travels beside them.

    That is weights and data, and programs for the client. `others` are the plans of further projects in the
    same bundle, for the same targets in the same order; `beside` are the names of the wheels that they make,
    which no index has to give.
    """

    recipe: Recipe
    release_name: str
    release: Release
    cells: tuple[Cell, ...]
    assets: tuple[PlannedAsset, ...] = ()
    programs: tuple[Program, ...] = ()
    others: tuple["Plan", ...] = ()
    beside: frozenset[NormalizedName] = frozenset()

    @property
    def title(self) -> str:
        """``sample@1.0``."""
        return f"{self.recipe.name}@{self.release_name}"

    @property
    def projects(self) -> tuple["Plan", ...]:
        """The plan of each project in the bundle, this one first."""
        return (self, *self.others)

    @property
    def full_title(self) -> str:
        """``sample@1.0``; of several projects ``sample@1.0 + other@2.1``."""
        return " + ".join(project.title for project in self.projects)

    @property
    def sdist_constraints(self) -> tuple[str, ...]:
        """The constraints for building dependencies from sdists, of all projects."""
        texts = (text for one in self.projects for text in one.recipe.build.sdist_constraints)
        return tuple(dict.fromkeys(texts))

    def of_others(self, requirements: Iterable[str]) -> tuple[str, ...]:
        """Those of `requirements` that an index gives: not the wheels of the bundle's own projects."""
        own = {canonicalize_name(self.recipe.distribution), *self.beside}
        return tuple(text for text in requirements if canonicalize_name(Requirement(text).name) not in own)

    def requirements_of_others(self, cell: Cell) -> tuple[str, ...]:
        """What a cell requires beside the bundle's own projects, whose wheels no index has."""
        return self.of_others(cell.requirements)
