"""The one place that starts processes: logged, never through a shell, ended together with their children."""

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from wheelferry.client.common.processes import end_with_children
from wheelferry.errors import BuildError, Interrupted, MissingError, WheelferryError

# How much of a failed command's output an error repeats; the log holds the rest.
TAIL_LINES = 25
COMPLAINTS = 5
_COMPLAINT = re.compile(r"\b(fatal )?error: ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A finished process: its exit status and everything it printed (stderr merged unless split)."""

    returncode: int
    output: str


class CommandRunner(Protocol):
    """Starts a process and waits for it."""

    def __call__(
        self,
        command: Sequence[str | Path],
        *,
        step: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
        error: type[WheelferryError] = BuildError,
        hint: str | None = None,
    ) -> Completed:
        """Run `command`; see `run`."""
        ...


def run(
    command: Sequence[str | Path],
    *,
    step: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    error: type[WheelferryError] = BuildError,
    hint: str | None = None,
    on_start: Callable[["subprocess.Popen[str]"], None] | None = None,
    own_session: bool = True,
) -> Completed:
    """Run `command` and return what it printed, stdout and stderr merged so that neither can block.

    `step` names the work in errors ("compile skiff"). Output also goes to `log` and, line by
    line, to `on_line`. With `check`, a non-zero exit raises `error` with the output's tail and the
    log's path. The command gets a session of its own: on any exception it is ended with all its children.
    Without `own_session` it is ended together with this process, by whoever ends that.
    """
    arguments = [os.fspath(part) for part in command]
    with _open_log(log) as sink:
        if sink:
            sink.write(f"$ {shlex.join(arguments)}\n")
        try:
            process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                # not on Windows: there a blocked read does not hear of Ctrl-C, and only ends because the
                # command, in the same console, hears of it too
                start_new_session=own_session and os.name == "posix",
            )
        except FileNotFoundError:
            raise MissingError(f"{step}: program not found: {arguments[0]}", hint=hint) from None
        except OSError as refusal:  # not executable; on Windows, a program of another system
            raise MissingError(
                f"{step}: {arguments[0]} does not start: {refusal.strerror}", hint=hint
            ) from None
        lines = _follow(process, sink, on_start, on_line)
    if check and process.returncode != 0:
        raise error(_failure(step, process.returncode, lines, log), hint=hint)
    return Completed(returncode=process.returncode, output="".join(lines))


def run_at_terminal(
    command: Sequence[str | Path], *, step: str, error: type[WheelferryError], hint: str | None = None
) -> None:
    """Run `command`, which may ask the person at the terminal something; both its streams go to stderr.

    Raises `error` when it fails, and leaves the reason to what it said.
    """
    arguments = [os.fspath(part) for part in command]
    # in our own session, else it would have no terminal
    process = subprocess.Popen(arguments, stdout=sys.stderr)
    try:
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode != 0:
        raise error(f"{step} failed (exit status {process.returncode}): see above", hint=hint)


class Group:
    """Runs processes from several threads, and can end all of them together.

    A thread that waits for a process does not hear of Ctrl-C; whoever does ends the group, and every
    process started through it afterwards is refused.
    """

    def __init__(self, inner: Callable[..., Completed]) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def run(self, command: Sequence[str | Path], **options: Any) -> Completed:
        """As the runner that the group was made with; raises Interrupted once the group was ended."""
        started: list[subprocess.Popen[str]] = []

        def note(process: "subprocess.Popen[str]") -> None:
            with self._lock:
                started.append(process)
                self._running.add(process)
                ended = self._ended
            if ended:
                raise Interrupted("interrupted")

        try:
            return self._inner(command, on_start=note, **options)
        finally:
            with self._lock:
                self._running.difference_update(started)

    def end(self) -> None:
        """End every process of the group with its children."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            end_with_children(process)


class _NoLog:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _open_log(log: Path | None) -> "IO[str] | _NoLog":
    if log is None:
        return _NoLog()
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a", encoding="utf-8")


def _follow(
    process: "subprocess.Popen[str]",
    sink: IO[str] | None,
    on_start: Callable[["subprocess.Popen[str]"], None] | None,
    on_line: Callable[[str], None] | None,
) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None  # noqa: S101 -- Popen was given PIPE
    try:
        if on_start:
            on_start(process)
        for line in process.stdout:
            lines.append(line)
            if sink:
                sink.write(line)
                sink.flush()
            if on_line:
                on_line(line.rstrip("\n"))
        process.wait()
    except BaseException:
        end_with_children(process)
        raise
    finally:
        process.stdout.close()
    return lines


def _failure(step: str, status: int, lines: list[str], log: Path | None) -> str:
    end = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    tail = "".join(lines[-TAIL_LINES:]).rstrip()
    text = f"{step} failed ({end})"
    # a compiler's first complaint often stands far above the traceback of whoever started it
    named = [line for line in lines[:-TAIL_LINES] if _COMPLAINT.search(line)][:COMPLAINTS]
    if named:
        text += f"; first errors:\n{''.join(named).rstrip()}\n…"
    if tail:
        text += f":\n{tail}"
    if log:
        text += f"\nthe whole log: {log}"
    return text
