"""The machine that a target is proven on: this one, Wine's Windows, or QEMU's 64-bit Arm."""

import contextlib
import functools
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from wheelferry.binaries.pe import is_pythons, provided
from wheelferry.cache.tools import Tools
from wheelferry.errors import MissingError
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.report import OWN_MACHINE
from wheelferry.models.targets import Target, glibc_minor, platform_tags
from wheelferry.system.files import files_below, folder_aside
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.sandbox import Sandbox, open_sandbox
from wheelferry.system.this_machine import host_glibc_minor, is_own_platform
from wheelferry.verification.machines.arm_root import check_arm_root
from wheelferry.verification.machines.emulated import open_emulated, require_emulator
from wheelferry.verification.machines.machine import ASK_PYTHON, Machine, has_answered, read_answer
from wheelferry.verification.machines.windows_python import bring_python, check_windows_python
from wheelferry.verification.machines.wine import (
    Compiler,
    Wine,
    copy_prefix,
    find_compiler,
    find_wine,
    make_prefix,
    prefix_key,
    read_imports,
    serving,
    unloadable,
    windows_path,
    wine_environment,
)

# Torch has files of 190 characters; a client's folder of fifty is what static verification counts with.
_SHORT = 40


class Runner(StrEnum):
    """What runs a target that this machine cannot run by itself."""

    WINE = "wine"
    QEMU = "qemu"


def cannot_run(target: Target, runner: Runner | None) -> str | None:
    """Why the target's wheels cannot be tried on this machine with `runner`; None when they can."""
    minor = host_glibc_minor()
    machine = platform.machine()
    if runner is Runner.QEMU and target.platform.endswith("aarch64") and not is_own_platform(target):
        ours = machine == "x86_64" and sys.platform == "linux"
        return None if ours else f"QEMU runs {target.platform} on Linux on x86_64, this machine is {machine}"
    if target.is_windows and is_own_platform(target):
        return None
    if target.is_windows:
        if runner is Runner.WINE and machine != "x86_64":
            return f"Wine runs {target.platform} on x86_64, this machine is {machine}"
        return None if runner is Runner.WINE else f"{target.platform} does not run here; try --runner wine"
    if target.is_macos:
        return f"nothing of macOS can be run here: {target.platform} is verified by its files alone"
    if not target.platform.startswith("manylinux"):
        return f"{target.platform} does not run on this machine"
    if not target.platform.endswith(machine):
        other = "; try --runner qemu" if machine == "x86_64" and runner is None else ""
        return f"{target.platform} does not run on {machine}{other}"
    if minor is None or target.platform not in platform_tags(f"manylinux_2_{minor}_{machine}"):
        return f"the target needs glibc 2.{glibc_minor(target.platform)}, this machine has 2.{minor}"
    return None


def require_runner(runner: Runner | None, tools: Tools) -> None:
    """Raise MissingError, which says what to install, unless what runs targets is on this machine."""
    if runner is Runner.WINE:
        require_wine(tools)
    elif runner is Runner.QEMU:
        require_emulator(tools)


def check_given(
    runner: Runner | None, windows_python: Path | None, arm_root: Path | None, targets: Iterable[Target]
) -> None:
    """Raise InputError unless the Python or the system that the user gave can serve all its `targets`."""
    if runner is Runner.WINE and windows_python is not None:
        check_windows_python(windows_python, targets)
    if runner is Runner.QEMU and arm_root is not None:
        check_arm_root(arm_root)


@contextlib.contextmanager
def open_machine(
    root: Path,
    entry: TargetEntry,
    work: Path,
    tools: Tools,
    *,
    windows_python: Path | None = None,
    arm_root: Path | None = None,
    files: Iterable[Path] = (),
) -> Iterator[Machine]:
    """The machine for one target of the bundle in `root`, with a sandbox and nothing else of its own.

    Everything lies below `work`; nothing of it runs on when the context ends. `files` are what the target
    must be able to read besides. Raises MissingError when this machine lacks the target's Python or what
    runs it.
    """
    if is_own_platform(entry.target):
        interpreter = find_interpreter(entry.target.python, tools.run, uv=tools.uv.program)
        facts = {"python": interpreter.version}
        sandbox = _open_sandbox(work, tools)
        with _short_folder(tools) as short:
            yield Machine(
                runner=OWN_MACHINE,
                sandbox=sandbox,
                base=interpreter.path,
                facts=facts,
                installations=short,
            )
    elif entry.target.is_windows:
        with _open_wine(root, entry, work, tools, windows_python) as machine:
            yield machine
    else:
        yield open_emulated(root, entry, work, tools, arm_root, files)


def _open_sandbox(work: Path, tools: Tools) -> Sandbox:
    sandbox = open_sandbox(work / "home", tools.run)
    if not sandbox.isolated:
        tools.progress.warn(f"no network sandbox here ({sandbox.evidence.get('reason')}); the report says so")
    return sandbox


@contextlib.contextmanager
def _open_wine(
    root: Path, entry: TargetEntry, work: Path, tools: Tools, windows_python: Path | None
) -> Iterator[Machine]:
    sandbox = _open_sandbox(work, tools)
    wine, compiler = require_wine(tools)
    python = bring_python(root, entry, windows_python, compiler, work, tools)
    environment = wine_environment(work / "wine", sandbox.home, os.environ.get("OMP_NUM_THREADS"))
    drive = work / "wine" / "drive_c"
    inside = replace(
        sandbox,
        environment=environment,
        loader=(str(wine.loader),),
        spell=functools.partial(windows_path, drive=drive),
    )
    with serving(wine, environment, tools.run):
        _bring_prefix(work / "wine", wine, compiler, inside, tools)
        system = drive / "windows" / "system32"
        version, evidence = _ask(inside, python.program, work / "report" / "install.log", tools)
        inside = replace(inside, evidence={**sandbox.evidence, **evidence})
        yield Machine(
            runner=f"Wine {wine.version}",
            sandbox=inside,
            base=python.program,
            python=lambda env: env / "Scripts" / "python.exe",
            facts={"python": version, "python_origin": python.origin},
            unloadable=functools.cache(lambda env: _unloadable(env, system, entry.target, wine)),
            installations=drive,
        )


def _short_folder(tools: Tools) -> contextlib.AbstractContextManager[Path | None]:
    """On Windows a folder whose path leaves room for those of torch, elsewhere none: any would do."""
    return tools.store.workspace("v", room=_SHORT) if os.name == "nt" else contextlib.nullcontext()


def require_wine(tools: Tools) -> tuple[Wine, Compiler]:
    """Wine and the compiler for what it lacks; MissingError names the command that installs them."""
    return find_wine(tools.run), find_compiler(tools.run)


def _bring_prefix(prefix: Path, wine: Wine, compiler: Compiler, sandbox: Sandbox, tools: Tools) -> None:
    """A fresh drive C and registry at `prefix`, from the store after the first time."""
    # whose Windows it is: in a user namespace everybody is root
    account = f"{sandbox.kind} {os.environ.get('USER', '')} {os.getuid()}"
    name = f"wine{wine.version}-{prefix_key(wine, compiler, account)}"
    template = tools.store.machines / name
    with tools.store.lock(name):
        if not template.is_dir():
            log = tools.store.log_path("wine")
            with tools.progress.task("make Wine's Windows"), folder_aside(template) as aside:
                environment = {**sandbox.environment, "WINEPREFIX": str(aside)}
                with serving(wine, environment, tools.run):
                    make_prefix(aside, wine, compiler, replace(sandbox, environment=environment), log)
    with tools.progress.task("copy Wine's Windows"):
        copy_prefix(template, prefix)


def _ask(
    sandbox: Sandbox, program: Path, log: Path, tools: Tools
) -> tuple[str, dict[str, Mapping[str, object]]]:
    """The Windows Python's version, and whether Windows finds a network: Wine's server opens its sockets."""
    with tools.progress.task("start the Windows Python"):
        answer = sandbox([program, "-c", ASK_PYTHON], step="ask the Windows Python", log=log, check=False)
    if answer.returncode != 0 or not has_answered(answer.output):
        raise MissingError(
            f"the Windows Python {program} does not start under Wine:\n{answer.output.strip()[-800:]}",
            hint="give another with --windows-python DIR|FILE",
        )
    seen = read_answer(answer.output, system="Windows'")
    return seen.version, {"connections": {**sandbox.evidence.get("connections", {}), **seen.connections}}


def _unloadable(env: Path, system: Path, target: Target, wine: Wine) -> dict[Path, str]:
    """Binaries of the environment that this Wine cannot load, with the reason."""
    packages = env / "Lib" / "site-packages"
    own = [path for path in files_below(packages) if path.suffix.lower() in (".pyd", ".dll")]
    binaries = {path.relative_to(packages).as_posix(): read_imports(path) for path in own}
    there = {path.name.lower() for path in system.iterdir()}

    def lacks(library: str) -> bool:
        # sets of functions are resolved by a table of Wine's; Python's library comes with Python
        elsewhere = is_pythons(library) or library.lower().startswith("api-ms-")
        return not elsewhere and provided(library, target) is not None and library.lower() not in there

    return {packages / name: reason for name, reason in unloadable(binaries, lacks, wine.version).items()}
