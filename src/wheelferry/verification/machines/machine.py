"""What stands for a machine that targets are tried on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.client.probe.machine import read_cpu
from wheelferry.system.interpreters import program_in
from wheelferry.system.sandbox import Sandbox


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
