"""What a release supports: which Python, torch, platform and backend, and why not."""

from collections.abc import Sequence

from packaging.version import Version

from wheelferry.errors import InputError
from wheelferry.models.cuda import backend_of, version_of
from wheelferry.models.recipes.fields import in_range
from wheelferry.models.recipes.recipe import Recipe, Release, Torch
from wheelferry.models.targets import DEFAULT_BACKEND, Target, macos_release


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


def common_torch(
    projects: Sequence[tuple[Recipe, str]], preferred: str, *, python: str, platform: str, backend: str
) -> str:
    """The torch for all `projects` (recipe and release): `preferred`, if it serves them, or the newest.

    Raises InputError, with the range of each, when there is none.
    """
    where = {"python": python, "platform": platform, "backend": backend}
    fitting = [fitting_torch(recipe, release, **where) for recipe, release in projects]
    common = [version for version in fitting[0] if all(version in found for found in fitting)]
    if preferred in common or len(projects) == 1:
        return preferred
    if not common:
        told = "\n".join(
            f"  {recipe.name}@{release}: torch {recipe.releases[release].torch}"
            for recipe, release in projects
        )
        raise InputError(
            f"no torch for Python {python} serves all of these projects:\n{told}",
            hint="make a bundle of each: several can be installed on one machine, in folders of their own",
        )
    return common[-1]


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
    if target.is_macos and version_of(target.backend) is not None:
        return f"there is no CUDA on macOS, and backend {target.backend} asks for it"
    pair = next((entry for entry in recipe.torch if entry.version == target.torch), None)
    if pair is None or other_index:
        return None
    return _build_missing(target, pair) or _wheels_missing(recipe, release_name, target, pair)


def ops_missing(recipe: Recipe, target: Target) -> str | None:
    """Why the project has no compiled ops for the backend of `target`; None when it has, or never has any."""
    cuda = version_of(target.backend) is not None
    if recipe.build.python_only or recipe.build.modules(cuda=cuda):
        return None
    if cuda:
        return f"{recipe.name} has no compiled ops for CUDA, and backend {target.backend} asks for them"
    return f"{recipe.name} has compiled ops for CUDA alone, and backend {target.backend} has none of them"


def backends_with_cuda(recipe: Recipe, torch: str) -> tuple[str, ...]:
    """The CUDA builds of a torch release that the table names; that of PyPI first."""
    entry = next((entry for entry in recipe.torch if entry.version == torch), None)
    return tuple(backend_of(cuda) for cuda in (entry.cuda, *entry.other_cuda) if cuda) if entry else ()


def _build_missing(target: Target, pair: Torch) -> str | None:
    """Why no index has the build of torch that the backend names."""
    built_with = [backend_of(cuda) for cuda in (pair.cuda, *pair.other_cuda) if cuda]
    if target.backend.startswith("cu") and pair.cuda and target.backend not in built_with:
        return f"torch {target.torch} has no {target.backend} build (it has {', '.join(built_with)})"
    return None


def _wheels_missing(recipe: Recipe, release_name: str, target: Target, pair: Torch) -> str | None:
    """Why `pair`, a row of the torch table, has no wheels for `target`."""
    pythons = _pythons_of(pair, target)
    if pythons is None:
        return f"torch {target.torch} has no wheels for {target.system_name}"
    if not in_range(pythons, target.python):
        wheels = f"{target.system_name} wheels" if pythons != pair.python else "wheels"
        return f"torch {target.torch} has no {wheels} for Python {target.python} (it has {pythons})"
    release = macos_release(target.platform)
    if release is not None and release < pair.macos_oldest:
        return f"torch {target.torch} needs macOS {pair.macos_oldest}, and {target.platform} is for {release}"
    needs_torchvision = any(
        entry.distribution == "torchvision"
        for entry in recipe.requirements
        if entry.applies(release_name, target)
    )
    if needs_torchvision and not _has_torchvision(pair, target):
        return (
            f"torchvision {pair.torchvision}, which goes with torch {target.torch}, has no wheels for "
            f"{target.system_name}"
        )
    if needs_torchvision and not in_range(pair.torchvision_python or "", target.python):
        return (
            f"torchvision {pair.torchvision}, which goes with torch {target.torch}, has no wheels for "
            f"Python {target.python} (it has {pair.torchvision_python})"
        )
    return None


def _pythons_of(pair: Torch, target: Target) -> str | None:
    """The Pythons that a release of torch has wheels for on the target's system; None for none at all.

    PyTorch's own index, where the other backends come from, has Windows wheels for the Pythons of Linux.
    """
    if target.is_macos:
        return pair.macos
    return pair.windows if target.is_windows and target.backend == DEFAULT_BACKEND else pair.python


def _has_torchvision(pair: Torch, target: Target) -> bool:
    """Whether the torchvision beside it has wheels for the target's system at all."""
    if target.is_macos:
        return pair.torchvision_macos
    return pair.torchvision_windows or not target.is_windows or target.backend != DEFAULT_BACKEND
