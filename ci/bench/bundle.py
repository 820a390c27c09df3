"""A bundle of the sample, cold and warm, and how long --help takes.

    python ci/bench/bundle.py [--torch 2.13.0] [--python 3.11] [--recipe sample@1.0] [--source PATH]

Cold starts with an empty cache (downloads, compiles); warm repeats it with the cache that cold left.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from measure import median, table, timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="sample@1.0")
    parser.add_argument("--torch", default="2.13.0")
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--source")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        environment = {**os.environ, "WHEELFERRY_CACHE": str(Path(name) / "cache")}
        out = Path(name) / "bundle"
        command: list[str | Path] = [sys.executable, "-m", "wheelferry", "bundle", arguments.recipe]
        command += [
            "--python",
            arguments.python,
            "--torch",
            arguments.torch,
            "--out",
            out,
            "--no-verify",
            "-q",
        ]
        command += ["--source", arguments.source] if arguments.source else []
        cold = timed(command, env=environment)
        warm = median([timed(command, env=environment) for _ in range(3)])
        verified = timed(
            [sys.executable, "-m", "wheelferry", "verify", out, "--level", "static", "-q"], env=environment
        )
    rows = {"cold bundle --no-verify": cold, "warm, median of 3": warm, "verify --level static": verified}
    table(
        f"{arguments.recipe}, Python {arguments.python}, torch {arguments.torch}",
        rows,
        "cold bundle --no-verify",
    )
    python = median([timed([sys.executable, "-c", "pass"]) for _ in range(10)])
    shown = median([timed([Path(sys.executable).with_name("wheelferry"), "--help"]) for _ in range(10)])
    table("start, median of 10", {"python -c pass": python, "wheelferry --help": shown}, "python -c pass")


if __name__ == "__main__":
    main()
