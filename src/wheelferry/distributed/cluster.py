"""A Dask cluster: finding it, asking its workers, tasks that come back one by one. Alone imports Dask.

Retries, moving the tasks of a lost worker to others and bringing results back are Dask's own.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wheelferry.errors import BuildError, InputError, MissingError, WheelferryError
from wheelferry.progress import Progress

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 15
# How long a cluster may be without any worker before its tasks count as failed.
DESERTED_SECONDS = 300
# A worker that declares this resource (dask worker --resources wheelferry=1) takes as many tasks at once.
RESOURCE = "wheelferry"
# What a task that failed for want of something (a network, disk) is tried again: maybe on another worker.
RETRIES = 2
_TICK_SECONDS = 1.0
_WATCH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker of a cluster: its machine, how many tasks it takes at once, and whether it has `RESOURCE`."""

    address: str
    host: str
    threads: int
    declared: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A call on some worker. `name` is unique; the workers in `avoided` are not taken while there are others.

    An argument may be what `Cluster.share` returned.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    avoided: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class _InFlight:
    task: Task
    allowed: frozenset[str]
    attempt: int


class Cluster:
    """The workers behind a scheduler. Tasks are started, then taken from `finished` as they end."""

    def __init__(self, client: "Client", address: str, progress: Progress, *, patience: float) -> None:
        self.address = address
        self._client, self._progress, self._patience = client, progress, patience
        self._flying: dict[Future[Any], _InFlight] = {}
        self._deserted: float | None = None

    def workers(self) -> tuple[Worker, ...]:
        """The workers that are there now; MissingError when the scheduler does not say."""
        try:
            # not Client.scheduler_info: what it returns may be the answer to a question of its own meanwhile
            scheduler: Any = self._client.scheduler
            known: Mapping[str, Any] = self._client.sync(scheduler.identity)["workers"]
        except OSError:
            raise self._lost() from None
        return tuple(
            Worker(
                address=address,
                host=facts["host"],
                threads=facts["nthreads"],
                declared=RESOURCE in facts["resources"],
            )
            for address, facts in sorted(known.items())
        )

    def ask(self, function: Callable[[], Any]) -> dict[str, Any]:
        """What `function` returns on each worker, or the exception that it ended with."""
        answers: dict[str, Any] = self._client.run(function, on_error="return")
        return answers

    def share(self, value: object, *, name: str) -> object:
        """Something that many tasks need, fetched once by each worker; sent again when it is lost."""
        return self._client.submit(_same, value, key=name, retries=RETRIES)

    def start(self, task: Task) -> None:
        """Have the task done by some worker."""
        self._submit(task)

    def finished(self) -> Iterator[tuple[Task, Any]]:
        """Each started task as it ends, with its result or the WheelferryError that it raised.

        Tasks may be started meanwhile. Where no worker is left, or no scheduler, all tasks end with
        MissingError. An exception that is none of ours is raised.
        """
        from distributed import wait

        while self._flying:
            try:
                wait(list(self._flying), timeout=_TICK_SECONDS, return_when="FIRST_COMPLETED")
            except TimeoutError:
                if (error := self._trouble()) is not None:
                    yield from self._give_up(error)
                continue
            except CancelledError:
                yield from self._give_up(self._lost())
                continue
            for future in [future for future in self._flying if future.done()]:
                yield self._flying.pop(future).task, self._outcome(future)

    def cancel(self) -> None:
        """Drop all tasks; workers hear of it (see `while_wanted`)."""
        flying = list(self._flying)
        self._flying.clear()
        if flying and self._client.status == "running":
            self._client.cancel(flying)

    def _submit(self, task: Task, *, attempt: int = 0) -> None:
        workers = self.workers()
        others = frozenset(worker.address for worker in workers) - task.avoided
        allowed = others if task.avoided else frozenset[str]()
        future = self._client.submit(
            task.function,
            *task.arguments,
            key=f"{task.name}-{attempt}",
            retries=RETRIES,
            workers=sorted(allowed) or None,
            resources={RESOURCE: 1} if any(worker.declared for worker in workers) else None,
        )
        self._flying[future] = _InFlight(task=task, allowed=allowed, attempt=attempt)

    def _trouble(self) -> MissingError | None:
        """What keeps tasks from ever ending: no scheduler, or for a long time no worker."""
        if self._client.status != "running":
            return self._lost()
        try:
            present = {worker.address for worker in self.workers()}
        except MissingError as error:
            return error
        if present:
            self._deserted = None
            self._start_elsewhere(present)
            return None
        now = time.monotonic()
        if self._deserted is None:
            self._deserted = now
            self._progress.warn(f"the scheduler {self.address} has no worker left; waiting for one")
        if now - self._deserted < self._patience:
            return None
        return MissingError(
            f"the scheduler {self.address} has had no worker for {self._patience:.0f} s",
            hint=f"start workers (dask worker {self.address} --nthreads 1) and run the command again: "
            "what was built is kept",
        )

    def _start_elsewhere(self, present: set[str]) -> None:
        """Tasks that were for certain workers, of which none is left, go to others."""
        stranded = [
            f for f, flying in self._flying.items() if flying.allowed and not flying.allowed & present
        ]
        for future in stranded:
            flying = self._flying.pop(future)
            self._client.cancel([future])
            self._submit(flying.task, attempt=flying.attempt + 1)

    def _lost(self) -> MissingError:
        return MissingError(
            f"the scheduler {self.address} went away",
            hint="start it and its workers, and run the command again: what was built is kept",
        )

    def _give_up(self, error: MissingError) -> Iterator[tuple[Task, Any]]:
        tasks = [flying.task for flying in self._flying.values()]
        self.cancel()
        yield from ((task, error) for task in tasks)

    def _outcome(self, future: "Future[Any]") -> Any:
        from distributed.scheduler import KilledWorker

        if future.status == "cancelled":
            return self._lost()
        try:
            return future.result()
        except WheelferryError as error:
            return error
        except CancelledError:
            return self._lost()
        except KilledWorker as error:
            return BuildError(
                f"{error.allowed_failures + 1} workers ended during this build, the last one "
                f"{error.last_worker.address}",
                hint="look into the workers' logs; a worker that the system ends for want of memory needs "
                "fewer --jobs, or a larger machine",
            )


@contextlib.contextmanager
def connect(address: str, progress: Progress, *, patience: float = DESERTED_SECONDS) -> Iterator[Cluster]:
    """The cluster whose scheduler is at `address`; its tasks are cancelled when the context ends.

    It may be without any worker for `patience` seconds before its tasks count as failed.

    Raises InputError for what is not an address and without a TLS configuration for tls://; MissingError
    without Dask, a scheduler that answers, or any worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingError(
            "--scheduler needs Dask, which is not installed", hint="pip install 'wheelferry[dask]'"
        ) from None
    _check_address(address)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, name="wheelferry")
    except OSError as error:
        raise MissingError(
            f"the scheduler {address} does not answer: {error}",
            hint="start one (dask scheduler) and its workers, or check address, firewall and, for tls://, "
            "certificates; without --scheduler everything is built here",
        ) from None
    cluster = Cluster(client, address, progress, patience=patience)
    try:
        if not cluster.workers():
            with contextlib.suppress(TimeoutError), progress.task("wait for a worker"):
                client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        if not cluster.workers():
            raise MissingError(
                f"the scheduler {address} has no worker",
                hint=f"start some: dask worker {address} --nthreads 1 (docs/scheduler.md)",
            )
        yield cluster
    finally:
        try:
            cluster.cancel()
        finally:
            client.close(timeout=_TICK_SECONDS)


def _check_address(address: str) -> None:
    """Raise InputError for what Dask could not even try to reach: a client that fails so is slow to end."""
    from distributed import Security
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    try:
        scheme = parse_address(address)[0]
        get_backend(scheme)
    except ValueError as error:
        raise InputError(
            f"--scheduler {address}: {error}", hint="give it as `dask scheduler` prints it: tcp://HOST:PORT"
        ) from None
    if scheme == "tls" and Security().get_connection_args("client")["ssl_context"] is None:
        raise InputError(
            f"--scheduler {address}: Dask's configuration names no certificates",
            hint="set distributed.comm.tls, as in docs/scheduler.md",
        )


def _same(value: object) -> object:
    return value


# ------------------------------------------------------------------------------------------- on a worker


def own_address() -> str:
    """The address of the worker that runs this."""
    from distributed import get_worker

    return str(get_worker().address)


def own_host() -> str:
    """Its host, as the scheduler writes it."""
    from distributed.comm.addressing import get_address_host

    return str(get_address_host(own_address()))


@contextlib.contextmanager
def while_wanted(end: Callable[[], None]) -> Iterator[None]:
    """Calls `end`, from another thread, once nobody waits any more for the task that this is part of.

    Dask cannot end a task that runs, and a client that was killed says nothing; but the worker is told that
    the result is wanted no more. Where it is the worker that goes away, what the end made fail is no failure
    of the task: another worker takes it.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    over, ended = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_SECONDS):
            known = worker.state.tasks.get(key)
            if known is None or known.state == "cancelled" or worker.status.name.startswith("clos"):
                ended.set()
                end()
                return

    watcher = threading.Thread(target=watch, name="while_wanted", daemon=True)
    watcher.start()
    try:
        yield
    except WheelferryError:
        if ended.is_set():
            raise Reschedule from None
        raise
    finally:
        over.set()
        watcher.join()


@contextlib.contextmanager
def counting_ends(name: str) -> Iterator[int]:
    """How many workers began the task of that name before, and never came to an end of it: they were killed.

    Dask gives such a task to another worker without a word; the scheduler keeps the count.
    """
    from distributed import Queue, get_client

    begun = Queue(f"{name}-begun", client=get_client())
    earlier: int = begun.qsize()
    begun.put(own_address())
    try:
        yield earlier
    finally:
        # a worker that is told to go may have no connection any more
        with contextlib.suppress(OSError, TimeoutError, CancelledError):
            begun.get(timeout=_TICK_SECONDS)
