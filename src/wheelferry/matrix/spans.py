"""What one wheel on torch's stable ABI serves, as one row: how many of its cells were seen, and how far."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wheelferry.matrix.alike import PLATFORMS, can_share, range_text, served_alike
from wheelferry.matrix.coverage import Status, Verdict
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.records import LEVELS, version
from wheelferry.models.targets import Target


@dataclass(frozen=True, kw_only=True)
class Span:
    """The cells of one release and platform that one wheel serves."""

    release: str
    platform: str
    verdicts: tuple[Verdict, ...]

    @property
    def torches(self) -> str:
        """``2.10.0 to 2.15.0``."""
        return range_text(v.target.torch for v in self.verdicts)

    @property
    def pythons(self) -> str:
        """``3.10 to 3.14``."""
        return range_text(v.target.python for v in self.verdicts)

    @property
    def backends(self) -> tuple[str, ...]:
        """The builds of torch that it is for."""
        return tuple(dict.fromkeys(v.target.backend for v in self.verdicts))

    @property
    def counts(self) -> dict[str, int]:
        """How many cells passed up to which level, the highest first, how many failed and were not tried."""
        seen = Counter(_how_far(verdict) for verdict in self.verdicts)
        return {name: seen[name] for name in (*reversed(LEVELS), *_OTHERWISE) if seen[name]}

    def to_document(self) -> dict[str, Any]:
        """As plain values, for --json."""
        return {
            "release": self.release,
            "platform": self.platform,
            "torch": sorted({v.target.torch for v in self.verdicts}, key=version),
            "python": sorted({v.target.python for v in self.verdicts}, key=version),
            "backends": list(self.backends),
            "cells": len(self.verdicts),
            "counts": self.counts,
        }


_OTHERWISE = ("fails", "not tried")


def _how_far(verdict: Verdict) -> str:
    if verdict.status is Status.FAILS:
        return "fails"
    levels = verdict.record.levels if verdict.record is not None else ()
    return levels[-1] if levels else "not tried"


def find_spans(recipe: Recipe, verdicts: Sequence[Verdict]) -> tuple[list[Span], list[Verdict]]:
    """The rows of wheels that serve several cells of `verdicts`, and the cells that none of them serves.

    What cannot be is of no row: it stands among the others.
    """
    served: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.status is not Status.UNSUPPORTED and can_share(recipe, verdict.target):
            served.setdefault(verdict.release, []).append(verdict)
    spans = [span for release, found in served.items() for span in _spans_of(recipe, release, found)]
    within = {(span.release, v.target) for span in spans for v in span.verdicts}
    return spans, [v for v in verdicts if (v.release, v.target) not in within]


def _spans_of(recipe: Recipe, release: str, verdicts: Iterable[Verdict]) -> list[Span]:
    by_target: dict[Target, Verdict] = {verdict.target: verdict for verdict in verdicts}
    spans = [
        Span(
            release=release,
            platform=targets[0].platform,
            verdicts=tuple(by_target[target] for target in targets),
        )
        for targets in served_alike(recipe, release, by_target)
        if len(targets) > 1
    ]
    known = {platform: number for number, platform in enumerate(PLATFORMS)}
    return sorted(spans, key=lambda span: (known.get(span.platform, len(known)), span.platform))
