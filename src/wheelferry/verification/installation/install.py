"""What verification does first on a target's machine: install the bundle there, and see what came of it."""

import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version

import wheelferry.client.smoke
from wheelferry.bundle.reader import read_suites
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_not_imported
from wheelferry.client.common.bundle import Bundle, open_bundle
from wheelferry.client.common.deaths import cause_of
from wheelferry.client.installer.distributions import distributions
from wheelferry.client.installer.imports import TELL_BINARIES, Compiled, explain_import
from wheelferry.client.smoke.own_data import OwnData
from wheelferry.models.connections import UNWATCHED, Allowed, Attempt, judge
from wheelferry.models.lock import Pin
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.planning.assets import FOLDER as ASSETS
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.system.process import Completed, Group
from wheelferry.system.threads import side_by_side
from wheelferry.verification.installation.modules import (
    TopModules,
    not_brought,
    packages_folder,
    remedy,
    top_modules,
)
from wheelferry.verification.machines.machine import Machine
from wheelferry.verification.machines.runner import Runner
from wheelferry.verification.own_data import ReadyData
from wheelferry.verification.suite import spelled

INSTALL_LOG = "install.log"
# The bundle's own may be older, and would not see what is looked for.
HARNESS = Path(wheelferry.client.smoke.__file__).with_name("harness.py")
_SOUGHT = 1000  # files of a root to look for: a data set can have more names than a command line holds

# Watches for attempts to reach another machine, and answers in a form that is found in the output.
_WATCH = """
import atexit, importlib, importlib.util, json, sys, traceback
spec = importlib.util.spec_from_file_location("harness", sys.argv[1])
harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(harness)
connections = harness.Connections()
def answer(document):
    document["watched"] = connections.watched
    print("\\n@@" + json.dumps(document), flush=True)
"""

# Started with -S, which leaves out what Python does with .pth files, and does it under watch.
START = (
    _WATCH
    + """
import site
site.main()
answer({"connections": {"the start of Python": connections.take()}})
"""
)

# Imports each module by itself; a broken one must not hide the others. A compiled file without an init
# function is no module but a library of ops, which its package gives to torch: so does this. With each
# failure come the binaries that could not be loaded on the way to it. Each name is said before it is tried,
# should it end the interpreter. It answers when the interpreter ends: what the modules do then, and their
# threads that go on until then, is watched too.
INSPECT = (
    TELL_BINARIES
    + _WATCH
    + """
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
failed, tried = {}, {}
def end():
    tried["the end of Python"] = connections.take()
    answer({"failed": failed, "connections": tried})
atexit.register(end)
for name in sys.argv[2:]:
    print("\\n@>" + name, flush=True)
    try:
        bring(name)
    except BaseException as error:
        failed[name] = [traceback.format_exc(), list(binaries(error))]
    tried[name] = connections.take()
"""
)

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


class Installer(StrEnum):
    """What installs the bundle when it is verified: its own installer, as on the client, or plain pip."""

    BUNDLE = "bundle"
    PIP = "pip"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One target of a bundle on the machine that runs it; everything is kept below `folder`.

    `pins` are the target's lock. `allowed` are attempts to reach another machine that are no problem. `own`
    is a data set of the user's, for the level train.
    """

    root: Path
    entry: TargetEntry
    pins: Mapping[NormalizedName, Pin]
    folder: Path
    machine: Machine
    tools: Tools
    allowed: tuple[Allowed, ...] = ()
    own: ReadyData | None = None

    @property
    def log(self) -> Path:
        """Where the commands of the installation and what they said go, for the report."""
        return self.folder / "report" / INSTALL_LOG

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle as its client reads it, once."""
        bundle: Bundle = open_bundle(str(self.root.resolve()))
        return bundle

    def problem(self, message: str, output: str, code: Code = Code.INSTALL) -> Problem:
        """A problem of this target, with the end of what a command said."""
        tail = "\n".join(output.strip().splitlines()[-12:])
        return Problem(code=code, file=self.entry.target.name, message=f"{message}:\n{tail}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSettings:
    """How the targets of a bundle are tried.

    `runner` runs the targets that this machine cannot run by itself: Wine those for Windows, with
    `windows_python` (an archive or a folder) if it is given, QEMU those for 64-bit Arm, in the system
    `arm_root` if that is given. `installer` is what installs: the bundle's own,
    beside which pip makes a dry run, or pip alone. `allowed` are attempts to reach another machine that are
    no problem, beside those of the recipe. `own` is a data set of the user's that the level train should
    prove the bundle with.
    """

    runner: Runner | None = None
    windows_python: Path | None = None
    arm_root: Path | None = None
    installer: Installer = Installer.BUNDLE
    allowed: tuple[Allowed, ...] = ()
    own: OwnData | None = None


DEFAULT_SETTINGS = TrialSettings()


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment that was made of a bundle: where it is, what is wrong with it, what was seen.

    `not_tried` is what the machine cannot try, each with the reason. `complete` is whether there is an
    environment at all.
    """

    env: Path
    complete: bool = True
    problems: tuple[Problem, ...] = ()
    not_tried: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proven:
    """What came of one proof: what is wrong, facts for the report, and what could not be tried and why."""

    problems: tuple[Problem, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    not_tried: tuple[str, ...] = ()


# Installs the target of a trial, and says what its assets and pip make of it.
Install = Callable[[Trial], Installed]
# A further proof of a finished installation.
Proof = Callable[[Trial, Path], Proven]


def install(trial: Trial, do: Install, proofs: Iterable[Proof]) -> Installed:
    """Install with `do`, then import, compare with the lock, look for assets, and give the `proofs`.

    The proofs and the import run beside one another: the one reads the disk, the other keeps a core busy.
    """
    done = do(trial)
    facts = {**trial.machine.facts, **done.facts}
    if not done.complete:
        return replace(done, facts=facts)
    group = Group(trial.machine.sandbox.run)
    sandbox = replace(trial.machine.sandbox, run=group.run)
    own = replace(trial, machine=replace(trial.machine, sandbox=sandbox))
    imported, *proven = side_by_side(
        [partial(proof, own, done.env) for proof in (import_modules, *proofs)], on_failure=group.end
    )
    findings, not_tried = imported
    found, versions = compare_with_lock(trial, done.env)
    problems = [*done.problems, *found, *(one for one in findings if isinstance(one, Problem))]
    facts["notes"] = [str(one) for one in findings if isinstance(one, Note)]
    for seen in proven:
        problems += seen.problems
        facts |= seen.facts
        not_tried += seen.not_tried
    return replace(
        done, problems=tuple(problems), not_tried=tuple(not_tried), facts={**facts, "installed": versions}
    )


def import_modules(trial: Trial, env: Path) -> tuple[list[Problem | Note], list[str]]:
    """Import the recipe's modules and those of all distributions: findings, and what could not be tried.

    All are imported in one process, the recipe's first. Another one that fails there is tried once more by
    itself: some modules fail only where certain others were imported before. What tries to reach another
    machine meanwhile, or when Python starts, is a finding too.
    """
    imports = [name for suite in read_suites(trial.root) for name in suite.document["imports"]]
    own = list(dict.fromkeys([*imports, *trial.entry.all_extensions]))
    top, skipped = top_modules(env), shipped_not_imported()
    others = [name for name in top.owners if name not in own and name not in skipped]
    with trial.tools.progress.task("import"):
        started, ended = _ask(trial, [trial.machine.python(env), "-S", "-c", START, HARNESS])
        if started is None:
            return [trial.problem("Python does not start in the environment", ended.output)], []
        seen = _import([*own, *others], trial, env)
        alone = [name for name in seen.failed if name in others]
        failed = {name: failure for name, failure in seen.failed.items() if name in own}
        for name in alone:
            failed |= _import([name], trial, env).failed
    not_tried = [] if seen.watched else [UNWATCHED]
    not_tried += [f"import {name}: {skipped[name]}" for name in top.owners if name in skipped]
    judged = list(_judge_failures(failed, top, own, trial, env))
    not_tried += [one for one in judged if isinstance(one, str)]
    findings: list[Problem | Note] = [one for one in judged if isinstance(one, Problem)]
    for where, attempts in {**started["connections"], **seen.connections}.items():
        findings += judge(where, map(Attempt.read, attempts), trial.allowed)
    return findings, not_tried


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """What a failed import said, and the binaries that could not be loaded on the way to it.

    `died` says how it ended the interpreter, if it did.
    """

    trace: str = ""
    binaries: tuple[str, ...] = ()
    died: str = ""

    @property
    def message(self) -> str:
        """The part of it that is shown: the end of the traceback."""
        return self.died or (self.trace.strip().splitlines() or [""])[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Imported:
    """The modules that failed; the attempts to reach other machines, by module, where they were watched."""

    failed: Mapping[str, _Failure]
    connections: Mapping[str, Any] = field(default_factory=dict)
    watched: bool = True


def _import(modules: list[str], trial: Trial, env: Path) -> _Imported:
    """Import `modules` in one process. One that ends the process is left out, and the others run again."""
    seen, ended = _ask(trial, [trial.machine.python(env), "-c", INSPECT, HARNESS, *modules])
    if seen is not None:
        failed = {
            name: _Failure(trace=trace, binaries=tuple(binaries))
            for name, (trace, binaries) in seen["failed"].items()
        }
        return _Imported(failed=failed, connections=seen["connections"], watched=seen["watched"])
    last = ended.output.rpartition("\n@>")[2].split("\n", 1)
    died = last[0].strip() if last[0].strip() in modules else modules[0]
    tail = "\n".join(last[-1].strip().splitlines()[-12:])
    rest = [name for name in modules if name != died]
    others = _import(rest, trial, env) if rest else _Imported(failed={})
    message = f"ended the interpreter (exit status {ended.returncode}):\n{tail}"
    if cause_of(ended.returncode) is not None:
        message = f"{_explained(died, ended, trial, env)}:\n{tail}"
    return replace(others, failed={died: _Failure(died=message), **others.failed})


def _explained(module: str, ended: Completed, trial: Trial, env: Path) -> str:
    """What the client would be told of such a death, with this machine's processor."""
    needs = trial.bundle.target(trial.entry.target.name).processor
    compiled = Compiled(str(packages_folder(env)))
    said: str = explain_import(
        module, ended.returncode, ended.output, compiled, needs, trial.machine.cpu(), os.environ
    )
    return said


def _judge_failures(
    failed: Mapping[str, _Failure], top: TopModules, own: Container[str], trial: Trial, env: Path
) -> Iterator[Problem | str]:
    """A problem for each failure, or as text why the module could not be tried."""
    unloadable = spelled(trial.machine.unloadable(env), trial.machine) if failed else {}
    for name, failure in failed.items():
        reasons = [unloadable[binary.lower()] for binary in failure.binaries if binary.lower() in unloadable]
        missing = None if name in own else not_brought(failure.trace, top.all)
        if reasons:
            yield f"import {name}: {reasons[0]}"
        elif missing is not None:
            yield f"import {name}: it needs {missing}, which no wheel brings"
        else:
            message = failure.message + remedy(failure.message, top.owners.get(name, name))
            yield Problem(code=Code.IMPORT, file=name, message=message)


def _ask(trial: Trial, command: Sequence[str | Path]) -> tuple[dict[str, Any] | None, Completed]:
    """The answer of a script in the environment, None when it ended without one; and how it ended."""
    result = trial.machine.sandbox(command, step="import", log=trial.log, check=False)
    _, marker, answer = result.output.rpartition("\n@@")
    if result.returncode != 0 or not marker:
        return None, result
    document: dict[str, Any] = json.loads(answer.partition("\n")[0])
    return document, result


def installed_versions(env: Path) -> dict[str, str]:
    """The packages in an environment and their versions, by normalised name."""
    return versions_in(packages_folder(env))


def versions_in(packages: Path) -> dict[str, str]:
    """The packages in a folder that Python imports from, and their versions, by normalised name."""
    found = distributions(str(packages))
    return {name: found[name].version for name in sorted(found)}


def compare_with_lock(trial: Trial, env: Path) -> tuple[list[Problem], dict[str, str]]:
    """What of the lock is not installed as it says; and everything that is."""
    requirements = trial.entry.requirements
    versions = installed_versions(env)
    problems = [
        Problem(
            code=Code.INSTALL,
            file=requirements,
            message=f"{name} {version} is locked, {versions.get(name, 'nothing')} is installed",
        )
        for name, (version, _sha256) in trial.pins.items()
        if not same_version(versions.get(name), version)
    ]
    return problems, versions


def same_version(text: str | None, version: Version) -> bool:
    """Whether `text`, as a .dist-info folder or pip spells it, is that version."""
    try:
        return text is not None and Version(text) == version
    except InvalidVersion:
        return False


def look_for_assets(
    trial: Trial, env: Path, placed: Iterable[str]
) -> tuple[list[Problem], dict[str, object]]:
    """Whether the project finds the weights and data that were placed, as paths below `env`."""
    bundle, machine = trial.bundle, trial.machine
    wanted = {
        variable: [path.split("/", 2)[2] for path in placed if path.startswith(f"{ASSETS}/{name}/")][:_SOUGHT]
        for name, variable in bundle.asset_variables.items()
    }
    command: list[str | Path] = [machine.python(env), "-c", LOOK, json.dumps(wanted)]
    looked = machine.sandbox(command, step="look for weights and data", log=trial.log, check=False)
    _, marker, answer = looked.output.rpartition("\n@@")
    facts: dict[str, object] = {"assets": sum(map(len, wanted.values()))}
    if looked.returncode != 0 or not marker:
        message = f"Python does not start:\n{looked.output}"
        return [Problem(code=Code.ASSET, file=ASSETS, message=message)], facts
    return [
        Problem(code=Code.ASSET, file=place, message=f"is not below the folder that {variable} names")
        for variable, place in json.loads(answer)
    ], facts
