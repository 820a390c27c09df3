"""The bundle's smoke suites, run where the bundle was installed: does it work there?"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wheelferry.bundle.reader import read_suites
from wheelferry.cache.tools import Tools
from wheelferry.models import suites
from wheelferry.models.apps import FOLDER as APPS
from wheelferry.models.connections import UNWATCHED, Allowed, Attempt, judge
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.report import Check, Level
from wheelferry.verification.machines.machine import Machine

UNLOADABLE = "unloadable.json"
_SUITE_STEP = re.compile(r"^\[(\d+)/(\d+)\] (.*) \.\.\.$")


def spelled(unloadable: Mapping[Path, str], machine: Machine) -> dict[str, str]:
    """The binaries that the machine cannot load, as its Python names them, in small letters."""
    return {machine.sandbox.spell(path).lower(): reason for path, reason in unloadable.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteRun:
    """What one level of the suite found, what the machine cannot try, and every check.

    `figures` are what was measured on the user's data, by name.
    """

    findings: tuple[Problem | Note, ...]
    not_tried: tuple[str, ...]
    checks: tuple[Check, ...]
    figures: Mapping[str, float] = field(default_factory=dict)


def run_suites(
    root: Path,
    level: Level,
    env: Path,
    out: Path,
    machine: Machine,
    tools: Tools,
    allowed: Iterable[Allowed] = (),
    own: Path | None = None,
) -> SuiteRun:
    """Run one level of every smoke suite of the bundle in `env`; results and files go to `out`.

    `allowed` are attempts to reach another machine that are no problem. Of several projects each has a folder
    in `out`, and its checks have its name in front. They all run, also when one has failed. `own` says in a
    file what is wanted with the user's data; checks of the first project run on it with this level.
    """
    copy = out.parent.parent / "suite"
    if not copy.is_dir():
        # a copy, so that the byte code Python writes does not land in the bundle
        shutil.copytree(root / suites.FOLDER, copy)
        if (root / APPS).is_dir():  # what checks of the user's data may import
            shutil.copytree(root / APPS, copy.parent / APPS)
    runs: list[SuiteRun] = []
    for recipe in (suite.recipe for suite in read_suites(root)):
        run = run_suite(
            copy / recipe, level, env, out / recipe, machine, tools, allowed,
            project=recipe, own=None if runs else own,
        )  # fmt: skip
        runs.append(_of_project(recipe, run))
    return SuiteRun(
        findings=tuple(finding for run in runs for finding in run.findings),
        not_tried=tuple(dict.fromkeys(line for run in runs for line in run.not_tried)),
        checks=tuple(check for run in runs for check in run.checks),
        figures=runs[0].figures,
    )


def _of_project(recipe: str, run: SuiteRun) -> SuiteRun:
    """The run with the recipe's name before its checks and files; unchanged where there is one project."""
    if not recipe:
        return run
    return SuiteRun(
        findings=tuple(replace(finding, file=f"{recipe}: {finding.file}") for finding in run.findings),
        not_tried=run.not_tried,
        checks=tuple(
            replace(
                check,
                name=f"{recipe}: {check.name}",
                title=f"{recipe}: {check.title}",
                files=tuple({**file, "path": f"{recipe}/{file['path']}"} for file in check.files),
            )
            for check in run.checks
        ),
        figures=run.figures,
    )


def run_suite(
    suite: Path,
    level: Level,
    env: Path,
    out: Path,
    machine: Machine,
    tools: Tools,
    allowed: Iterable[Allowed] = (),
    *,
    project: str = "",
    own: Path | None = None,
) -> SuiteRun:
    """Run one level of the smoke suite in the folder `suite`, of `project` where there are several.

    `own` as `run_suites` takes it.
    """
    name = level.name.lower()
    out.mkdir(parents=True, exist_ok=True)
    with tools.progress.task(f"{name} suite{f' of {project}' if project else ''}") as task:

        def listen(line: str) -> None:
            match = _SUITE_STEP.match(line)
            if match:
                task.total(int(match[2]), done=int(match[1]) - 1)
                task.detail(match[3])

        unloadable = spelled(machine.unloadable(env), machine)
        options: list[str | Path] = []
        if unloadable:  # the harness of an older bundle does not know the option
            (out.parent / UNLOADABLE).write_text(json.dumps(unloadable), "utf-8")
            options = ["--unloadable", out.parent / UNLOADABLE]
        options += ["--own", own] if own else []
        ended = machine.sandbox(
            [machine.python(env), suite / "harness.py", "--level", name, "--out", out, *options],
            step=f"{name} suite",
            log=out / "suite.log",
            on_line=listen,
            check=False,
        )
    results = out / f"{name}.json"
    problems, checks = read_results(results, level, ended.returncode, ended.output)
    findings: list[Problem | Note] = [*problems]
    attempts, watched = read_attempts(results)
    for where, attempt in attempts:
        findings += judge(where, [attempt], allowed)
    beyond = [check for check in checks if check.status == "skipped" and check.reason in unloadable.values()]
    not_tried = [f"{check.title}: {check.reason}" for check in beyond]
    return SuiteRun(
        findings=tuple(findings),
        not_tried=(*not_tried, *(() if watched else (UNWATCHED,))),
        checks=checks,
        figures=read_figures(results),
    )


def read_results(
    path: Path, level: Level, returncode: int, output: str
) -> tuple[list[Problem], tuple[Check, ...]]:
    """Problems and checks from the document that the harness left at `path`."""
    suite = f"smoke/harness.py --level {level.name.lower()}"
    tail = "\n".join(output.strip().splitlines()[-8:])
    try:
        document = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        message = f"ended with status {returncode} before its first check: {tail}"
        return [Problem(code=Code.CRASH, file=suite, message=message)], ()
    checks = tuple(
        Check(
            name=item["name"],
            title=item["title"],
            status=item["status"],
            seconds=item["seconds"],
            reason=item["reason"],
            traceback=item["traceback"],
            values=item["values"],
            files=tuple(item["files"]),
        )
        for item in document["checks"]
    )
    problems = [
        Problem(code=Code.CHECK, file=check.name, message=f"{check.title}: {check.reason}")
        for check in checks
        if check.status == "failed"
    ]
    if document["running"]:
        message = f"ended with status {returncode} during {document['running']}: {tail}"
        problems.append(Problem(code=Code.CRASH, file=suite, message=message))
    elif not any(check.status == "passed" for check in checks):
        reasons = dict.fromkeys(
            check.reason for check in checks if check.status == "skipped" and check.reason
        )
        why = f" ({'; '.join(reasons)})" if reasons else ""
        message = f"no check passed: nothing was proven{why}"
        problems.append(Problem(code=Code.CRASH, file=suite, message=message))
    return problems, checks


def read_figures(path: Path) -> dict[str, float]:
    """What was measured on the user's data, in the document that the harness left at `path`."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): float(value) for name, value in document.get("figures", {}).items()}


def read_attempts(path: Path) -> tuple[list[tuple[str, Attempt]], bool]:
    """The attempts to reach another machine in the document that the harness left at `path`.

    Each with the check that made it, or the suite that was being loaded; and whether they were watched for.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # the suite ended before its first check, which is told elsewhere
        return [], True
    places = [("loading the suite", document), *((item["name"], item) for item in document["checks"])]
    found = [(name, Attempt.read(data)) for name, place in places for data in place.get("connections", ())]
    return found, bool(document.get("watched", False))


def read_allowed(root: Path) -> tuple[Allowed, ...]:
    """The attempts that the recipes of the bundle in `root` allow."""
    return tuple(
        Allowed(**entry) for suite in read_suites(root) for entry in suite.document.get("connections", ())
    )
