"""Installing with plain pip alone, as somebody does who does not use the bundle's installer."""

import re
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.client.common.errors import Stop
from wheelferry.client.installer.assets import place_assets
from wheelferry.client.installer.present import ASK_FOLDERS, write_sight
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.planning.assets import FOLDER as ASSETS
from wheelferry.models.problems import Code, Problem
from wheelferry.models.wheel_info import filename_parts
from wheelferry.verification.installation.install import Installed, Proven, Trial, look_for_assets
from wheelferry.verification.installation.modules import packages_folder

# As pip says it since version 9, the requirement with the name alone.
_MISSING = re.compile(r"\S+ \S+ requires (\S+), which is not installed\.")
PROVED = "plain pip installed all of it"


def install_with_pip(trial: Trial) -> Installed:
    """A virtual environment of the machine's Python, and in it ``pip install --require-hashes``."""
    env = trial.folder / "env"
    sandbox, python, log = trial.machine.sandbox, trial.machine.python(env), trial.log
    requirements = trial.root.resolve() / trial.entry.requirements
    with trial.tools.progress.task("make a fresh environment"):
        made = sandbox([trial.machine.base, "-m", "venv", env], step="venv", log=log, check=False)
        if made.returncode != 0:
            problem = trial.problem("python -m venv failed", made.output)
            return Installed(env=env, complete=False, problems=(problem,))
        see_present(trial, env)
        said = sandbox([python, "-m", "pip", "--version"], step="ask pip", log=log).output
    started = time.perf_counter()
    with trial.tools.progress.task("pip install --no-index", total=len(trial.pins)) as task:

        def listen(line: str) -> None:
            if line.startswith("Processing "):
                task.advance()
            elif line.startswith("Installing collected"):
                task.detail("unpacking")

        installed = sandbox(
            [
                python, "-m", "pip", "install", "--no-index",
                "--find-links", trial.root.resolve() / "wheelhouse", "--require-hashes", "-r", requirements,
                *options_for(trial.entry), *(["--ignore-installed"] if trial.entry.present else []),
            ],
            step="pip install",
            log=log,
            on_line=listen,
            check=False,
        )  # fmt: skip
    pip = said.split(" from ")[0]
    seconds = round(time.perf_counter() - started, 1)
    facts: dict[str, object] = {"installer": pip, "proved": PROVED, "install_seconds": seconds}
    if installed.returncode != 0:
        problem = trial.problem("pip install failed", installed.output)
        return Installed(env=env, complete=False, problems=(problem,), facts=facts)
    problems, found = place_and_look(trial, env)
    return Installed(env=env, problems=tuple(problems), facts={**facts, **found})


def see_present(trial: Trial, env: Path) -> None:
    """Let an environment of a thin bundle see what is present, as the client's installer does."""
    if trial.entry.present:
        asked = trial.machine.sandbox(
            [trial.machine.base, "-I", "-c", ASK_FOLDERS], step="ask for packages", log=trial.log
        )
        write_sight(str(packages_folder(env)), asked.output)


def place_and_look(trial: Trial, env: Path) -> tuple[list[Problem], dict[str, object]]:
    """Place the bundle's weights and data, which pip does not, and look whether they are found."""
    bundle = trial.bundle
    if not bundle.assets:
        return [], {}
    with trial.tools.progress.task("place weights and data", unit="bytes") as task:
        task.total(sum(bundle.files[asset["path"]][0] for asset in bundle.assets))
        try:
            placed = place_assets(bundle, str(env), None, task.advance)
        except Stop as error:
            return [Problem(code=Code.ASSET, file=ASSETS, message=str(error))], {}
    return look_for_assets(trial, env, placed)


def pip_check(trial: Trial, env: Path) -> Proven:
    """What the environment's own pip finds in conflict."""
    command: list[str | Path] = [trial.machine.python(env), "-m", "pip", "check"]
    with trial.tools.progress.task("pip check"):
        checked = trial.machine.sandbox(command, step="pip check", log=trial.log, check=False)
    return Proven(problems=tuple(conflicts(trial, checked.returncode, checked.output)))


def conflicts(trial: Trial, status: int, output: str) -> list[Problem]:
    """What ``pip check`` said, a problem for each line; that an excluded package is missing is none."""
    lines = output.strip().splitlines() if status != 0 else []
    return [
        Problem(code=Code.CONFLICT, file=trial.entry.requirements, message=line)
        for line in lines
        if not _speaks_of(line, trial.entry.excluded)
    ]


def _speaks_of(line: str, excluded: Iterable[str]) -> bool:
    """Whether a line of ``pip check`` says that one of the excluded packages is missing, and nothing else."""
    missing = _MISSING.fullmatch(line)
    return missing is not None and canonicalize_name(missing[1]) in excluded


def options_for(entry: TargetEntry) -> list[str]:
    """What pip must be told: without it, it would look for what was excluded, or is present."""
    return ["--no-deps"] if entry.excluded or entry.present else []


def pip_of(trial: Trial, env: Path) -> list[str | Path]:
    """What starts the bundle's own pip in an environment; of a thin bundle the client's."""
    python = trial.machine.python(env)
    if not trial.entry.pip:
        return [python, "-I", "-m", "pip"]
    return [python, "-I", trial.root.resolve() / trial.entry.pip / "pip"]


# `pip lock` of 25.1 only writes them; tried with 25.0.1, 25.1.1, 25.3, 26.0.1 and 26.1.
FIRST_WITH_PYLOCK = Version("26.1")


def pip_reads_pylock(entry: TargetEntry) -> bool:
    """Whether the pip that the bundle carries installs from pylock files."""
    return bool(entry.pip) and filename_parts(PurePosixPath(entry.pip).name)[1] >= FIRST_WITH_PYLOCK
