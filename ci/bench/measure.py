"""What the benchmarks share: timing a command, watching its memory, printing a table of ratios."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One run of a command: wall seconds, and the peak resident memory of its own process in MB."""

    seconds: float
    peak_mb: float


def timed(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Run:
    """Run `command`, which must succeed; its children's memory is not counted."""
    started = time.perf_counter()
    process = subprocess.Popen([os.fspath(c) for c in command], env=env, cwd=cwd, stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _peak_of(process.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{command[0]} … failed with {process.returncode}")
    return Run(seconds, peak)


def compiled(command: Sequence[str | Path]) -> Run:
    """Processor seconds of a compilation, and the peak memory of the largest one so far."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, after.ru_maxrss / 1000)


def _peak_of(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) / 1000


def median(runs: Sequence[Run]) -> Run:
    """Medians of seconds and of memory."""
    return Run(statistics.median(r.seconds for r in runs), statistics.median(r.peak_mb for r in runs))


def table(title: str, rows: Mapping[str, Run], base: str) -> None:
    """Print seconds, memory, and each row's time as a ratio to row `base`."""
    print(f"\n{title} ({os.cpu_count()} cores, Python {sys.version.split()[0]})\n")
    print("| what | seconds | ratio | peak MB |\n|---|---|---|---|")
    for name, run in rows.items():
        print(f"| {name} | {run.seconds:.2f} | {run.seconds / rows[base].seconds:.2f} | {run.peak_mb:.0f} |")
