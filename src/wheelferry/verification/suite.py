"""The bundle's smoke suite, run where the bundle was installed: does it work there?"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from wheelferry.cache.tools import Tools
from wheelferry.models.problems import Code, Problem
from wheelferry.models.report import Check, Level
from wheelferry.verification.runner import Machine

UNLOADABLE = "unloadable.json"
_SUITE_STEP = re.compile(r"^\[(\d+)/(\d+)\] (.*) \.\.\.$")


def spelled(unloadable: Mapping[Path, str], machine: Machine) -> dict[str, str]:
    """The binaries that the machine cannot load, as its Python names them, in small letters."""
    return {machine.sandbox.spell(path).lower(): reason for path, reason in unloadable.items()}


def run_suite(
    root: Path, level: Level, env: Path, out: Path, machine: Machine, tools: Tools
) -> tuple[list[Problem], list[str], tuple[Check, ...]]:
    """Run one level of the bundle's smoke suite in the environment `env`; results and files go to `out`.

    Returns the problems found, what the machine cannot try, and every check.
    """
    name = level.name.lower()
    out.mkdir(parents=True, exist_ok=True)
    suite = out.parent.parent / "suite"
    if not suite.is_dir():
        # a copy, so that the byte code Python writes does not land in the bundle
        shutil.copytree(root / "smoke", suite)
    with tools.progress.task(f"{name} suite") as task:

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
        ended = machine.sandbox(
            [machine.python(env), suite / "harness.py", "--level", name, "--out", out, *options],
            step=f"{name} suite",
            log=out / "suite.log",
            on_line=listen,
            check=False,
        )
    problems, checks = read_results(out / f"{name}.json", level, ended.returncode, ended.output)
    beyond = [check for check in checks if check.status == "skipped" and check.reason in unloadable.values()]
    return problems, [f"{check.title}: {check.reason}" for check in beyond], checks


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
        problems.append(Problem(code=Code.CRASH, file=suite, message="no check passed: nothing was proven"))
    return problems, checks
