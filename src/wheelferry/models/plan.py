"""What will be built for which target, decided before anything is touched."""

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from wheelferry.errors import InputError, raise_all
from wheelferry.models import stable_abi
from wheelferry.models.alternatives import Exclusion
from wheelferry.models.assets import PlannedAsset, plan_assets
from wheelferry.models.conflicts import find_conflicts, find_unused
from wheelferry.models.cuda import Cuda, backend_of, images_of, parse_architectures, version_of
from wheelferry.models.manifest import DeviceCode
from wheelferry.models.recipe import ConditionalRequirement, Recipe, Release, Substitution, Torch, in_range
from wheelferry.models.requirements import UserRequirement, allowed_hashes
from wheelferry.models.targets import DEFAULT_BACKEND, Target

# Part of every build key: raise it when the same inputs would give another wheel.
BUILD_FORMAT = 5

# torch for Windows loads msvcp140.dll and its like, which a bare Windows lacks: this wheel brings them.
WINDOWS_RUNTIME = "msvc-runtime"

PYTORCH_INDEX = "https://download.pytorch.org/whl"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One target with all that a build, a lock and a smoke test of it need to know.

    `torch_index` is the index (URL or folder) that torch and torchvision come from, None for the
    user's own; `cuda` is None unless CUDA ops are compiled. Without `ops` nothing is compiled: the wheel
    is the project's Python part alone. With `on_stable_abi` its ops serve more than the target's torch, with
    `on_limited_api` more than the target's Python.

    `required` is what the user requires, which is also among `requirements`, and limits; of that, `left_out`
    has a marker that is not true for the target.
    `excluded` are packages that the lock leaves out, whoever requires them.
    """

    target: Target
    torchvision: str | None
    build_requires: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    substitutions: tuple[Substitution, ...]
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    wheel_version: str
    torch_index: str | None = None
    cuda: Cuda | None = None
    ops: bool = True
    on_stable_abi: bool = False
    on_limited_api: bool = False
    required: tuple[UserRequirement, ...] = ()
    left_out: tuple[UserRequirement, ...] = ()
    excluded: tuple[Exclusion, ...] = ()

    @property
    def tied_version(self) -> str:
        """The version of a wheel that is tied to the target's torch alone."""
        return self.wheel_version.removesuffix(f".{stable_abi.SUFFIX}")

    @property
    def user_constraints(self) -> tuple[str, ...]:
        """The user's own limits: for what is shipped, not for what the wheel is built with."""
        return tuple(str(one.requirement) for one in self.required if one.is_constraint)

    @property
    def hashes(self) -> Mapping[NormalizedName, frozenset[str]]:
        """By project the SHA-256 that the file to be shipped must have one of, where the user gave any."""
        return allowed_hashes(self.required)

    @property
    def torch_requirement(self) -> str:
        """What the wheel demands: the torch it is compiled against, or all with the stable ABI."""
        return stable_abi.REQUIREMENT if self.on_stable_abi else f"torch=={self.target.torch}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A release, the cells to make of it, in the order asked for, and the weights and data beside them."""

    recipe: Recipe
    release_name: str
    release: Release
    cells: tuple[Cell, ...]
    assets: tuple[PlannedAsset, ...] = ()

    @property
    def title(self) -> str:
        """``sample@1.0``."""
        return f"{self.recipe.name}@{self.release_name}"

    def requirements_of_others(self, cell: Cell) -> tuple[str, ...]:
        """What a cell requires beside the project itself, whose wheel no index has."""
        own = canonicalize_name(self.recipe.distribution)
        return tuple(text for text in cell.requirements if canonicalize_name(Requirement(text).name) != own)


def find_release(recipe: Recipe, name: str) -> Release:
    """The release called `name`; raises InputError naming those that exist."""
    try:
        return recipe.releases[name]
    except KeyError:
        raise InputError(
            f"recipe {recipe.name} has no release {name!r}",
            hint=f"it has {', '.join(recipe.releases)}",
        ) from None


def default_torch(
    recipe: Recipe, release_name: str, *, python: str, platform: str, backend: str = DEFAULT_BACKEND
) -> str:
    """The newest torch in the recipe's table that serves the release there; InputError when there is none."""
    candidates = fitting_torch(recipe, release_name, python=python, platform=platform, backend=backend)
    if not candidates:
        pythons = _fitting_pythons(recipe, release_name, platform, backend)
        offers = "wheels" if backend == DEFAULT_BACKEND else f"a {backend} build"
        raise InputError(
            f"{recipe.name}@{release_name}: no torch that it supports has {offers} for Python {python}",
            hint=f"for {platform} there is one with Python {', '.join(pythons)}" if pythons else None,
        )
    return candidates[-1]


def _fitting_pythons(recipe: Recipe, release_name: str, platform: str, backend: str) -> list[str]:
    candidates = [f"3.{minor}" for minor in range(6, 20)]
    return [
        python
        for python in candidates
        if fitting_torch(recipe, release_name, python=python, platform=platform, backend=backend)
    ]


def fitting_torch(
    recipe: Recipe, release_name: str, *, python: str, platform: str, backend: str = DEFAULT_BACKEND
) -> list[str]:
    """The torch releases of the recipe's table that serve `release_name` there, oldest first."""
    return [
        entry.version
        for entry in sorted(recipe.torch, key=lambda entry: Version(entry.version))
        if obstacle(
            recipe,
            release_name,
            Target(python=python, platform=platform, torch=entry.version, backend=backend),
        )
        is None
    ]


def make_plan(
    recipe: Recipe,
    release_name: str,
    targets: Iterable[Target],
    *,
    required: Iterable[UserRequirement] = (),
    torch_index: str | None = None,
    cuda_architectures: Iterable[str] = (),
    assets: Iterable[str] = (),
    without_ops: bool = False,
    on_stable_abi: Container[Target] = (),
    excluded: Iterable[Exclusion] = (),
) -> Plan:
    """Decide everything about `targets`; raises InputError for one the release cannot serve.

    `required` is what the user wants beside the project; what no index could give beside it is refused.
    `torch_index` stands in for PyTorch's own index; ``{backend}`` in it is filled in for each target.
    `assets` are requests for weights and data, beyond what always travels (see `plan_assets`).
    `without_ops` leaves the compiled ops out, where the release is of use without them. The ops of targets
    in `on_stable_abi` are compiled on torch's stable ABI. `excluded` packages are left out of every lock.
    """
    release = find_release(recipe, release_name)
    wanted = list(targets)
    choices = _Choices(
        required=tuple(required),
        torch_index=torch_index,
        architectures=tuple(cuda_architectures),
        without_ops=without_ops,
        on_stable_abi=on_stable_abi,
        excluded=tuple(excluded),
    )
    _check_choices(choices, wanted)
    raise_all(find_unused(choices.required, wanted))
    _require_excludable(recipe, choices)
    if without_ops:
        _require_optional_ops(recipe, release_name)
    cells = tuple(
        _require(recipe, _plan_cell(recipe, release_name, release, target, choices), choices.required)
        for target in wanted
    )
    return Plan(
        recipe=recipe,
        release_name=release_name,
        release=release,
        cells=cells,
        assets=plan_assets(recipe, release_name, wanted, assets),
    )


@dataclass(frozen=True, kw_only=True)
class _Choices:
    """What the user chose beside the targets."""

    required: tuple[UserRequirement, ...]
    torch_index: str | None
    architectures: tuple[str, ...]
    without_ops: bool
    on_stable_abi: Container[Target]
    excluded: tuple[Exclusion, ...] = ()


def _require_excludable(recipe: Recipe, choices: _Choices) -> None:
    """Raise InputError for what no bundle can be without, and for what is asked for and excluded at once."""
    asked = {one.name for one in choices.required if not one.is_constraint}
    for exclusion in choices.excluded:
        if exclusion.name in ("torch", canonicalize_name(recipe.distribution)):
            raise InputError(f"{exclusion.name} cannot be excluded: the bundle is made for it")
        if exclusion.name in asked:
            by = f"--prefer {exclusion.instead}" if exclusion.instead else f"--exclude {exclusion.name}"
            raise InputError(
                f"{exclusion.name} is asked for, and left out with {by}", hint="give one of both"
            )


def _require_optional_ops(recipe: Recipe, release_name: str) -> None:
    if recipe.releases[release_name].ops == "optional":
        return
    able = [name for name, release in recipe.releases.items() if release.ops == "optional"]
    raise InputError(
        f"{recipe.name}@{release_name} is of no use without its compiled ops",
        hint=f"of {recipe.name}, {', '.join(able) or 'no release'} can be had with --without-ops",
    )


def _check_choices(choices: _Choices, targets: Iterable[Target]) -> None:
    backends = {target.backend for target in targets}
    if choices.architectures and not any(map(version_of, backends)):
        raise InputError(
            "CUDA architectures are given, but no target has a CUDA backend",
            hint="add one, as in --backend cu130",
        )
    if choices.torch_index and "{backend}" not in choices.torch_index and len(backends) > 1:
        raise InputError(
            f"one index of torch cannot serve {', '.join(sorted(backends))}",
            hint="write {backend} where its name stands in the address, or bundle one backend at a time",
        )


def _torch_index(target: Target, pair: Torch | None, given: str | None) -> str | None:
    """Where the torch of `target` comes from; None for the user's own index.

    PyPI has one build of each release: on Linux the one with `pair.cuda`, on Windows the one for the CPU.
    The others are on PyTorch's.
    """
    if given is not None:
        return given.replace("{backend}", target.backend)
    if target.backend == DEFAULT_BACKEND or (pair and _on_pypi(target, pair)):
        return None
    return f"{PYTORCH_INDEX}/{target.backend}"


def _on_pypi(target: Target, pair: Torch) -> bool:
    """Whether PyPI's own torch and torchvision are of the build that the backend names."""
    if target.is_windows:
        pythons = pair.windows if pair.torchvision_windows else None
        return target.backend == "cpu" and pythons is not None and in_range(pythons, target.python)
    return pair.cuda is not None and backend_of(pair.cuda) == target.backend


def _cuda(target: Target, architectures: Iterable[str]) -> Cuda | None:
    version = version_of(target.backend)
    if version is None:
        return None
    return Cuda(version=version, architectures=parse_architectures(architectures, version))


def _plan_cell(
    recipe: Recipe, release_name: str, release: Release, target: Target, choices: _Choices
) -> Cell:
    _require_possible(recipe, release_name, target, choices)
    pair = next((entry for entry in recipe.torch if entry.version == target.torch), None)

    def applying(entries: Iterable[ConditionalRequirement]) -> tuple[str, ...]:
        return tuple(entry.requires for entry in entries if entry.applies(release_name, target))

    pins = [f"torch=={target.torch}"]
    torchvision = pair.torchvision if pair else None
    if torchvision is not None:
        pins.append(f"torchvision=={torchvision}")
    local = target.torch_label
    stable = target in choices.on_stable_abi
    if choices.without_ops:
        local += ".noops"
    elif stable:
        local += f".{stable_abi.SUFFIX}"
    if release.branch and release.commit:
        # a branch calls itself what its last tag did: without the commit, two sources share a file name
        local = f"git{release.commit[:8]}.{local}"
    environment = dict(recipe.build.environment)
    if recipe.build.version_suffix_variable:
        environment[recipe.build.version_suffix_variable] = f"+{local}"
    cuda = None if choices.without_ops else _cuda(target, choices.architectures)
    runtime = [WINDOWS_RUNTIME] if target.is_windows else []
    return Cell(
        target=target,
        torchvision=torchvision,
        torch_index=_torch_index(target, pair, choices.torch_index),
        cuda=cuda,
        build_requires=(
            *(() if choices.without_ops or stable else (f"torch=={target.torch}",)),
            *applying(recipe.build.requires),
        ),
        environment=tuple(sorted(environment.items())),
        substitutions=tuple(
            s
            for s in recipe.substitutions
            if s.applies(release_name, target) and (not s.without_ops or choices.without_ops)
        ),
        requirements=(
            f"torch=={target.torch}",
            *applying(recipe.requirements),
            *runtime,
        ),
        constraints=(*pins, *applying(recipe.constraints)),
        wheel_version=f"{release.version}+{local}",
        ops=not choices.without_ops,
        on_stable_abi=stable,
        on_limited_api=stable and recipe.build.limited_api and _same_sources(recipe, release_name, target),
        excluded=choices.excluded,
    )


def _same_sources(recipe: Recipe, release_name: str, target: Target) -> bool:
    """Whether the sources are the same for every Python that one wheel on the limited API would serve."""
    pythons = [f"3.{minor}" for minor in range(int(stable_abi.FIRST_PYTHON.removeprefix("cp3")), 20)]
    return all(
        item.applies(release_name, replace(target, python=python)) == item.applies(release_name, target)
        for item in recipe.substitutions
        for python in pythons
        if in_range(recipe.releases[release_name].python, python)
    )


def _require(recipe: Recipe, cell: Cell, required: tuple[UserRequirement, ...]) -> Cell:
    """The cell with what the user requires of it; raises InputError for what nothing can meet there."""
    counting = tuple(one for one in required if one.applies(cell.target))
    raise_all(find_conflicts(recipe, cell, counting))
    return replace(
        cell,
        requirements=(
            *cell.requirements,
            *(str(one.requirement) for one in counting if not one.is_constraint),
        ),
        required=counting,
        left_out=tuple(one for one in required if one not in counting),
    )


def _require_possible(recipe: Recipe, release_name: str, target: Target, choices: _Choices) -> None:
    reason = obstacle(recipe, release_name, target, other_index=choices.torch_index is not None)
    if reason:
        raise InputError(reason, hint=torch_range(recipe, release_name, target))
    if target in choices.on_stable_abi:
        _require_stable_abi(target, choices)


def _require_stable_abi(target: Target, choices: _Choices) -> None:
    if choices.without_ops:
        raise InputError("--stable-abi is about compiled ops, --without-ops leaves them out")
    if not stable_abi.serves(Version(target.torch)):
        raise InputError(
            f"{target.name}: torch {target.torch} has no stable ABI that suffices",
            hint=f"it does from torch {stable_abi.FIRST_TORCH} on",
        )
    if version_of(target.backend):
        raise InputError(
            f"{target.name}: CUDA ops cannot be compiled on torch's stable ABI",
            hint="leave --stable-abi or --backend away",
        )


def torch_range(recipe: Recipe, release_name: str, target: Target) -> str:
    """The torch releases that serve the target's Python, platform and backend, in one short sentence."""
    fitting = fitting_torch(
        recipe, release_name, python=target.python, platform=target.platform, backend=target.backend
    )
    backend = "" if target.backend == DEFAULT_BACKEND else f" and {target.backend}"
    if not fitting:
        return f"for Python {target.python}{backend} no torch is known"
    newest = ", ".join(fitting[:-4:-1])
    rest = f" or older, down to {fitting[0]}" if len(fitting) > 3 else ""
    return f"for Python {target.python}{backend} there is torch {newest}{rest}"


def obstacle(recipe: Recipe, release_name: str, target: Target, *, other_index: bool = False) -> str | None:
    """Why `release_name` cannot be had for `target`; None when nothing known is against it.

    The torch table speaks of PyPI and of PyTorch's index; with `other_index`, what they have is no matter.
    """
    release = find_release(recipe, release_name)
    where = f"{recipe.name}@{release_name}"
    if not in_range(release.python, target.python):
        return f"{where} does not support Python {target.python} (it supports {release.python})"
    if not in_range(release.torch, target.torch):
        return f"{where} does not support torch {target.torch} (it supports {release.torch})"
    pair = next((entry for entry in recipe.torch if entry.version == target.torch), None)
    if pair is None or other_index:
        return None
    return _build_missing(target, pair) or _wheels_missing(recipe, release_name, target, pair)


def _build_missing(target: Target, pair: Torch) -> str | None:
    """Why no index has the build of torch that the backend names."""
    built_with = [backend_of(cuda) for cuda in (pair.cuda, *pair.other_cuda) if cuda]
    if target.backend.startswith("cu") and pair.cuda and target.backend not in built_with:
        return f"torch {target.torch} has no {target.backend} build (it has {', '.join(built_with)})"
    return None


def _wheels_missing(recipe: Recipe, release_name: str, target: Target, pair: Torch) -> str | None:
    """Why `pair`, a row of the torch table, has no wheels for `target`.

    PyTorch's own index, where the other backends come from, has Windows wheels for the Pythons of Linux.
    """
    windows = target.is_windows and target.backend == DEFAULT_BACKEND
    pythons = pair.windows if windows else pair.python
    if pythons is None:
        return f"torch {target.torch} has no wheels for Windows"
    if not in_range(pythons, target.python):
        wheels = "Windows wheels" if pythons != pair.python else "wheels"
        return f"torch {target.torch} has no {wheels} for Python {target.python} (it has {pythons})"
    needs_torchvision = any(
        entry.distribution == "torchvision"
        for entry in recipe.requirements
        if entry.applies(release_name, target)
    )
    if needs_torchvision and windows and not pair.torchvision_windows:
        return (
            f"torchvision {pair.torchvision}, which goes with torch {target.torch}, has no wheels for Windows"
        )
    if needs_torchvision and not in_range(pair.torchvision_python or "", target.python):
        return (
            f"torchvision {pair.torchvision}, which goes with torch {target.torch}, has no wheels for "
            f"Python {target.python} (it has {pair.torchvision_python})"
        )
    return None


def required_modules(recipe: Recipe, cell: Cell) -> tuple[str, ...]:
    """The compiled modules that the wheel of a cell must hold."""
    build = recipe.build
    if not cell.ops:
        return ()
    return tuple(dict.fromkeys((*build.extensions, *(build.cuda_extensions if cell.cuda else ()))))


def device_code(recipe: Recipe, architectures: Iterable[str]) -> DeviceCode:
    """The GPU code that a CUDA wheel of `recipe` for `architectures` must hold."""
    build = recipe.build
    return DeviceCode(
        modules=build.cuda_extensions or build.extensions,
        images=images_of(architectures),
        kernels=build.cuda_kernels,
    )


def plan_digest(recipe: Recipe, release_name: str, target: Target, *, without_ops: bool = False) -> str:
    """SHA-256 over what `recipe` says for `target`: same digest, same source, built the same way."""
    (cell,) = make_plan(recipe, release_name, [target], without_ops=without_ops).cells
    release = recipe.releases[release_name]
    document = {
        "source": release.pin,
        "target": asdict(target),
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
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _built_for(cell: Cell) -> dict[str, str]:
    """The target, with what its wheel serves for its Python."""
    target = asdict(cell.target)
    return {**target, "python": stable_abi.ABI_TAG} if cell.on_limited_api else target


def build_key(plan: Plan, cell: Cell, *, source_id: str, inputs: dict[str, str], toolchain: str) -> str:
    """The identity of a build: same key, same bytes.

    `source_id` is the commit or tree hash that is built, `inputs` the hashes of the wheels in the build
    environment by file name, `toolchain` the compiler's own version text. A wheel on the limited API has the
    same key for every Python.
    """
    document = {
        "format": BUILD_FORMAT,
        "distribution": plan.recipe.distribution,
        "source": source_id,
        "target": _built_for(cell),
        "version": cell.wheel_version,
        "environment": cell.environment,
        "substitutions": [(s.file, s.old, s.new, s.count) for s in cell.substitutions],
        "extensions": plan.recipe.build.extensions if cell.ops else (),
        "cuda": asdict(cell.cuda) if cell.cuda else None,
        "inputs": inputs,
        "toolchain": toolchain,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
