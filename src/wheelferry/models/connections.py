"""Connections that Python code tried to open while a bundle was verified, and those that may be. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wheelferry.models.problems import Code, Note, Problem

# What the report says where a level's attempts could not be seen.
UNWATCHED = (
    "attempts to reach other machines: Python before 3.8, or a smoke/harness.py of that age, does not tell"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt to reach another machine.

    `modules` are the top-level modules that were running, the innermost first; none where a line of a .pth
    file or a thread of the standard library did it. `address` is ``host:port``, or the host alone where only
    its name was looked up.
    """

    modules: tuple[str, ...]
    address: str

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Attempt":
        """What the harness wrote of it."""
        return cls(modules=tuple(map(str, data["modules"])), address=str(data["address"]))

    def __str__(self) -> str:
        who = self.modules[0] if self.modules else "a .pth file, or a thread of the standard library,"
        by = f", called by {', '.join(self.modules[1:])}," if self.modules[1:] else ""
        return f"{who}{by} tried to reach {self.address}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """Attempts that are no problem, and why: those of a module, to an address, or of the one to the other.

    An `address` without a port stands for all ports of the host. None stands for any.
    """

    reason: str
    module: str | None = None
    address: str | None = None

    def covers(self, attempt: Attempt) -> bool:
        """Whether it is about this attempt."""
        host, _, port = attempt.address.rpartition(":")
        addresses = (None, attempt.address, host if port.isdigit() else None)
        return self.address in addresses and (self.module is None or self.module in attempt.modules)


def judge(where: str, attempts: Iterable[Attempt], allowed: Iterable[Allowed]) -> list[Problem | Note]:
    """A problem for each attempt that nothing allows, a note with the reason for the others.

    `where` is what they are held against: an imported module, or a check.
    """
    rules = tuple(allowed)
    findings: list[Problem | Note] = []
    for attempt in attempts:
        rule = next((rule for rule in rules if rule.covers(attempt)), None)
        if rule is None:
            findings.append(Problem(code=Code.CONNECTION, file=where, message=str(attempt)))
        else:
            findings.append(Note(file=where, message=f"{attempt}, which is allowed: {rule.reason}"))
    return findings
