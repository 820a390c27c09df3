"""The Pythons of a machine: where they may be, and what each says of itself."""

import glob
import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from wheelferry.client.probe.macos import has_developer_tools
from wheelferry.client.probe.programs import MACOS, PATIENCE, WINDOWS, read_text

_CONDA_NAMES = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "conda", "micromamba")
_ASK_PYTHON = """
import json, os, platform, struct, sys, sysconfig
def has(name):
    try:
        __import__(name)
    except Exception:
        return False
    return True
value = sysconfig.get_config_var
conda = os.path.isdir(os.path.join(sys.prefix, "conda-meta"))
print(json.dumps({
    "path": sys.executable,
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "bits": 8 * struct.calcsize("P"),
    "platform": sysconfig.get_platform(),
    "musl": "musl" in "%s %s" % (value("HOST_GNU_TYPE"), value("SOABI")),
    "free_threaded": bool(value("Py_GIL_DISABLED")),
    "virtual": sys.prefix != sys.base_prefix,
    "prefix": sys.prefix,
    "venv": has("venv"),
    "ensurepip": has("ensurepip"),
    "conda": conda,
    "conda_base": conda and os.path.isdir(os.path.join(sys.prefix, "condabin")),
    "externally_managed": os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
}))
"""


def find_pythons(run, environ, programs=(), search=True):
    """What every Python 3 that can be found says of itself, newest first; before them, that of `programs`."""
    named = [dict(answer, path=path) for path in programs for answer in [ask_python(path, run)] if answer]
    candidates = candidate_pythons(run, environ) if search else ()
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda path: ask_python(path, run), candidates))
    # a shim and the program behind it are one
    found = {answer["prefix"]: answer for answer in reversed(answers) if answer}
    return named + sorted(found.values(), key=lambda answer: _numbers(answer["version"]), reverse=True)


def ask_python(path, run):
    """What the program at `path` says of itself; None unless it is a Python 3 that answers."""
    status, output = run([path, "-I", "-B", "-c", _ASK_PYTHON], PATIENCE)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if status != 0 or not lines:
        return None
    try:
        return json.loads(lines[-1])
    except ValueError:
        return None


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def candidate_pythons(run, environ):
    """Programs that may be a Python, each once."""
    found: dict[str, str] = {}
    for path in windows_candidates(run, environ) if WINDOWS else _posix_candidates(run, environ):
        real = os.path.realpath(path)
        # a link in a virtual environment leads to the Python that it was made of; but what a link of
        # another name leads to may be a program that looks at the name it was called by
        program = real if os.path.basename(real).lower().startswith("python") else path
        found.setdefault(os.path.normcase(program), program)
    return list(found.values())


# Homebrew's, python.org's, MacPorts'.
_ON_MACOS = ("/opt/homebrew/bin", "/Library/Frameworks/Python.framework/Versions/*/bin", "/opt/local/bin")


def _posix_candidates(run, environ):
    home = environ.get("HOME") or os.path.expanduser("~")
    pyenv = environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    patterns = [os.path.join(glob.escape(pyenv), "versions", "*", "bin")]
    folders = [folder for folder in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(folder)]
    folders += ["/usr/local/bin", "/usr/bin"]
    patterns += _ON_MACOS if MACOS else ()
    patterns += ["/opt/python*/bin", "/opt/python/*/bin"]
    patterns.append(os.path.join(glob.escape(home), ".local", "share", "uv", "python", "*", "bin"))
    for root in _conda_roots(environ, home):
        patterns += [
            os.path.join(glob.escape(root), "bin"),
            os.path.join(glob.escape(root), "envs", "*", "bin"),
        ]
    for pattern in patterns:
        folders += sorted(glob.glob(pattern))
    for folder in dict.fromkeys(folders):
        if MACOS and folder == "/usr/bin" and not has_developer_tools(run):
            continue  # starting its python3 opens a window that asks to install them
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if re.match(r"python(3(\.\d+)?)?t?$", name) and os.access(path, os.X_OK) and os.path.isfile(path):
                yield path


def windows_candidates(run, environ):
    """The python.exe that runs us, of the launcher, of PATH, and of the places where installers put them."""
    # it may be in no usual place; install.cmd's goes when we end
    scratch = environ.get("WHEELFERRY_SCRATCH")
    if not (scratch and os.path.normcase(sys.base_prefix).startswith(os.path.normcase(scratch))):
        own = os.path.join(sys.base_prefix, "python.exe")
        if os.path.isfile(own):
            yield own
    home = environ.get("USERPROFILE") or os.path.expanduser("~")
    status, output = run(["py", "-0p"], PATIENCE)
    if status == 0:
        yield from parse_launcher(output)
    for folder in environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, "python.exe")
        # the file in WindowsApps is empty: starting it opens the shop
        if os.path.isabs(path) and "windowsapps" not in path.lower() and os.path.isfile(path):
            yield path
    patterns = [
        os.path.join(environ.get("LOCALAPPDATA", home), "Programs", "Python", "Python*"),
        os.path.join(environ.get("ProgramFiles", r"C:\Program Files"), "Python*"),
        os.path.join(environ.get("SystemDrive", "C:") + os.sep, "Python*"),
        os.path.join(home, ".pyenv", "pyenv-win", "versions", "*"),
        os.path.join(environ.get("APPDATA", home), "uv", "python", "*"),
    ]
    for root in _conda_roots(environ, home):
        patterns += [root, os.path.join(root, "envs", "*")]
    for pattern in patterns:
        yield from sorted(glob.glob(os.path.join(pattern, "python.exe")))


def parse_launcher(output):
    """The programs in what ``py -0p`` prints: a version, perhaps a star, and a path on each line."""
    return re.findall(r"([A-Za-z]:\\[^\r\n*]*?python[\d.]*\.exe)", output, re.IGNORECASE)


def _conda_roots(environ, home):
    """Where conda usually is, and where it says it is."""
    if WINDOWS:
        common, disk = environ.get("ProgramData", r"C:\ProgramData"), environ.get("SystemDrive", "C:")
        places = [home, common, disk + os.sep]
    else:
        places = [home, "/opt", "/usr/local"]
    roots = [os.path.join(place, name) for place in places for name in _CONDA_NAMES]
    if environ.get("CONDA_EXE"):
        roots.append(os.path.dirname(os.path.dirname(environ["CONDA_EXE"])))
    roots += [environ[name] for name in ("CONDA_PREFIX", "MAMBA_ROOT_PREFIX") if environ.get(name)]
    roots += read_text(os.path.join(home, ".conda", "environments.txt")).splitlines()
    return [root for root in dict.fromkeys(roots) if os.path.isabs(root)]
