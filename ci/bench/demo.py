"""The README's demo with an empty cache, beside the same work by hand with pip and with uv.

    python ci/bench/demo.py [--torch 2.13.0]

By hand is: an environment with torch, the sample's wheel built in it, the closure downloaded, a second
environment filled offline, and the smoke suite with its training run there. Nobody locks, hashes, inspects or
seals anything then, or proves that no network was used. uv's index is the one that pip is configured for.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uv as uv_package
from measure import Run, table, timed

from wheelferry.cache.pip_config import read_pip_configuration
from wheelferry.catalog import shipped_folder
from wheelferry.system.process import run

# The sample project, as it is shipped.
SAMPLE = shipped_folder() / "sample"
TOOLS = ("setuptools", "wheel", "ninja", "numpy", "pillow")


def demo(folder: Path, torch: str) -> dict[str, Run]:
    """The program's demo; its levels, and all of it."""
    environment = {**os.environ, "WHEELFERRY_CACHE": str(folder / "cache")}
    out = folder / "demo"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "wheelferry",
        "demo",
        "--torch",
        torch,
        "-q",
        "--out",
        out,
    ]
    whole = timed(command, env=environment)
    report: dict[str, Any] = json.loads((out / "report" / "report.json").read_text("utf-8"))
    (target,) = report["targets"]
    levels = {"static": report["static"], **{level["level"]: level for level in target["levels"]}}
    seconds = {name: level["seconds"] for name, level in levels.items()}
    before = {"fetch to pack": whole.seconds - sum(seconds.values())}
    return {**{n: Run(s, 0.0) for n, s in {**before, **seconds}.items()}, "wheelferry demo": whole}


def by_hand(folder: Path, torch: str, tool: str) -> dict[str, Run]:
    """The steps with pip or uv, and their sum; caches are empty."""
    built, client = folder / "built", folder / "client"
    python = {env: env / "bin" / "python" for env in (built, client)}
    index = read_pip_configuration(run)
    environment = {**os.environ, "PIP_NO_CACHE_DIR": "1", "UV_CACHE_DIR": str(folder / "uv-cache")}
    uv = uv_package.find_uv_bin()

    def install(env: Path, *what: str | Path) -> Run:
        if tool == "pip":
            return timed([python[env], "-m", "pip", "install", "-q", *what], env=environment)
        return timed(
            [uv, "pip", "install", "-q", "--python", python[env], *index.uv_arguments, *what],
            env={**environment, **index.uv_environment()},
        )

    steps = {}
    for env in (built, client):
        timed([sys.executable, "-m", "venv", env])
    steps["build environment"] = install(built, f"torch=={torch}", *TOOLS)
    source = folder / "source"
    timed(["cp", "-r", SAMPLE / "project", source])
    wheelhouse = folder / "wheelhouse"
    steps["compile"] = timed(
        [
            python[built],
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            wheelhouse,
            source,
        ],
        env={**environment, "PATH": f"{built / 'bin'}:{os.environ['PATH']}"},
    )
    # uv has no download command
    wanted = [f"torch=={torch}", "numpy", "pillow"]
    steps["download"] = timed(
        [python[built], "-m", "pip", "download", "-q", "-d", wheelhouse, *wanted], env=environment
    )
    offline: list[str | Path] = ["--no-index", "--find-links", wheelhouse]
    steps["install"] = install(client, *offline, f"torch=={torch}", "skiff")
    steps["smoke and train"] = suite(python[client], folder, environment)
    total = Run(sum(step.seconds for step in steps.values()), max(step.peak_mb for step in steps.values()))
    return {**steps, f"by hand with {tool}": total}


def suite(python: Path, folder: Path, environment: Mapping[str, str]) -> Run:
    """Both levels of the suite, as it lies in the bundle of the demo."""
    harness = folder.parent / "ours" / "demo" / "smoke" / "harness.py"
    runs = [
        timed([python, harness, "--level", level, "--out", folder / level], env=environment)
        for level in ("smoke", "train")
    ]
    return Run(sum(run.seconds for run in runs), max(run.peak_mb for run in runs))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default="2.13.0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        rows: dict[str, Run] = {}
        for each in ("ours", "pip", "uv"):
            folder = Path(name) / each
            folder.mkdir()
            own = demo(folder, arguments.torch) if each == "ours" else by_hand(folder, arguments.torch, each)
            table(each, own, list(own)[-1])
            rows[list(own)[-1]] = list(own.values())[-1]
    table(f"demo, torch {arguments.torch}", rows, "wheelferry demo")


if __name__ == "__main__":
    main()
