"""What verification does in the sandbox: a fresh environment from the bundle alone, then the suite."""

import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from wheelferry.assets import FOLDER as ASSETS
from wheelferry.checks import Code, Problem
from wheelferry.client.assets import place_assets
from wheelferry.client.bundle import open_bundle
from wheelferry.client.errors import Stop
from wheelferry.lock import parse_requirements
from wheelferry.manifest import TargetEntry
from wheelferry.report import Check, Level
from wheelferry.stages.machine import Machine
from wheelferry.tools import Tools

UNLOADABLE = "unloadable.json"
_SOUGHT = 1000  # files of a root to look for: a data set can have more names than a command line holds
_SUITE_STEP = re.compile(r"^\[(\d+)/(\d+)\] (.*) \.\.\.$")

# Imports each module by itself; a broken one must not hide the others. A compiled file without an init
# function is no module but a library of ops, which its package gives to torch: so does this. With each
# failure come the binaries that could not be loaded on the way to it.
INSPECT = """
import importlib, json, sys, traceback
def binaries(error):
    while error is not None:
        if isinstance(error, ImportError) and error.path:
            yield error.path
        error = error.__cause__ or error.__context__
def bring(name):
    try:
        importlib.import_module(name)
    except ImportError as error:
        if "PyInit_" not in str(error):
            raise
        import torch
        torch.ops.load_library(error.path)
failed = {}
for name in sys.argv[1:]:
    try:
        bring(name)
    except BaseException as error:
        failed[name] = [traceback.format_exc(), list(binaries(error))]
print("\\n@@" + json.dumps(failed))
"""

# Looks below the folder that each variable names, as the project will, for files that should be there.
LOOK = """
import json, os, sys
wanted = json.loads(sys.argv[1])
print("\\n@@" + json.dumps([
    [variable, place]
    for variable, places in wanted.items()
    for place in places
    if not os.path.exists(os.path.join(os.environ.get(variable, os.devnull), place))
]))
"""


def install(
    root: Path, entry: TargetEntry, env: Path, machine: Machine, tools: Tools
) -> tuple[list[Problem], list[str], dict[str, object]]:
    """Install one target with plain pip, offline, into the new environment `env`; check and import.

    Returns the problems found, what the machine cannot try, and facts: versions, seconds for each step,
    size of the environment.
    """
    log = env.parent / "report" / "install.log"
    sandbox, python = machine.sandbox, machine.python(env)
    facts: dict[str, object] = dict(machine.facts)
    pins = parse_requirements((root / entry.requirements).read_text("utf-8"))
    with tools.progress.task("make a fresh environment"):
        made = sandbox([machine.base, "-m", "venv", env], step="venv", log=log, check=False)
        if made.returncode != 0:
            return [_problem(Code.INSTALL, entry, "python -m venv failed", made.output)], [], facts
        facts["pip"] = sandbox([python, "-m", "pip", "--version"], step="ask pip", log=log).output.split(
            " from "
        )[0]
    started = time.perf_counter()
    with tools.progress.task("pip install --no-index", total=len(pins)) as task:

        def listen(line: str) -> None:
            if line.startswith("Processing "):
                task.advance()
            elif line.startswith("Installing collected"):
                task.detail("unpacking")

        installed = sandbox(
            [
                python, "-m", "pip", "install", "--no-index", "--find-links", root.resolve() / "wheelhouse",
                "--require-hashes", "-r", root.resolve() / entry.requirements,
            ],
            step="pip install",
            log=log,
            on_line=listen,
            check=False,
        )  # fmt: skip
    facts["install_seconds"] = round(time.perf_counter() - started, 1)
    if installed.returncode != 0:
        return [_problem(Code.INSTALL, entry, "pip install failed", installed.output)], [], facts
    problems = []
    with tools.progress.task("pip check"):
        checked = sandbox([python, "-m", "pip", "check"], step="pip check", log=log, check=False)
    if checked.returncode != 0:
        problems += [
            Problem(code=Code.CONFLICT, file=entry.requirements, message=line)
            for line in checked.output.strip().splitlines()
        ]
    problems += install_assets(root, env, machine, log, facts, tools)
    with tools.progress.task("import"):
        failed, not_tried = _inspect(root, entry, env, machine, log, facts)
    return problems + failed, not_tried, facts


def install_assets(
    root: Path, env: Path, machine: Machine, log: Path, facts: dict[str, object], tools: Tools
) -> list[Problem]:
    """Place the bundle's weights and data as the client's installer does, and look whether they are found.

    Returns the problems found; how many files were looked for goes to `facts`.
    """
    bundle = open_bundle(str(root))
    if not bundle.assets:
        return []
    with tools.progress.task("place weights and data", unit="bytes") as task:
        task.total(sum(bundle.files[asset["path"]][0] for asset in bundle.assets))
        try:
            placed = place_assets(bundle, str(env), None, task.advance)
        except Stop as error:
            return [Problem(code=Code.ASSET, file=ASSETS, message=str(error))]
    wanted = {
        variable: [path.split("/", 2)[2] for path in placed if path.startswith(f"{ASSETS}/{name}/")][:_SOUGHT]
        for name, variable in bundle.asset_variables.items()
    }
    facts["assets"] = sum(map(len, wanted.values()))
    command: list[str | Path] = [machine.python(env), "-c", LOOK, json.dumps(wanted)]
    looked = machine.sandbox(command, step="look for weights and data", log=log, check=False)
    _, marker, answer = looked.output.rpartition("\n@@")
    if looked.returncode != 0 or not marker:
        return [Problem(code=Code.ASSET, file=ASSETS, message=f"Python does not start:\n{looked.output}")]
    return [
        Problem(code=Code.ASSET, file=place, message=f"is not below the folder that {variable} names")
        for variable, place in json.loads(answer)
    ]


def _inspect(
    root: Path, entry: TargetEntry, env: Path, machine: Machine, log: Path, facts: dict[str, object]
) -> tuple[list[Problem], list[str]]:
    """Import the recipe's modules; compare what is installed with the lock."""
    sandbox, python = machine.sandbox, machine.python(env)
    suite = json.loads((root / "smoke" / "suite.json").read_text("utf-8"))
    modules = [*suite["imports"], *entry.extensions]
    result = sandbox([python, "-c", INSPECT, *modules], step="import", log=log, check=False)
    _, marker, answer = result.output.rpartition("\n@@")
    if result.returncode != 0 or not marker:
        message = f"importing {', '.join(modules)} ended the interpreter"
        return [_problem(Code.IMPORT, entry, message, result.output)], []
    problems, not_tried = [], []
    failed = json.loads(answer)
    unloadable = _spelled(machine.unloadable(env), machine) if failed else {}
    for name, (trace, binaries) in failed.items():
        reasons = [unloadable[binary.lower()] for binary in binaries if binary.lower() in unloadable]
        if reasons:
            not_tried.append(f"import {name}: {reasons[0]}")
        else:
            message = trace.strip().splitlines()[-1]
            problems.append(Problem(code=Code.IMPORT, file=name, message=message))
    listed = sandbox([python, "-m", "pip", "list", "--format", "freeze"], step="pip list", log=log).output
    installed = dict(line.strip().split("==", 1) for line in listed.splitlines() if "==" in line)
    facts["installed"] = installed
    versions = {canonicalize_name(name): version for name, version in installed.items()}
    pins = parse_requirements((root / entry.requirements).read_text("utf-8"))
    for name, (version, _) in pins.items():
        if versions.get(name) != str(version):
            message = f"{name} {version} is locked, {versions.get(name, 'nothing')} is installed"
            problems.append(Problem(code=Code.INSTALL, file=entry.requirements, message=message))
    return problems, not_tried


def _spelled(unloadable: Mapping[Path, str], machine: Machine) -> dict[str, str]:
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
    suite = env.parent / "suite"
    if not suite.is_dir():
        # a copy, so that the byte code Python writes does not land in the bundle
        shutil.copytree(root / "smoke", suite)
    with tools.progress.task(f"{name} suite") as task:

        def listen(line: str) -> None:
            match = _SUITE_STEP.match(line)
            if match:
                task.total(int(match[2]), done=int(match[1]) - 1)
                task.detail(match[3])

        unloadable = _spelled(machine.unloadable(env), machine)
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


def _problem(code: Code, entry: TargetEntry, message: str, output: str) -> Problem:
    tail = "\n".join(output.strip().splitlines()[-8:])
    return Problem(code=code, file=entry.target.name, message=f"{message}:\n{tail}")
