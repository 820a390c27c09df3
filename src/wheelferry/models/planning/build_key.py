"""What identifies a build, and what its wheel must hold."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from wheelferry.models import stable_abi
from wheelferry.models.cuda import images_of
from wheelferry.models.manifest import DeviceCode
from wheelferry.models.planning.configuration import configuration_of
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.recipes.recipe import Recipe, Release

# Part of every build key: raise it when the same inputs would give another wheel.
BUILD_FORMAT = 5


def required_modules(recipe: Recipe, cell: Cell) -> tuple[str, ...]:
    """The compiled modules that the wheel of a cell must hold."""
    return recipe.build.modules(cuda=cell.cuda is not None) if cell.ops else ()


def device_code(recipe: Recipe, architectures: Iterable[str]) -> DeviceCode:
    """The GPU code that a CUDA wheel of `recipe` for `architectures` must hold."""
    build = recipe.build
    return DeviceCode(
        modules=build.cuda_extensions or build.extensions,
        images=images_of(architectures),
        kernels=build.cuda_kernels,
    )


def digest_of(recipe: Recipe, release: Release, cell: Cell) -> str:
    """SHA-256 over what decides a cell's build; see `make_plan.plan_digest`."""
    document: dict[str, Any] = {
        "source": release.pin,
        "target": asdict(cell.target),
        "version": cell.wheel_version,
        "build_requires": cell.build_requires,
        "environment": cell.environment,
        "substitutions": [(s.file, s.old, s.new, s.count) for s in cell.substitutions],
        "requirements": cell.requirements,
        "constraints": cell.constraints,
        "sdist_constraints": recipe.build.sdist_constraints,
        "extensions": required_modules(recipe, cell),
    }
    if cell.cuda:
        document["cuda_kernels"] = recipe.build.cuda_kernels
        if recipe.build.cuda_from_oldest:
            document["cuda_from_oldest"] = True
    if recipe.source.subdirectory:
        document["subdirectory"] = recipe.source.subdirectory
    if recipe.build.packages:
        document["packages"] = recipe.build.packages
    if release.projects:
        document["projects"] = release.projects
    if release.submodules:
        document["submodules"] = _submodules(release)
    return _digest(document)


def build_key(plan: Plan, cell: Cell, *, source_id: str, inputs: dict[str, str], toolchain: str) -> str:
    """The identity of a build: same key, same bytes.

    `source_id` is the commit or tree hash that is built, `inputs` the hashes of the wheels in
    the build environment by file name, `toolchain` the compiler's own version text. A wheel on the limited
    API has the same key for every Python.
    """
    document = _what_is_compiled(plan, cell, source_id=source_id, inputs=inputs, toolchain=toolchain)
    return _digest(document | {"extensions": required_modules(plan.recipe, cell)})


def compile_key(plan: Plan, cell: Cell, *, source_id: str, inputs: dict[str, str], toolchain: str) -> str:
    """The identity of what the compiler makes, whatever the recipe demands of it; see `build_key`."""
    document = _what_is_compiled(plan, cell, source_id=source_id, inputs=inputs, toolchain=toolchain)
    return _digest(document | {"unchecked": True})


def _built_for(cell: Cell) -> dict[str, Any]:
    """The target, with what its wheel serves for its Python."""
    target = asdict(cell.target)
    return {**target, "python": stable_abi.ABI_TAG} if cell.on_limited_api else target


def _what_is_compiled(
    plan: Plan, cell: Cell, *, source_id: str, inputs: dict[str, str], toolchain: str
) -> dict[str, Any]:
    # keys that came later are there only where they say something, so that older keys stay what they were
    later: dict[str, Any] = {}
    if cell.cuda and plan.recipe.build.cuda_from_oldest:
        later["cuda_from_oldest"] = True
    if plan.recipe.source.subdirectory:
        later["subdirectory"] = plan.recipe.source.subdirectory
    if configuration := configuration_of(plan, cell):
        later["configuration"] = configuration
    if plan.release.submodules:
        later["submodules"] = _submodules(plan.release)
    return {
        "format": BUILD_FORMAT,
        "distribution": plan.recipe.distribution,
        "source": source_id,
        "target": _built_for(cell),
        "version": cell.wheel_version,
        "environment": cell.environment,
        "substitutions": [(s.file, s.old, s.new, s.count) for s in cell.substitutions],
        "cuda": asdict(cell.cuda) if cell.cuda else None,
        "inputs": inputs,
        "toolchain": toolchain,
        **later,
    }


def _submodules(release: Release) -> dict[str, str]:
    return {path: one.commit for path, one in release.submodules.items()}


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
