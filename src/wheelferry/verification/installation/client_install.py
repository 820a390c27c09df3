"""Installing as the client will, with the bundle's own installer; and whether plain pip would do the same."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.client.common.bundle import Bundle
from wheelferry.client.installer.prefix import LOG, RECEIPT
from wheelferry.models.lock import taken_instead
from wheelferry.models.problems import Code, Problem
from wheelferry.system.sandbox import Sandbox, clean_environment
from wheelferry.verification.installation.install import (
    Installed,
    Proven,
    Trial,
    installed_versions,
    look_for_assets,
    same_version,
)
from wheelferry.verification.installation.pip_install import (
    conflicts,
    options_for,
    pip_of,
    pip_reads_pylock,
)

CLIENT_LOG = "client.log"  # the installer's own, in the report
PROVED = "the bundle's own installer installed all of it; pip hashed every wheel and would install the same"


def install_as_client(trial: Trial) -> Installed:
    """Run the bundle's installer in the sandbox, for this target and a new prefix, without its checks.

    They are the levels above.
    """
    prefix = (trial.machine.installations or trial.folder) / "client"
    env = prefix / "envs" / "1"
    started = time.perf_counter()
    with trial.tools.progress.task("install with the bundle's own installer") as task:
        done = _with_python(trial)(
            _command(trial, prefix),
            step="the bundle's installer",
            log=trial.log,
            on_line=lambda line: task.detail(line.strip()[:60]),
            check=False,
        )
    seconds = round(time.perf_counter() - started, 1)
    if (prefix / LOG).is_file():
        shutil.copyfile(prefix / LOG, trial.log.with_name(CLIENT_LOG))
    if done.returncode != 0:
        message = f"the bundle's installer ended with status {done.returncode}; the client would see"
        problem = trial.problem(message, done.output)
        return Installed(env=env, complete=False, problems=(problem,), facts={"install_seconds": seconds})
    receipt: dict[str, Any] = json.loads((env / RECEIPT).read_text("utf-8"))
    facts = {
        "installer": f"{_program(trial)} with {receipt['installer']['version']}",
        "proved": PROVED,
        "install_seconds": seconds,
        "steps": receipt["seconds"],
        "python": receipt["python"]["version"],
    }
    bundle = trial.bundle
    if not bundle.assets:
        return Installed(env=env, facts=facts)
    problems, found = look_for_assets(trial, env, _placed(bundle, env))
    return Installed(env=env, problems=tuple(problems), facts={**facts, **found})


def carries_installer(trial: Trial) -> bool:
    """Whether the bundle has an installer, and the pip to prove it with or a client that has one.

    Those of old releases have not.
    """
    return bool("install.pyz" in trial.bundle.files and (trial.entry.pip or trial.entry.present))


def _program(trial: Trial) -> str:
    """The installer's start: install.cmd needs programs that Wine lacks, so there it is what that starts."""
    return "install.pyz" if trial.entry.target.is_windows else "install.sh"


def _command(trial: Trial, prefix: Path) -> list[str | Path]:
    root, base = trial.root.resolve(), trial.machine.base
    start: list[str | Path] = ["sh", root / "install.sh"]
    if trial.entry.target.is_windows:
        start = [base, "-I", root / "install.pyz"]
    # the bundle's own Python where it has one, as on the client; else the target's, without a search for it
    python: list[str | Path] = [] if trial.entry.runtime else ["--python", base]
    options = ["--target", trial.entry.target.name, "--yes", "--verify", "none", "--without-gpu"]
    return [*start, "--prefix", prefix, *python, *options]


def _with_python(trial: Trial) -> Sandbox:
    """The sandbox; where the client must have a Python, with that one as ``python3`` on PATH."""
    sandbox = trial.machine.sandbox
    if os.name == "nt" or trial.entry.target.is_windows or trial.entry.runtime:
        return sandbox
    programs = sandbox.home / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(trial.machine.base)
    values = sandbox.environment or clean_environment(sandbox.home)
    return replace(sandbox, environment={**values, "PATH": f"{programs}{os.pathsep}{values['PATH']}"})


def _placed(bundle: Bundle, env: Path) -> list[str]:
    """The files that the installer has to have placed: an asset at its path, an archive's content there."""
    placed: list[str] = []
    for asset in bundle.assets:
        folder = env.joinpath(*asset["path"].split("/")).parent
        content = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        unpacked = [path.relative_to(env).as_posix() for path in content] if asset["unpack"] else []
        placed += unpacked or [asset["path"]]
    return list(dict.fromkeys(placed))


def prove_with_pip(trial: Trial, env: Path) -> Proven:
    """Let plain pip hash every wheel and resolve the lock offline, and look at what was installed.

    Nothing is unpacked: it is pip's dry run over the same files. What it would install must be what is
    there, and ``pip check`` must find no conflict. The pip is the bundle's own.
    """
    sandbox, pip = trial.machine.sandbox, pip_of(trial, env)
    seen = trial.folder / "report" / "pip.json"
    pins = trial.bundle.target(trial.entry.target.name).pins
    with trial.tools.progress.task("pip install --dry-run", total=len(pins)) as task:
        tried = sandbox(
            [
                *pip, "install", "--dry-run", "--ignore-installed", "--no-index",
                *_source(trial), *options_for(trial.entry), "--report", seen,
            ],
            step="pip install --dry-run",
            log=trial.log,
            on_line=lambda line: task.advance() if line.startswith("Processing ") else None,
            check=False,
        )  # fmt: skip
        checked = sandbox([*pip, "check"], step="pip check", log=trial.log, check=False)
    said = sandbox([*pip, "--version"], step="ask pip", log=trial.log).output.split(" from ")[0]
    problems = conflicts(trial, checked.returncode, checked.output)
    if tried.returncode != 0:
        problems.append(trial.problem("plain pip would not install it", tried.output))
        return Proven(problems=tuple(problems), facts={"pip": said})
    would = {
        item["metadata"]["name"]: item["metadata"]["version"]
        for item in json.loads(seen.read_text("utf-8"))["install"]
    }
    problems += disagreements(trial, would, installed_versions(env))
    return Proven(problems=tuple(problems), facts={"pip": said})


def _source(trial: Trial) -> list[str | Path]:
    """Where pip installs from: the requirements, or the pylock where another target's wheel misleads it."""
    root, own = trial.root.resolve(), trial.bundle.target(trial.entry.target.name)
    there = [name.partition("/")[2] for name in trial.bundle.files if name.startswith("wheelhouse/")]
    names = [pin.wheel.rpartition("/")[2] for pin in own.pins]
    if taken_instead(names, there, trial.entry.target) and pip_reads_pylock(trial.entry):
        return ["-r", root / trial.entry.pylock]
    return ["--find-links", root / "wheelhouse", "--require-hashes", "-r", root / trial.entry.requirements]


def disagreements(trial: Trial, would: Mapping[str, str], installed: Mapping[str, str]) -> list[Problem]:
    """What pip `would` install but is not `installed` in that version, and the other way round."""
    wanted: dict[str, str] = {canonicalize_name(name): version for name, version in would.items()}
    locked = {pin.name for pin in trial.bundle.target(trial.entry.target.name).pins}
    problems = []
    for name in sorted(wanted.keys() | (installed.keys() & locked)):
        there, version = installed.get(name), wanted.get(name)
        if version is None or not same_version(there, Version(version)):
            message = (
                f"{name}: plain pip would install {version or 'nothing'}, installed is {there or 'nothing'}"
            )
            problems.append(Problem(code=Code.DISAGREES, file=trial.entry.requirements, message=message))
    return problems
