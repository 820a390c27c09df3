"""Build: the release's wheel, compiled against exactly the torch that will be shipped."""

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wheelferry.build import compilers
from wheelferry.build.environment import Environment, check_torch_build, find_torch, lock_environment
from wheelferry.build.repair import repair_wheel
from wheelferry.build.strategy import BuildStrategy
from wheelferry.cache.source import Source, export, longest_path, substitute
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools, default_jobs
from wheelferry.errors import BuildError, InputError, MissingError, WheelferryError
from wheelferry.models import stable_abi
from wheelferry.models.cuda import Cuda, from_flags
from wheelferry.models.lock import (
    LockedWheel,
)
from wheelferry.models.plan import Cell, Plan, build_key, device_code, required_modules
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import filename_parts
from wheelferry.progress import Task
from wheelferry.system.files import require_space
from wheelferry.system.interpreters import Interpreter, find_interpreter
from wheelferry.toolchains import compiling, facade, gcc, linux, mingw, modules, native, zig
from wheelferry.toolchains.cuda_toolkit import Toolkit, assembled_toolkit, given_toolkit
from wheelferry.toolchains.native import Compiler
from wheelferry.toolchains.object_cache import write_compiler
from wheelferry.toolchains.torch_stub import place_torch_stub, torch_stub_identity
from wheelferry.wheels.archive import read_wheel

if TYPE_CHECKING:
    from build import ProjectBuilder

Result = TypeVar("Result")

# Variables that would decide what is built without being part of the build's key.
_NOT_INHERITED = (
    "PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "CUDA_", "NVCC_", "TORCH_CUDA", "FORCE_CUDA",
    "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LDSHARED", "LDCXXSHARED", "_CL_", "_LINK_",
)  # fmt: skip
# What one nvcc over torch's headers takes: its cicc was seen at 1.1 GB, the cc1plus beside it at 1.4 GB.
NVCC_MEMORY = 4_000_000_000
_NINJA_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledAgainst:
    """The torch that compiled ops were built with: its version and the SHA-256 of its wheel.

    On the stable ABI it is the hash of those headers alone that are used.
    """

    version: str
    sha256: str


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
    `toolchain` is everything that compiles, as the key has it.
    """

    cell: Cell
    key: str
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
        torch = find_torch(plan, cell, interpreter, tools)
        headers = modules.identify_torch(tools.store.path(torch.sha256), windows=cell.target.is_windows)
        stable = Stable(compiler=found, torch=torch, headers=headers)
    environment = lock_environment(plan, cell, strategy, interpreter, toolkit, tools)
    toolchain = _toolchain_identity(cell, interpreter, compiler, toolkit, stable)
    key = build_key(
        plan, cell, source_id=source.identity, inputs=build_inputs(cell, environment), toolchain=toolchain
    )
    prepared = Prepared(
        cell=cell,
        key=key,
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
        return "; ".join([*parts, *([stable.identity] if stable else [])])
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
        with tools.progress.task("make the build environment"):
            python = make_environment(work, environment, interpreter, tools, log)
        variables = build_variables(prepared.compiler, interpreter, work, python, source.epoch, tools)
        variables |= dict(cell.environment)
        if plan.recipe.build.parallel_modules and cell.cuda is None:
            variables["DIST_EXTRA_CONFIG"] = str(_build_modules_beside(work, tools.jobs))
        if prepared.compiler is None:
            variables["PYTHONPATH"] = str(place_torch_stub(work / "stand-in", cell.target.torch))
        if prepared.stable:
            variables |= _stable_variables(prepared, prepared.stable, work, tools)
        cuda = cell.cuda and replace(
            cell.cuda, architectures=cell.cuda.architectures or _torch_architectures(python, tools)
        )
        if cuda:
            toolkit = prepared.toolkit or assembled_toolkit(cuda, work / "env", work / "cuda")
            variables |= _cuda_variables(cuda, toolkit, prepared.compiler, variables, tools)
        with tools.progress.task(f"{'compile' if cell.ops else 'build'} {plan.recipe.distribution}") as task:
            raw = run_backend(tree, work / "raw", python, variables, tools, log, task)
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


def build_variables(
    compiler: Compiler | None, interpreter: Interpreter, work: Path, python: Path, epoch: int, tools: Tools
) -> dict[str, str]:
    """The whole environment of a build of ``work/source``: the user's, less what would leak in, plus ours.

    `python` is that of the build environment, ``work/env``; `epoch` is the date of the source in seconds.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    prefixes = {work / "source": "source", work / "env": "env"}
    if compiler is not None:
        configured = interpreter.compile
        variables |= native.compile_environment(compiler, work, prefixes, configured, tools.run)
        if compiler.toolchain is None:
            variables["CXX"] = str(write_compiler(work / "compiler", compiler.path, tools.store))
    return {
        **variables,
        "PATH": f"{python.parent}{os.pathsep}{variables.get('PATH', '')}",
        "SOURCE_DATE_EPOCH": str(epoch),
        "MAX_JOBS": str(tools.jobs),
        "PYTHONHASHSEED": "0",
        # a GPU in the building machine must not decide what is built
        "CUDA_VISIBLE_DEVICES": "",
        "FORCE_CUDA": "0",
    }


def _build_modules_beside(work: Path, jobs: int) -> Path:
    """A configuration by which setuptools builds that many modules at once; in turn is its default.

    Not for CUDA: torch exchanges the compiler for nvcc, file by file, in what all modules share.
    """
    file = work / "distutils.cfg"
    file.write_text(f"[build_ext]\nparallel = {jobs}\n", "utf-8")
    return file


def _stable_variables(prepared: Prepared, stable: Stable, work: Path, tools: Tools) -> dict[str, str]:
    """What makes the stand-in for torch compile with the facade."""
    wheel = work / stable.torch.filename
    tools.store.place(stable.torch.sha256, wheel)
    torch = modules.unpack_torch(wheel, work / "headers")
    target, python = prepared.cell.target, None
    if not prepared.cell.on_limited_api:
        python = prepared.interpreter.headers
        if target.is_windows:
            python = mingw.prepare_python_headers(python, work / "python")
    settings = compiling.Settings(
        compiler=_stable_compiler(target, stable.compiler, torch, work, tools),
        headers=modules.Headers(python=python, torch=torch / "include"),
        root=work / "source",
        work=work / "objects",
    )
    file = work / "compile.json"
    compiling.write_settings(settings, file)
    return {
        "WHEELFERRY_COMPILE": json.dumps([sys.executable, "-I", "-m", compiling.__name__, str(file)]),
        "WHEELFERRY_EXT_SUFFIX": _module_suffix(prepared.cell),
    }


def _stable_compiler(
    target: Target, found: compilers.Found, torch: Path, work: Path, tools: Tools
) -> compiling.ForWindows | compiling.ForLinux | compiling.ByZig:
    """The compiler as the process that setup.py starts is told of it, with the store before it."""
    major, minor = map(int, target.python.split("."))
    folder = work / "compiler"
    if isinstance(found, zig.Toolchain):
        caching = write_compiler(folder, found.compiler, tools.store, zig=found.sha256)
        return compiling.ByZig(
            toolchain=replace(found, caching=caching),
            python=(major, minor),
            zig_import_library=mingw.find_import_library(torch) if target.is_windows else None,
        )
    if isinstance(found, mingw.Toolchain):
        caching = write_compiler(folder, found.compiler, tools.store)
        return compiling.ForWindows(
            toolchain=replace(found, compiler=caching),
            python=(major, minor),
            import_library=mingw.find_import_library(torch),
        )
    options = linux.link_options(work, tools.run)
    caching = write_compiler(folder, found.path, tools.store)
    return compiling.ForLinux(toolchain=gcc.Toolchain(compiler=caching, link_options=options))


def _module_suffix(cell: Cell) -> str:
    """How the file name of a compiled module ends, as CPython on the target looks for it."""
    target = cell.target
    if target.is_windows:
        return ".pyd" if cell.on_limited_api else f".{target.interpreter}-win_amd64.pyd"
    if cell.on_limited_api:
        return ".abi3.so"
    processor = target.platform.split("_", 3)[-1]
    return f".cpython-{target.interpreter.removeprefix('cp')}-{processor}-linux-gnu.so"


def _cuda_variables(
    cuda: Cuda, toolkit: Toolkit, compiler: Compiler | None, variables: Mapping[str, str], tools: Tools
) -> dict[str, str]:
    """What makes torch's build extension compile for CUDA, on a machine without a GPU too."""
    if compiler is None:
        raise InputError("CUDA ops are asked for, and no ops", hint="leave --without-ops or --backend away")
    return {
        **native.cuda_environment(compiler, toolkit, variables),
        "FORCE_CUDA": "1",
        "TORCH_CUDA_ARCH_LIST": ";".join(cuda.architectures),
        "MAX_JOBS": str(min(tools.jobs, default_jobs(memory_each=NVCC_MEMORY))),
    }


def _torch_architectures(python: Path, tools: Tools) -> tuple[str, ...]:
    """What the torch in the build environment was itself compiled for."""
    flags = tools.run(
        [python, "-c", "import torch; print(torch._C._cuda_getArchFlags())"],
        step="ask torch for its CUDA architectures",
        hint="name them, as in --cuda-arch 9.0",
    ).output
    architectures = from_flags(flags)
    if not architectures:
        raise BuildError(
            f"torch does not say which CUDA architectures it has: {flags.strip()!r}",
            hint="name them, as in --cuda-arch 9.0",
        )
    return architectures


def run_backend(
    tree: Path,
    out: Path,
    python: Path,
    variables: Mapping[str, str],
    tools: Tools,
    log: Path,
    task: Task,
) -> Path:
    """The wheel that the project's own build backend makes in the environment, without isolation."""
    out.mkdir()

    def build(builder: "ProjectBuilder") -> str:
        return builder.build("wheel", out)

    return Path(with_backend(build, tree, python, variables, tools, log, on_line=_ninja_listener(task)))


def with_backend(
    work: "Callable[[ProjectBuilder], Result]",
    tree: Path,
    python: Path,
    variables: Mapping[str, str],
    tools: Tools,
    log: Path,
    *,
    on_line: Callable[[str], None] | None = None,
) -> "Result":
    """Let the build backend of the project in `tree` do `work`; raises BuildError when it fails."""
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
            on_line=on_line,
        )

    try:
        with warnings.catch_warnings(record=True) as caught:
            result = work(ProjectBuilder(tree, python_executable=str(python), runner=runner))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as sink:
            sink.writelines(f"warning: {warning.message}\n" for warning in caught)
        return result
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
