"""What a recipe can serve: for every cell whether it was verified, builds, cannot be, or was not tried.

What cannot be follows from the recipe and its table of torch releases; what was seen comes from records,
and a record counts only while the recipe says for its cell what it said when the bundle was made.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from wheelferry.errors import InputError
from wheelferry.models.cuda import backend_of, parse_version
from wheelferry.models.planning.make_plan import plan_digest
from wheelferry.models.planning.supported import (
    default_torch,
    find_release,
    obstacle,
    ops_missing,
    torch_range,
)
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.records import MAKING, Record, order, version
from wheelferry.models.targets import (
    DEFAULT_BACKEND,
    DEFAULT_GLIBC_MINOR,
    DEFAULT_MACOS,
    Target,
)

# From the oldest Python that the smoke harness runs on to the newest that is released.
PYTHONS = tuple(f"3.{minor}" for minor in range(7, 15))
LINUX = f"manylinux_2_{DEFAULT_GLIBC_MINOR}_x86_64"
ARM = f"manylinux_2_{DEFAULT_GLIBC_MINOR}_aarch64"
MACOS = f"macosx_{DEFAULT_MACOS}_0_arm64"
PLATFORMS = (LINUX, "win_amd64")


class Status(StrEnum):
    """What is known about a cell."""

    VERIFIED = "verified"
    BUILDS = "builds"
    FAILS = "fails"
    UNTRIED = "not tried"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is known about one cell; `reason` says why when it cannot be or when a record no longer counts."""

    release: str
    target: Target
    status: Status
    reason: str = ""
    record: Record | None = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which cells are asked for; an empty field means all that the recipe and its torch table know."""

    releases: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    torches: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()

    def holds(self, release: str, target: Target) -> bool:
        """Whether the cell is among those asked for."""
        return (
            release in (self.releases or (release,))
            and target.python in (self.pythons or (target.python,))
            and target.torch in (self.torches or (target.torch,))
            and target.backend in (self.backends or (target.backend,))
            and target.platform in (self.platforms or (target.platform,))
        )


def add_records(recipe: Recipe, known: Iterable[Record], new: Iterable[Record]) -> tuple[Record, ...]:
    """`known` with `new` added; of two about one cell the one that says more about today's recipe stays."""
    kept = {record.cell: record for record in known}
    for record in new:
        old = kept.get(record.cell)
        if old is None or _supersedes(recipe, record, old):
            kept[record.cell] = record
    return tuple(sorted(kept.values(), key=order))


def _supersedes(recipe: Recipe, new: Record, old: Record) -> bool:
    """A later look that went less far proves nothing against an earlier one, unless it found a problem."""
    if new.plan != old.plan:
        return _is_current(recipe, new) or (new.date > old.date and not _is_current(recipe, old))
    if new.date == old.date:
        return len(new.levels) >= len(old.levels)
    later, earlier = (new, old) if new.date > old.date else (old, new)
    wins = later if later.failed or len(later.levels) >= len(earlier.levels) else earlier
    return wins is new


def _is_current(recipe: Recipe, record: Record) -> bool:
    if record.release not in recipe.releases or obstacle(recipe, *record.cell):
        return False
    return record.plan == plan_digest(recipe, *record.cell)


def judge(
    recipe: Recipe, release: str, target: Target, records: Mapping[tuple[str, Target], Record]
) -> Verdict:
    """What is known about one cell."""
    against = obstacle(recipe, release, target) or ops_missing(recipe, target)
    if against:
        return Verdict(release=release, target=target, status=Status.UNSUPPORTED, reason=against)
    record = records.get((release, target))
    if record is None:
        return Verdict(release=release, target=target, status=Status.UNTRIED)
    if not _is_current(recipe, record):
        seen = "verified" if record.verified else "tried" if record.failed else "built"
        reason = f"the recipe changed since it was {seen} on {record.date[:10]}"
        return Verdict(release=release, target=target, status=Status.UNTRIED, reason=reason)
    if record.verified:
        return Verdict(release=release, target=target, status=Status.VERIFIED, record=record)
    if record.failed:
        reason = failure_text(record)
        return Verdict(release=release, target=target, status=Status.FAILS, reason=reason, record=record)
    return Verdict(release=release, target=target, status=Status.BUILDS, record=record)


def failure_text(record: Record) -> str:
    """What failed of a recorded cell, when, and why as far as that was kept."""
    what = "no bundle could be made" if record.failed == MAKING else f"the {record.failed} level failed"
    return f"{what} on {record.date[:10]}{f': {record.reason}' if record.reason else ''}"


def cells(recipe: Recipe, records: Iterable[Record], selection: Selection) -> list[Verdict]:
    """What is known about every cell of `selection`, by release, torch, Python, platform and backend.

    Cells that only a record knows (a torch that is not in the table, say) are among them.
    """
    known = {record.cell: record for record in records}
    asked = dict.fromkeys(_enumerate(recipe, selection))
    asked |= {cell: None for cell in known if cell[0] in recipe.releases and selection.holds(*cell)}
    return [judge(recipe, release, target, known) for release, target in sorted(asked, key=_position(recipe))]


def _enumerate(recipe: Recipe, selection: Selection) -> Iterator[tuple[str, Target]]:
    for release in selection.releases or recipe.releases:
        find_release(recipe, release)
        for torch in selection.torches or [entry.version for entry in recipe.torch]:
            for python in selection.pythons or PYTHONS:
                for platform in selection.platforms or PLATFORMS:
                    for backend in selection.backends or backends_of(recipe, torch):
                        yield (
                            release,
                            Target(python=python, platform=platform, torch=torch, backend=backend),
                        )


def backends_of(recipe: Recipe, torch: str) -> tuple[str, ...]:
    """The builds of a torch release that the table names: the index's own, the CPU one, those for CUDA."""
    entry = next((entry for entry in recipe.torch if entry.version == torch), None)
    cuda = [version for version in (entry.cuda, *entry.other_cuda) if version] if entry else []
    return (DEFAULT_BACKEND, "cpu", *map(backend_of, sorted(cuda, key=parse_version)))


def _position(recipe: Recipe) -> Any:
    releases = list(recipe.releases)

    def position(cell: tuple[str, Target]) -> tuple[object, ...]:
        release, target = cell
        plain = {DEFAULT_BACKEND: 0, "cpu": 1}.get(target.backend, 2)
        return (
            releases.index(release),
            version(target.torch),
            version(target.python),
            target.platform,
            plain,
            len(target.backend),
            target.backend,
        )

    return position


def nearest(
    recipe: Recipe,
    release: str,
    target: Target,
    records: Iterable[Record],
    *,
    statuses: Collection[Status] = (Status.VERIFIED, Status.BUILDS, Status.UNTRIED),
) -> Verdict | None:
    """The cell of one of `statuses` that is most like the one asked for; None when the recipe has none.

    The platform of the machine that waits for the bundle can be changed least, then the release, then
    whether there is a GPU. A small step in Python comes before one in torch; of two cells equally far
    the one of which more is known is taken.
    """
    known = tuple(records)
    for selection in (
        Selection(releases=(release,), platforms=(target.platform,)),
        Selection(platforms=(target.platform,)),
        Selection(),
    ):
        found = [v for v in cells(recipe, known, selection) if v.status in statuses]
        if found:
            return min(found, key=_distance(recipe, release, target))
    return None


def _distance(recipe: Recipe, release: str, target: Target) -> Any:
    ranks = [Status.VERIFIED, Status.BUILDS, Status.UNTRIED]
    torches = sorted({version(entry.version) for entry in recipe.torch} | {version(target.torch)})
    steps = {version: number for number, version in enumerate(torches)}
    last = len(torches)

    def distance(verdict: Verdict) -> tuple[int, ...]:
        other = verdict.target
        return (
            other.platform != target.platform,
            verdict.release != release,
            other.backend.startswith("cu") != target.backend.startswith("cu"),
            abs(_minor(other.python) - _minor(target.python)),
            abs(steps.get(version(other.torch), last) - steps[version(target.torch)]),
            other.backend != target.backend,
            ranks.index(verdict.status),
        )

    return distance


def _minor(python: str) -> int:
    return version(python).minor


def options_text(recipe: Recipe, verdict: Verdict, *, asked: str) -> str:
    """The cell as one asks for it on the command line; the release only where it is not the `asked` one."""
    target = verdict.target
    words = [] if verdict.release == asked else [f"{recipe.name}@{verdict.release}"]
    words += ["--python", target.python, "--torch", target.torch]
    if target.backend != DEFAULT_BACKEND:
        words += ["--backend", target.backend]
    if target.platform != LINUX:
        words += ["--platform", target.platform]
    return " ".join(words)


def advice(recipe: Recipe, release: str, target: Target, records: Iterable[Record]) -> str:
    """What to ask for instead of a cell that cannot be: what is nearest, and what was verified near it."""
    known = tuple(records)
    near = nearest(recipe, release, target, known)
    text = advice_text(recipe, near, asked=release)
    seen = nearest(recipe, release, target, known, statuses=(Status.VERIFIED,))
    if seen is None or seen == near:
        return text
    return f"{text}; nearest of those verified: {options_text(recipe, seen, asked=release)}"


def advice_text(recipe: Recipe, found: Verdict | None, *, asked: str) -> str:
    """The nearest cell as a fragment of a command line, with what is known about it."""
    if found is None:
        return f"{recipe.name} serves no cell at all with its table of torch releases"
    seen = f"verified {found.record.date[:10]}" if found.record and found.record.verified else found.status
    return f"nearest: {options_text(recipe, found, asked=asked)} ({seen})"


def require_possible(recipe: Recipe, release: str, target: Target, records: Iterable[Record]) -> None:
    """Raise InputError when `target` cannot be had, with the reason and the nearest cell that works."""
    against = obstacle(recipe, release, target)
    if against:
        near = advice(recipe, release, target, records)
        raise InputError(against, hint=f"{near}; {torch_range(recipe, release, target)}")


def choose_torch(
    recipe: Recipe,
    release: str,
    *,
    python: str,
    platform: str,
    backend: str,
    records: Callable[[], Iterable[Record]],
) -> str:
    """The newest torch that serves the release there; InputError with the nearest cell when there is none.

    The records are asked for only then.
    """
    try:
        return default_torch(recipe, release, python=python, platform=platform, backend=backend)
    except InputError as error:
        newest = max((entry.version for entry in recipe.torch), key=version)
        target = Target(python=python, platform=platform, torch=newest, backend=backend)
        near = advice(recipe, release, target, records())
        raise InputError(str(error), hint="; ".join(filter(None, [near, error.hint]))) from None


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain values, for --json."""
    record = verdict.record
    evidence = record.model_dump(mode="json", exclude={"release", "target"}) if record else None
    return {
        "release": verdict.release,
        **asdict(verdict.target),
        "target": verdict.target.name,
        "status": verdict.status.value,
        "reason": verdict.reason or None,
        "evidence": evidence,
    }
