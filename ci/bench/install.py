"""Installing a bundle offline: wheelferry, pip and uv, each into a new environment.

    python ci/bench/install.py BUNDLE [--python PROGRAM] [--runs 3]

The order is another one each time. wheelferry's time is that of install.sh without the smoke checks: looking
at the machine, hashing every file, the environment, the packages, the receipt. uv starts with an empty cache.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import uv as uv_package
from measure import Run, median, table, timed

NAMES = ["pip", "uv", "wheelferry", "wheelferry_with_pip", "upgrade"]


class Bench:
    """The bundle, the Python to install for, and a folder for the environments."""

    def __init__(self, bundle: Path, python: str, folder: Path) -> None:
        self.bundle, self.python, self.folder = bundle.resolve(), python, folder
        self.source: list[str | Path] = ["--no-index", "--find-links", self.bundle / "wheelhouse"]
        self.source += ["--require-hashes"]
        self.source += ["-r", self.bundle / "requirements.txt"]
        self.steps: dict[str, list[Run]] = {}

    def pip(self) -> Run:
        """A virtual environment, and pip in it."""
        env = self.folder / "env"
        made = timed([self.python, "-m", "venv", env])
        filled = timed([env / "bin" / "python", "-m", "pip", "install", "-q", *self.source])
        return Run(made.seconds + filled.seconds, filled.peak_mb)

    def uv(self) -> Run:
        """uv's own virtual environment, filled by uv."""
        env, uv = self.folder / "env", uv_package.find_uv_bin()
        environment = {**os.environ, "UV_CACHE_DIR": str(self.folder / "cache"), "UV_OFFLINE": "1"}
        made = timed([uv, "venv", "-q", "--python", self.python, env], env=environment)
        into: list[str | Path] = ["--python", env / "bin" / "python"]
        filled = timed([uv, "pip", "install", "-q", *into, *self.source], env=environment)
        return Run(made.seconds + filled.seconds, filled.peak_mb)

    def wheelferry(self) -> Run:
        """The bundle's install.sh, with uv."""
        return self._install()

    def wheelferry_with_pip(self) -> Run:
        """The bundle's install.sh where uv cannot run."""
        return self._install("--installer", "pip")

    def upgrade(self) -> Run:
        """A second installation beside the first, of which everything is taken over."""
        self._install()
        return self._install(again=True)

    def _install(self, *options: str, again: bool = False) -> Run:
        prefix = self.folder / "prefix"
        command: list[str | Path] = [
            "sh",
            self.bundle / "install.sh",
            "--prefix",
            prefix,
            "--yes",
            "-q",
            "--verify",
            "none",
        ]
        command += ["--python", self.python, *options]
        if again:
            self._forget(prefix)
        run = timed(command)
        receipt = json.loads((prefix / "current" / "receipt.json").read_text("utf-8"))
        if not options and not again:
            for step, seconds in receipt["seconds"].items():
                self.steps.setdefault(step, []).append(Run(seconds, 0.0))
        return run

    @staticmethod
    def _forget(prefix: Path) -> None:
        """Let the installed environment look like another bundle's, so that it is taken over from."""
        path = prefix / "current" / "receipt.json"
        receipt = json.loads(path.read_text("utf-8"))
        receipt["bundle"]["digest"] = "another"
        path.write_text(json.dumps(receipt), "utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", default="python3")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=NAMES, help="repeatable; default: all")
    arguments = parser.parse_args()
    python = shutil.which(arguments.python) or arguments.python
    seen: dict[str, list[Run]] = {}
    steps: dict[str, list[Run]] = {}
    names = arguments.only or NAMES
    for _ in range(arguments.runs):
        for name in random.sample(names, len(names)):
            with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
                bench = Bench(arguments.bundle, python, Path(folder))
                bench.steps = steps if name == "wheelferry" else {}
                work: Callable[[], Run] = getattr(bench, name)
                seen.setdefault(name, []).append(work())
            subprocess.run(["sync"], check=True)
    size = sum(path.stat().st_size for path in (arguments.bundle / "wheelhouse").iterdir())
    count = len(list((arguments.bundle / "wheelhouse").iterdir()))
    title = f"offline install, {count} wheels, {size / 1e9:.2f} GB, median of {arguments.runs}"
    rows = {name.replace("_", " "): median(runs) for name, runs in seen.items()}
    table(title, {name: rows[name] for name in sorted(rows)}, min(rows))
    print("\n| wheelferry's steps | seconds |\n|---|---|")
    for step, runs in steps.items():
        print(f"| {step} | {median(runs).seconds:.1f} |")


if __name__ == "__main__":
    main()
