"""What travels: delta and apply, split and join, beside what one would use for it otherwise.

    python ci/bench/shipping.py OLD NEW [--size 600MB] [--runs 3]

OLD and NEW are bundles. `rsync --checksum` brings a copy of OLD up to NEW, which needs both on one machine;
`tar` with `split`, and `cat` with `tar`, hash nothing. Each result of ours is compared with NEW.
"""

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Run, median, table, timed


class Bench:
    """Two bundles, and a folder for what is made of them."""

    def __init__(self, old: Path, new: Path, size: str, folder: Path) -> None:
        self.old, self.new, self.size, self.folder = old.resolve(), new.resolve(), size, folder
        self.delta, self.volumes, self.pieces = folder / "delta", folder / "volumes", folder / "pieces"

    def shell(self, script: str) -> Run:
        """A pipeline of the system's own programs."""
        return timed(["bash", "-euo", "pipefail", "-c", script], cwd=self.folder)

    def ferry(self, *arguments: str | Path) -> Run:
        """A command of wheelferry."""
        return timed([sys.executable, "-m", "wheelferry", *arguments])

    def make_delta(self) -> Run:
        """The delta of NEW against OLD."""
        return self.ferry("delta", self.old, self.new, "--out", fresh(self.delta))

    def apply(self) -> Run:
        """NEW, of OLD and the delta."""
        out = fresh(self.folder / "applied")
        run = self.ferry("apply", self.delta, self.old, "--out", out)
        require_same(out, self.new)
        return run

    def rsync(self) -> Run:
        """NEW, of a copy of OLD, by rsync's own comparison."""
        copy = fresh(self.folder / "copy")
        shutil.copytree(self.old, copy)
        run = timed(["rsync", "-a", "--checksum", "--delete", f"{self.new}/", f"{copy}/"])
        require_same(copy, self.new)
        return run

    def split(self) -> Run:
        """Volumes of NEW."""
        return self.ferry("split", self.new, "--size", self.size, "--out", fresh(self.volumes))

    def join(self) -> Run:
        """NEW, of its volumes."""
        out = fresh(self.folder / "joined")
        run = self.ferry("join", self.volumes, "--out", out)
        require_same(out, self.new)
        return run

    def tar_split(self) -> Run:
        """The same by tar and split."""
        fresh(self.pieces).mkdir()
        return self.shell(
            f"tar -cf - -C '{self.new}' . | split -b {self.size} - pieces/part.; sync -f pieces"
        )

    def cat_tar(self) -> Run:
        """And back, by cat and tar."""
        fresh(self.folder / "untarred").mkdir()
        return self.shell("cat pieces/part.* | tar -xf - -C untarred; sync -f untarred")


def fresh(path: Path) -> Path:
    """`path`, where nothing is."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def require_same(one: Path, other: Path) -> None:
    """Exit unless both folders have the same files of the same bytes."""
    files = [{p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (one, other)]
    if files[0] != files[1] or filecmp.cmpfiles(one, other, map(str, files[0]), shallow=False)[1:] != (
        [],
        [],
    ):
        raise SystemExit(f"{one} is not {other}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--size", default="600MB")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        bench = Bench(arguments.old, arguments.new, arguments.size, Path(name))
        updates: dict[str, Callable[[], Run]] = {
            "rsync --checksum": bench.rsync, "delta": bench.make_delta, "apply": bench.apply
        }  # fmt: skip
        volumes: dict[str, Callable[[], Run]] = {
            "tar | split": bench.tar_split, "split": bench.split,
            "cat | tar": bench.cat_tar, "join": bench.join,
        }  # fmt: skip
        for title, rows in (("an update", updates), (f"volumes of {arguments.size}", volumes)):
            seen: dict[str, list[Run]] = {what: [] for what in rows}
            for _ in range(arguments.runs):
                for what, work in rows.items():
                    seen[what].append(work())
            table(title, {what: median(runs) for what, runs in seen.items()}, next(iter(rows)))


if __name__ == "__main__":
    main()
