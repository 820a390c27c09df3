"""Bundle: the main job — fetch, build, lock, populate, pack, verify — for one release and its targets."""

from dataclasses import dataclass
from pathlib import Path

from wheelferry.catalog import LocatedRecipe
from wheelferry.manifest import Manifest
from wheelferry.plan import Plan
from wheelferry.report import Level, Report
from wheelferry.stages.build import build
from wheelferry.stages.fetch import fetch
from wheelferry.stages.lock import lock
from wheelferry.stages.pack import Locked, check_output, pack
from wheelferry.stages.verify import verify
from wheelferry.tools import Tools


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundled:
    """A bundle that was packed, and the evidence about it (None when verification was not asked for)."""

    out: Path
    manifest: Manifest
    report: Report | None


def bundle(
    plan: Plan,
    located: LocatedRecipe,
    out: Path,
    tools: Tools,
    *,
    source: str | None = None,
    level: Level | None = Level.TRAIN,
    command: str | None = None,
) -> Bundled:
    """Make the bundle of `plan` in `out` and verify it up to `level` (None: not at all).

    `command` is the command line to name in the report.
    """
    check_output(out)
    release = fetch(plan, located.folder, tools, source=source)
    locked = []
    for cell in plan.cells:
        built = build(plan, cell, release, tools)
        locked.append(Locked(built=built, lock=lock(plan, built, tools)))
    manifest = pack(plan, located, release, locked, out, tools)
    report = verify(out, level, tools, command=command) if level is not None else None
    return Bundled(out=out, manifest=manifest, report=report)
