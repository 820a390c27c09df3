"""Build: the release's wheel, compiled against exactly the torch that will be shipped."""

import hashlib
import json
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.errors import BuildError, InputError, MissingError, WheelferryError
from wheelferry.files import require_space
from wheelferry.interpreters import Interpreter, find_interpreter
from wheelferry.lock import (
    Choice,
    LockedWheel,
    by_name,
    choices_from_json,
    choices_to_json,
    choose_files,
)
from wheelferry.plan import Cell, Plan, build_key
from wheelferry.platforms import linux
from wheelferry.progress import Task
from wheelferry.source import Source, export, substitute
from wheelferry.stages.finish import finish_wheel
from wheelferry.stages.populate import populate
from wheelferry.store import Entry
from wheelferry.targets import Target
from wheelferry.tools import Tools

# Variables that would decide what is built without being part of the build's key.
_NOT_INHERITED = (
    "PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "CUDA_", "TORCH_CUDA", "FORCE_CUDA",
    "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LDSHARED", "LDCXXSHARED",
)  # fmt: skip
_NINJA_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A wheel of the project for one cell, the torch it was compiled against, and its build key."""

    cell: Cell
    wheel: Entry
    torch: LockedWheel
    key: str
    interpreter: Interpreter


def build(plan: Plan, cell: Cell, source: Source, tools: Tools) -> Built:
    """The wheel of `cell`, from the store if its key is known, else compiled now.

    Raises InputError for a platform other than this machine's, MissingError without an interpreter,
    its headers or a compiler, BuildError when the project does not build or its wheel lacks
    compiled modules.
    """
    _require_own_platform(cell.target)
    tools.progress.stage(f"build {plan.title} for {cell.target.name}")
    interpreter = find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)
    # what may be missing is looked for before anything is downloaded
    if not interpreter.can_compile:
        raise MissingError(
            f"{interpreter.path} has no Python.h in {interpreter.headers}",
            hint=f"install its headers (Debian: apt-get install python{cell.target.python}-dev)",
        )
    toolchain = linux.toolchain_identity(tools.run)
    environment = _lock_environment(plan, cell, interpreter, tools)
    key = build_key(
        plan,
        cell,
        source_id=source.identity,
        inputs={wheel.filename: wheel.sha256 for wheel in environment},
        toolchain=f"CPython {interpreter.version} {dict(interpreter.compile)}; {toolchain}",
    )
    torch = by_name(environment)["torch"]  # type: ignore[index]  # a NormalizedName by construction
    with tools.store.lock(
        f"build-{key}", on_wait=lambda: tools.progress.note("waiting for the same build elsewhere")
    ):
        entry = tools.store.recall("build", key)
        if entry is None:
            entry = _compile(plan, cell, source, environment, interpreter, tools, key=key)
            tools.store.remember("build", key, entry)
        else:
            tools.progress.note(f"{entry.filename} is in the store")
    return Built(cell=cell, wheel=entry, torch=torch, key=key, interpreter=interpreter)


def _require_own_platform(target: Target) -> None:
    """Raise InputError for a platform that this machine's compiler does not make."""
    if sys.platform != "linux" or not target.platform.startswith("manylinux"):
        raise InputError(
            f"{target.platform} cannot be built on this machine ({sys.platform})",
            hint="this version builds Linux wheels on Linux",
        )
    if not target.platform.endswith(platform.machine()):
        raise InputError(
            f"{target.platform} cannot be built on {platform.machine()}",
            hint="build on a machine of that kind",
        )


def environment_key(plan: Plan, cell: Cell, interpreter: Interpreter, tools: Tools) -> str:
    """The identity of a cell's build environment: what is asked for, for whom, and from which index."""
    document = [
        cell.target.name,
        interpreter.version,
        cell.build_requires,
        cell.constraints,
        plan.recipe.build.sdist_constraints,
        sorted(tools.index.uv_environment().items()),
    ]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def _lock_environment(
    plan: Plan, cell: Cell, interpreter: Interpreter, tools: Tools
) -> tuple[LockedWheel, ...]:
    """The build environment: the very torch that will be shipped, and build tools.

    Once resolved it stays while its files are in the store, so that a new release of a build tool
    does not make every wheel anew; another index or another recipe resolves it again.
    """
    key = environment_key(plan, cell, interpreter, tools)
    remembered = tools.store.recall_text("environment", key)
    choices = choices_from_json(remembered) if remembered else ()
    if not choices or not all(choice.sha256 and tools.store.has(choice.sha256) for choice in choices):
        choices = _resolve_environment(cell, interpreter, tools)
        tools.store.remember_text("environment", key, choices_to_json(choices))
    return populate(
        choices, cell.target, interpreter, tools, sdist_constraints=plan.recipe.build.sdist_constraints
    )


def _resolve_environment(cell: Cell, interpreter: Interpreter, tools: Tools) -> tuple[Choice, ...]:
    with (
        tools.store.workspace("resolve") as work,
        tools.progress.task("resolve the build environment"),
    ):
        resolution = tools.uv.resolve(
            cell.target,
            requirements=cell.build_requires,
            constraints=cell.constraints,
            find_links=None,
            interpreter=interpreter,
            work=work,
        )
        return choose_files(resolution, cell.target, base=work)


def _compile(
    plan: Plan,
    cell: Cell,
    source: Source,
    environment: tuple[LockedWheel, ...],
    interpreter: Interpreter,
    tools: Tools,
    *,
    key: str,
) -> Entry:
    log = tools.store.log_path(f"build-{plan.recipe.name}-{plan.release_name}".replace("/", "_"))
    with tools.store.workspace("build", plain_path=True) as work:
        # unpacked, a wheel takes about twice its size
        require_space(work, 2 * sum(wheel.size for wheel in environment), purpose="the build environment")
        tree = work / "source"
        export(source, tree, tools.run)
        substitute(tree, cell.substitutions)
        with tools.progress.task("make the build environment"):
            python = _make_environment(work, environment, interpreter, tools, log)
        variables = _build_variables(cell, source, work, python, interpreter, tools)
        with tools.progress.task(f"compile {plan.recipe.distribution}") as task:
            raw = _run_backend(tree, work / "raw", python, variables, tools, log, task)
        return finish_wheel(
            raw,
            work / "finished",
            cell,
            plan.recipe.build.extensions,
            tools,
            epoch=source.epoch,
            stamp=_stamp(plan, cell, source, by_name(environment)["torch"], key),  # type: ignore[index]
            log=log,
        )


def _make_environment(
    work: Path, environment: tuple[LockedWheel, ...], interpreter: Interpreter, tools: Tools, log: Path
) -> Path:
    links = work / "wheels"
    links.mkdir()
    for wheel in environment:
        tools.store.place(wheel.sha256, links / wheel.filename)
    paths = [links / wheel.filename for wheel in environment]
    return tools.uv.make_environment(work / "env", interpreter, paths, log=log, cache=work / "uv")


def _build_variables(
    cell: Cell, source: Source, work: Path, python: Path, interpreter: Interpreter, tools: Tools
) -> dict[str, str]:
    """The whole environment of the build: the user's, less what would leak in, plus ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    prefixes = {work / "source": "source", work / "env": "env"}
    return {
        **inherited,
        **linux.compile_environment(work, prefixes, interpreter.compile, tools.run),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "SOURCE_DATE_EPOCH": str(source.epoch),
        "MAX_JOBS": str(tools.jobs),
        "PYTHONHASHSEED": "0",
        # a GPU in the building machine must not decide what is built
        "CUDA_VISIBLE_DEVICES": "",
        "FORCE_CUDA": "0",
        **dict(cell.environment),
    }


def _run_backend(
    tree: Path,
    out: Path,
    python: Path,
    variables: Mapping[str, str],
    tools: Tools,
    log: Path,
    task: Task,
) -> Path:
    """Run the project's own build backend in the environment, without isolation."""
    from build import BuildBackendException, BuildException, ProjectBuilder

    def runner(
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        tools.run(
            list(cmd),
            step="the project's build",
            cwd=Path(cwd) if cwd else tree,
            env={**variables, **(extra_environ or {})},
            log=log,
            on_line=_ninja_listener(task),
        )

    out.mkdir()
    try:
        with warnings.catch_warnings(record=True) as caught:
            wheel = ProjectBuilder(tree, python_executable=str(python), runner=runner).build("wheel", out)
        with log.open("a", encoding="utf-8") as sink:
            sink.writelines(f"warning: {warning.message}\n" for warning in caught)
        return Path(wheel)
    except BuildBackendException as error:
        if isinstance(error.exception, WheelferryError):
            raise error.exception from None  # what our runner raised, wrapped
        raise BuildError(f"the project's build backend failed: {error}; the whole log: {log}") from None
    except BuildException as error:
        raise BuildError(f"the project's build backend failed: {error}; the whole log: {log}") from None


def _ninja_listener(task: Task) -> Callable[[str], None]:
    """Turns ninja's ``[k/n]`` into progress."""

    def listen(line: str) -> None:
        match = _NINJA_STEP.match(line)
        if match:
            task.total(int(match[2]), done=int(match[1]))

    return listen


def _stamp(plan: Plan, cell: Cell, source: Source, torch: LockedWheel, key: str) -> bytes:
    """What the wheel says about its making; the static check compares the torch hash with the lock."""
    document = {
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "source": source.identity,
        "backend": cell.target.backend,
        "torch": {"version": str(torch.version), "sha256": torch.sha256},
        "key": key,
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
