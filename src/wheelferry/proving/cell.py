"""One cell: its bundle is made, verified, turned into a record, and removed."""

import datetime as dt
import hashlib
import platform
import time
from collections.abc import Sequence
from dataclasses import replace

from wheelferry import __version__
from wheelferry.build.capability import suits_stable_abi
from wheelferry.build.fetch import fetch
from wheelferry.build.projects import read_sources
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, shipped_companions, with_needed
from wheelferry.errors import BuildError, InputError
from wheelferry.matrix.next_cell import Cell
from wheelferry.matrix.record import read_evidence
from wheelferry.models.planning.joining import join_plans
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.records import LEVELS, MAKING, Record, one_line
from wheelferry.models.report import Level, shown_command
from wheelferry.models.targets import DEFAULT_BACKEND, Target
from wheelferry.pipeline import bundle
from wheelferry.system.this_machine import is_own_platform
from wheelferry.verification.installation.install import TrialSettings
from wheelferry.verification.machines.runner import Runner


def prove_cell(
    cell: Cell,
    located: LocatedRecipe,
    level: Level,
    sources: Sequence[str],
    tools: Tools,
    settings: TrialSettings,
) -> Record:
    """What came of one cell. A build that fails, or a closure that cannot be resolved, is a record too.

    Raises what `fetch` raises for a source that cannot be had, and MissingError for what this machine lacks.
    """
    release, target = cell
    projects = with_needed([(located, release)])
    plan = join_plans([_plan(one, name, target) for one, name in projects])
    together = replace(located, others=tuple(one for one, _ in projects[1:]))
    command = _command(cell, located, level, sources, settings.runner)
    # what is wrong with the source is wrong for every cell
    given = read_sources(plan, sources)
    for one, recipe in zip(plan.projects, together.projects, strict=True):
        fetch(one, recipe.folder, tools, source=given.get(one.recipe.name))
    started = time.monotonic()
    with tools.store.workspace("prove") as work:
        out = work / "bundle"
        try:
            made = bundle(
                plan, together, out, tools, sources=sources, level=level, command=command, settings=settings
            )
        except (BuildError, InputError) as error:
            return _failed(MAKING, cell, plan, command, str(error), tools)
        took = time.monotonic() - started
        if made.report is not None and made.report.static.problems:
            said = "\n".join(problem.message for problem in made.report.static.problems)
            return _failed(LEVELS[Level.STATIC], cell, plan, command, said, tools)
        (record,) = read_evidence(out, located, command=command, trust_recipe=False)
    making = took - sum(seconds for _, seconds in record.seconds)
    return record.model_copy(update={"seconds": ((MAKING, round(making, 1)), *record.seconds)})


def _plan(located: LocatedRecipe, release: str, target: Target) -> Plan:
    return make_plan(
        located.recipe,
        release,
        [target],
        companions=shipped_companions(),
        on_stable_abi=[target] if suits_stable_abi(target, located.recipe) else [],
    )


def _failed(failed: str, cell: Cell, plan: Plan, command: str, said: str, tools: Tools) -> Record:
    """A record of a bundle that could not be made, or is not sound; what was said stays among the logs."""
    release, target = cell
    log = tools.store.log_path(f"prove-{target.name}")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(said, "utf-8")
    return Record(
        release=release,
        target=target,
        levels=(),
        failed=failed,
        reason=one_line(said),
        log=hashlib.sha256(said.encode()).hexdigest(),
        date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=command,
        plan=plan.cells[0].plan_digest,
        wheelferry=f"wheelferry {__version__}",
        machine=", ".join(filter(None, [platform.machine(), " ".join(platform.libc_ver())])),
    )


def _command(
    cell: Cell, located: LocatedRecipe, level: Level, sources: Sequence[str], runner: Runner | None
) -> str:
    """The command that does the same for a person, as evidence keeps it."""
    release, target = cell
    words = ["bundle", f"{located.recipe.name}@{release}", "--python", target.python, "--torch", target.torch]
    words += ["--platform", target.platform]
    if target.backend != DEFAULT_BACKEND:
        words += ["--backend", target.backend]
    words += ["--level", level.name.lower()]
    if runner is not None and not is_own_platform(target):
        words += ["--runner", runner.value]
    for source in sources:
        words += ["--source", source]
    return shown_command(words)
