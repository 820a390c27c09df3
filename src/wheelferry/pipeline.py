"""Bundle: the main job — fetch, build, lock, populate, pack, verify — for one release and its targets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wheelferry.build.cells import BuildCells, Locked, Outcome, build_here, lock_cells
from wheelferry.build.fetch import fetch
from wheelferry.build.strategy import choose_strategies
from wheelferry.bundle.assets import carry_assets
from wheelferry.bundle.installers import collect_installers
from wheelferry.bundle.pack import check_output, pack
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, app_folders
from wheelferry.models.manifest import Manifest
from wheelferry.models.planning.plan import Plan
from wheelferry.models.report import Level, Report
from wheelferry.verification.installation.install import DEFAULT_SETTINGS, TrialSettings
from wheelferry.verification.machines.runner import Runner, require_wine
from wheelferry.verification.machines.windows_python import check_windows_python
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
    source: str | None = None,
    level: Level | None = Level.TRAIN,
    keep_going: bool = False,
    runtimes: Sequence[str] = (),
    wheels: Sequence[Path] = (),
    command: str | None = None,
    settings: TrialSettings = DEFAULT_SETTINGS,
    build: BuildCells = build_here,
) -> Bundled:
    """Make the bundle of `plan` in `out` and verify it up to `level` (None: not at all).

    All targets are built even when one fails. Then nothing is packed, or, with `keep_going`, those that
    did not fail are; `Bundled.cells` says what became of the rest. `runtimes` are Pythons to carry, as
    `collect_installers` takes them; `wheels` are those that were built elsewhere. `command` is the command
    line to name in the report; `settings` are as `verify` takes them, `build` as `lock_cells` does.
    """
    check_output(out)
    app_folders(plan.programs, located)
    if settings.runner is Runner.WINE and level:
        require_wine(tools)
        if settings.windows_python is not None:
            check_windows_python(settings.windows_python, [cell.target for cell in plan.cells])
    strategies = choose_strategies(plan, wheels)
    # both before the compiler starts: a host that cannot be reached should not cost an hour
    installer_sets = collect_installers([cell.target for cell in plan.cells], runtimes, tools)
    assets = carry_assets(plan, located, tools)
    release = fetch(plan, located.folder, tools, source=source) if strategies.need_source else None
    locked = lock_cells(plan, strategies, release, tools, build)
    if not keep_going or not locked.done:
        locked.raise_failures()
    commit = release.identity if release else plan.release.pin
    manifest = pack(
        plan, located, commit, locked.done, out, tools, installer_sets=installer_sets, assets=assets
    )
    report = None
    if level is not None:
        report = verify(out, level, tools, command=command, settings=settings)
    return Bundled(out=out, manifest=manifest, report=report, cells=locked)
