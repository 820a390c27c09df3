"""What a person starts: the environment's Python, and the installer that stays in the prefix."""

import os
import shlex

from wheelferry.client.common.files import write_atomic
from wheelferry.client.installer.prefix import UNINSTALLED

# Variables that make a Python load what is not its own. Whoever needs one of them sets WHEELFERRY_KEEP_ENV.
_UNSET = (
    "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD",
    "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_INSERT_LIBRARIES",
)  # fmt: skip

_POSIX = """\
#!/bin/sh
# {what}
prefix={prefix}
[ -n "${{WHEELFERRY_KEEP_ENV:-}}" ] || unset {unset}
# the environment itself and not the pointer to it: an upgrade must not reach into a program that runs
env=$(CDPATH='' cd -P -- "$prefix/current" 2>/dev/null && pwd) || env=$prefix/current
python=$env/bin/python
{before}exec "$python" {arguments}"$@"
"""

# The installer needs any Python, also where an uninstallation was killed that had removed ours.
_OTHERWISE = '[ -x "$python" ] || python=python3\n'

# Python looks for packages in the folder of the script first, without a script in the current folder: whoever
# stands in a checkout of the project gets that, which has no compiled modules.
_SHADOWED = """\
case ${1:--} in -*) folder=. ;; */*) folder=${1%/*} ;; *) folder=. ;; esac
if [ -z "${PYTHONSAFEPATH:-}${WHEELFERRY_KEEP_ENV:-}" ]; then
    for own in "$folder"/*/__init__.py; do
        name=${own%/__init__.py} name=${name##*/}
        for installed in "$env"/lib/python3*/site-packages/"$name"/__init__.py; do
            [ ! -f "$own" ] || [ ! -f "$installed" ] || [ "$own" -ef "$installed" ] ||
                echo "note: $folder has a $name of its own, which hides the installed one;" \
                    "start elsewhere, or from Python 3.11 on with PYTHONSAFEPATH=1" >&2
        done
    done
fi
"""

_WINDOWS = """\
@echo off\r
rem {what}\r
setlocal EnableExtensions DisableDelayedExpansion\r
set "WHEELFERRY_ENV="\r
if exist "%~dp0current.txt" set /p WHEELFERRY_ENV=<"%~dp0current.txt"\r
if not defined WHEELFERRY_KEEP_ENV set "PYTHONHOME="\r
if not defined WHEELFERRY_KEEP_ENV set "PYTHONPATH="\r
{rest}"""

_RUN = """\
if defined PYTHONSAFEPATH goto start\r
if defined WHEELFERRY_KEEP_ENV goto start\r
if "%~1"=="" goto look\r
if "%~1"=="-c" goto look\r
if "%~1"=="-m" goto look\r
goto start\r
:look\r
for /d %%D in (*) do if exist "%%D\\__init__.py" \
if exist "%~dp0envs\\%WHEELFERRY_ENV%\\Lib\\site-packages\\%%D\\__init__.py" \
echo note: this folder has a %%D of its own, which hides the installed one; start elsewhere, \
or from Python 3.11 on with PYTHONSAFEPATH=1 1>&2\r
:start\r
"%~dp0envs\\%WHEELFERRY_ENV%\\Scripts\\python.exe" %*\r
exit /b %ERRORLEVEL%\r
"""

# The installer needs any Python, also where an uninstallation was killed that had removed ours. %~dp0 ends in
# a backslash, which would escape the quote after it. While it uninstalls, Python moves what it runs from to a
# folder that is removed here, and leaves this file alone: cmd reads it again after each line, so all that
# comes after its removal stands in the same line. Nobody removes the folder that a cmd is in.
_RUN_INSTALLER = """\
set "WHEELFERRY_FINISHES=1"\r
set "WHEELFERRY_PYTHON=%~dp0envs\\%WHEELFERRY_ENV%\\Scripts\\python.exe"\r
if not exist "%WHEELFERRY_PYTHON%" set "WHEELFERRY_PYTHON=python.exe"\r
"%WHEELFERRY_PYTHON%" -I "%~dp0install.pyz" --prefix "%~dp0." %*\r
set "WHEELFERRY_STATUS=%ERRORLEVEL%"\r
if not exist "%~dp0{uninstalled}" exit /b %WHEELFERRY_STATUS%\r
cd /d "%SystemRoot%" & rd /s /q "%~dp0{uninstalled}" & del "%~f0" & rd "%~dp0." 2>nul & \
exit /b %WHEELFERRY_STATUS%\r
"""

_PYTHON = "Runs the Python of the installed environment: {run} script.py; without arguments, interactively."
_MANAGE = "Looks after this installation: {run} --verify smoke, --rollback, --uninstall, --help."


def write_launchers(prefix):
    """Write both launchers; they find the environment through the pointer, so a switch needs no new ones."""
    if os.name == "posix":
        values = {"prefix": shlex.quote(prefix.root), "unset": " ".join(_UNSET)}
        manage = '-I "$prefix/install.pyz" --prefix "$prefix" '
        plain = _POSIX.format(what=_PYTHON.format(run="./python"), arguments="", before=_SHADOWED, **values)
        write_atomic(prefix.join("python"), plain, True)
        write_atomic(
            prefix.join("wheelferry"),
            _POSIX.format(
                what=_MANAGE.format(run="./wheelferry"), arguments=manage, before=_OTHERWISE, **values
            ),
            True,
        )
    else:
        for name, text in windows_launchers().items():
            if not _has(prefix.join(name), text):
                write_atomic(prefix.join(name), text)


def windows_launchers():
    """The batch files that a prefix on Windows gets, by their names: the same for every prefix."""
    finish = _RUN_INSTALLER.format(uninstalled=UNINSTALLED)
    return {
        "python.cmd": _WINDOWS.format(what=_PYTHON.format(run=".\\python"), rest=_RUN),
        "wheelferry.cmd": _WINDOWS.format(what=_MANAGE.format(run=".\\wheelferry"), rest=finish),
    }


def _has(path, text):
    """Whether a file is that already: cmd may be in the middle of it."""
    try:
        with open(path, "rb") as stream:
            return stream.read() == text.encode("ascii")
    except FileNotFoundError:
        return False
