"""What a thin bundle's client has already: fetched from the index, to compare with and to install beside.

It is there before the sandbox is closed. What no index has, such as a vendor's own build of torch, is told.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from wheelferry.build.populate import populate
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_torch
from wheelferry.client.preflight.present import NO_CUDA
from wheelferry.errors import InputError, MissingError
from wheelferry.models.cuda import backend_of
from wheelferry.models.lock import Choice, LockedWheel, choices_to_json, choose_files
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.planning.make_plan import PYTORCH_INDEX
from wheelferry.models.present import PresentPackage, cuda_of_local
from wheelferry.models.targets import Target
from wheelferry.system.files import folder_aside, require_space
from wheelferry.system.interpreters import Interpreter, find_interpreter, program_in

# Bytes on the disk for each of a wheel, while it is unpacked and kept.
_UNPACKED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Supply:
    """The index's wheels of what is present on a target's client, and why there is none of the others."""

    wheels: Mapping[NormalizedName, LockedWheel] = field(default_factory=dict)
    lacking: Mapping[NormalizedName, str] = field(default_factory=dict)


def supply_wheels(entry: TargetEntry, tools: Tools) -> Supply:
    """Bring the index's wheels of what is present into the store, without what these require."""
    if not entry.present:
        return Supply()
    interpreter = find_interpreter(entry.target.python, tools.run, uv=tools.uv.program)
    with tools.progress.task("look for what is present on the index"):
        choices, lacking = _find(entry, interpreter, tools)
    names = {one.name for one in entry.present}
    own = [choice for choice in choices if choice.name in names]
    lacking |= {choice.name: "the index has no wheel of it" for choice in own if choice.is_sdist}
    wheels = populate([choice for choice in own if not choice.is_sdist], entry.target, interpreter, tools)
    return Supply(wheels={wheel.name: wheel for wheel in wheels}, lacking=lacking)


def supply_environment(entry: TargetEntry, tools: Tools) -> Path:
    """The Python of an environment with what is present on the client, all that needs, and pip.

    It is kept in the store. Raises MissingError, with the reason, for what the index does not have.
    """
    interpreter = find_interpreter(entry.target.python, tools.run, uv=tools.uv.program)
    with tools.progress.task("resolve what is present"):
        choices, lacking = _find(entry, interpreter, tools)
    if lacking:
        told = "; ".join(f"{one} ({lacking[one.name]})" for one in entry.present if one.name in lacking)
        raise MissingError(
            f"what must be on the client is not to be had here: {told}",
            hint="prove it on a machine that has it: sh install.sh --verify train",
        )
    identity = json.dumps([interpreter.version, str(interpreter.path), choices_to_json(choices)])
    name = f"present-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    folder = tools.store.machines / name
    with tools.store.lock(name):
        if not folder.is_dir():
            wheels = populate(choices, entry.target, interpreter, tools)
            _make_environment(folder, wheels, interpreter, tools)
    return program_in(folder)


def _make_environment(
    folder: Path, wheels: Sequence[LockedWheel], interpreter: Interpreter, tools: Tools
) -> None:
    size = sum(wheel.size for wheel in wheels)
    require_space(tools.store.root, _UNPACKED * size, purpose="an environment like the client's")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        tools.progress.task("make an environment like the client's"),
        tools.store.workspace("present", plain_path=True) as work,
        folder_aside(folder) as aside,
    ):
        for wheel in wheels:
            tools.store.place(wheel.sha256, work / wheel.filename)
        paths = [work / wheel.filename for wheel in wheels]
        log = tools.store.log_path("present")
        tools.uv.make_environment(aside, interpreter, paths, log=log, cache=work / "uv")


def _find(
    entry: TargetEntry, interpreter: Interpreter, tools: Tools
) -> tuple[tuple[Choice, ...], dict[NormalizedName, str]]:
    """The files of what is present and of all that needs; and why there are none of some."""
    try:
        return _resolve(entry.present, entry, interpreter, tools), {}
    except MissingError as error:
        return (), {one.name: _first_line(error) for one in entry.present}
    except InputError:
        lacking: dict[NormalizedName, str] = {}
    for one in entry.present:
        try:
            _resolve([one], entry, interpreter, tools)
        except (InputError, MissingError):
            lacking[one.name] = "no index has it"
    rest = [one for one in entry.present if one.name not in lacking]
    try:
        return (_resolve(rest, entry, interpreter, tools) if rest else ()), lacking
    except InputError:
        together = "no index has it beside the others"
        return (), {**{one.name: together for one in rest}, **lacking}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(":")


def _resolve(
    present: Iterable[PresentPackage], entry: TargetEntry, interpreter: Interpreter, tools: Tools
) -> tuple[Choice, ...]:
    wanted = list(present)
    torch = next((one for one in entry.present if one.is_torch), None)
    pip = [] if any(one.name == "pip" for one in wanted) else ["pip"]
    with tools.store.workspace("present") as work:
        resolution = tools.uv.resolve(
            entry.target,
            requirements=[*(f"{one.name}=={_on_index(one.version)}" for one in wanted), *pip],
            constraints=[],
            find_links=None,
            torch_index=torch_index(torch, entry.target) if torch else None,
            interpreter=interpreter,
            work=work / "uv",
        )
        return choose_files(resolution, entry.target, base=work / "uv")


def _on_index(version: Version) -> str:
    """The version to ask an index for: PyPI does not say which build it is, PyTorch's index by its address."""
    return version.public if cuda_of_local(version) else str(version)


def torch_index(torch: PresentPackage, target: Target) -> str | None:
    """Where a torch of that CUDA is had from; None for the user's own index, as for one of unknown CUDA."""
    release = next((one for one in shipped_torch() if one.version == torch.version.public), None)
    cuda = torch.cuda or cuda_of_local(torch.version)
    if not cuda or release is None:
        return None
    usual = NO_CUDA if target.is_windows else release.cuda or NO_CUDA
    return None if cuda == usual else f"{PYTORCH_INDEX}/{'cpu' if cuda == NO_CUDA else backend_of(cuda)}"
