"""A sandbox without a network: a namespace of its own on Linux, with proof that no route exists."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheelferry.system.process import CommandRunner, Completed

_ENTRY = Path(__file__).with_name("sandbox_entry.py")


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Runs commands cut off from the network, with a clean HOME and no caches.

    `isolated` is whether a namespace could be had; `evidence` is what was seen from inside. `loader` is
    what starts a foreign program there, which reads a path of this machine as `spell` writes it.
    """

    prefix: tuple[str, ...]
    kind: str
    isolated: bool
    evidence: Mapping[str, Any]
    home: Path
    run: CommandRunner
    environment: Mapping[str, str] = field(default_factory=dict)
    loader: tuple[str, ...] = ()
    spell: Callable[[Path], str] = str

    def __call__(
        self,
        command: Sequence[str | Path],
        *,
        step: str,
        log: Path,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run `command` inside; see `process.run`. What is a Path in it names a file of this machine."""
        arguments = [self.spell(part) if isinstance(part, Path) else part for part in command]
        return self.run(
            [*self.prefix, *self.loader, *arguments],
            step=step,
            cwd=cwd or self.home,
            env=self.environment or clean_environment(self.home),
            log=log,
            on_line=on_line,
            check=check,
        )

    @property
    def reaches_network(self) -> bool:
        """Whether anything in the evidence speaks of a way out, although there should be none."""
        connections = self.evidence.get("connections", {})
        return self.isolated and (
            "connected" in connections.values()
            or self.evidence.get("interfaces") != ["lo"]
            or bool(self.evidence.get("routes"))
        )


def open_sandbox(home: Path, run: CommandRunner) -> Sandbox:
    """The strongest sandbox this machine allows, probed by using it."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    reasons = []
    for options, kind in _candidates():
        prefix = (*options, sys.executable, "-I", str(_ENTRY))
        probe = run([*prefix, "--prove"], step="probe the sandbox", env=clean_environment(home), check=False)
        if probe.returncode == 0:
            evidence = json.loads(probe.output)
            return Sandbox(prefix=prefix, kind=kind, isolated=True, evidence=evidence, home=home, run=run)
        reasons.append(probe.output.strip())
    without = "Windows has none" if os.name == "nt" else "this system has no unshare program"
    reason = "; ".join(reasons) or without
    return Sandbox(prefix=(), kind="none", isolated=False, evidence={"reason": reason}, home=home, run=run)


def _candidates() -> list[tuple[tuple[str, ...], str]]:
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    as_root = (unshare, "--net", "--")
    as_user = (unshare, "--user", "--map-root-user", "--net", "--")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    ordered = [(as_root, "network namespace")] if root else []
    return [*ordered, (as_user, "user and network namespace")]


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of an untouched account: nothing of the caller's but the system's PATH."""
    system = _windows_account(home) if os.name == "nt" else {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    values = {
        **system,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONNOUSERSITE": "1",
        "MPLBACKEND": "Agg",
    }
    if "OMP_NUM_THREADS" in os.environ:
        values["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
    return values


# What programs need from Windows itself; without SYSTEMROOT not even a socket can be opened.
_OF_WINDOWS = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS",
               "PROCESSOR_ARCHITECTURE", "OS")  # fmt: skip


def _windows_account(home: Path) -> dict[str, str]:
    root = os.environ.get("SYSTEMROOT", r"C:\Windows")
    values = {name: os.environ[name] for name in _OF_WINDOWS if name in os.environ}
    values["PATH"] = os.pathsep.join((rf"{root}\System32", root))
    values |= dict.fromkeys(("USERPROFILE", "APPDATA", "LOCALAPPDATA"), str(home))
    values |= dict.fromkeys(("TEMP", "TMP"), str(home / "tmp"))
    # else what the tools print in the code page of the machine would be read as UTF-8
    return {**values, "PYTHONUTF8": "1"}
