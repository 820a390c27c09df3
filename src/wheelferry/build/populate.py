"""Populate: every file of a resolution into the store; what exists only as an sdist is built first."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from wheelferry.build.repair import repack_for_target
from wheelferry.build.watched import watch_build
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import NeedsTorchError, speaks_of_network, speaks_of_torch
from wheelferry.catalog import shipped_downloads
from wheelferry.errors import BuildError, InputError
from wheelferry.models.lock import AllowedHashes, Choice, LockedWheel, require_allowed
from wheelferry.models.planning.downloads import downloads_of
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.this_machine import is_own_platform
from wheelferry.wheels.archive import unpack
from wheelferry.wheels.read import read_wheel

# Part of every sdist's key: raise it when the same sdist would give another wheel.
_SDIST_FORMAT = 4
# What is remembered, under a wheel's key, of the machines that its build tried to reach.
_ATTEMPTS = "sdist-attempts"


class IncompleteWheelError(BuildError):
    """A build passed, but did not get what it downloads: its wheel is of no use."""


class NeedsCompilerError(InputError):
    """Sdists that this machine cannot build for the target; `packages` says of each name why.

    Most need a compiler for the target; the reason is what the build said, which can be something else.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, packages: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.packages = packages or {}


def populate(
    choices: Iterable[Choice],
    target: Target,
    interpreter: Interpreter,
    tools: Tools,
    *,
    sdist_constraints: tuple[str, ...] = (),
    allowed: AllowedHashes | None = None,
    built: Mapping[str, Entry] | None = None,
) -> tuple[LockedWheel, ...]:
    """Bring `choices` into the store and return them as wheels, in name order.

    Sdists are built before any wheel is downloaded: they are small, and what they lack should not cost
    gigabytes; those in `built`, by URL, are built already. Raises IntegrityError for a download that has none
    of the `allowed` hashes of its project, and what `build_sdists` and downloading raise.
    """
    chosen, built = list(choices), built or {}
    waiting = [choice for choice in chosen if choice.url not in built]
    made = build_sdists(
        waiting, target, interpreter, tools, sdist_constraints=sdist_constraints, allowed=allowed
    )
    wheels = [choice for choice in waiting if not choice.is_sdist]
    entries = fetch_files(wheels, tools, allowed=allowed)
    entries = {**entries, **made, **built}
    return tuple(sorted((locked_wheel(c, entries[c.url]) for c in chosen), key=lambda wheel: wheel.name))


def build_sdists(
    choices: Iterable[Choice],
    target: Target,
    interpreter: Interpreter,
    tools: Tools,
    *,
    sdist_constraints: tuple[str, ...] = (),
    allowed: AllowedHashes | None = None,
) -> dict[str, Entry]:
    """The wheels of those of `choices` that are sdists, by URL, built in isolation.

    Raises NeedsTorchError for the first that needs torch to be built, NeedsCompilerError naming all that do
    not build for another platform than this machine's, IntegrityError as `fetch_files` does.
    """
    sdists = [choice for choice in choices if choice.is_sdist]
    entries = fetch_files(sdists, tools, allowed=allowed)
    return _build_sdists(sdists, entries, target, interpreter, tools, sdist_constraints)


def fetch_files(
    choices: Iterable[Choice], tools: Tools, *, allowed: AllowedHashes | None = None
) -> Mapping[str, Entry]:
    """Download the chosen files; IntegrityError for one that has none of its project's `allowed` hashes."""
    wanted = list(choices)
    entries = _download(wanted, tools)
    for choice in wanted:
        require_allowed(choice, entries[choice.url].sha256, allowed or {})
    return entries


def _download(choices: Iterable[Choice], tools: Tools) -> Mapping[str, Entry]:
    wanted = [Download(url=c.url, filename=c.filename, sha256=c.sha256) for c in choices]
    return download_all(wanted, tools.store, tools.index, tools.progress) if wanted else {}


def _build_sdists(
    choices: Iterable[Choice],
    entries: Mapping[str, Entry],
    target: Target,
    interpreter: Interpreter,
    tools: Tools,
    constraints: tuple[str, ...],
) -> dict[str, Entry]:
    """The wheel of each sdist, by its URL."""
    built: dict[str, Entry] = {}
    needy: dict[str, str] = {}
    for choice in choices:
        try:
            built[choice.url] = _build_sdist(
                choice, entries[choice.url], target, interpreter, tools, constraints
            )
        except BuildError as error:
            if isinstance(error, IncompleteWheelError):
                raise
            if speaks_of_torch(str(error)):
                raise NeedsTorchError(choice.name, str(choice.version)) from None
            if is_own_platform(target) or speaks_of_network(str(error)):
                raise
            needy[choice.name] = str(error)
    if needy:
        firsts = {name: reason.strip().splitlines()[0].rstrip(":") for name, reason in needy.items()}
        reasons = "; ".join(f"{name} ({first})" for name, first in firsts.items())
        raise NeedsCompilerError(
            f"sdists that cannot be built here for {target.platform}: {reasons}", packages=needy
        )
    return built


def locked_wheel(choice: Choice, entry: Entry) -> LockedWheel:
    """What a lock says of the wheel `entry` that `choice` gave."""
    name, version, _ = filename_parts(entry.filename)
    return LockedWheel(
        name=name,
        version=version,
        filename=entry.filename,
        sha256=entry.sha256,
        size=entry.size,
        origin=_public(choice.url),
    )


def _public(url: str) -> str:
    """Where a file came from, without the folders of this machine."""
    return url.rsplit("/", 1)[-1] if url.startswith("file:") else url


def _build_sdist(
    choice: Choice,
    sdist: Entry,
    target: Target,
    interpreter: Interpreter,
    tools: Tools,
    constraints: tuple[str, ...],
) -> Entry:
    """The wheel of an sdist, from the store if it was built for this Python and platform before.

    Raises IncompleteWheelError, and BuildError as the build does.
    """
    identity = json.dumps(
        [_SDIST_FORMAT, sdist.sha256, target.python, target.platform, interpreter.version, constraints]
    )
    key = hashlib.sha256(identity.encode()).hexdigest()
    with tools.store.lock(f"sdist-{key}"):
        known = tools.store.recall("sdist", key)
        if known:
            _warn_of_attempts(choice, tools.store.recall_text(_ATTEMPTS, key) or "", tools)
            return known
        with tools.progress.task(f"build {choice.filename}"), tools.store.workspace("sdist") as work:
            source = work / choice.filename
            tools.store.place(sdist.sha256, source)
            watch = watch_build(work / "watch")
            wheel = tools.uv.build_sdist(
                source,
                work / "out",
                interpreter=interpreter,
                constraints=constraints,
                environment={"SOURCE_DATE_EPOCH": "315532800", **watch.environment},
                log=tools.store.log_path(f"build-{choice.name}"),
            )
            if filename_parts(wheel.name)[2].isdisjoint(target.tags):
                raise BuildError(f"{choice.filename} compiles: it made {wheel.name}")
            addresses = ", ".join(dict.fromkeys(attempt.address for attempt in watch.attempts()))
            _require_complete(choice, wheel, addresses)
            _warn_of_attempts(choice, addresses, tools)
            # a pure wheel too: its file modes came from this machine's umask
            unpack(wheel, work / "tree")
            wheel = repack_for_target(work / "tree", work / "packed", wheel.name, target, tools, epoch=0)
            entry = tools.store.add(wheel)
        tools.store.remember_text(_ATTEMPTS, key, addresses)
        tools.store.remember("sdist", key, entry)
        return entry


def _require_complete(choice: Choice, wheel: Path, addresses: str) -> None:
    """Raise IncompleteWheelError for a wheel that lacks what its build downloads, as far as that is known."""
    files = read_wheel(wheel).files
    for download in downloads_of(shipped_downloads(), {choice.name}):
        if download.is_missed_by(files):
            tried = f"; it tried to reach {addresses}" if addresses else ""
            raise IncompleteWheelError(
                f"build {choice.filename}: the wheel that was made lacks {download.what}{tried}",
                hint=download.instead,
            )


def _warn_of_attempts(choice: Choice, addresses: str, tools: Tools) -> None:
    """Warn of a build that tried to reach the `addresses`: no lock knows what it got there, or did not."""
    if addresses:
        tools.progress.warn(
            f"the build of {choice.filename} tried to reach {addresses}: what it got there, or did not get, "
            "no lock knows"
        )
