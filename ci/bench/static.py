"""Reading a whole bundle: its manifest's hashes, and static verification, beside what hashes or unzips alone.

    python ci/bench/static.py BUNDLE [--runs 3]

The manifest check is what merge and index begin with; sha256sum and pip hash read the same wheels, one after
another. `zipfile -t` unpacks every wheel for its CRC-32, static verification for the hashes in RECORD as
well. All is read once before, so that no row waits for the disk.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import Run, median, table, timed

_MANIFEST_CHECK = """
import sys
from pathlib import Path
from wheelferry.cli.session import open_tools
from wheelferry.transfer.sources import open_intact
open_intact(Path(sys.argv[1]), open_tools(quiet=True))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    wheels = sorted((arguments.bundle / "wheelhouse").glob("*.whl"))
    size = sum(path.stat().st_size for path in wheels)
    python: list[str | Path] = [sys.executable]
    commands: dict[str, list[Sequence[str | Path]]] = {
        "sha256sum": [["sha256sum", *wheels]],
        "pip hash": [[*python, "-m", "pip", "hash", *wheels]],
        "manifest check": [[*python, "-c", _MANIFEST_CHECK, arguments.bundle]],
        "python -m zipfile -t": [[*python, "-m", "zipfile", "-t", wheel] for wheel in wheels],
        "verify --level static": [
            [*python, "-m", "wheelferry", "verify", arguments.bundle, "--level", "static", "-q"]
        ],
    }
    timed(["sha256sum", *wheels])
    seen: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(arguments.runs):
        for name, steps in commands.items():
            runs = [timed(step) for step in steps]
            seen[name].append(Run(sum(run.seconds for run in runs), max(run.peak_mb for run in runs)))
    title = f"{len(wheels)} wheels, {size / 1e9:.2f} GB, median of {arguments.runs}"
    table(title, {name: median(runs) for name, runs in seen.items()}, "sha256sum")


if __name__ == "__main__":
    main()
