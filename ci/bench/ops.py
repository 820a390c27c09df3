"""Compiled ops, the ordinary build beside those on torch's stable ABI, of g++ and of zig: seconds a call.

    python ci/bench/ops.py [--recipe sample@1.0] [--torch 2.13.0] [--python 3.11] [--source PATH] [--runs 5]

The wheels are built, and installed side by side above one environment with torch. A run is a process for
each of them, in turn, with one thread; of its calls the fastest counts, of the runs the median.
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

from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run

WORK = Path(__file__).with_name("ops_work.py")
BUILDS = {
    "ordinary": ["--no-stable-abi"],
    "g++": ["--stable-abi", "--compiler", "g++"],
    "zig": ["--stable-abi", "--compiler", "zig"],
}


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
        wheels = {build: make(build, arguments, Path(name) / build) for build in BUILDS}
        python = make_environment(wheels["ordinary"], arguments, Path(name) / "env")
        folders = {build: install(python, wheel, Path(name) / build) for build, wheel in wheels.items()}
        seen: dict[str, list[dict[str, float]]] = {build: [] for build in BUILDS}
        for _ in range(arguments.runs):
            for build, folder in folders.items():
                seen[build].append(measure(python, folder))
    show(arguments, {build: medians(runs) for build, runs in seen.items()})


def make(build: str, arguments: argparse.Namespace, folder: Path) -> Path:
    """Build the project's wheel."""
    command = [sys.executable, "-m", "wheelferry", "build", arguments.recipe, "-q", *BUILDS[build]]
    command += ["--python", arguments.python, "--torch", arguments.torch, "--out", str(folder / "wheel")]
    command += ["--source", arguments.source] if arguments.source else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel


def make_environment(wheel: Path, arguments: argparse.Namespace, folder: Path) -> Path:
    """An environment with torch and all that the wheel requires; its Python."""
    uv, python = uv_package.find_uv_bin(), folder / "bin" / "python"
    interpreter = find_interpreter(arguments.python, run, uv=Path(uv)).path
    subprocess.run([uv, "venv", "-q", "--python", interpreter, folder], check=True)
    command = [uv, "pip", "install", "-q", "--python", str(python)]
    subprocess.run([*command, str(wheel), f"torch=={arguments.torch}", "torchvision"], check=True)
    return python


def install(python: Path, wheel: Path, folder: Path) -> Path:
    """Install the wheel alone into a folder of its own, which comes before the environment's packages."""
    command = [uv_package.find_uv_bin(), "pip", "install", "-q", "--python", str(python), "--no-deps"]
    subprocess.run([*command, "--target", str(folder / "packages"), str(wheel)], check=True)
    return folder / "packages"


def measure(python: Path, folder: Path) -> dict[str, float]:
    """Seconds a call of each operator, in a process of its own, with the packages in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([python, WORK], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each operator."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def show(arguments: argparse.Namespace, seen: dict[str, dict[str, float]]) -> None:
    """Print milliseconds and ratios."""
    ordinary, *others = seen.values()
    print(
        f"\n{arguments.recipe}, Python {arguments.python}, torch {arguments.torch}, {arguments.runs} runs\n"
    )
    print("| call | ordinary, ms | g++, ms | zig, ms | ratios |\n|---|---|---|---|---|")
    for name, seconds in ordinary.items():
        times = " | ".join(f"{one[name] * 1e3:.3f}" for one in seen.values())
        ratios = ", ".join(f"{other[name] / seconds:.2f}" for other in others)
        print(f"| {name} | {times} | {ratios} |")


if __name__ == "__main__":
    main()
