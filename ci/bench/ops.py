"""Compiled ops, the ordinary build beside the one on torch's stable ABI: seconds a call, in one run.

    python ci/bench/ops.py [--recipe sample@1.0] [--torch 2.13.0] [--python 3.11] [--source PATH] [--runs 5]

Both wheels are built, and installed with the same torch into environments of their own. A run is a process
for each of them, in turn, with one thread; of its calls the fastest counts, of the runs the median.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import uv as uv_package

WORK = Path(__file__).with_name("ops_work.py")
BUILDS = {"ordinary": ["--no-stable-abi"], "stable ABI": ["--stable-abi"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="sample@1.0")
    parser.add_argument("--torch", default="2.13.0")
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--source")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        pythons = {build: install(build, arguments, Path(name) / build) for build in BUILDS}
        seen: dict[str, list[dict[str, float]]] = {build: [] for build in BUILDS}
        for _ in range(arguments.runs):
            for build, python in pythons.items():
                seen[build].append(measure(python))
    show(arguments, {build: medians(runs) for build, runs in seen.items()})


def install(build: str, arguments: argparse.Namespace, folder: Path) -> Path:
    """Build the project's wheel and install it with its torch; the environment's Python."""
    command = [sys.executable, "-m", "wheelferry", "build", arguments.recipe, "-q", *BUILDS[build]]
    command += ["--python", arguments.python, "--torch", arguments.torch, "--out", str(folder / "wheel")]
    command += ["--source", arguments.source] if arguments.source else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = (folder / "wheel").glob("*.whl")
    uv, python = uv_package.find_uv_bin(), folder / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", arguments.python, folder / "env"], check=True)
    command = [uv, "pip", "install", "-q", "--python", str(python)]
    subprocess.run([*command, str(wheel), f"torch=={arguments.torch}", "torchvision"], check=True)
    return python


def measure(python: Path) -> dict[str, float]:
    """Seconds a call of each operator, in a process of its own."""
    done = subprocess.run([python, WORK], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each operator."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def show(arguments: argparse.Namespace, seen: dict[str, dict[str, float]]) -> None:
    """Print milliseconds and ratios."""
    ordinary, stable = seen.values()
    print(
        f"\n{arguments.recipe}, Python {arguments.python}, torch {arguments.torch}, {arguments.runs} runs\n"
    )
    print("| call | ordinary, ms | stable ABI, ms | ratio |\n|---|---|---|---|")
    for name, seconds in ordinary.items():
        ratio = stable[name] / seconds
        print(f"| {name} | {seconds * 1e3:.3f} | {stable[name] * 1e3:.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
