"""A client's profile where bundles are made: the target that fits that machine, and what would not run there.

What runs where is decided by the same tables as on the client (`wheelferry.client.preflight`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from packaging.version import Version

from wheelferry.client.preflight.examine import examine, needs
from wheelferry.client.preflight.findings import WARNING, Finding, Request, problems
from wheelferry.client.preflight.gpu import driver_obstacle, image_for
from wheelferry.client.preflight.pythons import usable_pythons
from wheelferry.client.preflight.systems import numbers, platform_obstacle
from wheelferry.errors import InputError
from wheelferry.matrix.coverage import PYTHONS
from wheelferry.models.cuda import (
    architecture_range,
    backend_of,
    images_of,
    parse_architectures,
    parse_version,
    version_of,
)
from wheelferry.models.planning.supported import fitting_torch, obstacle
from wheelferry.models.profile import Profile
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import (
    DEFAULT_BACKEND,
    DEFAULT_GLIBC_MINOR,
    DEFAULT_MACOS,
    Target,
    glibc_minor,
    parse_backend,
    parse_platform,
    parse_python,
    parse_torch,
)

# The first torch whose Linux wheels are manylinux_2_28; those before run on glibc 2.17.
_FIRST_ON_2_28 = Version("2.6.0")
_MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """What of a target the user named; an empty field is left to be chosen.

    The texts are those of the command line. `notes` say what was chosen, and why not something better.
    """

    python: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()
    torch: tuple[str, ...] = ()
    cuda_arch: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def noting(self, note: str) -> "TargetOptions":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))


def fit_options(
    profile: Profile,
    recipe: Recipe,
    release: str,
    given: TargetOptions,
    *,
    has_runtime: bool,
    default_python: str,
) -> TargetOptions:
    """`given` completed for the machine of `profile`.

    Raises InputError for what was given and would not run there, and where nothing would. `has_runtime` says
    that the bundle brings its own Python; that is `default_python` unless the client has one that fits.
    """
    options = _fit_platform(profile, given)
    options = _fit_python(
        profile, recipe, release, options, has_runtime=has_runtime, default_python=default_python
    )
    options = _fit_torch(recipe, release, options)
    options = _fit_backend(profile, recipe, release, options)
    return _fit_architectures(profile, options)


def _fit_platform(profile: Profile, options: TargetOptions) -> TargetOptions:
    own = _own_platform(profile)
    if not options.platform:
        return replace(options, platform=(own,)).noting(f"platform {own}: {profile['os']}")
    tags = []
    for text in options.platform:
        tag = parse_platform(text, host_glibc_minor=glibc_minor(own))
        against = platform_obstacle(profile, tag)
        if against:
            raise _refused(f"--platform {text}", against[1], f"leave it out: {own} runs there")
        tags.append(tag)
    return replace(options, platform=tuple(tags))


def _own_platform(profile: Profile) -> str:
    """The newest platform tag that we build for and the machine runs."""
    system, machine = profile["system"], profile["machine"]
    if system == "Windows" and machine == "x86_64":
        return "win_amd64"
    if system == "Linux" and machine in _MACHINES:
        if profile["glibc"] is None:
            raise InputError(
                f"the client runs {profile['os']}, which has no glibc: torch has no wheels for it",
                hint="a container with Debian or Ubuntu on that machine would do",
            )
        minor = min(DEFAULT_GLIBC_MINOR, numbers(profile["glibc"])[1])
        return f"manylinux_2_{minor}_{machine}"
    if system == "Darwin" and machine == "aarch64":
        if profile["macos"] is None:
            raise InputError(
                "the profile does not say which macOS the client runs",
                hint="write it anew with this wheelferry's own script (wheelferry probe --script probe.pyz)",
            )
        return f"macosx_{min(DEFAULT_MACOS, numbers(profile['macos'])[0])}_0_arm64"
    raise InputError(
        f"the client is {profile['os']} on {machine}: no bundles are made for that",
        hint="they are for Linux on x86_64 and aarch64, for 64-bit Windows on x86_64, and for macOS on arm64",
    )


def _fit_python(
    profile: Profile,
    recipe: Recipe,
    release: str,
    options: TargetOptions,
    *,
    has_runtime: bool,
    default_python: str,
) -> TargetOptions:
    usable = {_minor(python["version"]) for python in usable_pythons(profile)}
    present = sorted(usable, key=Version, reverse=True)
    shown = f"it has {', '.join(reversed(present))}" if present else "it has none that can be used"
    if options.python:
        for python in map(parse_python, options.python):
            if python not in present and not has_runtime:
                raise _refused(
                    f"--python {python}", f"the client has no such Python ({shown})", _runtime_hint(python)
                )
        return options
    for python in present:
        if _can_serve(recipe, release, options, python):
            return replace(options, python=(python,)).noting(f"Python {python}: the newest of the client")
    if has_runtime:
        return replace(options, python=(default_python,)).noting(
            f"Python {default_python}: the client has none that fits, the bundle brings it"
        )
    possible = [python for python in PYTHONS if _can_serve(recipe, release, options, python)]
    raise InputError(
        f"the client has no Python for {recipe.name}@{release} ({shown})",
        hint=_runtime_hint(possible[-1] if possible else "X.Y"),
    )


def _runtime_hint(python: str) -> str:
    return f"add --python {python} and --runtime: then the bundle brings its own Python {python}"


def _minor(version: str) -> str:
    return ".".join(map(str, numbers(version)[:2]))


def _can_serve(recipe: Recipe, release: str, options: TargetOptions, python: str) -> bool:
    return bool(_candidates(recipe, release, options, python))


def _candidates(recipe: Recipe, release: str, options: TargetOptions, python: str) -> list[str]:
    """The torch releases, those given or of the table, that serve everything else asked for; oldest first."""
    backends = options.backend or (DEFAULT_BACKEND,)
    cells = [(platform, parse_backend(backend)) for platform in options.platform for backend in backends]
    if options.torch:
        known = [parse_torch(text) for text in options.torch]
        targets = [
            Target(python=python, platform=platform, torch=torch, backend=backend)
            for platform, backend in cells
            for torch in known
        ]
        return known if not any(obstacle(recipe, release, target) for target in targets) else []
    found = [
        fitting_torch(recipe, release, python=python, platform=platform, backend=backend)
        for platform, backend in cells
    ]
    old = any(_is_old(platform) for platform in options.platform)
    return [
        torch
        for torch in found[0]
        if all(torch in others for others in found) and not (old and Version(torch) >= _FIRST_ON_2_28)
    ]


def _is_old(platform: str) -> bool:
    minor = glibc_minor(platform)
    return minor is not None and minor < DEFAULT_GLIBC_MINOR


def _fit_torch(recipe: Recipe, release: str, options: TargetOptions) -> TargetOptions:
    """On an older glibc only older torch runs; elsewhere the choice is left to the plan."""
    old = next((platform for platform in options.platform if _is_old(platform)), None)
    if old is None:
        return options
    reason = f"its wheels need glibc 2.{DEFAULT_GLIBC_MINOR}, the client has 2.{glibc_minor(old)}"
    for text in options.torch:
        if Version(parse_torch(text)) >= _FIRST_ON_2_28:
            raise _refused(f"--torch {text}", reason, f"take one before {_FIRST_ON_2_28}")
    if options.torch:
        return options
    common = set.intersection(*(set(_candidates(recipe, release, options, p)) for p in options.python))
    if not common:
        pythons = ", ".join(options.python)
        raise InputError(
            f"{recipe.name}@{release} has no torch before {_FIRST_ON_2_28} for Python {pythons}, "
            f"and of the newer ones {reason}",
            hint="take an older --python with --runtime, or another release",
        )
    newest = max(common, key=Version)
    return replace(options, torch=(newest,)).noting(f"torch {newest}: of newer ones, {reason}")


def _fit_backend(profile: Profile, recipe: Recipe, release: str, options: TargetOptions) -> TargetOptions:
    for backend in map(parse_backend, options.backend):
        against = _cuda_obstacle(profile, backend)
        if against:
            raise _refused(f"--backend {backend}", against, "leave it out, or take --backend cpu")
    if options.backend:
        return options
    backend, reason = _best_backend(profile, recipe, release, options)
    return replace(options, backend=(backend,)).noting(f"backend {backend}: {reason}")


def _best_backend(profile: Profile, recipe: Recipe, release: str, options: TargetOptions) -> tuple[str, str]:
    """The CUDA that torch has on PyPI, where it runs on the client; else the default. And why."""
    if profile["nvidia"] is None:
        return DEFAULT_BACKEND, "the client has no GPU of NVIDIA"
    if profile["system"] == "Windows":
        return DEFAULT_BACKEND, "on PyPI torch for Windows has no CUDA; the GPU stays unused"
    torches = options.torch or {
        found[-1] for python in options.python if (found := _candidates(recipe, release, options, python))
    }
    rows = [entry for entry in recipe.torch if entry.version in set(map(parse_torch, torches))]
    built = {entry.cuda for entry in rows if entry.cuda}
    if len(built) != 1:
        return DEFAULT_BACKEND, "which CUDA torch has on PyPI is not known; name one with --backend"
    backend = backend_of(built.pop())
    against = _cuda_obstacle(profile, backend)
    if against is None:
        return backend, "what torch on PyPI is built with, and the client's driver serves"
    instead = _other_cuda(profile, recipe, release, options)
    return DEFAULT_BACKEND, f"torch on PyPI is {backend}; {against}; the GPU stays unused{instead}"


def _other_cuda(profile: Profile, recipe: Recipe, release: str, options: TargetOptions) -> str:
    """The newest torch whose CUDA the client's GPU can use, as one asks for it; empty when there is none."""
    known = {cuda for entry in recipe.torch for cuda in (entry.cuda, *entry.other_cuda) if cuda}
    found = []
    for cuda in known:
        backend = backend_of(cuda)
        if _cuda_obstacle(profile, backend) is None:
            wanted = replace(options, backend=(backend,))
            torches = set.intersection(
                *(set(_candidates(recipe, release, wanted, python)) for python in options.python)
            )
            found += [(Version(torch), parse_version(cuda), backend) for torch in torches]
    if not found:
        return ""
    torch, _, backend = max(found)
    return f"; --torch {torch} --backend {backend} would use it"


def _cuda_obstacle(profile: Profile, backend: str) -> str | None:
    """Why ops of `backend` could not use the client's GPU; None when they can, or need none."""
    version = version_of(backend)
    if version is None:
        return None
    against: str | None = driver_obstacle(profile, parse_version(version))
    if against:
        return against
    known = _capabilities(profile)
    if known and not _within(known, version):
        oldest, newest = (f"{number // 10}.{number % 10}" for number in architecture_range(version))
        devices = ", ".join(f"{device['name']} ({device['capability']})" for device in _devices(profile))
        return f"CUDA {version} compiles for {oldest} to {newest}, the client has {devices}"
    return None


def _devices(profile: Profile) -> list[Mapping[str, Any]]:
    return profile["nvidia"]["devices"] if profile["nvidia"] else []


def _capabilities(profile: Profile) -> list[str]:
    """The compute capabilities of the client's devices, each once; empty when one of them is not known."""
    found = [device["capability"] for device in _devices(profile)]
    return sorted(set(found), key=Version) if all(found) else []


def _within(capabilities: Iterable[str], version: str) -> list[str]:
    """Those of `capabilities` that nvcc of CUDA `version` compiles for."""
    oldest, newest = architecture_range(version)
    return [text for text in capabilities if oldest <= int(text.replace(".", "")) <= newest]


def _fit_architectures(profile: Profile, options: TargetOptions) -> TargetOptions:
    versions = [version for backend in options.backend if (version := version_of(backend))]
    known = _capabilities(profile)
    if not versions or not known:
        return options
    if not options.cuda_arch:
        common = [text for text in known if all(_within([text], version) for version in versions)]
        note = f"GPU architecture {', '.join(common)}: what the client has"
        return replace(options, cuda_arch=tuple(common)).noting(note) if common else options
    images = images_of(parse_architectures(options.cuda_arch, versions[0]))
    unserved = [d for d in _devices(profile) if image_for(d["capability"], images) is None]
    if len(unserved) == len(_devices(profile)):
        devices = ", ".join(f"{device['name']} ({device['capability']})" for device in unserved)
        raise _refused(
            f"--cuda-arch {' '.join(options.cuda_arch)}",
            f"the client has {devices}",
            f"leave it out: {', '.join(known)} is what the client has",
        )
    for device in unserved:
        options = options.noting(f"there will be no code for {device['name']} ({device['capability']})")
    return options


def _refused(what: str, reason: str, hint: str) -> InputError:
    return InputError(f"{what} would not run on the client: {reason}", hint=hint)


# Warnings of preflight that count when a bundle is made: of what another bundle would not have.
_TOLD = ("gpu-torch", "cpu")


def preflight_problems(profile: Profile, bundle: Any) -> list[str]:
    """What speaks against a packed bundle on the client: problems that preflight will find in every folder.

    Warnings of a GPU that torch will not find, and of the processor, come with them. `bundle` is the client's
    own view of it, a `wheelferry.client.common.bundle.Bundle`.
    """
    found: dict[str, None] = {}
    for target in bundle.targets:
        by_folder = [
            _examined(path, profile, bundle, target)
            for path in [folder["path"] for folder in profile["folders"]] or ["/"]
        ]
        blocked = [problems(own) for own in by_folder]
        told = [finding for several in blocked for finding in several] if all(blocked) else []
        told += [one for one in by_folder[0] if one.level == WARNING and one.code in _TOLD]
        found |= dict.fromkeys(f"{target.name}: {_with_remedy(finding)}" for finding in told)
    return list(found)


def _examined(path: str, profile: Profile, bundle: Any, target: Any) -> list[Finding]:
    request = Request(prefix=path)
    request = replace(request, needs=needs(bundle, target, request, profile))
    findings: list[Finding] = examine(profile, target, request)
    return findings


def _with_remedy(finding: Finding) -> str:
    return f"{finding.message}; {finding.remedy}" if finding.code in _TOLD else finding.message
