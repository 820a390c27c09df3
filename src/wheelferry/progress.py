"""What a stage tells whoever watches: a protocol, and the default that says nothing."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from wheelferry.errors import Interrupted


class Task(Protocol):
    """One piece of work whose advance can be shown."""

    def advance(self, amount: int = 1) -> None:
        """Say that `amount` more units are done (from any thread)."""
        ...

    def total(self, total: int, done: int = 0) -> None:
        """Say how many units there are, and how many are done already."""
        ...

    def detail(self, text: str) -> None:
        """Say in a few words what is being done right now."""
        ...


class Progress(Protocol):
    """Receives the course of events; must be safe to call from several threads."""

    def stage(self, title: str) -> None:
        """A stage begins; the one before it is over."""
        ...

    def task(
        self, title: str, *, total: int | None = None, unit: str = "steps"
    ) -> AbstractContextManager[Task]:
        """A piece of work begins and ends with the context; `unit` is ``steps`` or ``bytes``."""
        ...

    def note(self, message: str) -> None:
        """Something worth a line."""
        ...

    def warn(self, message: str) -> None:
        """Something the user should know although the work goes on."""
        ...


class _SilentTask:
    def advance(self, amount: int = 1) -> None: ...

    def total(self, total: int, done: int = 0) -> None: ...

    def detail(self, text: str) -> None: ...


class Silent:
    """The default: nobody watches."""

    def stage(self, title: str) -> None: ...

    def task(
        self, title: str, *, total: int | None = None, unit: str = "steps"
    ) -> AbstractContextManager[Task]:
        return nullcontext(_SilentTask())

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class Labelled:
    """Another progress with a name before every line: for work that goes on beside other work."""

    def __init__(self, inner: Progress, label: str) -> None:
        self._inner, self._label = inner, label

    def stage(self, title: str) -> None:
        self._inner.stage(title)

    def task(
        self, title: str, *, total: int | None = None, unit: str = "steps"
    ) -> AbstractContextManager[Task]:
        return self._inner.task(f"{self._label}: {title}", total=total, unit=unit)

    def note(self, message: str) -> None:
        self._inner.note(f"{self._label}: {message}")

    def warn(self, message: str) -> None:
        self._inner.warn(f"{self._label}: {message}")


@dataclass(frozen=True)
class _StoppableTask:
    inner: Task
    stop: threading.Event

    def advance(self, amount: int = 1) -> None:
        if self.stop.is_set():
            raise Interrupted("interrupted")
        self.inner.advance(amount)

    def total(self, total: int, done: int = 0) -> None:
        self.inner.total(total, done)

    def detail(self, text: str) -> None:
        self.inner.detail(text)


class Stoppable:
    """Another progress, by which work can be stopped: once `stop` is set, what it reports raises Interrupted.

    For work in a thread, which does not hear of Ctrl-C.
    """

    def __init__(self, inner: Progress, stop: threading.Event) -> None:
        self._inner, self._stop = inner, stop

    def stage(self, title: str) -> None:
        """Nothing: the stage is that of the work beside it."""

    @contextmanager
    def task(self, title: str, *, total: int | None = None, unit: str = "steps") -> Iterator[Task]:
        if self._stop.is_set():
            raise Interrupted("interrupted")
        with self._inner.task(title, total=total, unit=unit) as task:
            yield _StoppableTask(task, self._stop)

    def note(self, message: str) -> None:
        self._inner.note(message)

    def warn(self, message: str) -> None:
        self._inner.warn(message)
