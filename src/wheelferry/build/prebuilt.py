"""Given: a wheel of the project that was built elsewhere takes the place of a build here."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wheelferry.binaries import pe
from wheelferry.build.compile import Built
from wheelferry.build.environment import find_torch
from wheelferry.build.prepare import CompiledAgainst
from wheelferry.cache.tools import Tools
from wheelferry.client.preflight.gpu import image_for
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models import stable_abi
from wheelferry.models.cuda import images_of
from wheelferry.models.lock import LockedWheel
from wheelferry.models.planning.build_key import required_modules
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.wheel_info import STAMP, filename_parts
from wheelferry.system.interpreters import find_interpreter
from wheelferry.wheels.archive import unpack
from wheelferry.wheels.extensions import missing_extensions
from wheelferry.wheels.read import read_wheel
from wheelferry.wheels.rewrite import amend_metadata, pack


def take_prebuilt(plan: Plan, cell: Cell, path: Path, tools: Tools) -> Built:
    """The wheel in the file `path` as the result of a build for `cell`.

    One that wheelferry built stays as it is, byte for byte. To another one is added what ours have: the
    torch that it is tied to, a version that says so, and a stamp, which also says that the torch it was
    compiled against is only what the user says. Raises InputError for a wheel without the compiled modules,
    or for one of ours that does not run on a GPU that was asked for, IntegrityError for a stamp of another
    source.
    """
    tools.progress.note(f"{path.name} is used for {cell.target.name}")
    info = read_wheel(path)
    asked = cell.cuda.architectures if cell.cuda else ()
    missing = list(missing_extensions(info, required_modules(plan.recipe, cell), cell.target))
    if missing:
        raise InputError(f"--wheel {path.name} has no compiled {', '.join(missing)}")
    interpreter = find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)
    if info.stamp is not None:
        stamp = _read_stamp(plan, path, info.stamp)
        made_for = tuple(stamp["architectures"])
        # what runs there is enough: with --profile it is the client's GPU that is asked for
        capabilities = [name.partition("+")[0].rstrip("af") for name in asked]
        lacking = [name for name in capabilities if image_for(name, images_of(made_for)) is None]
        if lacking:
            raise InputError(
                f"--wheel {path.name} was compiled for {', '.join(made_for) or 'no GPU'}, of which nothing "
                f"runs on {', '.join(lacking)}",
                hint="build the wheel for these too (--cuda-arch)",
            )
    else:
        torch = find_torch(plan, cell, interpreter, tools)
        stamp = _make_stamp(plan, cell, torch)
        made_for = asked  # the user says so; verify looks
    with tools.store.workspace("given") as work:
        copy = work / path.name
        shutil.copyfile(path, copy)
        if info.stamp is None:
            copy = _tie(copy, cell, stamp, work, tools)
        entry = tools.store.add(copy)
    against = None if stable_abi.is_stable(info.stamp) else stamp["torch"]
    return Built(
        cell=cell,
        wheel=entry,
        torch=CompiledAgainst(version=against["version"], sha256=against["sha256"]) if against else None,
        on_stable_abi=stable_abi.is_stable(info.stamp),
        interpreter=interpreter,
        cuda_architectures=made_for,
    )


def _read_stamp(plan: Plan, path: Path, stamp: bytes) -> Mapping[str, Any]:
    """What a wheel that wheelferry built says about its making; IntegrityError for another source."""
    try:
        document: dict[str, Any] = json.loads(stamp)
        source, against = document["source"], document["torch"]
        if against is not None:
            against = {key: str(against[key]) for key in ("version", "sha256")}
        architectures = [str(name) for name in (document.get("cuda") or {}).get("architectures", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"--wheel {path.name}: its {STAMP} makes no sense ({error})") from None
    if source != plan.release.pin:
        raise IntegrityError(
            f"--wheel {path.name} was built from {source}, {plan.title} is {plan.release.pin}",
            hint="build it again from the release that the recipe pins",
        )
    return {**document, "torch": against, "architectures": architectures}


def _make_stamp(plan: Plan, cell: Cell, torch: LockedWheel) -> Mapping[str, Any]:
    return {
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "source": plan.release.pin,
        "backend": cell.target.backend,
        "torch": {"version": str(torch.version), "sha256": torch.sha256},
        "given": "built elsewhere; source and torch are what the user says",
    }


def _tie(wheel: Path, cell: Cell, stamp: Mapping[str, Any], work: Path, tools: Tools) -> Path:
    """Version, torch requirement, stamp and hook put into a wheel that lacks them."""
    unpack(wheel, work / "tree")
    if cell.target.is_windows:
        pe.write_dll_hook(work / "tree", filename_parts(wheel.name)[0])
    text = (json.dumps(stamp, indent=1, sort_keys=True) + "\n").encode()
    amend_metadata(
        work / "tree", version=cell.tied_version, requires=[f"torch=={cell.target.torch}"], stamp=text
    )
    return pack(work / "tree", work / "packed", tools.run, epoch=0)
