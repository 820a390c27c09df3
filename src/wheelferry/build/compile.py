"""Compile a cell's wheel against exactly the torch that will be shipped."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wheelferry.build.backend import run_backend
from wheelferry.build.configure import configure
from wheelferry.build.described import device_options, require_described
from wheelferry.build.prepare import CompiledAgainst, Prepared
from wheelferry.build.repair import repair_wheel
from wheelferry.build.variables import (
    DeviceBuild,
    build_modules_beside,
    build_variables,
    cuda_variables,
    stable_abi_variables,
)
from wheelferry.cache.source import Source, export, longest_path, project_in, substitute
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError
from wheelferry.models import stable_abi
from wheelferry.models.cuda import Cuda, from_flags
from wheelferry.models.lock import LockedWheel
from wheelferry.models.planning.build_key import device_code, required_modules
from wheelferry.models.planning.configuration import configuration_of
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.system.files import require_space
from wheelferry.system.interpreters import Interpreter
from wheelferry.toolchains import native
from wheelferry.toolchains.cuda_toolkit import assembled_toolkit
from wheelferry.toolchains.torch_stub import place_torch_stub
from wheelferry.wheels.read import read_wheel, torch_architectures

# Wheels of a build environment up to this size, in bytes, are there when setup.py is asked what it will make.
_LIGHT = 40_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A wheel of the project for one cell, and the torch it was compiled against (None: nothing was).

    `environment_key` names the build environment in the store, empty for a wheel that was not compiled
    here; `cuda_architectures` are those compiled for. `interpreter` is this machine's, for sdists. A wheel
    `on_stable_abi` has no torch: it is not tied to the one it was compiled against.
    """

    cell: Cell
    wheel: Entry
    torch: CompiledAgainst | None
    interpreter: Interpreter
    environment_key: str = ""
    cuda_architectures: tuple[str, ...] = ()
    on_stable_abi: bool = False


def compile_wheel(
    plan: Plan, prepared: Prepared, source: Source, tools: Tools, *, anew: bool = False
) -> Built:
    """The wheel of a prepared cell, from the store if its key is known, else compiled now.

    With `anew` it is compiled in any case; what the store remembers under the key stays.
    Raises BuildError when the project does not build or its wheel lacks compiled modules.
    """
    key = prepared.key
    with tools.store.lock(
        f"build-{key}", on_wait=lambda: tools.progress.note("waiting for the same build elsewhere")
    ):
        known = tools.store.recall("build", key)
        if known is not None and not anew:
            entry = known
            tools.progress.note(f"{entry.filename} is in the store")
        else:
            entry = _compile(plan, prepared, source, tools)
            if known is None:
                tools.store.remember("build", key, entry)
    return Built(
        cell=prepared.cell,
        wheel=entry,
        torch=None if prepared.stable else prepared.torch,
        on_stable_abi=prepared.stable is not None,
        environment_key=prepared.environment.key,
        interpreter=prepared.interpreter,
        cuda_architectures=stamped_architectures(tools.store.path(entry.sha256)),
    )


def _compile(plan: Plan, prepared: Prepared, source: Source, tools: Tools) -> Entry:
    cell, environment, interpreter = prepared.cell, prepared.environment.wheels, prepared.interpreter
    log = tools.store.log_path(
        f"build-{plan.recipe.name}-{plan.release_name}-{cell.target.name}".replace("/", "_")
    )
    room = native.workspace_room(longest_path(source, tools.run)) if prepared.compiler else None
    with tools.store.workspace("build", plain_path=True, room=room and room - len("/source")) as work:
        # unpacked, a wheel takes about twice its size
        require_space(work, 2 * sum(wheel.size for wheel in environment), purpose="the build environment")
        tree = work / "source"
        export(source, tree, tools.run)
        substitute(tree, cell.substitutions)
        project = project_in(tree, plan.recipe.source.subdirectory)
        if configuration := configuration_of(plan, cell):
            configure(tree, project, plan.recipe.build.packages, configuration)
        if prepared.compiler is not None:
            _require_modules(plan, prepared, tree, work / "described", tools, log)
        with tools.progress.task("make the build environment"):
            python = make_environment(work, environment, interpreter, tools, log)
        variables = build_variables(prepared.compiler, interpreter, work, python, source.epoch, tools)
        variables |= dict(cell.environment)
        if plan.recipe.build.parallel_modules and cell.cuda is None:
            variables["DIST_EXTRA_CONFIG"] = str(build_modules_beside(work, tools.jobs))
        cuda, device = cell.cuda, None
        if cuda:
            asked = cuda.architectures or _torch_architectures(prepared, python, tools)
            cuda = replace(cuda, architectures=asked)
            toolkit = prepared.toolkit or assembled_toolkit(cuda, work / "env", work / "cuda")
            architectures, options = device_options(plan.recipe, project, asked, tools)
            device = DeviceBuild(toolkit=toolkit, architectures=architectures, options=options)
            variables |= cuda_variables(device, prepared, variables, tools)
        if prepared.compiler is None:
            version = cuda.version if cuda else None
            stub = place_torch_stub(work / "stand-in", cell.target.torch, cuda=version)
            variables["PYTHONPATH"] = str(stub)
        if prepared.stable:
            variables |= stable_abi_variables(prepared, prepared.stable, device, work, tools)
        raw = _compiled_before(prepared.compile_key, work, tools)
        if raw is None:
            step = f"{'compile' if cell.ops else 'build'} {plan.recipe.distribution}"
            with tools.progress.task(step) as task:
                raw = run_backend(project, work / "raw", python, variables, tools, log, task)
        with _kept_on_failure(raw, prepared.compile_key, tools):
            return repair_wheel(
                raw,
                work / "finished",
                cell,
                required_modules(plan.recipe, cell),
                device_code(plan.recipe, cuda.architectures) if cuda else None,
                tools,
                epoch=source.epoch,
                stamp=_stamp(plan, prepared, cuda, source),
                log=log,
            )


def _require_modules(plan: Plan, prepared: Prepared, tree: Path, work: Path, tools: Tools, log: Path) -> None:
    """Raise InputError when setup.py will not make what the recipe names; asked without torch's gigabytes."""
    work.mkdir()
    light = tuple(w for w in prepared.environment.wheels if w.name != "torch" and w.size <= _LIGHT)
    python = make_environment(work, light, prepared.interpreter, tools, log)
    require_described(plan.recipe, prepared.cell, tree, python, work, tools, log)


def _compiled_before(key: str, work: Path, tools: Tools) -> Path | None:
    """What an earlier build compiled and the recipe did not accept, in `work`; None when there is none."""
    known = tools.store.recall("compiled", key)
    if known is None:
        return None
    tools.progress.note(f"{known.filename} was compiled before; it is checked anew")
    raw = work / "raw" / known.filename
    raw.parent.mkdir()
    tools.store.place(known.sha256, raw)
    return raw


@contextlib.contextmanager
def _kept_on_failure(raw: Path, key: str, tools: Tools) -> Iterator[None]:
    """Keep a fresh wheel that is not accepted: with a corrected recipe nothing need be compiled again."""
    try:
        yield
    except BuildError:
        tools.store.remember("compiled", key, tools.store.add(raw))
        raise
    tools.store.forget("compiled", key)


def make_environment(
    work: Path, environment: tuple[LockedWheel, ...], interpreter: Interpreter, tools: Tools, log: Path
) -> Path:
    """A virtual environment in `work` with exactly these wheels; its Python."""
    links = work / "wheels"
    links.mkdir()
    for wheel in environment:
        tools.store.place(wheel.sha256, links / wheel.filename)
    paths = [links / wheel.filename for wheel in environment]
    return tools.uv.make_environment(work / "env", interpreter, paths, log=log, cache=work / "uv")


def _torch_architectures(prepared: Prepared, python: Path, tools: Tools) -> tuple[str, ...]:
    """What the torch to compile against was itself compiled for; `python` is the build environment's."""
    if prepared.stable:
        return _require_named(torch_architectures(tools.store.path(prepared.stable.torch.sha256)), "nothing")
    flags = tools.run(
        [python, "-c", "import torch; print(torch._C._cuda_getArchFlags())"],
        step="ask torch for its CUDA architectures",
        hint="name them, as in --cuda-arch 9.0",
    ).output
    return _require_named(from_flags(flags), repr(flags.strip()))


def _require_named(architectures: tuple[str, ...], said: str) -> tuple[str, ...]:
    if not architectures:
        raise BuildError(
            f"torch does not say which CUDA architectures it has: {said}",
            hint="name them, as in --cuda-arch 9.0",
        )
    return architectures


def _stamp(plan: Plan, prepared: Prepared, cuda: Cuda | None, source: Source) -> bytes:
    """What the wheel says about its making; the static check compares the torch hash with the lock."""
    document: dict[str, Any] = {
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "source": source.identity,
        "backend": prepared.cell.target.backend,
        "cuda": asdict(cuda) if cuda else None,
        "torch": asdict(prepared.torch) if prepared.torch else None,
        "key": prepared.key,
    }
    if not prepared.cell.ops:
        document["ops"] = False
    if prepared.stable:
        document["stable_abi"] = str(stable_abi.FIRST_TORCH)
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def stamped_architectures(wheel: Path) -> tuple[str, ...]:
    """The CUDA architectures that the wheel says it was compiled for; none without CUDA."""
    stamp = json.loads(read_wheel(wheel).stamp or b"{}")
    return tuple((stamp.get("cuda") or {}).get("architectures", ()))
