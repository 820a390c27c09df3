"""Progress on stderr: what is being done, and for how long. Apart, for rich's bars take time to import."""

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from wheelferry.progress import Task


class _Amount(ProgressColumn):
    """Bytes or steps, whichever the task counts."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._steps = DownloadColumn(), MofNCompleteColumn()

    def render(self, task: RichTask) -> Text:
        if task.total is None:
            return Text("")
        return self._bytes.render(task) if task.fields.get("unit") == "bytes" else self._steps.render(task)


class _ShownTask:
    def __init__(self, progress: Progress, identity: TaskID) -> None:
        self._progress, self._identity = progress, identity

    def advance(self, amount: int = 1) -> None:
        self._progress.advance(self._identity, amount)

    def total(self, total: int, done: int = 0) -> None:
        self._progress.update(self._identity, total=total, completed=done)

    def detail(self, text: str) -> None:
        self._progress.update(self._identity, detail=escape(text))


class ConsoleProgress:
    """Shows stages and tasks: live bars on a terminal, one line each elsewhere.

    A warning is shown once: what is fetched ahead is looked at again when it is locked.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            _Amount(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=self._console,
            transient=True,
        )
        self._running = 0
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    def stage(self, title: str) -> None:
        self._console.print(f"[bold]{escape(title)}[/bold]")

    @contextlib.contextmanager
    def task(self, title: str, *, total: int | None = None, unit: str = "steps") -> Iterator[Task]:
        """A bar while the work goes on, a line with its seconds afterwards."""
        started = time.perf_counter()
        identity = self._progress.add_task(escape(title), total=total, unit=unit, detail="")
        with self._lock:
            self._running += 1
            if self._console.is_terminal:
                self._progress.start()
        try:
            yield _ShownTask(self._progress, identity)
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0 and self._console.is_terminal:
                    self._progress.stop()
            self._progress.remove_task(identity)
        seconds = time.perf_counter() - started
        if seconds >= 0.5:
            self._console.print(f"  {escape(title)} [dim]{seconds:.1f} s[/dim]")

    def note(self, message: str) -> None:
        self._console.print(f"  {escape(message)}")

    def warn(self, message: str) -> None:
        with self._lock:
            if message in self._warned:
                return
            self._warned.add(message)
        self._console.print(f"[yellow]warning:[/yellow] {escape(message)}")
