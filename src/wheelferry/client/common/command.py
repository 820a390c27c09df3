"""What the commands for clients share: how they hear of Ctrl-C, and how they end."""

import errno
import json
import os
import signal
import sys
import traceback

from wheelferry.client.common.errors import InstallFailed, Interrupted, NotPossibleHere, Stop

# What the machine refuses, whatever was being done.
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


def prepare_streams():
    """Make stdout and stderr fit to be written to, whatever they are."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 -- as long as the process
    for stream in (sys.stdout, sys.stderr):
        # a Windows code page, or a name that is no text: what cannot be shown is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def run_command(action, console, as_json, place, interrupted):
    """Call `action` and return the exit status; every error that is foreseen ends here.

    What it returns are plain values: the document of --json. `place` is the option that names the folder
    which is written to, `interrupted` what to tell whoever presses Ctrl-C.
    """

    def stop(_number, _frame):
        raise Interrupted("interrupted", hint=interrupted)

    # Windows says SIGBREAK when the window is closed
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        # nohup ignores SIGHUP for us, and so it shall stay
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            signal.signal(getattr(signal, name), stop)
    try:
        result = action()
    except Stop as error:
        return _end(error, console, as_json)
    except OSError as error:
        return _end(_of_the_system(error, console, place), console, as_json)
    if as_json:
        sys.stdout.write(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result.get("exit_code", 0)


def _of_the_system(error, console, place):
    """The error for what the system refused; the traceback goes to the log."""
    console.log.write(traceback.format_exc())
    told = "%s: %s" % (error.strerror or error, error.filename or "while writing")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotPossibleHere(told, hint="free some space, or choose another %s" % place)
    if error.errno in _OF_THE_MACHINE:
        return NotPossibleHere(told, hint="see whose folder it is; %s names another" % place)
    return InstallFailed(told, hint="check the disk or the stick; the same command starts again")


def _end(error, console, as_json):
    console.log.write("%s\n" % error)
    if as_json:
        document = {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
        document.update(error.details or {})
        sys.stdout.write(json.dumps(document, indent=1, sort_keys=True) + "\n")
    sys.stderr.write("error: %s\n" % error)
    if error.hint:
        sys.stderr.write("  -> %s\n" % error.hint)
    return error.exit_code
