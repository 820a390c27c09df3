"""What the user says is on the client already (--present), read and compared with a target."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelferry.client.preflight.present import NO_CUDA
from wheelferry.errors import InputError, raise_all
from wheelferry.models import stable_abi
from wheelferry.models.cuda import version_of
from wheelferry.models.planning.plan import Cell
from wheelferry.models.planning.requirements import UserRequirement, parse_line
from wheelferry.models.present import PresentPackage, cuda_of_local
from wheelferry.models.targets import DEFAULT_BACKEND, Target

OPTION = "--present"
_PIN = "write NAME==VERSION, as `pip list --format=freeze` on that machine says it"


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenPresent:
    """A package that the user says is present, and where that was said.

    `python` is the Python that has it (``3.12``), empty where nothing says which. Of `is_listed` packages a
    probe found, nobody has to need all; each of the others is meant.
    """

    package: PresentPackage
    place: str
    python: str = ""
    is_listed: bool = False

    def completed(self, target: Target) -> PresentPackage:
        """The package, of torch with the CUDA that the target's backend or its own version names."""
        if not self.package.is_torch or self.package.cuda:
            return self.package
        named = version_of(target.backend) or (NO_CUDA if target.backend == "cpu" else "")
        return replace(self.package, cuda=cuda_of_local(self.package.version) or named)


def given_present(text: str) -> GivenPresent:
    """What ``--present 'torch==2.11.0'`` says; raises InputError for anything but an exact version."""
    place = f"{OPTION} {text!r}"
    item = parse_line(text, place)
    if not isinstance(item, UserRequirement):
        raise InputError(f"{place} names a file of requirements by an option", hint=f"{OPTION} {item.file}")
    return pinned_present(item)


def read_pins(items: Iterable[UserRequirement]) -> list[GivenPresent]:
    """What the lines of a requirements file say is present; InputError names every line without a version."""
    found: list[GivenPresent] = []
    errors: list[InputError] = []
    for item in items:
        try:
            found.append(pinned_present(item))
        except InputError as error:
            errors.append(error)
    raise_all(errors)
    return found


def pinned_present(item: UserRequirement) -> GivenPresent:
    """A requirement as a package that is present; raises InputError unless it names one version."""
    version = _exact(item.requirement)
    if version is None:
        message = f"{item.place}: {item.requirement} names no exact version"
        raise InputError(f"{message}, and what is present has one", hint=_PIN)
    if item.requirement.marker is not None:
        raise InputError(f"{item.place}: what is present has no marker", hint="leave out what follows the ;")
    return GivenPresent(package=PresentPackage(name=item.name, version=version), place=item.place)


def _exact(requirement: Requirement) -> Version | None:
    """The one version that a requirement allows; None where it allows several."""
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return None
    try:
        return Version(specifiers[0].version)
    except InvalidVersion:  # 2.11.*
        return None


def read_environments(profile: Mapping[str, Any], place: str) -> list[GivenPresent]:
    """What the Pythons of a profile have installed.

    Raises InputError for a profile without any, and for two of the same Python, of which one must be meant.
    """
    environments: Sequence[Mapping[str, Any]] = profile.get("environments") or ()
    if not environments:
        raise InputError(
            f"{place} does not say what is installed on that machine",
            hint="write it there with --python, as in probe.pyz --python /usr/bin/python3 --out profile.json",
        )
    pythons = [_minor(one["version"]) for one in environments]
    twice = sorted({python for python in pythons if pythons.count(python) > 1})
    if twice:
        named = " and ".join(one["python"] for one in environments if _minor(one["version"]) in twice)
        raise InputError(
            f"{place} has two environments of Python {', '.join(twice)}: {named}",
            hint="write a profile with the one that the bundle is for (--python)",
        )
    return [given for one in environments for given in _listed(one, place)]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _listed(environment: Mapping[str, Any], place: str) -> Iterator[GivenPresent]:
    torch = environment.get("torch") or {}
    for name, text in environment["packages"].items():
        version = _readable(torch.get("version") if name == "torch" else None) or _readable(text)
        if version is None:
            continue  # nothing that an index has could require it
        package = PresentPackage(name=canonicalize_name(name), version=version)
        if package.is_torch:
            package = replace(
                package,
                cuda=torch.get("cuda", ""),
                cxx11_abi=torch.get("cxx11_abi"),
                libraries=tuple(sorted(torch.get("libraries", {}).items())),
            )
        python = _minor(environment["version"])
        yield GivenPresent(package=package, place=f"{OPTION} {place}", python=python, is_listed=True)


def _readable(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except InvalidVersion:
        return None


def require_once(given: Iterable[GivenPresent]) -> None:
    """Raise InputError for a package that is said to be present in two versions for one Python."""
    first: dict[tuple[NormalizedName, str], GivenPresent] = {}
    for one in given:
        other = first.setdefault((one.package.name, one.python), one)
        if other.package.version != one.package.version:
            raise InputError(
                f"{one.place}: {one.package.name} {one.package.version}, but {other.place} says "
                f"{other.package.version}",
                hint="leave one of them out",
            )


def present_on(given: Iterable[GivenPresent], target: Target) -> tuple[GivenPresent, ...]:
    """What counts for a target, each package once, in name order; named ones go before listed ones."""
    found: dict[NormalizedName, GivenPresent] = {}
    for one in sorted(given, key=lambda one: one.is_listed):
        if one.python in ("", target.python):
            found.setdefault(one.package.name, one)
    return tuple(found[name] for name in sorted(found))


def torch_release(given: Iterable[GivenPresent]) -> str:
    """The release of the torch that is present (2.11.0 of 2.11.0a0+nv25.1 too); empty where it is not.

    Raises InputError where there are several.
    """
    releases = {one.package.version.base_version: one for one in given if one.package.is_torch}
    if len(releases) > 1:
        said = " and ".join(f"{one.place}: {one.package.version}" for one in releases.values())
        raise InputError(f"several torches are present: {said}", hint="make a bundle for each")
    return next(iter(releases), "")


def require_fitting(
    given: Iterable[GivenPresent],
    cell: Cell,
    *,
    own: NormalizedName,
    excluded: Collection[NormalizedName],
) -> None:
    """Raise InputError, naming everything, for what is present and does not go with the cell.

    `own` is the project itself, `excluded` what is left out of the bundle on purpose.
    """
    errors: list[InputError] = []
    for one in given:
        if one.package.name == own:
            errors += _unless_listed(one, f"{one.place}: the bundle is made for {own}")
        elif one.package.name in excluded:
            errors += _unless_listed(one, f"{one.place}: {one.package.name} is excluded too")
        elif one.package.is_torch:
            errors += _torch_conflicts(one, cell)
        elif one.package.name == "torchvision" and cell.torchvision is not None:
            errors += _torchvision_conflicts(one, cell, cell.torchvision)
        else:
            errors += _conflicts(one, cell)
    raise_all(errors)


def _unless_listed(one: GivenPresent, message: str) -> list[InputError]:
    """The error of a package that was named; one that a profile lists nobody named."""
    return [] if one.is_listed else [InputError(message, hint="leave it out of --present")]


def _torch_conflicts(one: GivenPresent, cell: Cell) -> Iterator[InputError]:
    version, target = one.package.version, cell.target
    if version.base_version != Version(target.torch).base_version:
        yield InputError(
            f"{one.place}: torch {version} is present, but the torch of {target.name} is {target.torch}",
            hint=f"leave --torch out, or choose --torch {version.base_version}",
        )
        return
    if version.public != target.torch and not cell.on_stable_abi:
        yield InputError(
            f"{one.place}: no index has torch {version}, so nothing can be compiled against it",
            hint="compile on torch's stable ABI, which serves it too: CPU ops, torch "
            f"{stable_abi.FIRST_TORCH} and later, a recipe that allows it",
        )
    cuda = one.package.cuda or cuda_of_local(version)
    wanted = version_of(target.backend) or NO_CUDA
    if cuda and target.backend != DEFAULT_BACKEND and cuda != wanted:
        yield InputError(
            f"{one.place}: {replace(one.package, cuda=cuda)} is present, but the backend is {target.backend}",
            hint="leave --backend out, or choose the one of that torch",
        )


def _torchvision_conflicts(one: GivenPresent, cell: Cell, torchvision: str) -> Iterator[InputError]:
    if one.package.version.base_version != torchvision:
        yield InputError(
            f"{one.place}: torchvision {one.package.version} is present, but {torchvision} is the one that "
            f"goes with torch {cell.target.torch}",
            hint="leave torchvision out of --present: then it is carried",
        )


def _conflicts(one: GivenPresent, cell: Cell) -> Iterator[InputError]:
    for text in dict.fromkeys((*cell.requirements, *cell.constraints, *cell.companions)):
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == one.package.name and not one.package.satisfies(requirement):
            yield InputError(
                f"{one.place}: {one.package} is present, but {cell.target.name} needs {text}",
                hint=f"leave {one.package.name} out of --present (instead of a profile, give a file of pins "
                "without it): then a fitting one is carried, and hides the client's",
            )
