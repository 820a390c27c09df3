"""Pack: the bundle folder, from what is in the store; the same inputs give the same bytes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from packaging.requirements import Requirement

from wheelferry import __version__
from wheelferry.build.cells import Locked
from wheelferry.bundle.assets import CarriedAsset, asset_variables
from wheelferry.bundle.installers import InstallerSet
from wheelferry.bundle.programs import write_apps
from wheelferry.bundle.readme import README, readme
from wheelferry.bundle.suites import write_suites
from wheelferry.bundle.zipapp import PYZ, SCRIPTS, write_installer
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models import apps, suites
from wheelferry.models.lock import LockedWheel, pylock_text, requirements_text
from wheelferry.models.manifest import (
    NAME,
    REPORT,
    SIGNATURE,
    File,
    FurtherWheel,
    Manifest,
    Project,
    TargetEntry,
    parse_manifest,
)
from wheelferry.models.planning.build_key import device_code, required_modules
from wheelferry.models.planning.joining import joined_cell
from wheelferry.models.planning.plan import Plan
from wheelferry.models.targets import Target
from wheelferry.system.files import (
    check_folder,
    clear_leftovers,
    files_below,
    folder_aside,
    require_space,
    same_file_system,
    sha256_file,
)
from wheelferry.wheels.processor_needs import processor_needs
from wheelferry.wheels.read import footprint

# What `seal` writes, for whatever targets a bundle has: never taken over from another bundle.
SEALED = (README, PYZ, *SCRIPTS)
CREATED_BY = f"wheelferry {__version__}"


def check_output(out: Path) -> None:
    """Raise InputError unless `out` is absent, an empty folder, or an earlier bundle and nothing else.

    An absent one must be one that can be made.
    """
    if not out.is_dir():
        check_folder(out, option="--out")
        return
    clear_leftovers(out / REPORT)
    names = {path.relative_to(out).as_posix() for path in files_below(out)}
    if not names:
        return
    if NAME not in names:
        raise InputError(f"{out} holds something other than a bundle", hint="choose another --out")
    manifest = parse_manifest((out / NAME).read_text("utf-8", errors="replace"), file=str(out / NAME))
    foreign = names - {NAME, SIGNATURE} - {file.path for file in manifest.files}
    foreign = {name for name in foreign if not name.startswith(f"{REPORT}/")}
    if foreign:
        raise InputError(
            f"{out} is a bundle, but it also holds {', '.join(sorted(foreign)[:5])}, which would be lost",
            hint="move these files away, or choose another --out",
        )


def pack(
    plan: Plan,
    located: LocatedRecipe,
    commits: Sequence[str],
    locked: Iterable[Locked],
    out: Path,
    tools: Tools,
    *,
    installer_sets: Mapping[Target, InstallerSet],
    assets: tuple[CarriedAsset, ...] = (),
) -> Manifest:
    """Write the bundle to `out`, aside first; an earlier bundle there is replaced at the end.

    `commits` are what identifies the source of each project, `installer_sets` what the clients of each target
    install with; those of thin bundles use their own pip.
    """
    cells = sorted(locked, key=lambda cell: cell.lock.target.rank)
    tools.progress.stage(f"pack {out}")
    check_output(out)
    wheels = _wheels(cells)
    if not same_file_system(tools.store.root, out.parent):
        needed = sum(wheel.size for wheel in wheels) + sum(carried.size for carried in assets)
        require_space(out.parent, needed, purpose="the bundle")
    with folder_aside(out) as work, tools.progress.task("link wheels", total=len(wheels)) as task:
        (work / "wheelhouse").mkdir()
        for wheel in wheels:
            tools.store.place(wheel.sha256, work / "wheelhouse" / wheel.filename)
            task.advance()
        kits = [kit for cell in cells if (kit := installer_sets.get(cell.lock.target))]
        carried = {path: sha256 for kit in kits for path, sha256 in kit.files.items()}
        for path, sha256 in carried.items():
            (work / path).parent.mkdir(exist_ok=True)
            tools.store.place(sha256, work / path)
        entries = [
            _entry(work, cell, plan, installer_sets.get(cell.lock.target), single=len(cells) == 1)
            for cell in cells
        ]
        write_suites(work / suites.FOLDER, plan, located)
        write_apps(work / apps.FOLDER, plan, located)
        placed = _place_assets(work, assets, tools)
        first, *further = (
            Project(
                recipe=one.recipe.name,
                release=one.release_name,
                distribution=one.recipe.distribution,
                source=one.recipe.source.place,
                commit=commit,
            )
            for one, commit in zip(plan.projects, commits, strict=True)
        )
        manifest = Manifest(
            **asdict(first),
            further=tuple(further),
            created_by=CREATED_BY,
            targets=tuple(entries),
            files=(),
            origins={wheel.filename: wheel.origin for wheel in wheels},
            assets=tuple(one.asset for one in assets),
            asset_variables={
                root: variable
                for one in plan.projects
                for root, variable in asset_variables(one.recipe, assets).items()
            },
        )
        # these were hashed on their way out of the store in this very run
        known = {f"wheelhouse/{wheel.filename}": wheel.sha256 for wheel in wheels}
        return seal(work, manifest, {**known, **carried, **placed})


def _wheels(cells: Iterable[Locked]) -> list[LockedWheel]:
    """The wheels of all locks, each once; two different files of one name cannot share a wheelhouse."""
    found: dict[str, LockedWheel] = {}
    for cell in cells:
        for wheel in cell.lock.wheels:
            other = found.setdefault(wheel.filename, wheel)
            if other.sha256 != wheel.sha256:
                raise IntegrityError(
                    f"two different files are called {wheel.filename} "
                    f"(from {other.origin} and {wheel.origin})",
                    hint="built from an sdist for two Pythons? the recipe's build.sdist_constraints can pin "
                    "the tools, so that both give the same bytes; else make two bundles",
                )
    return sorted(found.values(), key=lambda wheel: wheel.filename)


def _entry(
    work: Path, cell: Locked, plan: Plan, installer_set: InstallerSet | None, *, single: bool
) -> TargetEntry:
    """Write a target's lock files; what the manifest says of the target."""
    requirements = requirements_name(cell.lock.target, single=single)
    pylock = f"pylock.{cell.lock.target.name}.toml"
    (work / requirements).write_text(requirements_text(cell.lock), "utf-8", newline="\n")
    (work / pylock).write_text(pylock_text(cell.lock, created_by="wheelferry"), "utf-8", newline="\n")
    return TargetEntry(
        target=cell.lock.target,
        requirements=requirements,
        pylock=pylock,
        built=cell.built.wheel.filename,
        extensions=required_modules(plan.recipe, cell.built.cell),
        cuda=device_code(plan.recipe, cell.built.cuda_architectures) if cell.built.cell.cuda else None,
        on_stable_abi=cell.built.on_stable_abi,
        plan=cell.built.cell.plan_digest,
        requested=_requested(joined_cell([one.cell for one in cell.wheels]).requirements),
        excluded=cell.lock.excluded,
        present=cell.lock.present,
        footprint=footprint(
            [work / "wheelhouse" / wheel.filename for wheel in cell.lock.wheels],
            windows=cell.lock.target.is_windows,
        ),
        processor=processor_needs(
            [work / "wheelhouse" / wheel.filename for wheel in cell.lock.wheels], cell.lock.target
        ),
        uv=f"tools/{installer_set.uv.filename}" if installer_set else "",
        pip=f"tools/{installer_set.pip.filename}" if installer_set else "",
        runtime=installer_set.python.runtime if installer_set and installer_set.python else None,
        further=tuple(
            FurtherWheel(
                recipe=one.recipe.name,
                built=built.wheel.filename,
                extensions=required_modules(one.recipe, built.cell),
                cuda=device_code(one.recipe, built.cuda_architectures) if built.cell.cuda else None,
                on_stable_abi=built.on_stable_abi,
                plan=built.cell.plan_digest,
            )
            for one, built in zip(plan.others, cell.further, strict=True)
        ),
    )


def _requested(requirements: Iterable[str]) -> tuple[str, ...]:
    """What was asked for beside the project itself, without the address of any: it may be of this machine."""
    found = []
    for text in requirements:
        requirement = Requirement(text)
        requirement.url = None
        found.append(str(requirement))
    return tuple(found)


def requirements_name(target: Target, *, single: bool) -> str:
    """The name of a target's requirements file; a target that is alone gets the one everybody knows."""
    return "requirements.txt" if single else f"requirements.{target.name}.txt"


def _place_assets(work: Path, assets: Iterable[CarriedAsset], tools: Tools) -> dict[str, str]:
    """Link weights and data to their places in the bundle; returns the SHA-256 of each by its path."""
    for carried in assets:
        destination = work / carried.asset.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        tools.store.place(carried.sha256, destination)
    return {carried.asset.path: carried.sha256 for carried in assets}


def seal(work: Path, manifest: Manifest, known: Mapping[str, str]) -> Manifest:
    """Write README.txt, the installer and the manifest of the bundle in `work`; returns it with its files.

    `known` holds the SHA-256, by path, of files that need not be hashed again.
    """
    # the editor of Windows before release 1809 shows no others as line ends
    windows = not manifest.targets or any(
        entry.target.platform.startswith("win") for entry in manifest.targets
    )
    text = readme(manifest, _programs(work))
    (work / README).write_text(text, "utf-8", newline="\r\n" if windows else "\n")
    write_installer(work)
    files = []
    for path in files_below(work):
        name = path.relative_to(work).as_posix()
        files.append(File(path=name, size=path.stat().st_size, sha256=known.get(name) or sha256_file(path)))
    sealed = replace(manifest, files=tuple(files))
    (work / NAME).write_text(sealed.to_text(), "utf-8", newline="\n")
    return sealed


def _programs(work: Path) -> list[tuple[str, str]]:
    """Name and help of the programs for the client in the bundle in `work`."""
    listing = work / apps.FOLDER / apps.LISTING
    if not listing.is_file():
        return []
    return [(one["name"], one["help"]) for one in json.loads(listing.read_text("utf-8"))["programs"]]
