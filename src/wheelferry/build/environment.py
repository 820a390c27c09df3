"""Environment: what a wheel is built in, locked and downloaded before anything is compiled."""

import hashlib
import json
from dataclasses import dataclass, replace

from packaging.utils import NormalizedName

from wheelferry.build.populate import populate
from wheelferry.build.strategy import BuildStrategy
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError
from wheelferry.models.cuda import backend_of, version_of
from wheelferry.models.lock import (
    Choice,
    LockedWheel,
    by_name,
    choices_from_json,
    choices_to_json,
    choose_files,
    require_allowed,
)
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.targets import DEFAULT_BACKEND, Target, parse_platform
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.this_machine import default_platform, host_glibc_minor
from wheelferry.toolchains.cuda_toolkit import Toolkit
from wheelferry.wheels.read import torch_cuda


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The wheels of a build environment, and its key in the store."""

    key: str
    wheels: tuple[LockedWheel, ...]

    @property
    def torch(self) -> LockedWheel | None:
        """The torch in it; None where a stand-in serves."""
        return by_name(self.wheels).get(NormalizedName("torch"))


def lock_environment(
    plan: Plan,
    cell: Cell,
    strategy: BuildStrategy,
    interpreter: Interpreter,
    toolkit: Toolkit | None,
    tools: Tools,
) -> Environment:
    """The cell's build environment, downloaded: the very torch that will be shipped, and build tools.

    Where this machine's compiler is not used, it is this machine's and has no torch. Once resolved it stays
    while its files are in the store, so that a new release of a build tool does not make every wheel anew;
    another index or another recipe resolves it again.
    """
    target = cell.target if strategy is BuildStrategy.NATIVE else own_target(cell)
    requirements = _requirements(cell, target, toolkit)
    key = _key(plan, cell, target, requirements, interpreter, tools)
    remembered = tools.store.recall_text("environment", key)
    choices = choices_from_json(remembered) if remembered else ()
    if not choices or not all(choice.sha256 and tools.store.has(choice.sha256) for choice in choices):
        with tools.progress.task("resolve the build environment"):
            choices = resolve_environment(cell, target, requirements, interpreter, tools)
        tools.store.remember_text("environment", key, choices_to_json(choices))
    constraints = plan.recipe.build.sdist_constraints
    wheels = populate(choices, target, interpreter, tools, sdist_constraints=constraints)
    return Environment(key=key, wheels=wheels)


def find_torch(plan: Plan, cell: Cell, interpreter: Interpreter, tools: Tools) -> LockedWheel:
    """The torch that the cell will ship, downloaded; InputError for another build than was asked for."""
    with tools.progress.task("resolve torch"):
        choices = resolve_environment(cell, cell.target, (f"torch=={cell.target.torch}",), interpreter, tools)
    wanted = [choice for choice in choices if choice.name == "torch"]
    constraints = plan.recipe.build.sdist_constraints
    (torch,) = populate(wanted, cell.target, interpreter, tools, sdist_constraints=constraints)
    check_torch_build(cell, torch, tools)
    return torch


def resolve_environment(
    cell: Cell, target: Target, requirements: tuple[str, ...], interpreter: Interpreter, tools: Tools
) -> tuple[Choice, ...]:
    """The newest files for `requirements` that fit the cell's torch; nothing is downloaded."""
    with tools.store.workspace("resolve") as work:
        resolution = tools.uv.resolve(
            target,
            requirements=requirements,
            constraints=cell.constraints,
            find_links=None,
            torch_index=cell.torch_index,
            interpreter=interpreter,
            work=work,
        )
        return choose_files(resolution, target, base=work)


def _requirements(cell: Cell, target: Target, toolkit: Toolkit | None) -> tuple[str, ...]:
    """`target` is the platform of the build environment."""
    if cell.cuda is None or toolkit is not None:
        return cell.build_requires
    return (*cell.build_requires, *cell.cuda.packages(windows=target.is_windows))


def _key(
    plan: Plan,
    cell: Cell,
    target: Target,
    requirements: tuple[str, ...],
    interpreter: Interpreter,
    tools: Tools,
) -> str:
    """The identity of a cell's build environment: its requirements, its target and its index."""
    document = [
        target.name,
        interpreter.version,
        requirements,
        cell.constraints,
        cell.torch_index,
        plan.recipe.build.sdist_constraints,
        sorted(tools.index.uv_environment().items()),
        tools.index.uv_arguments,
    ]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def own_target(cell: Cell) -> Target:
    """This machine as a target: what a build environment is for that is only to run setup.py."""
    own = parse_platform(default_platform(), host_glibc_minor=host_glibc_minor())
    return replace(cell.target, platform=own)


def check_torch_build(cell: Cell, torch: LockedWheel, tools: Tools) -> None:
    """Raise InputError when the index gave another build of torch than the target's backend names.

    IntegrityError when it is none of those whose hashes the user gave.
    """
    require_allowed(torch, torch.sha256, cell.hashes)
    cuda = torch_cuda(tools.store.path(torch.sha256))
    found = f"CUDA {cuda}" if cuda else "no CUDA"
    if cell.target.backend == DEFAULT_BACKEND:
        if cuda:
            tools.progress.note(
                f"torch {torch.version} is built with {found}; the ops will run on the CPU only "
                f"(--backend {backend_of(cuda)} compiles them for CUDA too)"
            )
        return
    if cuda != version_of(cell.target.backend):
        raise InputError(
            f"{torch.filename} is built with {found}; the backend asked for is {cell.target.backend}",
            hint="give an index or folder that has that build with --torch-index, "
            f"or take --backend {backend_of(cuda) if cuda else 'cpu'}",
        )
