"""A Dask scheduler and its workers as processes of this machine."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

# Whatever the machine's owner has configured for Dask, and pages that nobody looks at.
_QUIET = {"DASK_CONFIG": os.devnull, "DASK_LOGGING__DISTRIBUTED": "info"}


class LocalCluster:
    """A scheduler at `address`, and workers that are started and killed by name; all end with the context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self._scheduler: subprocess.Popen[bytes] | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "LocalCluster":
        file = self.folder / "scheduler.json"
        command = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter"]
        self._scheduler = self._begin("scheduler", *command, "--scheduler-file", str(file))
        until(lambda: file.is_file() and bool(file.read_text("utf-8").strip()), self.log("scheduler"))
        self.address = json.loads(file.read_text("utf-8"))["address"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.workers):
            self.kill(name)
        self.end_scheduler()

    def end_scheduler(self) -> None:
        """Kill the scheduler alone."""
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.wait(timeout=30)

    def add(self, name: str, *options: str, variables: Mapping[str, str] | None = None) -> None:
        """Start a worker for one task at a time, and wait until it is registered."""
        command = ["worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        local = self.folder / f"scratch-{name}"
        self.workers[name] = self._begin(
            name, *command, "--local-directory", str(local), *options, variables=variables
        )
        until(lambda: "Registered to" in self.log(name).read_text("utf-8"), self.log(name))

    def kill(self, name: str) -> None:
        """End a worker without a word."""
        process = self.workers.pop(name)
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait(timeout=30)

    def parent_of(self, process: int) -> str:
        """The name of the worker that started a process."""
        status = Path(f"/proc/{process}/status").read_text("utf-8")
        (parent,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
        return next(name for name, worker in self.workers.items() if worker.pid == parent)

    def log(self, name: str) -> Path:
        """What a worker, or the scheduler, said."""
        return self.folder / f"{name}.log"

    def _begin(
        self, name: str, *command: str, variables: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        paths = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
        with self.log(name).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                stdout=log,
                stderr=log,
                env={**os.environ, **_QUIET, "PYTHONPATH": paths, **(variables or {})},
            )


def until(true: Callable[[], bool], log: Path, *, seconds: float = 600) -> None:
    """Wait until a question has the answer yes; what the log says is the error."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, log.read_text("utf-8") if log.is_file() else f"no {log}"
        time.sleep(0.1)


@contextlib.contextmanager
def two_workers(folder: Path) -> Iterator[LocalCluster]:
    """A cluster whose workers, `a` and `b`, have a store each."""
    with LocalCluster(folder) as cluster:
        for name in ("a", "b"):
            cluster.add(name, variables={"WHEELFERRY_CACHE": str(folder / f"store-{name}")})
        yield cluster


def is_running(number: int) -> bool:
    """Whether there is a process of that number; the clusters of the tests run on POSIX."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
