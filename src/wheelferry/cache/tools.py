"""What every stage needs to do its work, handed in as one frozen value."""

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from wheelferry.cache.pip_config import IndexSettings, read_pip_configuration
from wheelferry.cache.store import Store, default_root
from wheelferry.cache.uv import Uv, find_uv
from wheelferry.client.probe.machine import memory
from wheelferry.progress import Progress
from wheelferry.system.files import require_space
from wheelferry.system.process import CommandRunner


class CompilerChoice(Enum):
    """What compiles ops on torch's stable ABI: g++ (mingw-w64's for Windows), zig, or what there is."""

    AUTO = "auto"
    GXX = "g++"
    ZIG = "zig"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """The runner, the store, the user's index, uv, whoever watches, and how many jobs may run.

    `cuda_home` is a CUDA toolkit that the user names on the command line, and `compiler` a compiler.
    """

    run: CommandRunner
    store: Store
    index: IndexSettings
    uv: Uv
    progress: Progress
    jobs: int
    cuda_home: Path | None = None
    compiler: CompilerChoice = CompilerChoice.AUTO


_SPACE_TO_START = 1_000_000_000


def open_tools(
    run: CommandRunner,
    progress: Progress,
    *,
    jobs: int | None,
    cuda_home: Path | None,
    compiler: CompilerChoice = CompilerChoice.AUTO,
) -> Tools:
    """Everything the stages need on this machine, with its user's own store and pip configuration."""
    store = Store(default_root())
    require_space(store.root, _SPACE_TO_START, purpose="wheelferry's cache")
    index = read_pip_configuration(run)
    return Tools(
        run=run,
        store=store,
        index=index,
        uv=Uv(program=find_uv(), run=run, index=index, warn=progress.warn),
        progress=progress,
        jobs=jobs or default_jobs(),
        cuda_home=cuda_home,
        compiler=compiler,
    )


# What one C++ unit against torch's headers takes at its peak, in bytes.
CXX_MEMORY = 2_000_000_000


def default_jobs(*, memory_each: int = CXX_MEMORY) -> int:
    """One job a core, at most one for each `memory_each` bytes of the machine's memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    known = memory()
    return max(1, min(cores, known // memory_each)) if known else cores
