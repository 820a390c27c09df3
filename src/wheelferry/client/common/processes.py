"""The client's one place that starts processes: logged, in a clean environment, ended with their children."""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any  # noqa: F401 -- in comments, for Python 3.7

from wheelferry.client.common.errors import InstallFailed, NotPossibleHere

TAIL_LINES = 25
# What may turn a Python or an installer away from what it was told.
HOSTILE_PREFIXES = ("PYTHON", "PIP_", "UV_", "LD_", "DYLD_", "CONDA", "_CONDA", "VIRTUAL_ENV")
_DISK_FULL = ("No space left on device", "os error 28", "os error 112", "Errno 28", "Disk quota exceeded")


def undisturbed():
    """The caller's environment without what may disturb."""
    return {k: v for k, v in os.environ.items() if not k.upper().startswith(HOSTILE_PREFIXES)}


def clean_environment(work, extra=()):
    """As `undisturbed`, with HOME and temporary files in `work`."""
    values = undisturbed()
    home, temporary = os.path.join(work, "home"), os.path.join(work, "t")
    for folder in (home, temporary):
        os.makedirs(folder, exist_ok=True)
    if os.name == "nt":
        # where Windows programs look for a home
        drive, path = os.path.splitdrive(home)
        values.update(USERPROFILE=home, HOMEDRIVE=drive, HOMEPATH=path)
        values.update(APPDATA=os.path.join(home, "Roaming"), LOCALAPPDATA=os.path.join(home, "Local"))
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


def run(command, env, log, cwd=None, on_line=None, held=(), stdin=subprocess.DEVNULL):
    """Run `command` and return (exit status, output); stdout and stderr are one, also written to `log`.

    It reads from the open file `stdin`, by default from nothing.

    The command inherits the file descriptors `held`: with the prefix's lock among them nobody else starts
    in that prefix while an orphan of a killed installer is still at work. On Windows there are no orphans:
    the command and all that it starts end when we do.
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
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
    except OSError as error:
        log.write("%s\n" % error)
        return 127, "%s: %s" % (command[0], error.strerror)
    job = _kill_with_us(process)
    lines = []
    stream = process.stdout  # type: Any
    try:
        for raw in stream if os.name == "posix" else read_interruptibly(stream):
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
        # on Windows first what may still hold the other end
        _close_job(job)
        stream.close()


def hand_over(command):
    """Run `command` instead of this program, with its input and Ctrl-C; returns its exit status.

    On POSIX systems it does not return: the process becomes the other program.
    """
    if os.name == "posix":
        os.execv(command[0], command)  # noqa: S606 -- a list, and no shell
    # Ctrl-C goes to all programs of a window; this one waits until the other has ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)


def must_run(command, step, env, log, **options):
    """As `run`, but an exit status other than 0 raises InstallFailed; returns the output."""
    status, output = run(command, env, log, **options)
    require(status, output, step)
    return output


def require(status, output, step):
    """Raise InstallFailed, or NotPossibleHere for a full disk, unless a command ended with status 0."""
    if status != 0 and any(sign in output for sign in _DISK_FULL):
        raise NotPossibleHere(
            "%s: the disk is full" % step, hint="free some space, or choose another --prefix"
        )
    if status != 0:
        tail = "\n".join(output.splitlines()[-TAIL_LINES:])
        raise InstallFailed("%s failed (exit status %d):\n%s" % (step, status, tail))


def read_interruptibly(stream):
    """The lines of a pipe; unlike a plain read on Windows, Ctrl-C is heard while none comes."""
    lines = queue.Queue()  # type: queue.Queue[Any]

    def read():
        for line in stream:
            lines.put(line)
        lines.put(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    while True:
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            thread.join()
            return
        yield line


def _kill_with_us(process):
    """On Windows a job, closed by the system when we end, with which `process` and its children end too.

    None elsewhere, and where `process` is in a job that allows no other.
    """
    if sys.platform != "win32":
        return None
    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.CreateJobObjectW.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel32.CreateJobObjectW(None, None))
    # JOBOBJECT_EXTENDED_LIMIT_INFORMATION of winnt.h, 144 bytes; its LimitFlags are at 16
    limits = (ctypes.c_uint32 * 36)()
    limits[4] = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    size = ctypes.sizeof(limits) if sys.maxsize > 2**32 else 112
    done = kernel32.SetInformationJobObject(job, 9, ctypes.byref(limits), size)
    handle = ctypes.c_void_p(int(process._handle))
    if done and kernel32.AssignProcessToJobObject(job, handle):
        return job
    _close_job(job)
    return None


def _close_job(job):
    if sys.platform == "win32" and job is not None:
        ctypes.WinDLL("kernel32").CloseHandle(job)


def end_with_children(process):
    """Stop `process` and all it started, and wait for them: politely first, after five seconds by force."""
    if os.name == "nt":
        # as far as the job, if there is one, does not do it
        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        command = [taskkill, "/T", "/F", "/PID", str(process.pid)]
        with contextlib.suppress(OSError):
            subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        try:
            if os.name == "posix":
                os.killpg(process.pid, number)
            else:
                process.terminate()
        except ProcessLookupError:
            return
        if _has_ended(process, 5.0):
            return


def _has_ended(process, seconds):
    """Whether `process` ends within `seconds`; on POSIX all of its group, which may still write files."""
    until = time.monotonic() + seconds
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    while os.name == "posix" and _group_runs(process.pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _group_runs(group):
    """Whether a process of the group is left. In a container nobody may collect those that have ended."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of processes that have just ended
        return False
    if not os.path.isdir("/proc/self"):
        return True
    return any(_runs_in(group, number) for number in os.listdir("/proc") if number.isdigit())


def _runs_in(group, number):
    try:
        with open("/proc/%s/stat" % number, "rb") as stream:
            state, _, its_group = stream.read().rpartition(b")")[2].split()[:3]
    except OSError:  # it ended meanwhile
        return False
    return int(its_group) == group and state not in (b"Z", b"X")
