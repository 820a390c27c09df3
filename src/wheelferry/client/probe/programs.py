"""Starts other programs to ask them what they know, and reads what the system says in files."""

import subprocess
import sys

from wheelferry.client.common.processes import undisturbed

WINDOWS = sys.platform == "win32"
MACOS = sys.platform == "darwin"
# Seconds to wait for another program. A Python on a sleeping network drive is not worth more.
PATIENCE = 15


def run_program(arguments, seconds):
    """Run a program in an environment without what may disturb; see `collect`."""
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=undisturbed(),
        )
    except (OSError, ValueError) as error:
        return None, str(error)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        if process.stdout:
            process.stdout.close()
        try:
            # nvidia-smi in a broken driver cannot even be killed: it must not take us along
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None, "no answer in %d s, and it cannot be stopped" % seconds
        return None, "no answer in %d s" % seconds
    return process.returncode, output.decode("utf-8", "replace")


def registry(root, key, name):
    """A value of Windows' registry; None when it is not there."""
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(getattr(winreg, root), key) as opened:
            return winreg.QueryValueEx(opened, name)[0]
    except OSError:
        return None


def read_text(path):
    """The text of a file of the system; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
