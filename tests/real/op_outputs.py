"""Run every compiled operator of an installed Detectron2 on given inputs and write down what comes out.

    python op_outputs.py INPUTS OUTPUTS [--make SEED] [--only WORDS] [--skip BEGINNING...]

With --make the file INPUTS is made first, from SEED. Then each case is run, and OUTPUTS gets the values of
each, or the type and message of the exception that it raised; op_compare.py compares two such files. Beside
this folder's op_*.py nothing is needed but what Detectron2 itself needs. Python 3.8 is enough.

Each name is printed before its case runs, so that of a process that died the last line names what killed it.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import platform
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import op_coco
import op_endurance
import op_inputs
import op_pooling
import op_rotated

# not a plain import: what checks the types of this repository has no torch
torch: Any = importlib.import_module("torch")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--make", type=int, metavar="SEED")
    parser.add_argument("--only", default="", help="run cases whose name contains this")
    parser.add_argument(
        "--skip", nargs="*", default=[], help="leave out cases whose name begins with one of these"
    )
    options = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")  # of vmap, which has no rule for these operators, and of TorchScript
    torch.set_num_threads(1)
    if options.make is not None:
        op_inputs.make_inputs(options.inputs, options.make)
    skipped = tuple(options.skip)
    cases = all_cases(options.inputs)
    chosen = (case for case in cases if options.only in case[0] and not case[0].startswith(skipped))
    write_outputs(options.outputs, run_cases(chosen))


def all_cases(inputs: Path) -> op_rotated.Cases:
    """Each case: its name, and the function that gives its values or raises."""
    arrays, datasets = op_inputs.read_inputs(inputs)
    yield from op_endurance.cases(arrays)  # first: large inputs leave memory that hides a leak
    yield from op_rotated.cases(arrays)
    yield from op_pooling.cases(arrays)
    yield from op_coco.cases(datasets)


def run_cases(cases: op_rotated.Cases) -> Iterator[tuple[str, list[tuple[str, Any]], float]]:
    """Each case's name, its values by their place in what it returned, and its seconds."""
    names = set()
    for name, function in cases:
        assert name not in names, f"two cases are called {name!r}"
        names.add(name)
        print(name, flush=True)
        started = time.perf_counter()
        try:
            values = list(flat(function()))
        except Exception as error:  # whatever an operator raises: that is what is asked for
            message = (str(error).splitlines() or [""])[0]
            values = [("raised", {"raised": type(error).__name__, "message": message[:300]})]
        yield name, values, time.perf_counter() - started


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors, arrays and plain values inside lists and dictionaries, each with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from flat(inner, f"{place}[{number}]")
    else:
        yield place, value


def described(value: Any) -> tuple[dict[str, Any], Any]:
    """What JSON holds of a value, and its numbers as an array or None."""
    if isinstance(value, torch.Tensor):
        told = {"dtype": str(value.dtype), "requires_grad": value.requires_grad}
        plain = value.detach().resolve_neg()
        return told, (plain.float() if plain.dtype == torch.bfloat16 else plain).contiguous().numpy()
    if isinstance(value, np.ndarray):
        return {"dtype": f"numpy {value.dtype}"}, value
    if isinstance(value, float):
        return {"dtype": "float"}, np.array(value)
    if isinstance(value, dict):
        return value, None
    return {"plain": value}, None


def write_outputs(path: Path, results: Iterator[tuple[str, list[tuple[str, Any]], float]]) -> None:
    arrays: dict[str, Any] = {}
    cases = {}
    for name, values, seconds in results:
        told = []
        for place, value in values:
            description, numbers = described(value)
            if numbers is not None:
                description["array"] = str(len(arrays))
                arrays[description["array"]] = numbers
            told.append({"place": place, **description})
        cases[name] = {"values": told, "seconds": round(seconds, 4)}
    about = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    with path.open("wb") as file:
        np.savez_compressed(file, index=np.array(json.dumps({"about": about, "cases": cases})), **arrays)
    print(f"{len(cases)} cases written", flush=True)


if __name__ == "__main__":
    main()
