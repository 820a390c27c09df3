"""Verify: prove a bundle, level by level, and leave the evidence in its report folder."""

import datetime as dt
import json
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from wheelferry.bundle.reader import REPORT_FILES, select_targets
from wheelferry.cache.tools import Tools
from wheelferry.client.common.signature import Signers
from wheelferry.errors import InputError, MissingError
from wheelferry.models.manifest import REPORT, TargetEntry
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.report import OWN_MACHINE, Level, LevelResult, Report, TargetResult
from wheelferry.system.files import clear_leftovers, contained, folder_aside, require_space, sha256_file
from wheelferry.verification.html_report import render_page
from wheelferry.verification.installation.apps import start_apps
from wheelferry.verification.installation.client_install import (
    CLIENT_LOG,
    carries_installer,
    install_as_client,
    prove_with_pip,
)
from wheelferry.verification.installation.install import (
    DEFAULT_SETTINGS,
    INSTALL_LOG,
    Installed,
    Installer,
    Trial,
    TrialSettings,
    install,
)
from wheelferry.verification.installation.pip_install import install_with_pip, pip_check
from wheelferry.verification.installation.pylock_proof import prove_pylock
from wheelferry.verification.machines.machine import Machine
from wheelferry.verification.machines.runner import cannot_run, check_given, open_machine, require_runner
from wheelferry.verification.own_data import ReadyData, make_data_ready
from wheelferry.verification.static.level import Opened, verify_static
from wheelferry.verification.suite import read_allowed, run_suites
from wheelferry.verification.supply import supply_environment


def verify(
    root: Path,
    level: Level,
    tools: Tools,
    *,
    only: str | None = None,
    report_folder: Path | None = None,
    command: str | None = None,
    prefix_length: int | None = None,
    signers: Signers | None = None,
    settings: TrialSettings = DEFAULT_SETTINGS,
    again: bool = False,
) -> Report:
    """Verify the bundle in `root` up to `level`, on all its targets or on `only`.

    `command` is the command line to name in the report, `prefix_length` the length of the folder that
    Windows clients install to, `signers` are the keys of which one must have signed the bundle (see
    `verify_static`). `settings` say how targets are tried. `again` is whether wheels are unpacked and
    compared with their RECORD although equal ones were before.

    Everything found is in the report, which is also written as JSON and HTML to `report_folder`, by
    default ``report/`` in the bundle. Levels above static are skipped, with the reason, when the
    static level found problems or the target cannot run on this machine. Raises InputError when
    `root` is not a bundle, MissingError when the runner of `settings` is not on this machine, and BadInput
    for a data set of the user's with errors, before all else.
    """
    if level > Level.STATIC:
        require_runner(settings.runner, tools)
    tools.progress.stage(f"verify {root} ({level.name.lower()})")
    for folder in (root, root / REPORT):
        clear_leftovers(folder)  # a killed run's own must not be held against the bundle
    with tools.store.workspace("verify") as work:
        own = make_data_ready(settings.own, root, work, tools) if settings.own else None
        started = time.perf_counter()
        opened, problems = verify_static(
            root, tools, prefix_length=prefix_length, signers=signers, again=again
        )
        static = LevelResult(
            level=Level.STATIC,
            seconds=time.perf_counter() - started,
            problems=tuple(problems),
            facts=_static_facts(opened),
        )
        results: list[TargetResult] = []
        if opened is not None and level > Level.STATIC:
            selected = select_targets(opened.manifest, only)
            # before the first target is tried: what is seen of it should not be lost at the second
            check_given(
                settings.runner,
                settings.windows_python,
                settings.arm_root,
                [entry.target for entry in selected],
            )
            results += [
                _verify_target(opened, entry, level, static, work, tools, settings, own) for entry in selected
            ]
        report = Report(
            bundle=root.resolve().name,
            digest=opened.manifest.digest if opened else None,
            title=opened.manifest.title if opened else "unreadable bundle",
            level=level,
            date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            host=_host(),
            static=static,
            targets=tuple(results),
            command=command,
        )
        _write_report(report_folder or root / REPORT, report, work)
    return report


def check_report_folder(folder: Path) -> None:
    """Raise InputError unless `folder` is absent, empty, or an earlier report."""
    if folder.exists() and not (
        folder.is_dir() and (not any(folder.iterdir()) or (folder / "report.json").is_file())
    ):
        raise InputError(f"{folder} holds something other than a report", hint="choose another --report")


def _static_facts(opened: Opened | None) -> dict[str, object]:
    if opened is None:
        return {}
    return {
        "files": len(opened.manifest.files),
        "bytes": sum(file.size for file in opened.manifest.files),
        "wheels": len(opened.wheels),
        "targets": [entry.target.name for entry in opened.manifest.targets],
        "wheels_read_before": len(opened.read_before),
        **({"read_before_since": min(opened.read_before.values()).isoformat()} if opened.read_before else {}),
        "published_so": list(opened.published_so),
        "longest_paths": [asdict(path) for path in opened.longest_paths],
        "notes": [str(note) for note in opened.notes],
        **({"present": _present(opened)} if _present(opened) else {}),
        **({"signed_by": opened.signed_by} if opened.signed_by else {}),
    }


def _present(opened: Opened) -> dict[str, list[str]]:
    """What the client of each thin target must have already."""
    thin = [entry for entry in opened.manifest.targets if entry.present]
    return {entry.target.name: [str(one) for one in entry.present] for entry in thin}


def _verify_target(
    opened: Opened,
    entry: TargetEntry,
    level: Level,
    static: LevelResult,
    work: Path,
    tools: Tools,
    settings: TrialSettings,
    own: ReadyData | None = None,
) -> TargetResult:
    """The levels above static on one target, on the machine that runs it."""
    wanted = [lv for lv in (Level.INSTALL, Level.SMOKE, Level.TRAIN) if lv <= level]
    reason = (
        "the static level found problems" if static.problems else cannot_run(entry.target, settings.runner)
    )
    if reason is None:
        folder = work / entry.target.name
        try:
            with open_machine(
                opened.root,
                entry,
                folder,
                tools,
                windows_python=settings.windows_python,
                arm_root=settings.arm_root,
                files=own.files if own else (),
            ) as machine:
                if entry.present:
                    machine = _with_present(machine, entry, tools)
                trial = Trial(
                    root=opened.root,
                    entry=entry,
                    pins=opened.locks[entry.target.name].pins or {},
                    folder=folder,
                    machine=machine,
                    tools=tools,
                    allowed=(*read_allowed(opened.root), *settings.allowed),
                    own=own,
                )
                return _run_levels(wanted, trial, settings.installer)
        except MissingError as error:
            reason = str(error)
    results = [LevelResult(level=lv, seconds=0.0, not_run=reason) for lv in wanted]
    return TargetResult(target=entry.target.name, levels=tuple(results))


def _with_present(machine: Machine, entry: TargetEntry, tools: Tools) -> Machine:
    """The machine with a Python that has what a thin bundle's client has; MissingError where it cannot."""
    if machine.runner != OWN_MACHINE:
        raise MissingError(f"what is present on the client is not supplied to {machine.runner}")
    return replace(machine, base=supply_environment(entry, tools))


def _run_levels(wanted: Iterable[Level], trial: Trial, installer: Installer) -> TargetResult:
    """One level after the other; the first that fails ends the row."""
    results: list[LevelResult] = []
    installed: Installed | None = None
    for lv in wanted:
        if results and not results[-1].passed:
            reason = f"the {results[-1].level.name.lower()} level failed"
            results.append(LevelResult(level=lv, seconds=0.0, not_run=reason))
            continue
        try:
            if installed is None:
                result, installed = _run_installation(trial, installer)
            else:
                result = _run_suite(lv, trial, installed.env)
        except MissingError as error:  # what the levels before it found stays
            result = LevelResult(level=lv, seconds=0.0, not_run=str(error))
        results.append(result)
    sandbox = trial.machine.sandbox
    isolation = {"isolated": sandbox.isolated, "kind": sandbox.kind, "evidence": dict(sandbox.evidence)}
    return TargetResult(
        target=trial.entry.target.name,
        levels=tuple(results),
        isolation=isolation,
        runner=trial.machine.runner,
    )


def _run_installation(trial: Trial, installer: Installer) -> tuple[LevelResult, Installed]:
    started = time.perf_counter()
    size = sum(file.stat().st_size for file in (trial.root / "wheelhouse").glob("*.whl"))
    carried = sum(file.stat().st_size for file in (trial.root / "assets").rglob("*") if file.is_file())
    require_space(trial.folder, 2 * (size + carried), purpose="the test installation")
    if installer is Installer.BUNDLE and carries_installer(trial):
        installed = install(trial, install_as_client, [prove_with_pip, prove_pylock, start_apps])
    else:
        installed = install(trial, install_with_pip, [pip_check, prove_pylock, start_apps])
    problems = list(installed.problems)
    if trial.machine.sandbox.reaches_network:
        message = f"seen from inside: {json.dumps(dict(trial.machine.sandbox.evidence))}"
        problems.append(Problem(code=Code.NETWORK, file=trial.entry.target.name, message=message))
    result = LevelResult(
        level=Level.INSTALL,
        seconds=time.perf_counter() - started,
        problems=tuple(problems),
        facts=installed.facts,
        not_tried=installed.not_tried,
    )
    return result, installed


def _run_suite(level: Level, trial: Trial, env: Path) -> LevelResult:
    started = time.perf_counter()
    out = trial.folder / REPORT / level.name.lower()
    own = trial.own if level is Level.TRAIN else None
    request = own.request(trial.folder, trial.machine) if own else None
    done = run_suites(trial.root, level, env, out, trial.machine, trial.tools, trial.allowed, request)
    facts: dict[str, object] = {"notes": [str(one) for one in done.findings if isinstance(one, Note)]}
    if own:
        facts["own_data"] = {**own.facts, "figures": done.figures}
    return LevelResult(
        level=level,
        seconds=time.perf_counter() - started,
        problems=tuple(one for one in done.findings if isinstance(one, Problem)),
        checks=done.checks,
        facts=facts,
        not_tried=done.not_tried,
    )


def _host() -> dict[str, object]:
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "glibc": ".".join(platform.libc_ver()[1:]),
        "python": platform.python_version(),
    }


def _write_report(final: Path, report: Report, work: Path) -> None:
    """Replace the report folder: JSON, the page, the suite's pictures and logs, and their hashes."""
    with folder_aside(final) as folder:
        for target in report.targets:
            for name in _evidence(target, work / target.target / REPORT):
                seen, kept = (
                    contained(work / target.target / REPORT, name),
                    contained(folder / target.target, name),
                )
                if seen.is_file():
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(seen, kept)
        (folder / "report.json").write_text(report.to_text(), "utf-8")
        (folder / "report.html").write_text(render_page(report, folder), "utf-8")
        hashes = {
            p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()
        }
        (folder / Path(REPORT_FILES).name).write_text(json.dumps(hashes, indent=1) + "\n", "utf-8")


def _evidence(target: TargetResult, seen: Path) -> Iterator[str]:
    """Files in `seen` worth keeping: logs, the harness's results, what checks named; no data or weights."""
    yield from (INSTALL_LOG, CLIENT_LOG)
    for level in target.levels:
        folder = level.level.name.lower()
        for result in sorted(seen.glob(f"{folder}/**/{folder}.json")):  # of several projects one each
            place = result.parent.relative_to(seen).as_posix()
            yield from (f"{place}/{result.name}", f"{place}/suite.log")
        yield from (f"{folder}/{file['path']}" for check in level.checks for file in check.files)
