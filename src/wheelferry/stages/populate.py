"""Populate: every file of a resolution into the store; what exists only as an sdist is built first."""

import hashlib
import json
from collections.abc import Iterable

from wheelferry.download import Download, download_all
from wheelferry.interpreters import Interpreter
from wheelferry.lock import Choice, LockedWheel
from wheelferry.metadata import filename_parts
from wheelferry.stages.finish import repack_for_target
from wheelferry.store import Entry
from wheelferry.targets import Target
from wheelferry.tools import Tools
from wheelferry.wheels import unpack

# Part of every sdist's key: raise it when the same sdist would give another wheel.
_SDIST_FORMAT = 2


def populate(
    choices: Iterable[Choice],
    target: Target,
    interpreter: Interpreter,
    tools: Tools,
    *,
    sdist_constraints: tuple[str, ...] = (),
) -> tuple[LockedWheel, ...]:
    """Bring `choices` into the store and return them as wheels, in name order.

    Raises what downloading and building raise.
    """
    chosen = list(choices)
    entries = download_all(
        [Download(url=c.url, filename=c.filename, sha256=c.sha256) for c in chosen],
        tools.store,
        tools.index,
        tools.progress,
    )
    wheels = []
    for choice in chosen:
        entry = entries[choice.url]
        if choice.is_sdist:
            entry = _build_sdist(choice, entry, target, interpreter, tools, sdist_constraints)
        wheels.append(locked_wheel(choice, entry))
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


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
    """The wheel of an sdist, from the store if it was built for this Python and platform before."""
    identity = json.dumps(
        [_SDIST_FORMAT, sdist.sha256, target.python, target.platform, interpreter.version, constraints]
    )
    key = hashlib.sha256(identity.encode()).hexdigest()
    with tools.store.lock(f"sdist-{key}"):
        known = tools.store.recall("sdist", key)
        if known:
            return known
        with tools.progress.task(f"build {choice.filename}"), tools.store.workspace("sdist") as work:
            source = work / choice.filename
            tools.store.place(sdist.sha256, source)
            wheel = tools.uv.build_sdist(
                source,
                work / "out",
                interpreter=interpreter,
                constraints=constraints,
                environment={"SOURCE_DATE_EPOCH": "315532800"},
                log=tools.store.log_path(f"build-{choice.name}"),
            )
            # a pure wheel too: its file modes came from this machine's umask
            unpack(wheel, work / "tree")
            wheel = repack_for_target(work / "tree", work / "packed", wheel.name, target, tools, epoch=0)
            entry = tools.store.add(wheel)
        tools.store.remember("sdist", key, entry)
        return entry
