"""A sandbox without a network: a namespace of its own on Linux, with proof that no route exists.

On Windows the most there can be is a firewall that lets nothing out; whether it does is looked at and tried.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheelferry.errors import MissingError
from wheelferry.system.process import CommandRunner, Completed

_ENTRY = Path(__file__).with_name("sandbox_entry.py")
_ALONE = ["lo"]
# ActiveStore: what holds in the end, of the machine's own settings and those that a company spreads.
# https://learn.microsoft.com/powershell/module/netsecurity/get-netfirewallprofile
_ASK_FIREWALL = (
    "Get-NetFirewallProfile -PolicyStore ActiveStore | "
    'ForEach-Object { "$($_.Name) $($_.Enabled) $($_.DefaultOutboundAction)" }'
)
_SHUT = "True Block"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Runs commands cut off from the network, with a clean HOME and no caches.

    `isolated` is whether a namespace could be had, or Windows' firewall lets nothing out; `evidence` is what
    was seen from inside. `loader` is what starts a foreign program there, which reads a path of this machine
    as `spell` writes it.
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
            or self.evidence.get("interfaces", _ALONE) != _ALONE
            or bool(self.evidence.get("routes"))
        )


def open_sandbox(home: Path, run: CommandRunner, *, mounts: bool = False) -> Sandbox:
    """The strongest sandbox this machine allows, probed by using it.

    With `mounts` commands may mount in it what they need, of which nothing is seen outside.
    """
    home.mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    return _behind_firewall(home, run) if os.name == "nt" else _in_namespace(home, run, mounts=mounts)


def _behind_firewall(home: Path, run: CommandRunner) -> Sandbox:
    """This very Windows: isolated when each profile of its firewall lets nothing out, and nothing got out."""
    environment = clean_environment(home)
    seen = run(
        [sys.executable, "-I", _ENTRY, "--prove"],
        step="try to reach the network",
        env=environment,
        check=False,
    )
    evidence: dict[str, Any] = json.loads(seen.output) if seen.returncode == 0 else {"connections": {}}
    evidence["firewall"] = _read_firewall(environment, run)
    connected = [host for host, outcome in evidence["connections"].items() if outcome == "connected"]
    shut = bool(evidence["firewall"]) and set(evidence["firewall"].values()) == {_SHUT}
    isolated = shut and not connected and bool(evidence["connections"])
    if not isolated:
        unshut = "is not shut by every profile" if evidence["firewall"] else "does not say that it is shut"
        why = f"{', '.join(connected)} answered" if connected else f"its firewall {unshut}"
        evidence["reason"] = f"Windows has no namespaces, and {why}"
    kind = "firewall of Windows, for the whole machine" if isolated else "none"
    return Sandbox(prefix=(), kind=kind, isolated=isolated, evidence=evidence, home=home, run=run)


def _read_firewall(environment: Mapping[str, str], run: CommandRunner) -> dict[str, str]:
    """Each profile of the firewall: whether it is on, and what it does with what goes out."""
    system = Path(environment.get("SYSTEMROOT", r"C:\Windows")) / "System32"
    powershell = system / "WindowsPowerShell" / "v1.0" / "powershell.exe"
    try:
        asked = run(
            [powershell, "-NoProfile", "-NonInteractive", "-Command", _ASK_FIREWALL],
            step="ask the firewall",
            env=environment,
            check=False,
        )
    except MissingError:
        return {}
    lines = [line.split(maxsplit=1) for line in asked.output.splitlines() if asked.returncode == 0]
    return {line[0]: line[1].strip() for line in lines if len(line) == 2}


def _in_namespace(home: Path, run: CommandRunner, *, mounts: bool) -> Sandbox:
    reasons = []
    for options, kind in _candidates(mounts=mounts):
        prefix = (*options, sys.executable, "-I", str(_ENTRY))
        probe = run([*prefix, "--prove"], step="probe the sandbox", env=clean_environment(home), check=False)
        if probe.returncode == 0:
            evidence = json.loads(probe.output)
            return Sandbox(prefix=prefix, kind=kind, isolated=True, evidence=evidence, home=home, run=run)
        reasons.append(probe.output.strip())
    reason = "; ".join(reasons) or "this system has no unshare program"
    return Sandbox(prefix=(), kind="none", isolated=False, evidence={"reason": reason}, home=home, run=run)


def _candidates(*, mounts: bool) -> list[tuple[tuple[str, ...], str]]:
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    options = ("--mount", "--net", "--") if mounts else ("--net", "--")
    kinds = "mount and network namespace" if mounts else "network namespace"
    as_root = ((unshare, *options), kinds)
    as_user = (
        (unshare, "--user", "--map-root-user", *options),
        f"user, {kinds}" if mounts else f"user and {kinds}",
    )
    if not (hasattr(os, "geteuid") and os.geteuid() == 0):
        return [as_user]
    # a user namespace has mounts of kinds that are one for the whole machine otherwise: binfmt_misc
    return [as_user, as_root] if mounts else [as_root, as_user]


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
