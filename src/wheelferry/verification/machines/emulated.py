"""A machine of 64-bit Arm on x86-64: another root, in which every program is run by QEMU."""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import wheelferry.client.smoke
import wheelferry.system
from wheelferry.cache.tools import Tools
from wheelferry.client.probe.machine import parse_cpuinfo
from wheelferry.client.smoke.harness import EMULATED
from wheelferry.errors import MissingError
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.targets import glibc_minor
from wheelferry.system.enter_root import CANNOT_START
from wheelferry.system.sandbox import Sandbox, clean_environment, open_sandbox
from wheelferry.verification.machines.arm_root import bring_arm_root, unpack_runtime
from wheelferry.verification.machines.machine import ASK_PYTHON, Machine, read_answer
from wheelferry.verification.machines.qemu import (
    PROCESSOR,
    SETUP_SYSTEM_WIDE,
    Emulator,
    cpuinfo,
    find_emulator,
    tiny_program,
    visible,
)

_ENTER = Path(wheelferry.system.__file__).with_name("enter_root.py")


def require_emulator(tools: Tools) -> Emulator:
    """QEMU, after it has run a program; MissingError says what to install where that cannot be."""
    emulator = find_emulator(tools.run)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        root = work / "root"
        root.mkdir()
        program = root / "exit"
        program.write_bytes(tiny_program())
        program.chmod(0o755)
        sandbox = _enter(root, work, emulator, _open(work, tools), folders=(work,), writable=False)
        done = sandbox(["/exit"], step="start a program of 64-bit Arm", log=work / "log", check=False)
    _require_started(done.returncode, done.output)
    return emulator


def open_emulated(
    root: Path, entry: TargetEntry, work: Path, tools: Tools, given: Path | None, files: Iterable[Path]
) -> Machine:
    """The machine for one target of 64-bit Arm; see `open_machine`."""
    emulator = find_emulator(tools.run)
    outside = _open(work, tools)
    log = work / "report" / "install.log"
    set_up = partial(_set_up, work=work, emulator=emulator, outside=outside, log=log)
    system = bring_arm_root(entry, given, work, tools, finish=set_up)
    harness = Path(wheelferry.client.smoke.__file__).parent
    shown = visible([root, work, harness, *files])
    sandbox = _enter(system.root, work, emulator, outside, folders=shown, writable=False)
    python = system.python or unpack_runtime(root, entry, work, tools)
    version, evidence = _ask(sandbox, python, entry, log, tools)
    cpu = parse_cpuinfo(cpuinfo(os.cpu_count() or 1))
    origin = "carried by the bundle" if system.python is None else system.origin
    return Machine(
        runner=f"QEMU {emulator.version} ({cpu[0]})",
        sandbox=replace(sandbox, evidence={**outside.evidence, **evidence}),
        base=python,
        facts={
            "python": version,
            "python_origin": origin,
            "emulation": {
                "emulator": f"qemu-aarch64 {emulator.version}",
                "processor": cpu[0],
                "system": system.origin,
                "registered": "system-wide" if emulator.system_wide else "in a user namespace",
            },
        },
        cpu=lambda: {"model": cpu[0], "cores": os.cpu_count() or 1, "level": cpu[1], "features": cpu[2]},
    )


def _set_up(
    root: Path, python: Path | None, *, work: Path, emulator: Emulator, outside: Sandbox, log: Path
) -> None:
    """Once for all in a new root: list the libraries, and compile the modules of its Python.

    Where that fails each program is slower; some modules of tests are not meant to be compiled.
    """
    commands: list[list[str | Path]] = [["/sbin/ldconfig"]]
    if python is not None:
        commands.append([python, "-m", "compileall", "-q", "/usr/lib"])
    with tempfile.TemporaryDirectory(dir=work) as folder:
        inside = _enter(root, Path(folder), emulator, outside, folders=(work,), writable=True)
        for command in commands:
            inside(command, step="set up the system for 64-bit Arm", log=log, check=False)


def _open(work: Path, tools: Tools) -> Sandbox:
    """A sandbox in which other folders can be mounted, or MissingError: without, nothing can be emulated."""
    sandbox = open_sandbox(work / "home", tools.run, mounts=True)
    if not sandbox.isolated:
        raise MissingError(
            f"--runner qemu needs namespaces for users and mounts: {sandbox.evidence.get('reason')}",
            hint="allow them (sysctl kernel.unprivileged_userns_clone=1, or "
            "kernel.apparmor_restrict_unprivileged_userns=0), or run it as root",
        )
    return sandbox


def _enter(
    root: Path,
    work: Path,
    emulator: Emulator,
    outside: Sandbox,
    *,
    folders: Sequence[str | Path],
    writable: bool,
) -> Sandbox:
    """The sandbox whose commands are those of the system in `root`, which the `folders` are shown to."""
    place, spec, cpus = work / "system", work / "system.json", work / "cpuinfo"
    place.mkdir()
    cpus.write_text(cpuinfo(os.cpu_count() or 1), "utf-8")
    files = {"/proc/cpuinfo": str(cpus)}
    document: Mapping[str, object] = {
        "place": str(place),
        "root": str(root),
        "writable": writable,
        "folders": [str(folder) for folder in folders],
        "files": files,
        "register": emulator.register,
    }
    spec.write_text(json.dumps(document), "utf-8")
    environment = {
        **clean_environment(outside.home),
        "QEMU_CPU": PROCESSOR,
        EMULATED: "1",
        # threads that wait by counting keep a core from those that they wait for
        "OMP_WAIT_POLICY": "passive",
    }
    return replace(outside, environment=environment, loader=(sys.executable, "-I", str(_ENTER), str(spec)))


def _ask(
    sandbox: Sandbox, program: Path, entry: TargetEntry, log: Path, tools: Tools
) -> tuple[str, Mapping[str, object]]:
    """The emulated Python's version, and whether it finds a network."""
    with tools.progress.task("start the emulated Python"):
        answer = sandbox([program, "-c", ASK_PYTHON], step="ask the emulated Python", log=log, check=False)
    _require_started(answer.returncode, answer.output, program)
    told = read_answer(answer.output, system="the emulated")
    if told.machine != "aarch64":
        raise MissingError(
            f"{program} is for {told.machine}, not for 64-bit Arm", hint="give another with --arm-root"
        )
    wanted = glibc_minor(entry.target.platform) or 0
    if not told.glibc or int(told.glibc.split(".")[1]) < wanted:
        raise MissingError(
            f"the target needs glibc 2.{wanted}, that of the emulated system is {told.glibc or 'none'}",
            hint="give a newer system with --arm-root DIR|FILE",
        )
    seen: Mapping[str, object] = sandbox.evidence.get("connections", {})
    return told.version, {"connections": {**seen, **told.connections}}


def _require_started(status: int, output: str, program: Path | None = None) -> None:
    """Raise MissingError unless a program of 64-bit Arm ran to its end."""
    if status == 0:
        return
    said = output.strip()[-800:]
    if status == CANNOT_START:
        raise MissingError(
            f"programs of 64-bit Arm do not start on this machine: {said}", hint=SETUP_SYSTEM_WIDE
        )
    what = f"the Python {program}" if program else "a program of 64-bit Arm"
    raise MissingError(f"{what} does not run under QEMU (status {status}):\n{said}")
