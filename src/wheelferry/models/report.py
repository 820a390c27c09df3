"""What verification saw: values, and their JSON."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from wheelferry.models.problems import Problem

FORMAT = 1

# What ran a target that is neither played by Wine nor left alone.
OWN_MACHINE = "this machine"


class Level(IntEnum):
    """How far verification goes; each level includes the ones before."""

    STATIC = 0
    INSTALL = 1
    SMOKE = 2
    TRAIN = 3


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of the smoke suite, as its harness reported it."""

    name: str
    title: str
    status: str
    seconds: float
    reason: str | None = None
    traceback: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class LevelResult:
    """One level on one target: how long it took, what it found, and why it did not run if it did not.

    `not_tried` is what could not be tried because of the machine that ran it, each with the reason: it is
    neither proven nor a problem.
    """

    level: Level
    seconds: float
    problems: tuple[Problem, ...] = ()
    checks: tuple[Check, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    not_run: str | None = None
    not_tried: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the level ran and found nothing wrong."""
        return not self.problems and self.not_run is None


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """All levels above static on one target, the sandbox they ran in, and what ran them.

    `runner` is ``this machine``, or ``Wine 8.0`` where Windows is played; None when nothing ran.
    """

    target: str
    levels: tuple[LevelResult, ...]
    isolation: Mapping[str, Any] = field(default_factory=dict)
    runner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The evidence about one bundle."""

    bundle: str
    digest: str | None
    title: str
    level: Level
    date: str
    host: Mapping[str, Any]
    static: LevelResult
    targets: tuple[TargetResult, ...] = ()
    command: str | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, static first."""
        levels = [self.static, *(level for target in self.targets for level in target.levels)]
        return tuple(problem for level in levels for problem in level.problems)

    @property
    def not_run(self) -> tuple[str, ...]:
        """Levels that were asked for and could not run, with the reason."""
        return tuple(
            f"{target.target}: {level.level.name.lower()}: {level.not_run}"
            for target in self.targets
            for level in target.levels
            if level.not_run
        )

    @property
    def not_tried(self) -> tuple[str, ...]:
        """What could not be tried because of the machine that ran it, with the reason."""
        return tuple(
            f"{target.target}: {level.level.name.lower()}: {line}"
            for target in self.targets
            for level in target.levels
            for line in level.not_tried
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing and no problem, static first."""
        levels = [(level, f"{target.target}: ") for target in self.targets for level in target.levels]
        return tuple(
            f"{where}{note}"
            for level, where in [(self.static, ""), *levels]
            for note in level.facts.get("notes", ())
        )

    @property
    def passed(self) -> bool:
        """Whether every level that was asked for ran on every target and found nothing wrong."""
        return not self.problems and not self.not_run

    @property
    def skipped(self) -> int:
        """How many checks of the suite did not run because of the release or the machine."""
        checks = [check for target in self.targets for level in target.levels for check in level.checks]
        return sum(check.status == "skipped" for check in checks)

    @property
    def isolated(self) -> bool:
        """Whether everything that was installed was cut off from the network."""
        return all(target.isolation.get("isolated", False) for target in self.targets)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "format": FORMAT,
            "bundle": self.bundle,
            "digest": self.digest,
            "title": self.title,
            "level": self.level.name.lower(),
            "date": self.date,
            "host": dict(self.host),
            "command": self.command,
            "passed": self.passed,
            "skipped": self.skipped,
            "problems": [_problem(problem) for problem in self.problems],
            "not_run": list(self.not_run),
            "not_tried": list(self.not_tried),
            "static": _level(self.static),
            "targets": [
                {
                    "target": target.target,
                    "runner": target.runner,
                    "isolation": dict(target.isolation),
                    "levels": [_level(level) for level in target.levels],
                }
                for target in self.targets
            ],
        }

    def to_text(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.to_json(), indent=1) + "\n"


_SHOWING_ONLY = {"-v", "--verbose", "-q", "--quiet", "--json"}
_EXPECTATION = "--expect"  # with a metric behind it that looks like a path
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


def shown_command(arguments: Iterable[str]) -> str:
    """The command line of a run as evidence may keep it: no folder of this machine, no credentials.

    A path is written as ``…/NAME``; what only changes what is shown is left out.
    """
    kept = [argument for argument in arguments if argument not in _SHOWING_ONLY]
    shown = (
        shlex.quote(one) if previous == _EXPECTATION else _shown(one)
        for previous, one in zip(["", *kept], kept, strict=False)
    )
    return " ".join(["wheelferry", *shown])


def _shown(argument: str) -> str:
    before, equals, after = argument.partition("=")
    if before == _EXPECTATION and equals:
        return f"{before}={shlex.quote(after)}"
    if argument.startswith("--"):
        return before + equals + (_shown(after) if after else "")
    # an asset and a file of this machine: what is in front names it, as does an address without a query
    names = "/" not in before and "/" in after.replace("\\", "/")
    if equals and (names or ("://" in before and "?" not in before)):
        return f"{_shown(before)}={_shown(after)}"
    if "://" in argument:
        return shlex.quote(_CREDENTIALS.sub("", argument))
    *folders, name = argument.replace("\\", "/").rstrip("/").split("/")
    return ("…/" if folders else "") + shlex.quote(name)


def _level(result: LevelResult) -> dict[str, Any]:
    return {
        "level": result.level.name.lower(),
        "passed": result.passed,
        "not_run": result.not_run,
        "not_tried": list(result.not_tried),
        "seconds": round(result.seconds, 1),
        "facts": dict(result.facts),
        "problems": [_problem(problem) for problem in result.problems],
        "checks": [asdict(check) for check in result.checks],
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"code": problem.code.name, "file": problem.file, "message": problem.message}
