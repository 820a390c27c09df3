"""Bundle: the main job — fetch, build, lock, populate, pack, verify — for releases and their targets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.build.cells import BuildCells, Locked, Outcome, build_here, lock_cells
from wheelferry.build.projects import choose_project_strategies, fetch_projects
from wheelferry.bundle.assets import carry_assets
from wheelferry.bundle.installers import collect_installers
from wheelferry.bundle.pack import check_output, pack
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, app_folders
from wheelferry.models.manifest import Manifest
from wheelferry.models.planning.plan import Plan
from wheelferry.models.report import Level, Report
from wheelferry.verification.installation.install import DEFAULT_SETTINGS, TrialSettings
from wheelferry.verification.machines.runner import check_given, require_runner
from wheelferry.verification.verify import verify


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundled:
    """A bundle that was packed, and the evidence about it (None when verification was not asked for).

    `cells` are the targets in it, and those that failed beside them.
    """

    out: Path
    manifest: Manifest
    report: Report | None
    cells: Outcome[Locked] = field(default_factory=lambda: Outcome(done=()))


def bundle(
    plan: Plan,
    located: LocatedRecipe,
    out: Path,
    tools: Tools,
    *,
    sources: Sequence[str] = (),
    level: Level | None = Level.TRAIN,
    keep_going: bool = False,
    runtimes: Sequence[str] = (),
    wheels: Sequence[Path] = (),
    command: str | None = None,
    settings: TrialSettings = DEFAULT_SETTINGS,
    build: BuildCells = build_here,
) -> Bundled:
    """Make the bundle of `plan` and its other projects in `out`; verify it up to `level` (None: not at all).

    All targets are built even when one fails. Then nothing is packed, or, with `keep_going`, those that
    did not fail are; `Bundled.cells` says what became of the rest. `runtimes` are Pythons to carry, as
    `collect_installers` takes them; `wheels` are those that were built elsewhere, `sources` what stands in
    for the recipes' own (see `read_sources`). `command` is the command line to name in the report;
    `settings` are as `verify` takes them, `build` as `lock_cells` does.
    """
    check_output(out)
    for one, recipe in zip(plan.projects, located.projects, strict=True):
        app_folders(one.programs, recipe)
    if level:
        require_runner(settings.runner, tools)
        targets = [cell.target for cell in plan.cells]
        check_given(settings.runner, settings.windows_python, settings.arm_root, targets)
    chosen = choose_project_strategies(plan, located, wheels, sources)
    # both before the compiler starts: a host that cannot be reached should not cost an hour
    whole = [cell.target for cell in plan.cells if not cell.present]
    installer_sets = collect_installers(whole, runtimes, tools) if whole else {}
    assets = tuple(
        asset
        for one, recipe in zip(plan.projects, located.projects, strict=True)
        for asset in carry_assets(one, recipe, tools)
    )
    projects = fetch_projects(chosen, tools)
    locked = lock_cells(projects, tools, build)
    if not keep_going or not locked.done:
        locked.raise_failures()
    commits = [one.source.identity if one.source else one.plan.release.pin for one in projects]
    manifest = pack(
        plan, located, commits, locked.done, out, tools, installer_sets=installer_sets, assets=assets
    )
    report = None
    if level is not None:
        report = verify(out, level, tools, command=command, settings=settings)
    return Bundled(out=out, manifest=manifest, report=report, cells=locked)
