"""What was seen of one cell: records, and the file they are kept in."""

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated

from packaging.version import Version
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from wheelferry.errors import InputError
from wheelferry.models.targets import (
    Target,
    parse_backend,
    parse_platform,
    parse_python,
    parse_torch,
)

RECORDS_FORMAT = 1
LEVELS = ("static", "install", "smoke", "train")
# What failed of a cell that no bundle could be made for.
MAKING = "bundle"


def _real(target: Target) -> Target:
    """A target that could be asked for on the command line."""
    try:
        parse_python(target.python)
        parse_torch(target.torch)
        parse_backend(target.backend)
        parse_platform(target.platform, host_glibc_minor=None)
    except InputError as error:
        raise ValueError(str(error)) from None
    return target


class _Model(BaseModel):
    # a command that reads none of these must not wait for their validators
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class RecordedWheel(_Model):
    """The wheel that was built for the cell."""

    file: str
    sha256: str


class Record(_Model):
    """What one verify report says about one target of one bundle, or why no bundle could be made.

    `levels` are those that passed, `failed` is the one that found problems (``bundle`` where the bundle
    could not be made), `reason` the first of them in one line, and `log` the SHA-256 of what was said then.
    `torch` is the version that was installed (with its local part, where the index offers such a build).
    `plan` is the digest of what the recipe said for the target when the bundle was made, `bundle` the digest
    of its manifest. `seconds` say how long each level took, and ``bundle`` how long the making.
    """

    release: str
    target: Annotated[Target, AfterValidator(_real)]
    levels: tuple[str, ...]
    failed: str | None = None
    reason: str | None = None
    log: str | None = None
    seconds: tuple[tuple[str, float], ...] = ()
    skipped: tuple[str, ...] = ()
    isolated: bool = False
    date: str
    command: str
    wheel: RecordedWheel | None = None
    torch: str | None = None
    commit: str | None = None
    bundle: str | None = None
    plan: str
    wheelferry: str
    machine: str

    @property
    def verified(self) -> bool:
        """Whether every level passed."""
        return self.failed is None and self.levels == LEVELS

    @property
    def cell(self) -> tuple[str, Target]:
        """Release and target: what the record is about."""
        return self.release, self.target


class _RecordFile(_Model):
    format: int
    recipe: str
    records: tuple[Record, ...]


_FOLDERS = re.compile(r"(?<![\w.…])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:;,'\"]+)+[/\\](?=[^\s/\\])")
_LONGEST_REASON = 240


def one_line(text: str) -> str:
    """The first line of a message, for a record, with the last one where the first only announces it.

    Without the folders of this machine, and not too long.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    told = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return _FOLDERS.sub("…/", told)[:_LONGEST_REASON]


def parse_records(text: str, *, file: str, recipe: str) -> tuple[Record, ...]:
    """Read a file of records of `recipe`; raises InputError naming what is wrong with it."""
    try:
        found = TypeAdapter(_RecordFile).validate_json(text)
    except ValidationError as error:
        problems = [f"{file}: {'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors()]
        raise InputError(
            "\n".join(problems), hint="records are written by wheelferry matrix --record BUNDLE"
        ) from None
    if (found.format, found.recipe) != (RECORDS_FORMAT, recipe):
        raise InputError(
            f"{file}: holds records of {found.recipe}, format {found.format}; "
            f"{recipe}, format {RECORDS_FORMAT} was asked for"
        )
    return found.records


def records_text(recipe: str, records: Iterable[Record]) -> str:
    """The file of `records`, in an order that does not depend on when they came.

    Each has a line of its own, so that what several people recorded merges as text does.
    """
    lines = [
        json.dumps(record.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        for record in sorted(records, key=order)
    ]
    head = f'{{"format": {RECORDS_FORMAT}, "recipe": {json.dumps(recipe)}, "records": ['
    return head + "".join(f"\n{line}," for line in lines).removesuffix(",") + "\n]}\n"


version = cache(Version)  # sorting asks for the same few again and again


def order(record: Record) -> tuple[str, Version, Version, str, str]:
    """By what records are sorted: release, torch, Python, backend, platform."""
    target = record.target
    return record.release, version(target.torch), version(target.python), target.backend, target.platform
