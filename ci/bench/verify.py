"""Verifying a bundle, beside pip and uv doing by hand what the levels do.

    python ci/bench/verify.py BUNDLE --python PROGRAM

For the bundle's only target, which must be one of this machine. Static: hashes and RECORD, beside
`zipfile -t` over the wheels. Install: the bundle's own installer with pip's dry run and the imports, and
`--installer pip`; beside a virtual environment that pip or uv fills offline, without any check.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from install import Bench
from measure import Run, table, timed


def levels(bundle: Path, report: Path, *options: str) -> dict[str, Run]:
    """The seconds of every level of a verification, by name, and of all of it."""
    command: list[str | Path] = [sys.executable, "-m", "wheelferry", "verify", bundle, "--report", report]
    whole = timed([*command, "-q", *options])
    document: dict[str, Any] = json.loads((report / "report.json").read_text("utf-8"))
    seconds = {"static": document["static"]["seconds"]}
    for target in document["targets"]:
        seconds |= {level["level"]: level["seconds"] for level in target["levels"]}
    return {**{name: Run(value, 0.0) for name, value in seconds.items()}, "all": whole}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", default=sys.executable, help="the target's")
    arguments = parser.parse_args()
    bundle = arguments.bundle.resolve()
    wheels = sorted((bundle / "wheelhouse").glob("*.whl"))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder = Path(name)
        own = levels(bundle, folder / "report", "--level", "train")
        plain = levels(bundle, folder / "pip report", "--level", "install", "--installer", "pip")
        tested = [timed([sys.executable, "-m", "zipfile", "-t", wheel]) for wheel in wheels]
        bench = Bench(bundle, arguments.python, folder)
        by_pip = bench.pip()
        subprocess.run(["rm", "-rf", folder / "env"], check=True)
        by_uv = bench.uv()
    unzipped = Run(sum(run.seconds for run in tested), max(run.peak_mb for run in tested))
    table("static", {"verify --level static": own["static"], "zipfile -t of every wheel": unzipped},
          "zipfile -t of every wheel")  # fmt: skip
    rows = {
        "install level: installer, pip's dry run, imports": own["install"],
        "install level with --installer pip": plain["install"],
        "python -m venv, pip install": by_pip,
        "uv venv, uv pip install": by_uv,
    }
    table("install", rows, "python -m venv, pip install")
    table("all levels", own, "all")


if __name__ == "__main__":
    main()
