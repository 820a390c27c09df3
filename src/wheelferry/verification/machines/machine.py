"""What stands for a machine that targets are tried on, and what its Python is asked first."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.client.probe.machine import read_cpu
from wheelferry.system.interpreters import program_in
from wheelferry.system.sandbox import Sandbox

# What a Python of another system is, and whether it finds a network.
ASK_PYTHON = """
import json, platform, socket
def attempt(host):
    try:
        socket.create_connection((host, 443), timeout=2).close()
    except OSError as error:
        return "%s: %s" % (type(error).__name__, error)
    return "connected"
print("\\n@@" + json.dumps({
    "version": platform.python_version(), "machine": platform.machine(), "glibc": platform.libc_ver()[1],
    "connections": {host + ":443": attempt(host) for host in ("1.1.1.1", "pypi.org")},
}))
"""
_MARK = "\n@@"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What `ASK_PYTHON` prints: `glibc` is empty where there is none, `connections` say what came of each."""

    version: str
    machine: str
    glibc: str
    connections: Mapping[str, str]


def has_answered(output: str) -> bool:
    """Whether the answer of `ASK_PYTHON` is in the output."""
    return _MARK in output


def read_answer(output: str, *, system: str) -> Answer:
    """The answer in the output; the names of connections begin with the `system` that made them."""
    told = json.loads(output.rpartition(_MARK)[2])
    connections = {f"{system} {host}": outcome for host, outcome in told.pop("connections").items()}
    return Answer(**told, connections=connections)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a target is installed and tried.

    `runner` is its name in the report, `facts` what the report says of it besides. `base` is the Python that
    environments are made with, `python` gives the program of such an environment. `unloadable` tells which of
    an environment's binaries the machine itself cannot load although the target's can, and why, by the
    binary's absolute path. `installations` is the folder to install below where not any will do: Windows
    takes no long paths. Of Wine it is drive C. `cpu` tells the processor, as `read_cpu` does.
    """

    runner: str
    sandbox: Sandbox
    base: Path
    python: Callable[[Path], Path] = program_in
    facts: Mapping[str, object] = field(default_factory=dict)
    unloadable: Callable[[Path], Mapping[Path, str]] = lambda _: {}
    installations: Path | None = None
    cpu: Callable[[], Mapping[str, object]] = read_cpu
