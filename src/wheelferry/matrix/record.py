"""Record: turn the reports inside bundles into the records that the matrix of a recipe shows."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from wheelferry.bundle.reader import REPORT_FILES, open_bundle
from wheelferry.catalog import LocatedRecipe, load_recipe, load_records, records_file
from wheelferry.errors import InputError, IntegrityError, WheelferryError
from wheelferry.matrix.coverage import add_records
from wheelferry.models.manifest import REPORT, Manifest, TargetEntry, is_untouched
from wheelferry.models.planning.make_plan import plan_digest
from wheelferry.models.records import LEVELS, Record, RecordedWheel, one_line, records_text
from wheelferry.models.report import FORMAT, OWN_MACHINE, shown_command
from wheelferry.system.files import write_atomic
from wheelferry.verification.static.level import check_report


def record(
    bundles: Iterable[Path],
    located: LocatedRecipe,
    *,
    command: str | None = None,
    file: Path | None = None,
    trust_recipe: bool = False,
) -> tuple[Path, tuple[Record, ...]]:
    """Add what the reports of `bundles` say to the records of their recipe; returns file and new records.

    A bundle needs only its manifest and its report here. `command` stands for reports that do not say which
    command made them; `trust_recipe` asserts that a bundle without the digest of its plan was made with the
    recipe as it is now. Bundles are refused all together, and then nothing is written: IntegrityError for
    an altered manifest or report and for a report about another bundle, InputError for what is no evidence.
    """
    path = file or records_file(located)
    known = load_records(located, file=path)
    new = _collect(((root, located) for root in bundles), command=command, trust_recipe=trust_recipe)
    write_atomic(path, records_text(located.recipe.name, add_records(located.recipe, known, new)))
    return path, tuple(new)


def record_each(
    bundles: Sequence[Path],
    *,
    command: str | None = None,
    trust_recipe: bool = False,
    find: Callable[[str], LocatedRecipe] = load_recipe,
) -> list[tuple[Path, tuple[Record, ...]]]:
    """`record` for bundles of several recipes, which `find` locates by name.

    A bundle of several projects says something of each.
    """
    groups: dict[str, list[Path]] = {}
    for root in bundles:
        for project in open_bundle(root)[0].projects:
            groups.setdefault(project.recipe, []).append(root)
    recipes = {name: find(name) for name in groups}
    # all are read before anything is written
    pairs = [(root, recipes[name]) for name, roots in groups.items() for root in roots]
    _collect(pairs, command=command, trust_recipe=trust_recipe)
    return [
        record(roots, recipes[name], command=command, trust_recipe=trust_recipe)
        for name, roots in groups.items()
    ]


def _collect(
    bundles: Iterable[tuple[Path, LocatedRecipe]], *, command: str | None, trust_recipe: bool
) -> list[Record]:
    """The records of all bundles; one error that names every bundle that is refused."""
    found: list[Record] = []
    refused: list[WheelferryError] = []
    for root, located in bundles:
        try:
            found += read_evidence(root, located, command=command, trust_recipe=trust_recipe)
        except WheelferryError as error:
            refused.append(error)
    if refused:
        raise type(refused[0])(
            "\n".join(map(str, refused)),
            hint="; ".join(dict.fromkeys(error.hint for error in refused if error.hint)) or None,
        )
    return found


def read_evidence(
    root: Path, located: LocatedRecipe, *, command: str | None, trust_recipe: bool
) -> list[Record]:
    """The records of one bundle for one of its projects, a record for each target that its report is about.

    Of several projects, all must have passed: a level at which another one failed is not one that passed.
    """
    whole, text = open_bundle(root)
    if not is_untouched(text, whole):
        raise IntegrityError(f"{root}: the manifest was altered after packing")
    names = [project.recipe for project in whole.projects]
    if located.recipe.name not in names:
        raise InputError(
            f"{root} is a bundle of {' and '.join(names)}, not of {located.recipe.name}",
            hint=f"record it with: wheelferry matrix --record {root}",
        )
    manifest = _of_project(whole, names.index(located.recipe.name))
    bare = [entry.target.name for entry in manifest.targets if not entry.has_ops]
    if bare and not located.recipe.build.python_only:
        raise InputError(
            f"{root}: {', '.join(bare)} was made without the compiled ops, which says nothing about a cell "
            "of the matrix",
            hint="record bundles that were made without --without-ops",
        )
    lacking = sorted({name for entry in manifest.targets for name in entry.excluded})
    if lacking:
        raise InputError(
            f"{root}: {', '.join(lacking)} was left out, so that it says nothing about a cell of the matrix",
            hint="record bundles that were made without --exclude and --prefer",
        )
    there = sorted({one.name for entry in manifest.targets for one in entry.present})
    if there:
        raise InputError(
            f"{root}: {', '.join(there)} is not in it (--present), so that it says nothing about a cell of "
            "the matrix",
            hint="record bundles that carry everything",
        )
    report = read_report(root, whole)
    if not report.get("static", {}).get("passed"):
        raise IntegrityError(f"{root}: its report says that the bundle is not sound")
    made_by = report.get("command") or _plain(command)
    if not made_by:
        raise InputError(
            f"{root}: its report does not say which command made it",
            hint="verify the bundle again, or give the command with --command",
        )
    try:
        if any(_fails_on_own_data(result) for result in report["targets"]):
            raise InputError(
                f"{root}: its report has problems with data of the user's, which say nothing about a cell",
                hint="verify the bundle again, without --data",
            )
        return [
            _record(
                entry, manifest, report, result, made_by, _plan(root, entry, manifest, located, trust_recipe)
            )
            for entry, result in _results(manifest, report)
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{root}: its report makes no sense ({type(error).__name__}: {error})") from None


def _fails_on_own_data(result: Mapping[str, Any]) -> bool:
    """Whether the level with data of the user's has problems, as expectations that were not met."""
    return any("own_data" in level["facts"] and level["problems"] for level in result["levels"])


def _of_project(manifest: Manifest, number: int) -> Manifest:
    """The manifest with the project of that number as its first; the others stay as they are."""
    project = manifest.projects[number]
    return replace(
        manifest,
        **asdict(project),
        targets=tuple(entry.of_each_project[number] for entry in manifest.targets),
    )


def _results(
    manifest: Manifest, report: Mapping[str, Any]
) -> Iterator[tuple[TargetEntry, Mapping[str, Any]]]:
    """Each target that the report is about, with what it says; a static report is about all alike."""
    entries = {entry.target.name: entry for entry in manifest.targets}
    if not report["targets"]:
        for entry in entries.values():
            yield entry, {"levels": [], "isolation": {}}
    for result in report["targets"]:
        yield entries[result["target"]], result


def _plan(
    root: Path, entry: TargetEntry, manifest: Manifest, located: LocatedRecipe, trust_recipe: bool
) -> str:
    """The digest of what the recipe said for the target when the bundle was made."""
    if entry.plan:
        return entry.plan
    if trust_recipe:
        return plan_digest(located.recipe, manifest.release, entry.target)
    raise InputError(
        f"{root} does not say what the recipe said when it was made (an older wheelferry packed it)",
        hint="make it again; or, if you know that the recipe has not changed since, add --trust-recipe",
    )


def read_report(root: Path, manifest: Manifest) -> dict[str, Any]:
    """The bundle's report. Raises InputError when there is none that can be read, IntegrityError for one that
    was altered or is about another bundle.
    """
    path = root / REPORT / "report.json"
    if not path.is_file() or not (root / REPORT_FILES).is_file():
        raise InputError(
            f"{root} has no report", hint=f"make one with: wheelferry verify {root} --level train"
        )
    altered = list(check_report(root))
    listed = json.loads((root / REPORT_FILES).read_text("utf-8")) if not altered else {}
    if altered or path.name not in listed:
        raise IntegrityError(
            f"{root}: its report was altered: {'; '.join(map(str, altered)) or 'report.json is not listed'}",
            hint="verify the bundle again",
        )
    report = json.loads(path.read_text("utf-8"))
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"{path} is not a report of the format that this wheelferry reads ({FORMAT})")
    if report.get("digest") != manifest.digest:
        raise IntegrityError(
            f"{root}: its report is about another bundle ({str(report.get('digest'))[:16]}, "
            f"this one is {manifest.digest[:16]})",
            hint="verify the bundle again",
        )
    return report


def _record(
    entry: TargetEntry,
    manifest: Manifest,
    report: Mapping[str, Any],
    result: Mapping[str, Any],
    command: str,
    plan: str,
) -> Record:
    passed = {LEVELS[0], *(level["level"] for level in result["levels"] if level["passed"])}
    skipped = [
        check["name"]
        for level in result["levels"]
        for check in level["checks"]
        if check["status"] == "skipped"
    ]
    if manifest.further:
        own = f"{manifest.recipe}: "
        skipped = [name.removeprefix(own) for name in skipped if name.startswith(own)]
    failed = next((level for level in result["levels"] if level["problems"]), None)
    ran = [{"level": LEVELS[0], **report["static"]}, *result["levels"]]
    took = {level["level"]: level["seconds"] for level in ran if "seconds" in level}
    hashes = {file.path: file.sha256 for file in manifest.files}
    return Record(
        release=manifest.release,
        target=entry.target,
        levels=tuple(level for level in LEVELS if level in passed),
        failed=failed["level"] if failed else None,
        reason=one_line(failed["problems"][0]["message"]) if failed else None,
        log=_digest(failed["problems"]) if failed else None,
        seconds=tuple((level, took[level]) for level in LEVELS if level in passed and level in took),
        skipped=tuple(skipped),
        isolated=bool(result["isolation"].get("isolated", False)),
        date=report["date"],
        command=command,
        wheel=RecordedWheel(file=entry.built, sha256=hashes[f"wheelhouse/{entry.built}"]),
        torch=next((i["torch"] for i in _installed(result) if "torch" in i), None),
        commit=manifest.commit,
        bundle=report["digest"],
        plan=plan,
        wheelferry=manifest.created_by,
        machine=_machine(report["host"], result.get("runner")),
    )


def _digest(problems: Sequence[Mapping[str, str]]) -> str:
    """The SHA-256 of all that a level found, so that two failures can be told to be the same."""
    text = "\n".join(problem["message"] for problem in problems)
    return hashlib.sha256(text.encode()).hexdigest()


def _installed(result: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Names and versions that the install level saw."""
    for level in result["levels"]:
        yield level.get("facts", {}).get("installed", {})


def _plain(command: str | None) -> str | None:
    """A command that a person gives, in the form that reports keep: no folders, no credentials."""
    if not command or not command.strip():
        return None
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"--command {command!r}: {error}") from None
    return shown_command(words[1:] if words[0] == "wheelferry" else words)


def _machine(host: Mapping[str, Any], runner: str | None) -> str:
    """What the machine is, without its name, and what ran targets of another system on it."""
    played = runner if runner not in (None, OWN_MACHINE) else ""
    words = [played, host.get("machine", ""), f"glibc {host['glibc']}" if host.get("glibc") else ""]
    return ", ".join(word for word in words if word)
