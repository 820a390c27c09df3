"""Doctor: can this machine build and prove bundles? Looks, never changes anything."""

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from wheelferry.cache.tools import Tools
from wheelferry.client.common.sizes import human_size
from wheelferry.client.probe.machine import long_paths
from wheelferry.errors import MissingError
from wheelferry.models import stable_abi
from wheelferry.models.cuda import Cuda
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.sandbox import open_sandbox
from wheelferry.system.this_machine import host_glibc_minor
from wheelferry.toolchains import mingw, native, zig
from wheelferry.toolchains.cuda_toolkit import toolkit_version
from wheelferry.verification.machines.emulated import require_emulator
from wheelferry.verification.machines.runner import require_wine
from wheelferry.verification.machines.wine import SETUP

# A CUDA torch with its libraries: 2.7 GB packed, 4.9 GB unpacked to build and again to verify.
COMFORTABLE_SPACE = 15_000_000_000
# Any compiler does for it: what a newer torch wants is said when one is asked for.
_ANY_TORCH = "1.8.0"
PYTHONS = tuple(f"3.{minor}" for minor in range(7, 15))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing looked at: whether it is in order, whether nothing works without it, and what to do."""

    subject: str
    good: bool
    blocking: bool
    seen: str
    advice: str = ""


def examine(tools: Tools) -> list[Finding]:
    """Look at everything a bundle needs."""
    looks: tuple[Callable[[Tools], Finding], ...] = (
        _compiler,
        _cuda,
        _git,
        _pythons,
        _index,
        _disk,
        _sandbox,
    )
    elsewhere = (_compiler_from_index, _compiler_for_windows, _wine, _qemu)
    here = [_long_paths()] if native.ON_WINDOWS else [look(tools) for look in elsewhere]
    return [*(look(tools) for look in looks), *here]


def _compiler(tools: Tools) -> Finding:
    try:
        identity = native.find_compiler(tools.run, torch=_ANY_TORCH, cuda=None).identity
        # the hash of what every build is linked with says nothing about the machine
        seen = "; ".join(part for part in identity.split("; ") if not part.startswith("portable.c "))
    except MissingError as error:
        advice = error.hint or ""
        if not native.ON_WINDOWS:
            advice = f"only for CUDA ops, torch before {stable_abi.FIRST_TORCH} and sdists in C: {advice}"
        return Finding(
            subject="C++ compiler", good=False, blocking=native.ON_WINDOWS, seen=str(error), advice=advice
        )
    if not native.ON_WINDOWS:
        seen += f"; glibc 2.{host_glibc_minor()}"
    return Finding(subject="C++ compiler", good=True, blocking=False, seen=seen)


def _compiler_from_index(tools: Tools) -> Finding:
    """What compiles CPU ops on torch's stable ABI where no compiler is installed, for every platform."""
    release = zig.locked(platform.machine())
    if release is None:
        seen = f"{zig.DISTRIBUTION} has no wheel for {platform.machine()}"
        return Finding(subject="zig", good=False, blocking=False, seen=seen)
    name = f"{zig.DISTRIBUTION} {release.version}"
    what = f"compiles CPU ops for Linux, Windows and macOS, torch {stable_abi.FIRST_TORCH} and later"
    if tools.store.has(release.sha256):
        return Finding(subject="zig", good=True, blocking=False, seen=f"{name} is in the cache: {what}")
    good, seen = _ask_index(tools, zig.DISTRIBUTION)
    return Finding(
        subject="zig",
        good=good,
        blocking=False,
        seen=f"{name} from the package index {what}" if good else f"the package index: {seen}",
        advice="" if good else f"ask for {zig.DISTRIBUTION} where the index is kept, or install a compiler",
    )


def _cuda(tools: Tools) -> Finding:
    """CUDA 13 needs nothing here but a host compiler; older ones need their toolkit."""
    subject = "CUDA"
    newest = Cuda(version="13.0")
    home = tools.cuda_home or (Path(os.environ["CUDA_HOME"]) if os.environ.get("CUDA_HOME") else None)
    try:
        native.find_compiler(tools.run, torch=_ANY_TORCH, cuda=newest)
        seen = "CUDA 13 and later: compiler from PyPI"
        if home is not None:
            seen += f"; {home}: CUDA {toolkit_version(home, tools.run)}"
    except MissingError as error:
        return Finding(
            subject=subject, good=False, blocking=False, seen=str(error), advice=error.hint or "set CUDA_HOME"
        )
    if home is None:
        seen += "; older: none (set CUDA_HOME or give --cuda-home)"
    return Finding(subject=subject, good=True, blocking=False, seen=seen)


def _git(tools: Tools) -> Finding:
    try:
        seen = tools.run(["git", "--version"], step="ask git", error=MissingError).output.strip()
    except MissingError as error:
        return Finding(
            subject="git",
            good=False,
            blocking=False,
            seen=str(error),
            advice="install git (the sample works without)",
        )
    return Finding(subject="git", good=True, blocking=False, seen=seen)


def _pythons(tools: Tools) -> Finding:
    found: list[str] = []
    bare: list[str] = []
    for python in PYTHONS:
        try:
            interpreter = find_interpreter(python, tools.run, uv=tools.uv.program)
        except MissingError:
            continue
        (found if interpreter.can_compile else bare).append(interpreter.version)
    seen = f"with headers: {', '.join(found) or 'none'}"
    if bare:
        seen += f"; without headers (only ops on the stable ABI): {', '.join(bare)}"
    return Finding(
        subject="Pythons",
        good=bool(found or bare),
        blocking=not (found or bare),
        seen=seen,
        advice="" if found or bare else "install one, for example: uv python install 3.12",
    )


def _ask_index(tools: Tools, project: str) -> tuple[bool, str]:
    """Whether the package index has a page of the project, and what it answered."""
    url = (tools.index.index_url or "https://pypi.org/simple").rstrip("/") + f"/{project}/"
    try:
        with tools.index.session() as session:
            response = session.get(
                url,
                timeout=15,
                auth=tools.index.auth_for(url),
                verify=not tools.index.trusts(url) and session.verify,
            )
        return response.ok, f"answers with HTTP status {response.status_code}"
    except requests.RequestException as error:
        return False, f"no answer ({type(error).__name__})"


def _index(tools: Tools) -> Finding:
    good, seen = _ask_index(tools, "packaging")
    if tools.index.no_index:
        good, seen = bool(tools.index.find_links), "pip is told to use no index, only find-links"
    return Finding(
        subject="package index",
        good=good,
        blocking=not good,
        seen=seen,
        advice="" if good else "check the network and `pip config list`",
    )


def _disk(tools: Tools) -> Finding:
    folder = tools.store.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    good = free >= COMFORTABLE_SPACE
    return Finding(
        subject="disk",
        good=good,
        blocking=False,
        seen=f"{human_size(free)} free at {tools.store.root}",
        advice=""
        if good
        else f"a CUDA torch wants {human_size(COMFORTABLE_SPACE)}; set WHEELFERRY_CACHE to a larger disk",
    )


def _long_paths() -> Finding:
    allowed = bool(long_paths())
    return Finding(
        subject="long paths",
        good=allowed,
        blocking=False,
        seen="allowed" if allowed else "Windows ends paths at 260 characters",
        advice=""
        if allowed
        else "builds use a short folder by themselves; to install torch below a long one, set "
        r"LongPathsEnabled to 1 in HKLM\SYSTEM\CurrentControlSet\Control\FileSystem",
    )


def _compiler_for_windows(tools: Tools) -> Finding:
    """What compiles ops for Windows where zig does not."""
    subject = "mingw-w64"
    try:
        found = mingw.find(tools.run)
    except MissingError as error:
        advice = f"where zig cannot be had, for --platform win_amd64: {error.hint}"
        return Finding(subject=subject, good=False, blocking=False, seen=str(error), advice=advice)
    seen = f"GCC {found.version}: CPU ops for Windows, torch {stable_abi.FIRST_TORCH} and later"
    return Finding(subject=subject, good=True, blocking=False, seen=seen)


def _wine(tools: Tools) -> Finding:
    """What --runner wine needs; without it bundles for Windows can be made, and read, but not tried."""
    try:
        wine, compiler = require_wine(tools)
    except MissingError as error:
        return Finding(
            subject="Wine", good=False, blocking=False, seen=str(error), advice=f"for --runner wine: {SETUP}"
        )
    seen = f"{wine.version}, GCC {compiler.version} of mingw-w64: --runner wine tries bundles for Windows"
    return Finding(subject="Wine", good=True, blocking=False, seen=seen)


def _qemu(tools: Tools) -> Finding:
    """What --runner qemu needs; without it bundles for 64-bit Arm can be made, and read, but not tried."""
    try:
        emulator = require_emulator(tools)
    except MissingError as error:
        advice = f"for --runner qemu: {error.hint}" if error.hint else "for --runner qemu"
        return Finding(subject="QEMU", good=False, blocking=False, seen=str(error), advice=advice)
    how = "registered system-wide" if emulator.system_wide else "registered in a namespace when it is used"
    seen = f"{emulator.version}, {how}: --runner qemu tries bundles for 64-bit Arm"
    return Finding(subject="QEMU", good=True, blocking=False, seen=seen)


def _sandbox(tools: Tools) -> Finding:
    with TemporaryDirectory() as home:
        sandbox = open_sandbox(Path(home), tools.run)
    seen = sandbox.kind if sandbox.isolated else f"none: {sandbox.evidence.get('reason')}"
    return Finding(
        subject="sandbox",
        good=sandbox.isolated,
        blocking=False,
        seen=seen,
        advice="" if sandbox.isolated else "verification will run with the network in reach, and say so",
    )
