"""What a thin bundle's client has already: fetched from the index, to compare with and to install beside.

It is there before the sandbox is closed. What no index has, such as a vendor's own build of torch, is told.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from wheelferry.build.populate import fetch_files, locked_wheel, populate
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_torch
from wheelferry.client.preflight.present import NO_CUDA
from wheelferry.errors import InputError, MissingError
from wheelferry.models.cuda import backend_of
from wheelferry.models.lock import Choice, LockedWheel, choices_to_json, choose_files
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.planning.make_plan import PYTORCH_INDEX
from wheelferry.models.present import PresentPackage, by_name, cuda_of_local
from wheelferry.models.targets import Target
from wheelferry.system.files import folder_aside, require_space
from wheelferry.system.interpreters import Interpreter, find_interpreter, program_in
from wheelferry.wheels.read import torch_build

# Bytes on the disk for each of a wheel, while it is unpacked and kept.
_UNPACKED = 3


class _NoAnswerError(InputError):
    """PyTorch's index, which alone has a build of torch, did not answer; the others can be had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Supply:
    """The index's wheels of what is present on a target's client, and why there is none of the others."""

    wheels: Mapping[NormalizedName, LockedWheel] = field(default_factory=dict)
    lacking: Mapping[NormalizedName, str] = field(default_factory=dict)


def supply_wheels(entry: TargetEntry, tools: Tools) -> Supply:
    """Bring the index's wheels of what is present into the store, without what these require."""
    if not entry.present:
        return Supply()
    with tools.progress.task("look for what is present on the index"):
        choices, lacking = _find(entry, None, tools)
    names = {one.name for one in entry.present}
    own = [choice for choice in choices if choice.name in names]
    lacking |= {choice.name: "the index has no wheel of it" for choice in own if choice.is_sdist}
    own = [choice for choice in own if not choice.is_sdist]
    try:
        entries = fetch_files(own, tools)
    except MissingError:
        return Supply(lacking={**dict.fromkeys(names, "it could not be downloaded"), **lacking})
    wheels = [locked_wheel(choice, entries[choice.url]) for choice in own]
    lacking |= _other_build(entry, wheels, tools)
    return Supply(wheels={one.name: one for one in wheels if one.name not in lacking}, lacking=lacking)


def supply_environment(entry: TargetEntry, tools: Tools) -> Path:
    """The Python of an environment with what is present on the client, all that needs, and pip.

    It is kept in the store. Raises MissingError, with the reason, for what the index does not have.
    """
    interpreter = find_interpreter(entry.target.python, tools.run, uv=tools.uv.program)
    with tools.progress.task("resolve what is present"):
        choices, lacking = _find(entry, interpreter, tools)
    wheels = () if lacking else populate(choices, entry.target, interpreter, tools)
    lacking |= _other_build(entry, wheels, tools)
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
            _make_environment(folder, wheels, interpreter, tools)
    return program_in(folder)


def _other_build(
    entry: TargetEntry, wheels: Iterable[LockedWheel], tools: Tools
) -> dict[NormalizedName, str]:
    """Why the torch among `wheels` is not the present one, where the index has another build of it."""
    present = by_name(entry.present)
    for wheel in wheels:
        if wheel.name in present and present[wheel.name].is_torch:
            wanted, (cuda, _) = present[wheel.name], torch_build(tools.store.path(wheel.sha256))
            if wanted.cuda and wanted.cuda != cuda:
                return {wheel.name: f"the index has {replace(wanted, cuda=cuda)}"}
    return {}


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
    entry: TargetEntry, interpreter: Interpreter | None, tools: Tools
) -> tuple[tuple[Choice, ...], dict[NormalizedName, str]]:
    """The files of what is present and of all that needs; and why there are none of some."""
    try:
        return _resolve(entry.present, entry, interpreter, tools), {}
    except MissingError:
        return (), {one.name: "the index did not answer" for one in entry.present}
    except InputError:
        lacking: dict[NormalizedName, str] = {}
    for one in entry.present:
        try:
            _resolve([one], entry, interpreter, tools)
        except _NoAnswerError as error:
            lacking[one.name] = str(error)
        except (InputError, MissingError):
            lacking[one.name] = "no index has it"
    rest = [one for one in entry.present if one.name not in lacking]
    try:
        return (_resolve(rest, entry, interpreter, tools) if rest else ()), lacking
    except InputError:
        together = "no index has it beside the others"
        return (), {**{one.name: together for one in rest}, **lacking}


def _resolve(
    present: Iterable[PresentPackage], entry: TargetEntry, interpreter: Interpreter | None, tools: Tools
) -> tuple[Choice, ...]:
    """The files of `present` packages and of what they need, and pip; InputError where no index has them."""
    wanted = list(present)
    torch = next((one for one in entry.present if one.is_torch), None)
    choices = _ask(wanted, entry.target, None, interpreter, tools)
    if torch is None or not any(one.is_torch for one in wanted):
        return choices
    (choice,) = [choice for choice in choices if choice.name == torch.name]
    index = other_index(torch, choice, entry.target, tools.store)
    try:
        return choices if index is None else _ask(wanted, entry.target, index, interpreter, tools)
    except MissingError:
        raise _NoAnswerError(f"{index}, which has that build, did not answer") from None


def _ask(
    wanted: Iterable[PresentPackage],
    target: Target,
    torch_index: str | None,
    interpreter: Interpreter | None,
    tools: Tools,
) -> tuple[Choice, ...]:
    pins = {one.name: f"{one.name}=={_on_index(one.version)}" for one in wanted}
    with tools.store.workspace("present") as work:
        resolution = tools.uv.resolve(
            target,
            requirements=[*pins.values(), *(["pip"] if "pip" not in pins else [])],
            constraints=[],
            find_links=None,
            torch_index=torch_index,
            interpreter=interpreter,
            work=work,
        )
        return choose_files(resolution, target, base=work)


def _on_index(version: Version) -> str:
    """The version to ask an index for: PyPI says of no build which it is, PyTorch's index by its address."""
    return version.public if cuda_of_local(version) else str(version)


def other_index(torch: PresentPackage, choice: Choice, target: Target, store: Store) -> str | None:
    """PyTorch's index, where the user's own gave (`choice`) a torch for another CUDA; None where it did not.

    Of a file that is not in the store what PyPI has of the release counts.
    """
    cuda = torch.cuda or cuda_of_local(torch.version)
    if choice.sha256 and store.has(choice.sha256):
        found, _ = torch_build(store.path(choice.sha256))
    else:
        release = next((one for one in shipped_torch() if one.version == torch.version.public), None)
        found = "" if release is None else NO_CUDA if target.is_windows else release.cuda or NO_CUDA
    if not (cuda and found) or cuda == found:
        return None
    return f"{PYTORCH_INDEX}/{'cpu' if cuda == NO_CUDA else backend_of(cuda)}"
