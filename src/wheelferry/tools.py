"""What every stage needs to do its work, handed in as one frozen value."""

import os
from dataclasses import dataclass

from wheelferry.index import IndexSettings
from wheelferry.process import Runner
from wheelferry.progress import Progress
from wheelferry.resolver import Uv
from wheelferry.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """The runner, the store, the user's index, uv, whoever watches, and how many jobs may run."""

    run: Runner
    store: Store
    index: IndexSettings
    uv: Uv
    progress: Progress
    jobs: int


def default_jobs() -> int:
    """One job a core, at most one for each 2 GB of memory: a C++ unit against torch needs that much."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(cores, memory // 2_000_000_000))
    return cores
