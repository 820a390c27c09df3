"""Prepare a cell: find what the machine must have, resolve its build environment, know its build key."""

import os
from dataclasses import dataclass
from pathlib import Path

from wheelferry.build import compilers
from wheelferry.build.environment import Environment, check_torch_build, find_torch, lock_environment
from wheelferry.build.strategy import BuildStrategy
from wheelferry.cache.source import Source
from wheelferry.cache.tools import Tools
from wheelferry.errors import MissingError
from wheelferry.models import stable_abi
from wheelferry.models.lock import LockedWheel
from wheelferry.models.planning.build_key import build_key, compile_key
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.interpreters import Interpreter, find_interpreter
from wheelferry.toolchains import facade, modules, native
from wheelferry.toolchains.cuda_toolkit import Toolkit, given_toolkit
from wheelferry.toolchains.native import Compiler
from wheelferry.toolchains.torch_stub import torch_stub_identity


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledAgainst:
    """The torch that compiled ops were built with: its version and the SHA-256 of its wheel.

    On the stable ABI it is the hash of those headers alone that are used.
    """

    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stable:
    """What compiles a cell's ops on torch's stable ABI: the facade, a torch's headers, and a compiler.

    `headers` is a hash of what is used of the torch wheel, which is the same for every Python.
    """

    compiler: compilers.Found
    torch: LockedWheel
    headers: str

    @property
    def identity(self) -> str:
        """All of it, as one text."""
        named = compilers.identity(self.compiler)
        return f"{named}; {facade.identity()}; headers of torch {self.torch.version} {self.headers}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A cell that is ready to be compiled: its build environment is in the store, its key is known.

    `compiler` is this machine's for a wheel that is tied to one torch, `stable` compiles one that is not.
    With neither nothing is compiled. Without `compiler` the environment has no torch, but a stand-in.
    `toolchain` is everything that compiles, as the key has it; `compile_key` names what that makes,
    before it is compared with the recipe.
    """

    cell: Cell
    key: str
    compile_key: str
    toolchain: str
    environment: Environment
    interpreter: Interpreter
    toolkit: Toolkit | None
    compiler: Compiler | None
    stable: Stable | None = None

    @property
    def torch(self) -> CompiledAgainst | None:
        """The torch to compile against; None when nothing is compiled."""
        if self.stable:
            return CompiledAgainst(version=str(self.stable.torch.version), sha256=self.stable.headers)
        torch = self.environment.torch
        return CompiledAgainst(version=str(torch.version), sha256=torch.sha256) if torch else None


def prepare(plan: Plan, cell: Cell, strategy: BuildStrategy, source: Source, tools: Tools) -> Prepared:
    """Find what the machine must have, resolve the build environment and download it.

    Raises InputError for a torch of another build than asked for, MissingError without an interpreter, its
    headers, a compiler or a CUDA toolkit.
    """
    tools.progress.stage(f"prepare {plan.title} for {cell.target.name}")
    interpreter = find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)
    # what may be missing is looked for before anything is downloaded
    if cell.ops and not cell.on_limited_api:
        require_headers(cell, interpreter)
    compiler = toolkit = stable = None
    if strategy is BuildStrategy.NATIVE:
        compiler = native.find_compiler(tools.run, torch=cell.target.torch, cuda=cell.cuda)
        toolkit = _find_toolkit(cell, tools)
    elif strategy is BuildStrategy.STABLE:
        found = compilers.find_stable_compiler(cell, interpreter, tools)
        toolkit = _find_toolkit(cell, tools)
        torch = find_torch(plan, cell, interpreter, tools)
        headers = modules.identify_torch(tools.store.path(torch.sha256), windows=cell.target.is_windows)
        stable = Stable(compiler=found, torch=torch, headers=headers)
    environment = lock_environment(plan, cell, strategy, interpreter, toolkit, tools)
    toolchain = _toolchain_identity(cell, interpreter, compiler, toolkit, stable)
    inputs = build_inputs(cell, environment)
    prepared = Prepared(
        cell=cell,
        key=build_key(plan, cell, source_id=source.identity, inputs=inputs, toolchain=toolchain),
        compile_key=compile_key(plan, cell, source_id=source.identity, inputs=inputs, toolchain=toolchain),
        toolchain=toolchain,
        environment=environment,
        interpreter=interpreter,
        toolkit=toolkit,
        compiler=compiler,
        stable=stable,
    )
    if environment.torch is not None:
        check_torch_build(cell, environment.torch, tools)
    return prepared


def build_inputs(cell: Cell, environment: Environment) -> dict[str, str]:
    """What the wheel is built in, by file name.

    Where the wheel is for every Python, tools that are made for one count by their version: the project's
    build runs them, nothing of them gets into the wheel.
    """
    if not cell.on_limited_api:
        return {wheel.filename: wheel.sha256 for wheel in environment.wheels}
    pure = {wheel.filename: wheel.sha256 for wheel in environment.wheels if _is_pure(wheel)}
    return pure | {wheel.name: str(wheel.version) for wheel in environment.wheels if not _is_pure(wheel)}


def _is_pure(wheel: LockedWheel) -> bool:
    return all(tag.abi == "none" and tag.platform == "any" for tag in filename_parts(wheel.filename)[2])


def require_headers(cell: Cell, interpreter: Interpreter) -> None:
    """Raise MissingError when nothing can be compiled for the interpreter."""
    if not interpreter.can_compile:
        raise MissingError(
            f"{interpreter.path} has no Python.h in {interpreter.headers}",
            hint=f"install its headers (Debian: apt-get install python{cell.target.python}-dev)",
        )


def _toolchain_identity(
    cell: Cell,
    interpreter: Interpreter,
    compiler: Compiler | None,
    toolkit: Toolkit | None,
    stable: Stable | None,
) -> str:
    """Everything that compiles, as one text."""
    if compiler is None:
        python = stable_abi.ABI_TAG if cell.on_limited_api else f"CPython {interpreter.version}"
        parts = [python, torch_stub_identity()]
        named = [one.identity for one in (stable, toolkit) if one is not None]
        return "; ".join([*parts, *named])
    parts = [f"CPython {interpreter.version} {dict(interpreter.compile)}", compiler.identity]
    return "; ".join([*parts, *([toolkit.identity] if toolkit else [])])


def _find_toolkit(cell: Cell, tools: Tools) -> Toolkit | None:
    """The user's CUDA toolkit where the cell needs one; None for no CUDA, or for a compiler from PyPI."""
    if cell.cuda is None:
        return None
    if cell.cuda.on_pypi and tools.cuda_home is None:
        return None
    variable = os.environ.get("CUDA_HOME")
    home = tools.cuda_home or (Path(variable) if variable else None)
    return given_toolkit(cell.cuda, home, tools.run, tools.progress)
