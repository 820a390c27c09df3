"""Compare two files of op_outputs.py: the same operators, built in two ways, on the same inputs.

    python op_compare.py ONE OTHER

Prints the largest differences of each operator, and exits with 1 after naming every case that differs by more
than it may. Needs numpy and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# How far numbers may be apart, beside 1 or beside their own size where that is more. Seen is no difference at
# all, in any bit: two builds without fused multiplication round alike, and sin and cos agreed for all angles
# tried. They need not: in some angles they differ in the last digit from one C library to the next.
TOLERANCE = {"float64": 1e-12, "float32": 1e-6, "float16": 1e-3}

# What may differ although one build raises and the other does not, with the reason.
EXPECTED = {
    "ops.box_iou_rotated: argument 1 is None": "torch's headers take None for a tensor without elements",
}

# The facade raises RuntimeError where torch's headers have an exception of their own (docs/facade.md).
SAME_ERROR = {"NotImplementedError", "IndexError", "RuntimeError"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    one, other = Outputs(options.one), Outputs(options.other)
    for outputs in (one, other):
        print(f"{len(outputs.cases)} cases, {outputs.seconds:.0f} s: {outputs.about}")
    problems = list(_only_in_one(one, other))
    largest: dict[str, list[float]] = {}
    messages: list[str] = []
    for name in (one.cases.keys() & other.cases.keys()) - EXPECTED.keys():
        problems += compare(name, one, other, largest)
        messages += _messages(name, one, other)
    for operator, (absolute, relative, count) in sorted(largest.items()):
        print(f"{operator:50} {int(count):5} arrays  abs {absolute:.2g}  rel {relative:.2g}")
    for line in sorted(messages):
        print(f"said otherwise: {line}")
    for name in sorted(EXPECTED.keys() & one.cases.keys()):
        print(f"not compared: {name}: {EXPECTED[name]}")
    for line in sorted(problems):
        print(f"DIFFERS: {line}")
    return 1 if problems else 0


class Outputs:
    """What one process wrote."""

    def __init__(self, path: Path) -> None:
        self._arrays = np.load(path, allow_pickle=False)
        index = json.loads(str(self._arrays["index"]))
        self.about: dict[str, str] = index["about"]
        self.cases: dict[str, Any] = index["cases"]
        self.seconds: float = sum(case["seconds"] for case in self.cases.values())

    def values(self, name: str) -> dict[str, Any]:
        """The values of a case by their place."""
        return {value["place"]: value for value in self.cases[name]["values"]}

    def array(self, value: dict[str, Any]) -> Any:
        return self._arrays[value["array"]]


def _only_in_one(one: Outputs, other: Outputs) -> Iterator[str]:
    for name in one.cases.keys() ^ other.cases.keys():
        yield f"{name}: only in {'the first' if name in one.cases else 'the second'}"


def compare(name: str, one: Outputs, other: Outputs, largest: dict[str, list[float]]) -> Iterator[str]:
    """What differs in a case; the largest differences of its operator are noted in `largest`."""
    values, others = one.values(name), other.values(name)
    if values.keys() != others.keys():
        yield f"{name}: {_told(one, values)} and {_told(other, others)}"
        return
    for place, value in values.items():
        yield from _compare_value(f"{name}{place}", one, value, other, others[place], largest)


def _compare_value(
    place: str,
    one: Outputs,
    value: dict[str, Any],
    other: Outputs,
    its: dict[str, Any],
    largest: dict[str, list[float]],
) -> Iterator[str]:
    if "raised" in value and "raised" in its:
        kinds = {value["raised"], its["raised"]}
        if len(kinds) > 1 and not kinds <= SAME_ERROR:
            yield f"{place}: {value['raised']} ({value['message']}) and {its['raised']} ({its['message']})"
        return
    passing = ("array", "place")
    told, its_told = ({k: v for k, v in each.items() if k not in passing} for each in (value, its))
    if told != its_told:
        yield f"{place}: {told} and {its_told}"
    elif "array" in value:
        yield from _compare_arrays(place, value["dtype"], one.array(value), other.array(its), largest)


def _compare_arrays(
    place: str, dtype: str, one: Any, other: Any, largest: dict[str, list[float]]
) -> Iterator[str]:
    if one.shape != other.shape:
        yield f"{place}: shapes {one.shape} and {other.shape}"
        return
    noted = largest.setdefault(f"{place.split(':')[0].split('[')[0]}, {dtype.split('.')[-1]}", [0.0, 0.0, 0])
    noted[2] += 1
    if one.dtype.kind != "f":
        if not np.array_equal(one, other):
            yield f"{place}: {int((one != other).sum())} of {one.size} numbers differ"
        return
    with np.errstate(invalid="ignore"):
        equal = (one == other) | (np.isnan(one) & np.isnan(other))
        differences = np.where(equal, 0.0, np.abs(one.astype(np.float64) - other))
    sizes = np.maximum(np.abs(one.astype(np.float64)), np.abs(other.astype(np.float64)))
    # a NaN or an infinity on one side only is no small difference
    differences = np.where(np.isnan(differences), np.inf, differences)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(equal, 0.0, differences / sizes)
    noted[0] = max(noted[0], float(differences.max(initial=0.0)))
    noted[1] = max(noted[1], float(np.nan_to_num(relative, nan=np.inf, posinf=np.inf).max(initial=0.0)))
    allowed = TOLERANCE[one.dtype.name] * np.maximum(1.0, np.where(np.isfinite(sizes), sizes, 1.0))
    worse = differences > allowed
    if worse.any():
        where = np.unravel_index(int(np.argmax(np.where(worse, differences, -1.0))), one.shape)
        yield (
            f"{place}: {int(worse.sum())} of {one.size} numbers, by up to {differences.max():.3g} "
            f"({one[where]!r} and {other[where]!r} at {[int(i) for i in where]})"
        )


def _told(outputs: Outputs, values: dict[str, Any]) -> str:
    """Few words on what a case came to."""
    for value in values.values():
        if "raised" in value:
            return f"{value['raised']}: {value['message']}"
    first: dict[str, Any] = next(iter(values.values()), {})
    numbers = f" {outputs.array(first).shape}" if "array" in first else ""
    return f"{len(values)} values, {first.get('dtype', first.get('plain'))}{numbers}"


def _messages(name: str, one: Outputs, other: Outputs) -> Iterator[str]:
    """Exceptions whose types or words differ, which they may."""
    raised, its = one.values(name).get("raised"), other.values(name).get("raised")
    if raised and its and (raised["raised"], raised["message"]) != (its["raised"], its["message"]):
        told, its_told = (f"{each['raised']} {each['message'][:110]!r}" for each in (raised, its))
        yield f"{name}: {told} | {its_told}"


if __name__ == "__main__":
    sys.exit(main())
