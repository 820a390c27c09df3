"""Build tasks: a cell that another machine prepares and compiles, and what comes back."""

import platform
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from wheelferry import __version__
from wheelferry.build.compile import compile_wheel
from wheelferry.build.prepare import CompiledAgainst, build_inputs, prepare
from wheelferry.build.strategy import BuildStrategy
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import CompilerChoice, Tools, default_jobs, open_tools
from wheelferry.distributed.cluster import own_address, own_host, while_wanted
from wheelferry.distributed.source_archive import SourceArchive, unpack_source
from wheelferry.errors import MissingError, WheelferryError, refused_by_machine
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.progress import Silent
from wheelferry.system.process import Group, run
from wheelferry.toolchains import linux, mingw

Done = TypeVar("Done")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildTask:
    """One cell to build, with all that this takes except the source, which travels once for all cells.

    `plan` has this cell alone. The bytes of wheels whose build key is in `held` are not needed; with `anew`
    no store's wheel counts. `beside` says how many tasks each host may have at once, to share its cores when
    `jobs` is None. `version` is that of the wheelferry that asks.
    """

    plan: Plan
    strategy: BuildStrategy
    held: tuple[str, ...]
    anew: bool
    jobs: int | None
    beside: Mapping[str, int]
    cuda_home: Path | None
    compiler: CompilerChoice = CompilerChoice.AUTO
    version: str = __version__

    @property
    def cell(self) -> Cell:
        """The cell to build."""
        return self.plan.cells[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildResult:
    """What came of a build task: the wheel under its build key, and what the key is of.

    `wheel` and `data` are None when the key is among those held. `inputs` are the hashes of the wheels it was
    built in, by file name; `seconds` is how long it took.
    """

    key: str
    toolchain: str
    inputs: Mapping[str, str]
    wheel: Entry | None
    data: bytes | None
    torch: CompiledAgainst | None
    on_stable_abi: bool
    environment_key: str
    worker: str
    seconds: float


def describe_builder() -> Mapping[str, str]:
    """What decides which wheels this machine makes, apart from its Pythons."""
    facts = {
        "wheelferry": __version__,
        "system": f"{sys.platform} {platform.machine()}",
        "glibc": platform.libc_ver()[1] or "none",
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    try:
        facts["compiler"] = linux.toolchain_identity(run)
    except MissingError as error:
        facts["compiler"] = f"none ({error})"
    try:
        facts["mingw-w64"] = mingw.find(run).version
    except MissingError:
        facts["mingw-w64"] = "none"
    return facts


def run_task(build_task: BuildTask, packed: SourceArchive) -> BuildResult | WheelferryError:
    """Prepare and compile the cell, on a worker, with its own store and package index.

    Ends early when nobody waits for it any more. What `prepare` and `compile_wheel` raise bears the worker's
    name. MissingError is raised, also when this is another wheelferry than the one that asks: Dask tries
    again, maybe elsewhere. Other errors are returned: they would come again.
    """
    started = time.monotonic()

    def build(group: Group) -> BuildResult:
        tools = open_worker_tools(
            group,
            jobs=build_task.jobs,
            beside=build_task.beside,
            cuda_home=build_task.cuda_home,
            compiler=build_task.compiler,
        )
        return _run_task(build_task, packed, tools, started)

    return do_task(build, version=build_task.version)


def do_task(work: Callable[[Group], Done], *, version: str) -> Done | WheelferryError:
    """What `work` returns; the processes that it starts in the group end when nobody waits for it any more.

    `version` is that of the wheelferry that asks. Errors are as of `run_task`.
    """
    try:
        _require_version(version)
        group = Group(run)
        with while_wanted(group.end):
            return work(group)
    except WheelferryError as error:
        error.args = (f"{error} [worker {own_address()}]",)
        if isinstance(error, MissingError):
            raise
        return error
    except OSError as error:
        refusal = refused_by_machine(error)
        if refusal is None:
            raise
        raise MissingError(f"{refusal} [worker {own_address()}]", hint=refusal.hint) from None


def _require_version(version: str) -> None:
    if version != __version__:
        raise MissingError(
            f"this worker has wheelferry {__version__}, the task is from {version}",
            hint="install one version everywhere",
        )


def open_worker_tools(
    group: Group,
    *,
    jobs: int | None,
    beside: Mapping[str, int],
    cuda_home: Path | None = None,
    compiler: CompilerChoice = CompilerChoice.AUTO,
) -> Tools:
    """This machine's tools, which start processes in `group`; `jobs` and `beside` are as of `BuildTask`."""
    share = max(1, default_jobs() // beside.get(own_host(), 1))
    tools = open_tools(run, Silent(), jobs=jobs or share, cuda_home=cuda_home, compiler=compiler)
    return replace(tools, run=group.run, uv=replace(tools.uv, run=group.run))


def _run_task(build_task: BuildTask, packed: SourceArchive, tools: Tools, started: float) -> BuildResult:
    source = unpack_source(packed, tools.store, tools.run)
    prepared = prepare(build_task.plan, build_task.cell, build_task.strategy, source, tools)
    built = None
    if build_task.anew or prepared.key not in build_task.held:
        built = compile_wheel(build_task.plan, prepared, source, tools, anew=build_task.anew)
    return BuildResult(
        key=prepared.key,
        toolchain=prepared.toolchain,
        inputs=build_inputs(build_task.cell, prepared.environment),
        wheel=built.wheel if built else None,
        data=tools.store.path(built.wheel.sha256).read_bytes() if built else None,
        torch=None if prepared.stable else prepared.torch,
        on_stable_abi=prepared.stable is not None,
        environment_key=prepared.environment.key,
        worker=own_address(),
        seconds=time.monotonic() - started,
    )
