"""Lock: one resolution for the target, every file of it in the store as a wheel."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.build.compile import Built
from wheelferry.build.dependencies.closure import Wanted, resolve_closure
from wheelferry.build.environment import check_torch_build, find_torch
from wheelferry.build.populate import populate
from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_alternatives, shipped_downloads
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.lock import Choice, Lock, LockedWheel
from wheelferry.models.planning.alternatives import warnings
from wheelferry.models.planning.downloads import downloads_of
from wheelferry.models.planning.joining import joined_cell
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.present import PresentPackage, needed_of
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.interpreters import find_interpreter
from wheelferry.wheels.extensions import mixed_builds
from wheelferry.wheels.read import read_wheel, torch_build


def lock(
    plan: Plan, built: Built, tools: Tools, *, given: Iterable[Path] = (), further: Sequence[Built] = ()
) -> Lock:
    """The exact wheels for the built wheel's target: it, its torch, and the newest of all else that fits.

    `further` are the built wheels of the bundle's other projects.

    `given` are wheels of dependencies that the user has; they are taken where they fit, and one that nothing
    requires is told. Raises InputError when nothing fits, or when the index's file would take the place of
    one that was given, IntegrityError when the index would now give another torch than the one compiled
    against.
    """
    own = (built, *further)
    cell = joined_cell([one.cell for one in own])
    tools.progress.stage(f"lock {plan.full_title} for {cell.target.name}")
    with tools.store.workspace("lock") as work:
        links = work / "built"
        fitting = place_given(given, links, cell)
        for one in own:
            tools.store.place(one.wheel.sha256, links / one.wheel.filename)
        wheels = _lock_wheels(plan, cell, own, fitting, links, work, tools)
    present = _present(plan, cell, own, wheels, tools)
    result = Lock(target=cell.target, wheels=wheels, excluded=_left_out(cell, wheels, tools), present=present)
    for one in own if cell.carries_torch else ():
        _require_torch(one, result.wheel("torch"), tools)
    return result


def require_resolvable(plan: Plan, cell: Cell, tools: Tools, *, given: Iterable[Path] = ()) -> Cell:
    """The cell, once what the recipe and the user require of it is known to fit together.

    What the project itself requires is left out: its metadata are not known yet. What exists only as an
    sdist is built, as it will be needed. Raises InputError when nothing fits or cannot be built here, and
    IntegrityError when no file has a hash that the user gave: before anything is downloaded or compiled.
    """
    interpreter = find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)
    with tools.store.workspace("resolve") as work:
        links = work / "given"
        fitting = place_given(given, links, cell)
        wanted = Wanted(
            requirements=plan.requirements_of_others(cell),
            constraints=[*cell.shipped_constraints, *pins_of(fitting)],
            links=links,
            interpreter=interpreter,
        )
        resolve_closure(plan, cell, wanted, work, tools)
    return cell


def place_given(given: Iterable[Path], links: Path, cell: Cell) -> list[Path]:
    """Copy those of the user's wheels that fit the target into the new folder `links`."""
    fitting = [path for path in given if not filename_parts(path.name)[2].isdisjoint(cell.target.tags)]
    links.mkdir()
    for path in fitting:
        shutil.copyfile(path, links / path.name)
    return fitting


def warn_of_alternatives(choices: Iterable[Choice], cell: Cell, tools: Tools) -> None:
    """Warn of packages that install the same module, and that no resolver keeps apart."""
    for message in warnings(shipped_alternatives(), (choice.name for choice in choices)):
        tools.progress.warn(f"{cell.target.name}: {message}")


def warn_of_downloads(plan: Plan, choices: Iterable[Choice], cell: Cell, tools: Tools) -> None:
    """Warn of packages that will want the network, but for those that the recipe itself is content with."""
    recipes_own = {
        canonicalize_name(Requirement(entry.requires).name)
        for one in plan.projects
        for entry in one.recipe.requirements
    }
    for download in downloads_of(shipped_downloads(), {choice.name for choice in choices} - recipes_own):
        tools.progress.warn(f"{cell.target.name}: {download}")


def _left_out(cell: Cell, wheels: Iterable[LockedWheel], tools: Tools) -> tuple[NormalizedName, ...]:
    """The excluded packages that are missed; raises InputError for one that nothing requires."""
    if not cell.excluded:
        return ()
    locked = {wheel.name: read_wheel(tools.store.path(wheel.sha256)) for wheel in wheels}
    texts = [Requirement(text) for text in cell.requirements]
    required = {
        canonicalize_name(requirement.name)
        for requirement in [*texts, *(one for info in locked.values() for one in info.requires)]
    }
    for exclusion in cell.excluded:
        if exclusion.instead is None and exclusion.name not in required:
            raise InputError(
                f"--exclude {exclusion.name}: nothing requires it on {cell.target.name}", hint="leave it out"
            )
        if exclusion.instead is not None and exclusion.instead not in locked:
            raise InputError(
                f"--prefer {exclusion.instead}: only its alternatives are required on {cell.target.name}",
                hint=f"add it, as in --with {exclusion.instead}",
            )
    return tuple(sorted({exclusion.name for exclusion in cell.excluded} & required))


def _present(
    plan: Plan, cell: Cell, own: Sequence[Built], wheels: Sequence[LockedWheel], tools: Tools
) -> tuple[PresentPackage, ...]:
    """Those of the cell's present packages that what is carried requires, torch with its build."""
    if not cell.present:
        return ()
    needed = needed_of(
        cell.present,
        [Requirement(text) for text in (*map(_pin, own), *cell.requirements)],
        {wheel.name: read_wheel(tools.store.path(wheel.sha256)).requires for wheel in wheels},
        cell.target.marker_environment,
    )
    compiled_beside = [wheel for wheel in wheels if wheel.name in ("torchvision", "torchaudio")]
    present = tuple(
        _with_build(one, plan, cell, own[0], compiled_beside, tools) if one.is_torch else one
        for one in needed
    )
    if not present:
        raise InputError(
            f"nothing that is present is required on {cell.target.name}", hint="leave --present out"
        )
    told = ", ".join(map(str, present))
    tools.progress.note(f"{cell.target.name}: the bundle requires of what is present {told}")
    return present


def _with_build(
    torch: PresentPackage,
    plan: Plan,
    cell: Cell,
    built: Built,
    compiled_beside: Sequence[LockedWheel],
    tools: Tools,
) -> PresentPackage:
    """The present torch with what the index's torch of the release tells of its build.

    `compiled_beside` are carried wheels that the index compiled with its own torch. Raises InputError when
    that is for another CUDA than the present one.
    """
    if torch.version.public != cell.target.torch:
        return torch  # a vendor's own, which no index has
    wheel = find_torch(plan, cell, built.interpreter, tools)
    cuda, cxx11_abi = torch_build(tools.store.path(wheel.sha256))
    whole = replace(torch, cuda=torch.cuda or cuda)
    if whole.cuda == cuda:
        return replace(whole, cxx11_abi=cxx11_abi if torch.cxx11_abi is None else torch.cxx11_abi)
    if compiled_beside:
        other = compiled_beside[0]
        raise InputError(
            f"{other.filename} is compiled with {replace(whole, cuda=cuda)}, on the client is {whole}",
            hint=f"name the client's {other.name} with --present too, or choose its build with --backend",
        )
    return whole


def _pin(built: Built) -> str:
    """The built wheel as a requirement."""
    name, version, _ = filename_parts(built.wheel.filename)
    return f"{name}=={version}"


def pins_of(given: Iterable[Path]) -> list[str]:
    """What holds a resolution to the wheels that the user has."""
    parts = [filename_parts(path.name) for path in given]
    return [f"{name}=={version}" for name, version, _ in parts]


def _lock_wheels(
    plan: Plan,
    cell: Cell,
    own: Sequence[Built],
    given: Sequence[Path],
    links: Path,
    work: Path,
    tools: Tools,
) -> tuple[LockedWheel, ...]:
    torch = dict.fromkeys(f"torch=={one.torch.version}" for one in own if one.torch is not None)
    pins = [*cell.shipped_constraints, *torch, *pins_of(given)]
    interpreter = own[0].interpreter
    wanted = Wanted(
        requirements=[*map(_pin, own), *cell.requirements],
        constraints=pins,
        links=links,
        interpreter=interpreter,
    )
    closure = resolve_closure(plan, cell, wanted, work, tools)
    require_same_build(closure.choices)
    warn_of_alternatives(closure.choices, cell, tools)
    warn_of_downloads(plan, closure.choices, cell, tools)
    _require_given(given, closure.choices, cell, tools)
    tools.progress.stage(f"populate {plan.full_title} for {cell.target.name}")
    return populate(
        closure.choices,
        cell.target,
        interpreter,
        tools,
        sdist_constraints=plan.sdist_constraints,
        allowed=cell.hashes,
        built=closure.built,
    )


def _require_given(given: Iterable[Path], choices: Iterable[Choice], cell: Cell, tools: Tools) -> None:
    """Raise InputError when another file is chosen than the one given; name those that nothing requires."""
    chosen = {choice.name: choice for choice in choices}
    for path in given:
        name, version, _ = filename_parts(path.name)
        choice = chosen.get(name)
        if choice is None:
            tools.progress.warn(f"--wheel {path.name} is not used: nothing requires it on {cell.target.name}")
        elif (choice.filename, choice.url.partition(":")[0]) != (path.name, "file"):
            raise InputError(
                f"--wheel {path.name} is given, but the index's {choice.filename} would be taken: its "
                f"tags are as good for {cell.target.name} or better",
                hint=f"give the wheel a version of its own, such as {version.public}+here, or leave it out",
            )


def _require_torch(built: Built, torch: LockedWheel, tools: Tools) -> None:
    """Raise unless the locked torch is the one compiled against, and of the build asked for."""
    if not built.environment_key or built.torch is None:
        check_torch_build(built.cell, torch, tools)
    if built.torch is None or torch.sha256 == built.torch.sha256:
        return
    if not built.environment_key:
        raise InputError(
            f"{built.wheel.filename} was compiled against another torch wheel "
            f"({built.torch.version}, {built.torch.sha256[:16]}…) than the index's {torch.filename}",
            hint="take torch from where the builder of the wheel did, with --torch-index URL|DIR",
        )
    # so that the next run asks the index again
    tools.store.forget("environment", built.environment_key)
    raise IntegrityError(
        f"the wheel was compiled against torch {built.torch.version}, "
        f"but the index now gives another file {torch.filename}",
        hint="run the command again; if it stays so, the index serves two different torch wheels",
    )


def require_same_build(choices: Iterable[Choice]) -> None:
    """Raise InputError when torch and torchvision are not of the same build."""
    chosen = {choice.name: (choice.version, choice.filename) for choice in choices}
    torch, torchvision = NormalizedName("torch"), NormalizedName("torchvision")
    if torch not in chosen:
        return  # it is present on the client: `_with_build` compares
    reason = mixed_builds(chosen[torch], chosen.get(torchvision))
    if reason:
        raise InputError(
            reason,
            hint="take both from one place: --backend cpu (PyTorch's CPU index), or --torch-index "
            "with an index or folder that has both",
        )
