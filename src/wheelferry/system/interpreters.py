"""Finding the Python that a target needs on this machine."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.errors import MissingError, MissingPythonError
from wheelferry.system.process import CommandRunner

_ASK = """
import json, platform, sys, sysconfig
print(json.dumps({
    "platform": sysconfig.get_platform(),
    "implementation": platform.python_implementation(),
    "version": platform.python_version(),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "headers": sysconfig.get_paths()["include"],
    "compile": {name: sysconfig.get_config_var(name) or "" for name in ("CFLAGS", "LDSHARED", "LDCXXSHARED")},
}))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A CPython on this machine: its program, its full version, and how it compiles extensions.

    `compile` holds its own CFLAGS, LDSHARED and LDCXXSHARED.
    """

    path: Path
    version: str
    headers: Path
    compile: Mapping[str, str] = field(default_factory=dict)

    @property
    def can_compile(self) -> bool:
        """Whether its C headers are there (Debian ships them apart, as python3-dev)."""
        return (self.headers / "Python.h").is_file()


def program_in(environment: Path) -> Path:
    """The python program of a virtual environment on this machine."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def find_interpreter(python: str, run: CommandRunner, *, uv: Path | None = None) -> Interpreter:
    """The first working CPython `python` (``3.12``), one with headers if there is any.

    Looks at the running interpreter, PATH, pyenv's folder and what uv has installed; on Windows also
    where the launcher ``py`` and the usual installers put them.
    Raises MissingPythonError when there is none.
    """
    found: list[Interpreter] = []
    seen: set[Path] = set()
    for candidate in _candidates(python, run, uv):
        if candidate in seen:
            continue
        seen.add(candidate)
        interpreter = inspect_interpreter(candidate, run)
        if interpreter and interpreter.version.startswith(python + "."):
            if interpreter.can_compile:
                return interpreter
            found.append(interpreter)
    if found:
        return found[0]
    raise MissingPythonError(python)


def inspect_interpreter(path: Path, run: CommandRunner) -> Interpreter | None:
    """Ask the program at `path` what it is; None unless it is a CPython that answers, and has a GIL."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    result = run([path, "-I", "-c", _ASK], step=f"ask {path}", env=environment, check=False)
    if result.returncode != 0:
        return None  # a pyenv shim without that version, a broken link: not an interpreter
    try:
        answer = json.loads(result.output)
    except json.JSONDecodeError:
        return None
    # a Python for 32 bits or for ARM runs on Windows too, but not with the wheels of win_amd64
    foreign = answer["platform"].startswith("win") and answer["platform"] != "win-amd64"
    if answer["implementation"] != "CPython" or foreign or answer["free_threaded"]:
        return None
    return Interpreter(
        path=path, version=answer["version"], headers=Path(answer["headers"]), compile=answer["compile"]
    )


def _candidates(python: str, run: CommandRunner, uv: Path | None) -> Iterator[Path]:
    if platform.python_version().startswith(python + "."):
        # not a virtual environment's own program, which goes away with it
        base = Path(sys.base_prefix) / ("python.exe" if os.name == "nt" else f"bin/python{python}")
        if base.exists():
            yield base
    yield from _on_windows(run) if os.name == "nt" else _on_path_and_pyenv(python)
    if uv is not None:
        result = run(
            [uv, "python", "find", "--managed-python", "--no-python-downloads", python],
            step="ask uv for its Pythons",
            check=False,
        )
        if result.returncode == 0:
            yield Path(result.output.strip().splitlines()[-1])


def _on_path_and_pyenv(python: str) -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        program = shutil.which(f"python{python}", path=folder)
        if program:
            yield Path(program)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if pyenv.is_dir():
        for version in sorted(pyenv.glob(f"{python}.*"), reverse=True):
            yield version / "bin" / f"python{python}"


def _on_windows(run: CommandRunner) -> Iterator[Path]:
    """Every python.exe in the usual places: its name does not say which Python it is."""
    from wheelferry.client.probe.pythons import windows_candidates

    def ask(command: list[str], _seconds: float) -> tuple[int, str]:
        try:
            done = run(command, step=f"ask {command[0]}", check=False)
        except MissingError:  # no launcher
            return 127, ""
        return done.returncode, done.output

    yield from map(Path, windows_candidates(ask, os.environ))
