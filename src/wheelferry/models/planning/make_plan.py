"""Making a plan: everything about a target is decided before anything is touched."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.errors import InputError, raise_all
from wheelferry.models import stable_abi
from wheelferry.models.apps import choose_programs, requirements_of
from wheelferry.models.cuda import FIRST_ON_PYPI, Cuda, backend_of, parse_architectures, version_of
from wheelferry.models.planning.alternatives import Exclusion
from wheelferry.models.planning.assets import plan_assets
from wheelferry.models.planning.build_key import digest_of
from wheelferry.models.planning.configuration import BACKEND
from wheelferry.models.planning.conflicts import find_conflicts, find_unused
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.planning.present import GivenPresent, present_on, require_fitting
from wheelferry.models.planning.requirements import UserRequirement
from wheelferry.models.planning.supported import (
    backends_with_cuda,
    find_release,
    obstacle,
    ops_missing,
    torch_range,
)
from wheelferry.models.recipes.fields import in_range
from wheelferry.models.recipes.recipe import ConditionalRequirement, Recipe, Torch
from wheelferry.models.tables.companions import Companion, limits
from wheelferry.models.targets import DEFAULT_BACKEND, Target

# torch for Windows loads msvcp140.dll and its like, which a bare Windows lacks: this wheel brings them.
WINDOWS_RUNTIME = "msvc-runtime"

PYTORCH_INDEX = "https://download.pytorch.org/whl"


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
    apps: Iterable[str] = (),
    companions: Iterable[Companion] = (),
    present: Iterable[GivenPresent] = (),
) -> Plan:
    """Decide everything about `targets`; raises InputError for one the release cannot serve.

    `required` is what the user wants beside the project; what no index could give beside it is refused.
    `torch_index` stands in for PyTorch's own index; ``{backend}`` in it is filled in for each target.
    `assets` are requests for weights and data, beyond what always travels (see `plan_assets`).
    `without_ops` leaves the compiled ops out, where the release is of use without them. The ops of targets
    in `on_stable_abi` are compiled on torch's stable ABI. `excluded` packages are left out of every lock.
    `apps` are the names of programs for the client, beyond those that always travel (see `choose_programs`).
    `companions` is the table of packages that are compiled against torch. `present` packages are on the
    client already, and are required there instead of carried.
    """
    release = find_release(recipe, release_name)
    wanted = list(targets)
    programs = choose_programs(recipe, apps)
    choices = _Choices(
        required=(*required, *requirements_of(programs)),
        torch_index=torch_index,
        architectures=tuple(cuda_architectures),
        without_ops=without_ops,
        on_stable_abi=on_stable_abi,
        excluded=tuple(excluded),
        companions=tuple(companions),
        present=tuple(present),
    )
    _check_choices(choices, wanted)
    raise_all(find_unused(choices.required, wanted))
    _require_excludable(recipe, choices)
    if without_ops:
        _require_optional_ops(recipe, release_name)
    cells = []
    for target in wanted:
        _require_possible(recipe, release_name, target, choices)
        cell = _plan_cell(recipe, release_name, target, choices)
        digest = _digest(recipe, release_name, target, without_ops=without_ops)
        cell = _with_present(recipe, replace(cell, plan_digest=digest), choices)
        cells.append(_require(recipe, cell, choices.required))
    return Plan(
        recipe=recipe,
        release_name=release_name,
        release=release,
        cells=tuple(cells),
        assets=plan_assets(recipe, release_name, wanted, assets),
        programs=programs,
    )


def plan_digest(recipe: Recipe, release_name: str, target: Target, *, without_ops: bool = False) -> str:
    """SHA-256 over what `recipe` says for `target`: same digest, same source, built the same way.

    Nothing of what the user chose beside the target counts. Raises InputError as `make_plan`.
    """
    find_release(recipe, release_name)
    choices = _Choices(without_ops=without_ops)
    if without_ops:
        _require_optional_ops(recipe, release_name)
    _require_possible(recipe, release_name, target, choices)
    return _digest(recipe, release_name, target, without_ops=without_ops)


def _digest(recipe: Recipe, release_name: str, target: Target, *, without_ops: bool) -> str:
    cell = _plan_cell(recipe, release_name, target, _Choices(without_ops=without_ops))
    return digest_of(recipe, recipe.releases[release_name], cell)


@dataclass(frozen=True, kw_only=True)
class _Choices:
    """What the user chose beside the targets."""

    required: tuple[UserRequirement, ...] = ()
    torch_index: str | None = None
    architectures: tuple[str, ...] = ()
    without_ops: bool = False
    on_stable_abi: Container[Target] = ()
    excluded: tuple[Exclusion, ...] = ()
    companions: tuple[Companion, ...] = ()
    present: tuple[GivenPresent, ...] = ()


def _require_excludable(recipe: Recipe, choices: _Choices) -> None:
    """Raise InputError for what no bundle can be without, and for what is asked for and excluded at once."""
    asked = {one.name for one in choices.required if not one.is_constraint}
    for exclusion in choices.excluded:
        if exclusion.name in ("torch", canonicalize_name(recipe.distribution)):
            raise InputError(f"{exclusion.name} cannot be excluded: the bundle is made for it")
        if exclusion.name in asked:
            by = f"--prefer {exclusion.instead}" if exclusion.instead else f"--exclude {exclusion.name}"
            raise InputError(
                f"{exclusion.name} is asked for, and left out with {by}", hint="give one of the two"
            )


def _require_optional_ops(recipe: Recipe, release_name: str) -> None:
    if recipe.releases[release_name].ops == "optional" or recipe.build.python_only:
        return
    able = [name for name, release in recipe.releases.items() if release.ops == "optional"]
    raise InputError(
        f"{recipe.name}@{release_name} is of no use without its compiled ops",
        hint=f"of {recipe.name}, {', '.join(able) or 'no release'} can be built with --without-ops",
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

    PyPI has one build of each release: on Linux the one with `pair.cuda`, elsewhere the one for the CPU.
    The others are on PyTorch's.
    """
    if given is not None:
        return given.replace("{backend}", target.backend)
    if target.backend == DEFAULT_BACKEND or (pair and _on_pypi(target, pair)):
        return None
    return f"{PYTORCH_INDEX}/{target.backend}"


def _on_pypi(target: Target, pair: Torch) -> bool:
    """Whether PyPI's own torch and torchvision are of the build that the backend names."""
    if target.is_macos:
        return target.backend == "cpu"  # there is no other
    if target.is_windows:
        pythons = pair.windows if pair.torchvision_windows else None
        return target.backend == "cpu" and pythons is not None and in_range(pythons, target.python)
    return pair.cuda is not None and backend_of(pair.cuda) == target.backend


def _cuda(target: Target, architectures: Iterable[str]) -> Cuda | None:
    version = version_of(target.backend)
    if version is None:
        return None
    return Cuda(version=version, architectures=parse_architectures(architectures, version))


def _plan_cell(recipe: Recipe, release_name: str, target: Target, choices: _Choices) -> Cell:
    release = recipe.releases[release_name]
    pair = next((entry for entry in recipe.torch if entry.version == target.torch), None)

    def applying(entries: Iterable[ConditionalRequirement]) -> tuple[str, ...]:
        return tuple(entry.requires for entry in entries if entry.applies(release_name, target))

    pins = [f"torch=={target.torch}"]
    torchvision = pair.torchvision if pair else None
    if torchvision is not None:
        pins.append(f"torchvision=={torchvision}")
    local = target.torch_label
    without_ops = choices.without_ops and not recipe.build.python_only
    stable = target in choices.on_stable_abi and not recipe.build.python_only
    if without_ops:
        local += ".noops"
    elif stable:
        local += f".{stable_abi.SUFFIX}"
    if release.branch and release.commit:
        # a branch calls itself what its last tag did: without the commit, two sources share a file name
        local = f"git{release.commit[:8]}.{local}"
    has_ops = not (choices.without_ops or recipe.build.python_only)
    cuda = _cuda(target, choices.architectures) if has_ops else None
    if has_ops:
        _require_ops(recipe, target)
    environment = {**recipe.build.environment, **(recipe.build.cuda_environment if cuda else {})}
    if recipe.build.version_suffix_variable:
        environment[recipe.build.version_suffix_variable] = f"+{local}"
    runtime = [WINDOWS_RUNTIME] if target.is_windows else []
    return Cell(
        target=target,
        torchvision=torchvision,
        torch_index=_torch_index(target, pair, choices.torch_index),
        cuda=cuda,
        build_requires=(
            *(() if stable or not has_ops else (f"torch=={target.torch}",)),
            *(BACKEND if recipe.build.packages else ()),
            *applying(recipe.build.requires),
        ),
        environment=tuple(sorted(environment.items())),
        substitutions=tuple(
            s
            for s in recipe.substitutions
            if s.applies(release_name, target) and (not s.without_ops or without_ops)
        ),
        requirements=(
            f"torch=={target.torch}",
            *applying(recipe.requirements),
            *runtime,
        ),
        constraints=(*pins, *applying(recipe.constraints)),
        wheel_version=f"{release.version}+{local}",
        ops=has_ops,
        on_stable_abi=stable,
        on_limited_api=stable and recipe.build.limited_api and _same_sources(recipe, release_name, target),
        excluded=choices.excluded,
        companions=limits(choices.companions, target.torch),
    )


def _with_present(recipe: Recipe, cell: Cell, choices: _Choices) -> Cell:
    """The cell with what its client has already; raises InputError for what does not go with it."""
    given = present_on(choices.present, cell.target)
    if not given:
        return cell
    own, excluded = canonicalize_name(recipe.distribution), {one.name for one in choices.excluded}
    require_fitting(given, cell, own=own, excluded=excluded)
    # a profile lists whatever is there
    kept = [one for one in given if one.package.name not in {own, *excluded}]
    present = tuple(one.completed(cell.target) for one in kept)
    there = replace(cell, present=present)
    pin = f"torch=={cell.target.torch}"
    requirements = [there.shipped_torch if text == pin else text for text in cell.requirements]
    return replace(there, requirements=tuple(requirements))


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


def _require_ops(recipe: Recipe, target: Target) -> None:
    """Raise InputError where the project has no compiled ops for the backend of `target`."""
    reason = ops_missing(recipe, target)
    if reason is None:
        return
    if version_of(target.backend):
        raise InputError(f"{target.name}: {reason}", hint="leave --backend out, or take --backend cpu")
    known = " or ".join(backends_with_cuda(recipe, target.torch))
    raise InputError(
        f"{target.name}: {reason}",
        hint=f"choose a build of torch {target.torch} with CUDA: --backend {known or 'cu130'}",
    )


def _require_stable_abi(target: Target, choices: _Choices) -> None:
    if choices.without_ops:
        raise InputError("--stable-abi is about compiled ops, --without-ops leaves them out")
    if not stable_abi.serves(Version(target.torch)):
        raise InputError(
            f"{target.name}: torch {target.torch} has no stable ABI for compiled ops",
            hint=f"torch {stable_abi.FIRST_TORCH} and later have one",
        )
    cuda = version_of(target.backend)
    if cuda and not Cuda(version=cuda).on_pypi:
        raise InputError(
            f"{target.name}: CUDA ops are compiled on torch's stable ABI from CUDA {FIRST_ON_PYPI} on",
            hint="leave --stable-abi out: the wheel is then for this torch alone; or take --backend cu130",
        )
