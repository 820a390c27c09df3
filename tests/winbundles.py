"""Windows bundles packed by the real stage from made-up wheels, sound or with one thing wrong with them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from conftest import RECIPE, locked, write_wheel
from pefiles import pe_file
from wheelferry.binaries.pe import DLL_HOOK
from wheelferry.build.cells import Locked
from wheelferry.build.compile import Built
from wheelferry.build.prepare import CompiledAgainst
from wheelferry.bundle.installers import InstallerSet
from wheelferry.bundle.pack import pack
from wheelferry.cache.store import Entry, Store
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.models.lock import Lock, LockedWheel
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.requirements import UserRequirement
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import Interpreter

WINDOWS = Target(python="3.11", platform="win_amd64", torch="2.13.0", backend="cpu")
TAG = "cp311-cp311-win_amd64"
TINY_VERSION = "1.0+pt2.13.0cpu"

CRT = "api-ms-win-crt-runtime-l1-1-0.dll"
RUNTIME = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")

# What `write_wheel` takes beside folder and name.
Wheel = dict[str, Any]


def sound_wheels() -> dict[str, Wheel]:
    """Wheels in which nothing is missing, by name: torch, what it requires, the project, the C++ runtime."""
    return {
        "torch": {
            "version": "2.13.0",
            "tag": TAG,
            "requires": ["colorama; sys_platform == 'win32'", "triton; platform_system == 'Linux'"],
            "files": {
                "torch/_C.cp311-win_amd64.pyd": pe_file(
                    ["python311.dll", "torch_cpu.dll", "VCRUNTIME140.dll"]
                ),
                "torch/lib/torch_cpu.dll": pe_file(
                    ["c10.dll", "libomp.dll", "KERNEL32.dll"], ["dbghelp.dll"]
                ),
                "torch/lib/c10.dll": pe_file(["MSVCP140.dll", "VCRUNTIME140_1.dll", CRT]),
                "torch/lib/libomp.dll": pe_file(["KERNEL32.dll"]),
            },
        },
        "tiny": {
            "version": TINY_VERSION,
            "tag": TAG,
            "requires": ["torch==2.13.0", "leaf>=1"],
            "files": {
                "tiny/_C.cp311-win_amd64.pyd": pe_file(["python311.dll", "c10.dll", "MSVCP140.dll"]),
                "tiny_dlls.pth": DLL_HOOK.encode(),
            },
        },
        "leaf": {"version": "1.5"},
        "colorama": {"version": "0.4.6"},
        "msvc_runtime": {
            "version": "14.44",
            "tag": TAG,
            "files": {f"msvc_runtime-14.44.data/data/Scripts/{name}": pe_file([CRT]) for name in RUNTIME},
        },
    }


def pack_windows(
    folder: Path,
    tools: Tools,
    located: LocatedRecipe,
    wheels: Mapping[str, Wheel],
    *,
    target: Target = WINDOWS,
    extra: Iterable[str] = (),
    architectures: Iterable[str] = (),
) -> Path:
    """A bundle of these wheels, with everything that it says of itself in agreement with them."""
    recipe = parse_recipe(
        RECIPE.replace('python = ">=3.10,<3.15"', 'python = ">=3.10,<3.15"\nwindows = ">=3.10,<3.15"'),
        file="tiny.toml",
    )
    found = LocatedRecipe(recipe=recipe, folder=located.folder)
    required = [UserRequirement(requirement=Requirement(text), place="my.txt:1") for text in extra]
    plan = make_plan(recipe, "1.0", [target], required=required, cuda_architectures=architectures)
    (cell,) = plan.cells
    made = {
        name: _locked(folder / "made", name, wheel, tools.store)
        for name, wheel in wheels.items()
        if name != "tiny"
    }
    stamp = json.dumps({"torch": {"sha256": made["torch"].sha256}}).encode()
    project = _locked(folder / "made", "tiny", {**wheels["tiny"], "stamp": stamp}, tools.store)
    built = Built(
        environment_key="none",
        cell=cell,
        wheel=Entry(sha256=project.sha256, filename=project.filename, size=project.size),
        torch=CompiledAgainst(version="2.13.0", sha256=made["torch"].sha256),
        cuda_architectures=cell.cuda.architectures if cell.cuda else (),
        interpreter=Interpreter(path=Path("python"), version="3.11", headers=Path("include")),
    )
    everything = sorted((*made.values(), project), key=lambda wheel: wheel.name)
    cells = [Locked(built=built, lock=Lock(target=target, wheels=tuple(everything)))]
    kit = InstallerSet(
        uv=_locked(folder / "kit", "uv", {"version": "0.9.0"}, tools.store),
        pip=_locked(folder / "kit", "pip", {"version": "26.0"}, tools.store),
    )
    pack(plan, found, ["0" * 64], cells, folder / "bundle", tools, installer_sets={target: kit})
    return folder / "bundle"


def _locked(folder: Path, name: str, wheel: Wheel, store: Store) -> LockedWheel:
    return locked(write_wheel(folder, name, **wheel), store)
