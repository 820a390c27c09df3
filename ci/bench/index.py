"""An index over a bundle, beside the tools that make one of a folder of wheels; and clients that read it.

    pip install dumb-pypi pip2pi; python ci/bench/index.py BUNDLE [--runs 3]

dumb-pypi is told the hashes, pip2pi's dir2pi states none; a tool that is not installed has no row.
Clients resolve the bundle's pins without installing (`--dry-run`), with empty caches, from Python's
web server: by the index, and by a page of links to the same wheels (`--find-links`). The bundle must have one
target, for this Python.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import uv as uv_package
from measure import Run, median, table, timed

from wheelferry.system.files import link_or_copy


def wheelferry(bundle: Path, folder: Path) -> Run:
    """Every file hashed, metadata beside the wheels, wheels linked."""
    return timed([sys.executable, "-m", "wheelferry", "index", bundle, "--out", folder / "ours", "-q"])


def dumb_pypi(bundle: Path, folder: Path) -> Run:
    """A list with hashes, written by sha256sum; then the pages, without metadata beside the wheels."""
    wheels = sorted((bundle / "wheelhouse").glob("*.whl"))
    started = time.perf_counter()
    listed = subprocess.run(["sha256sum", *wheels], capture_output=True, text=True, check=True)
    pairs = [line.split("  ", 1) for line in listed.stdout.splitlines()]
    lines = [json.dumps({"filename": Path(name).name, "hash": f"sha256={sha}"}) for sha, name in pairs]
    (folder / "list").write_text("\n".join(lines) + "\n", "utf-8")
    hashed = time.perf_counter() - started
    command: list[str | Path] = ["dumb-pypi", "--package-list-json", folder / "list"]
    written = timed([*command, "--packages-url", "../../wheelhouse/", "--output-dir", folder / "dumb"])
    return Run(hashed + written.seconds, written.peak_mb)


def pip2pi(bundle: Path, folder: Path) -> Run:
    """A folder of links to the wheels; dir2pi makes the pages in it, and copies or links them again."""
    wheels = folder / "pip2pi"
    wheels.mkdir()
    for wheel in (bundle / "wheelhouse").glob("*.whl"):
        link_or_copy(wheel, wheels / wheel.name)
    return timed(["dir2pi", wheels])


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `folder` on Python's web server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    command += ["--directory", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def clients(bundle: Path, folder: Path) -> Mapping[str, Run]:
    """Each client by the index and by links, every time with an empty cache."""
    # without hashes: with them pip does not resolve by metadata, because it must have the wheels anyway
    requirements = folder / "pins.txt"
    lines = (bundle / "requirements.txt").read_text("utf-8").splitlines()
    requirements.write_text("\n".join(line.rstrip(" \\") for line in lines if "==" in line) + "\n", "utf-8")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed"]
    pip += ["--no-cache-dir", "--disable-pip-version-check", "-r", requirements]
    uv: list[str | Path] = [uv_package.find_uv_bin(), "pip", "install", "-q", "--dry-run", "--no-cache"]
    uv += ["--target", folder / "none", "--python", sys.executable, "-r", requirements]
    seen = {}
    for name, command in (("pip", pip), ("uv", uv)):
        with served(folder / "ours") as address:
            source = ["--index-url", f"{address}/simple/"]
            seen[f"{name} --index-url"] = timed([*command, *source], env=environment)
        with served(bundle) as address:
            source = ["--no-index", "--find-links", f"{address}/wheelhouse/"]
            seen[f"{name} --find-links"] = timed([*command, *source], env=environment)
    return seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    bundle = arguments.bundle.resolve()
    makers = {"wheelferry index": wheelferry}
    makers |= {"dumb-pypi, after sha256sum": dumb_pypi} if shutil.which("dumb-pypi") else {}
    makers |= {"pip2pi (dir2pi)": pip2pi} if shutil.which("dir2pi") else {}
    made: dict[str, list[Run]] = {}
    used: dict[str, list[Run]] = {}
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
            for title, make in makers.items():
                made.setdefault(title, []).append(make(bundle, Path(name)))
            for title, run in clients(bundle, Path(name)).items():
                used.setdefault(title, []).append(run)
    size = sum(path.stat().st_size for path in (bundle / "wheelhouse").iterdir())
    title = f"index over {size / 1e9:.2f} GB, median of {arguments.runs}"
    table(title, {name: median(runs) for name, runs in made.items()}, "wheelferry index")
    table("one client resolves", {name: median(runs) for name, runs in used.items()}, "pip --index-url")


if __name__ == "__main__":
    main()
