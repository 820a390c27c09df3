"""Equip: what travels so that a bare client can install — uv and pip for each target, and a Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelferry.build.populate import locked_wheel
from wheelferry.bundle.runtime import STANDALONE, Carried, fetch_standalone, require_servant, take_archive
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import uv_version
from wheelferry.errors import MissingError
from wheelferry.models.lock import LockedWheel, choose_files
from wheelferry.models.targets import Target

# Any uv runs on any Python: its wheels hold one program. So it is resolved for one that uv itself supports.
_UV_PYTHON = "3.12"


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallerSet:
    """What one target's client installs with."""

    uv: LockedWheel
    pip: LockedWheel
    python: Carried | None = None

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 by path in the bundle."""
        found = {f"tools/{wheel.filename}": wheel.sha256 for wheel in (self.uv, self.pip)}
        if self.python:
            found[self.python.runtime.path] = self.python.entry.sha256
        return found


def collect_installers(
    targets: Sequence[Target], runtimes: Sequence[str], tools: Tools
) -> dict[Target, InstallerSet]:
    """What installs on each target. `runtimes` are archives of Pythons, or `STANDALONE`: uv's own catalogue.

    Raises InputError for an archive that is no Python for any target, MissingError when the index or the
    catalogue's mirror does not answer.
    """
    tools.progress.stage("installers: uv, pip" + (" and a Python" if runtimes else ""))
    pythons = []
    for given in runtimes:
        if given != STANDALONE:
            pythons.append(take_archive(Path(given), tools))
            require_servant(pythons[-1], given, targets)
    installer_sets = {}
    for target in targets:
        python = next((one for one in pythons if one.serves(target)), None)
        if python is None and STANDALONE in runtimes:
            python = fetch_standalone(target, tools)
        uv = _resolve(f"uv=={uv_version()}", replace(target, python=_UV_PYTHON), tools)
        installer_sets[target] = InstallerSet(uv=uv, pip=_resolve("pip", target, tools), python=python)
    return installer_sets


def _resolve(requirement: str, target: Target, tools: Tools) -> LockedWheel:
    with tools.store.workspace("installers") as work:
        resolution = tools.uv.resolve(
            target,
            requirements=[requirement],
            constraints=[],
            find_links=None,
            interpreter=None,
            work=work,
        )
        (choice,) = choose_files(resolution, target, base=work)
    if choice.is_sdist:
        raise MissingError(
            f"the index has no wheel of {choice.name} for {target.name}",
            hint="add it to the mirror; a client without it could not install",
        )
    download = Download(url=choice.url, filename=choice.filename, sha256=choice.sha256)
    (entry,) = download_all([download], tools.store, tools.index, tools.progress).values()
    return locked_wheel(choice, entry)
