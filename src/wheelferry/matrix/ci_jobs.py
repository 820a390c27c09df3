"""Which cells a CI pipeline builds, and what each of its jobs is called."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.version import Version

from wheelferry.errors import InputError
from wheelferry.matrix.alike import can_share, newness, served_alike
from wheelferry.matrix.coverage import PLATFORMS, Selection
from wheelferry.models.cuda import FIRST_ON_PYPI, Cuda, backend_of, version_of
from wheelferry.models.planning.supported import find_release, fitting_torch, obstacle, ops_missing
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import Target

# What a pipeline builds when it is not told: the Pythons that are neither new nor near their end.
CI_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# So many jobs one matrix of a GitHub workflow may have; each platform is a matrix.
GITHUB_LIMIT = 256


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of the pipeline: one cell. `wheel` is the job whose wheel it takes; none: it builds its own."""

    recipe: str
    release: str
    target: Target
    wheel: str = ""

    @property
    def name(self) -> str:
        """The cell, fit for the names of jobs, artifacts and folders."""
        return f"{self.recipe}-{self.release}-{self.target.name}".replace("/", "_")

    @property
    def windows(self) -> bool:
        """Whether it runs on Windows."""
        return self.target.platform.startswith("win")


@dataclass(frozen=True, kw_only=True)
class WheelJob:
    """A job that builds what several cells take: a wheel on torch's stable ABI."""

    recipe: str
    release: str
    target: Target

    @property
    def name(self) -> str:
        """As that of the cell that it is built for, told apart from it."""
        return f"wheel-{self.recipe}-{self.release}-{self.target.name}".replace("/", "_")


def share_wheels(recipe: Recipe, jobs: Sequence[Job]) -> tuple[tuple[WheelJob, ...], tuple[Job, ...]]:
    """The wheels that serve several cells of `jobs`, each to be built once, and the jobs that take them.

    Windows cells build their own: they are there to be built on Windows.
    """
    wheels: list[WheelJob] = []
    takes: dict[Target, str] = {}
    able = {job.target: job for job in jobs if not job.windows and can_share(recipe, job.target)}
    release = jobs[0].release if jobs else ""
    for targets in served_alike(recipe, release, able) if able else ():
        if len(targets) > 1:
            wheel = WheelJob(recipe=recipe.name, release=release, target=max(targets, key=newness))
            wheels.append(wheel)
            takes |= dict.fromkeys(targets, wheel.name)
    return tuple(wheels), tuple(replace(job, wheel=takes.get(job.target, "")) for job in jobs)


def choose_jobs(recipe: Recipe, selection: Selection, *, provider: str) -> tuple[Job, ...]:
    """A job for each cell of `selection` that nothing known is against.

    Where the selection leaves it open: the newest tagged release, Python 3.10 to 3.13, the newest torch for
    each, the CPU and the CUDA of PyPI's torch, Linux and Windows. Raises InputError when nothing is left,
    for several releases, for more cells than GitHub takes, and for a CUDA whose compiler is not on PyPI.
    """
    _refuse_old_cuda(selection.backends)
    if len(selection.releases) > 1:
        raise InputError(
            "a pipeline makes one bundle, and a bundle holds one release",
            hint="run the command once for each release, with an --out for each",
        )
    (release,) = selection.releases or (newest_release(recipe),)
    targets = dict.fromkeys(_targets(recipe, release, selection))
    jobs = tuple(Job(recipe=recipe.name, release=release, target=target) for target in targets)
    if not jobs:
        raise InputError(
            f"{recipe.name} can serve none of the cells that were asked for",
            hint=f"see them with the same options: wheelferry matrix {recipe.name} …",
        )
    for windows in (False, True):
        count = sum(job.windows is windows for job in jobs)
        if provider == "github" and count > GITHUB_LIMIT:
            raise InputError(
                f"{count} cells for {'Windows' if windows else 'Linux'}; GitHub takes at most {GITHUB_LIMIT}",
                hint="choose fewer with --python, --torch, --backend or --platform, or write several files",
            )
    return jobs


def newest_release(recipe: Recipe) -> str:
    """The newest release that stays what it is: a tag or a folder's hash, not a branch."""
    fixed = [name for name, release in recipe.releases.items() if not release.branch]
    if not fixed:
        raise InputError(
            f"{recipe.name} has no tagged release",
            hint=f"name a branch: {recipe.name}@{next(iter(recipe.releases))}",
        )
    return max(fixed, key=lambda name: Version(recipe.releases[name].version))


def _targets(recipe: Recipe, release: str, selection: Selection) -> Iterator[Target]:
    find_release(recipe, release)
    for platform in selection.platforms or PLATFORMS:
        for python in selection.pythons or CI_PYTHONS:
            newest = fitting_torch(recipe, release, python=python, platform=platform)[-1:]
            for torch in selection.torches or newest:
                for backend in selection.backends or _backends(recipe, torch):
                    target = Target(python=python, platform=platform, torch=torch, backend=backend)
                    if not (obstacle(recipe, release, target) or ops_missing(recipe, target)):
                        yield target


def _backends(recipe: Recipe, torch: str) -> tuple[str, ...]:
    entry = next((entry for entry in recipe.torch if entry.version == torch), None)
    if entry is None or entry.cuda is None or not Cuda(version=entry.cuda).on_pypi:
        return ("cpu",)
    return ("cpu", backend_of(entry.cuda))


def _refuse_old_cuda(backends: Iterable[str]) -> None:
    for backend in backends:
        version = version_of(backend)
        if version is not None and not Cuda(version=version).on_pypi:
            raise InputError(
                f"{backend}: a hosted runner has no compiler for it; PyPI has one from CUDA "
                f"{FIRST_ON_PYPI} on",
                hint="build it on a machine with that toolkit, and merge its bundle with the others",
            )
