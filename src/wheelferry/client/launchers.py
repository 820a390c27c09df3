"""What a person starts: the environment's Python, and the installer that stays in the prefix."""

import os
import shlex

from wheelferry.client.prefix import write_atomic

# Variables that make a Python load what is not its own. Whoever needs one of them sets WHEELFERRY_KEEP_ENV.
_UNSET = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD")

_POSIX = """\
#!/bin/sh
# {what}
prefix={prefix}
[ -n "${{WHEELFERRY_KEEP_ENV:-}}" ] || unset {unset}
# the environment itself and not the pointer to it: an upgrade must not reach into a program that runs
env=$(CDPATH='' cd -P -- "$prefix/current" 2>/dev/null && pwd) || env=$prefix/current
python=$env/bin/python
{otherwise}exec "$python" {arguments}"$@"
"""

# The installer needs any Python, also where an uninstallation was killed that had removed ours.
_OTHERWISE = '[ -x "$python" ] || python=python3\n'

_WINDOWS = """\
@echo off\r
rem {what}\r
setlocal\r
set /p WHEELFERRY_ENV=<"%~dp0current.txt"\r
if not defined WHEELFERRY_KEEP_ENV set "PYTHONHOME="\r
if not defined WHEELFERRY_KEEP_ENV set "PYTHONPATH="\r
"%~dp0envs\\%WHEELFERRY_ENV%\\Scripts\\python.exe" {arguments}%*\r
exit /b %ERRORLEVEL%\r
"""

_PYTHON = (
    "Runs the Python of the installed environment: ./python script.py; without arguments, interactively."
)
_MANAGE = "Looks after this installation: ./wheelferry --verify smoke, --rollback, --uninstall, --help."


def write_launchers(prefix):
    """Write both launchers; they find the environment through the pointer, so a switch needs no new ones."""
    if os.name == "posix":
        values = {"prefix": shlex.quote(prefix.root), "unset": " ".join(_UNSET)}
        manage = '-I "$prefix/install.pyz" --prefix "$prefix" '
        plain = _POSIX.format(what=_PYTHON, arguments="", otherwise="", **values)
        write_atomic(prefix.join("python"), plain, True)
        write_atomic(
            prefix.join("wheelferry"),
            _POSIX.format(what=_MANAGE, arguments=manage, otherwise=_OTHERWISE, **values),
            True,
        )
    else:
        # %~dp0 ends in a backslash, which would escape the quote after it
        manage = '-I "%~dp0install.pyz" --prefix "%~dp0." '
        write_atomic(prefix.join("python.cmd"), _WINDOWS.format(what=_PYTHON, arguments=""))
        write_atomic(prefix.join("wheelferry.cmd"), _WINDOWS.format(what=_MANAGE, arguments=manage))
