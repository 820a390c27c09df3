"""Pack: the bundle folder, from what is in the store; the same inputs give the same bytes."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wheelferry import __version__
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError, IntegrityError
from wheelferry.files import files_below, folder_aside, require_space, sha256_file
from wheelferry.lock import Lock, LockedWheel, pylock_text, requirements_text
from wheelferry.manifest import NAME, REPORT, File, Manifest, TargetEntry, parse_manifest
from wheelferry.plan import Plan, plan_digest
from wheelferry.recipe import FolderSource
from wheelferry.source import Source
from wheelferry.stages.build import Built
from wheelferry.tools import Tools

_HARNESS = Path(__file__).parents[1] / "client" / "harness.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A cell that is ready to be packed: its built wheel and its lock."""

    built: Built
    lock: Lock


def check_output(out: Path) -> None:
    """Raise InputError unless `out` is absent, an empty folder, or an earlier bundle and nothing else."""
    if not out.is_dir():
        if out.exists() or out.is_symlink():
            raise InputError(f"{out} is not a folder", hint="choose another --out")
        return
    names = {path.relative_to(out).as_posix() for path in files_below(out)}
    if not names:
        return
    if NAME not in names:
        raise InputError(f"{out} holds something else than a bundle", hint="choose another --out")
    manifest = parse_manifest((out / NAME).read_text("utf-8", errors="replace"))
    foreign = names - {NAME} - {file.path for file in manifest.files}
    foreign = {name for name in foreign if not name.startswith(f"{REPORT}/")}
    if foreign:
        raise InputError(
            f"{out} is a bundle, but it also holds {', '.join(sorted(foreign)[:5])}, which would be lost",
            hint="move these files away, or choose another --out",
        )


def pack(
    plan: Plan, located: LocatedRecipe, source: Source, locked: Iterable[Locked], out: Path, tools: Tools
) -> Manifest:
    """Write the bundle to `out`, aside first; an earlier bundle there is replaced at the end."""
    cells = list(locked)
    tools.progress.stage(f"pack {out}")
    check_output(out)
    wheels = _wheels(cells)
    if not _same_file_system(tools.store.root, out):
        require_space(out.parent, sum(wheel.size for wheel in wheels), purpose="the bundle")
    with folder_aside(out) as work, tools.progress.task("link wheels", total=len(wheels)) as task:
        (work / "wheelhouse").mkdir()
        for wheel in wheels:
            tools.store.place(wheel.sha256, work / "wheelhouse" / wheel.filename)
            task.advance()
        entries = [_write_lock(work, cell, plan, single=len(cells) == 1) for cell in cells]
        _write_smoke(work / "smoke", plan, located)
        (work / "README.txt").write_text(_readme(plan, entries), "utf-8", newline="\n")
        manifest = _manifest(work, plan, source, entries, wheels)
        (work / NAME).write_text(manifest.to_text(), "utf-8", newline="\n")
    return manifest


def _wheels(cells: Iterable[Locked]) -> list[LockedWheel]:
    """The wheels of all locks, each once; two different files of one name cannot share a wheelhouse."""
    found: dict[str, LockedWheel] = {}
    for cell in cells:
        for wheel in cell.lock.wheels:
            other = found.setdefault(wheel.filename, wheel)
            if other.sha256 != wheel.sha256:
                raise IntegrityError(f"two different files are called {wheel.filename}")
    return sorted(found.values(), key=lambda wheel: wheel.filename)


def _write_lock(work: Path, cell: Locked, plan: Plan, *, single: bool) -> TargetEntry:
    name = cell.lock.target.name
    requirements = "requirements.txt" if single else f"requirements.{name}.txt"
    pylock = f"pylock.{name}.toml"
    (work / requirements).write_text(requirements_text(cell.lock), "utf-8", newline="\n")
    (work / pylock).write_text(pylock_text(cell.lock, created_by="wheelferry"), "utf-8", newline="\n")
    return TargetEntry(
        target=cell.lock.target,
        requirements=requirements,
        pylock=pylock,
        built=cell.built.wheel.filename,
        extensions=plan.recipe.build.extensions,
        plan=plan_digest(plan.recipe, plan.release_name, cell.lock.target),
    )


def _write_smoke(folder: Path, plan: Plan, located: LocatedRecipe) -> None:
    smoke = plan.recipe.smoke
    shutil.copytree(
        located.folder / smoke.path,
        folder,
        ignore=shutil.ignore_patterns("__pycache__"),
        copy_function=shutil.copyfile,
    )
    shutil.copyfile(_HARNESS, folder / "harness.py")
    suite = {
        "format": 1,
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "imports": smoke.imports,
        "modules": smoke.modules,
        "features": plan.release.features,
        "settings": smoke.settings,
    }
    (folder / "suite.json").write_text(json.dumps(suite, indent=1) + "\n", "utf-8", newline="\n")


def _manifest(
    work: Path, plan: Plan, source: Source, entries: Iterable[TargetEntry], wheels: Iterable[LockedWheel]
) -> Manifest:
    hashes = {f"wheelhouse/{wheel.filename}": wheel.sha256 for wheel in wheels}
    files = []
    for path in files_below(work):
        name = path.relative_to(work).as_posix()
        if not name.startswith(f"{REPORT}/"):
            # wheels were hashed on their way out of the store in this very run
            sha256 = hashes.get(name) or sha256_file(path)
            files.append(File(path=name, size=path.stat().st_size, sha256=sha256))
    origin = plan.recipe.source
    return Manifest(
        recipe=plan.recipe.name,
        release=plan.release_name,
        distribution=plan.recipe.distribution,
        source=origin.path if isinstance(origin, FolderSource) else origin.url,
        commit=source.identity,
        created_by=f"wheelferry {__version__}",
        targets=tuple(entries),
        files=tuple(files),
        origins={wheel.filename: wheel.origin for wheel in wheels},
    )


def _same_file_system(one: Path, other: Path) -> bool:
    existing = other.parent
    while not existing.exists():
        existing = existing.parent
    return one.stat().st_dev == existing.stat().st_dev


def _readme(plan: Plan, entries: Iterable[TargetEntry]) -> str:
    lines = [
        f"{plan.title}: everything to install it without a network.",
        "",
        "In an environment of the right Python, from this folder, one of",
        "",
    ]
    for entry in entries:
        lines += [
            f"  Python {entry.target.python}, {entry.target.platform}, torch {entry.target.torch}:",
            f"    pip install --no-index --find-links wheelhouse --require-hashes -r {entry.requirements}",
            f"    uv pip install --no-index --find-links wheelhouse --require-hashes -r {entry.requirements}",
            f"    uv pip sync {entry.pylock}",
            "",
        ]
    lines += [
        "Prove the installation with its Python:",
        "",
        "    python smoke/harness.py --level smoke --out smoke-report",
        "    python smoke/harness.py --level train --out smoke-report",
        "",
        "bundle.json lists every file with its size and SHA-256. `wheelferry verify .` checks all of it.",
    ]
    return "\n".join(lines) + "\n"
