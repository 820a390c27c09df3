"""The bundle's programs for clients: are they whole, and does each of them start where it was installed?"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from wheelferry.models.apps import FOLDER, FORMAT, LISTING, START
from wheelferry.models.problems import Code, Problem
from wheelferry.verification.installation.install import Proven, Trial

_LISTING = f"{FOLDER}/{LISTING}"


def check_apps(root: Path, paths: Collection[str]) -> Iterator[Problem]:
    """What is wrong with the list of programs, and what it names that is not among the bundle's `paths`."""
    if not any(path.startswith(f"{FOLDER}/") for path in paths):
        return
    for path in (_LISTING, f"{FOLDER}/{START}"):
        if path not in paths:
            yield Problem(code=Code.APP, file=path, message="is missing, so that no program can be started")
    if _LISTING not in paths:
        return
    try:
        programs = list(_read(root))
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Problem(code=Code.APP, file=_LISTING, message=f"cannot be read ({error})")
        return
    for name, module in programs:
        if f"{FOLDER}/{module}.py" not in paths:
            message = f"program {name} has no file {module}.py"
            yield Problem(code=Code.APP, file=_LISTING, message=message)


def _read(root: Path) -> Iterator[tuple[str, str]]:
    """Name of each program of the bundle in `root`, and the place of its module below their folder."""
    document = json.loads((root / _LISTING).read_text("utf-8"))
    if document["format"] != FORMAT:
        raise ValueError(f"format {str(document['format'])[:20]!r} instead of {FORMAT}")
    for program in document["programs"]:
        place = [str(program["folder"])] if program.get("folder") else []
        yield str(program["name"]), "/".join([*place, str(program["module"])])


def start_apps(trial: Trial, env: Path) -> Proven:
    """Ask each program for its help, in the environment and with the files that its client has."""
    if not (trial.root / _LISTING).is_file():
        return Proven()
    installed = env / FOLDER
    folder = installed if installed.is_dir() else trial.root.resolve() / FOLDER
    problems, started = [], []
    with trial.tools.progress.task("start programs") as task:
        for name, _ in _read(trial.root):
            task.detail(name)
            # byte code would be one more file in the bundle
            command: list[str | Path] = [trial.machine.python(env), "-I", "-B", folder, name, "--help"]
            done = trial.machine.sandbox(command, step=f"start {name}", log=trial.log, check=False)
            if done.returncode == 0:
                started.append(name)
            else:
                message = f"{name} --help ended with status {done.returncode}"
                problems.append(trial.problem(message, done.output, Code.APP))
    return Proven(problems=tuple(problems), facts={"programs": started})
