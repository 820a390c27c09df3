"""The client's one place that starts processes: logged, in a clean environment, ended with their children."""

import os
import signal
import subprocess
from typing import Any  # noqa: F401 -- in comments, for Python 3.7

from wheelferry.client.errors import InstallFailed, NotPossibleHere
from wheelferry.client.profile import HOSTILE_PREFIXES

TAIL_LINES = 25
_DISK_FULL = ("No space left on device", "os error 28", "os error 112", "Errno 28", "Disk quota exceeded")


def clean_environment(work, extra=()):
    """The caller's environment without what may disturb; HOME and temporary files in `work`."""
    values = {k: v for k, v in os.environ.items() if not k.upper().startswith(HOSTILE_PREFIXES)}
    home, temporary = os.path.join(work, "home"), os.path.join(work, "t")
    for folder in (home, temporary):
        os.makedirs(folder, exist_ok=True)
    values.update(
        HOME=home,
        XDG_CACHE_HOME=os.path.join(home, ".cache"),
        XDG_CONFIG_HOME=os.path.join(home, ".config"),
        TMPDIR=temporary,
        TEMP=temporary,
        TMP=temporary,
        PYTHONNOUSERSITE="1",
        PYTHONUTF8="1",
        PIP_CONFIG_FILE=os.devnull,
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_CACHE_DIR="1",
        UV_NO_CONFIG="1",
        UV_OFFLINE="1",
        UV_NO_PROGRESS="1",
        UV_PYTHON_DOWNLOADS="never",
        MPLBACKEND="Agg",
    )
    values.update(extra)
    return values


def run(command, env, log, cwd=None, on_line=None, held=()):
    """Run `command` and return (exit status, output); stdout and stderr are one, also written to `log`.

    The command inherits the file descriptors `held`: with the prefix's lock among them nobody else starts
    in that prefix while an orphan of a killed installer is still at work.
    """
    options = {}  # type: dict[str, Any]
    if os.name == "posix":
        options = {"start_new_session": True, "pass_fds": tuple(held)}
    log.write("$ %s\n" % " ".join(command))
    try:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
    except OSError as error:
        log.write("%s\n" % error)
        return 127, "%s: %s" % (command[0], error.strerror)
    lines = []
    stream = process.stdout  # type: Any
    try:
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            lines.append(line)
            log.write(line + "\n")
            if on_line:
                on_line(line)
        return process.wait(), "\n".join(lines)
    except BaseException:
        end_with_children(process)
        raise
    finally:
        stream.close()


def must_run(command, step, env, log, **options):
    """As `run`, but an exit status other than 0 raises InstallFailed; returns the output."""
    status, output = run(command, env, log, **options)
    if status != 0 and any(sign in output for sign in _DISK_FULL):
        raise NotPossibleHere(
            "%s: the disk is full" % step, hint="free some space, or choose another --prefix"
        )
    if status != 0:
        tail = "\n".join(output.splitlines()[-TAIL_LINES:])
        raise InstallFailed("%s failed (exit status %d):\n%s" % (step, status, tail))
    return output


def end_with_children(process):
    """Stop `process` and all it started: politely first, after five seconds by force."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        try:
            if os.name == "posix":
                os.killpg(process.pid, number)
            else:
                process.terminate()
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        return
