"""Download one resolved closure: wheelferry's store, pip download, and uv (which also unpacks and links).

    python ci/bench/download.py [--torch 2.13.0] [--python 3.12] [--runs 3]

All three fetch the same files, from the same index, into empty folders with no cache; order rotates.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Run, median, table, timed

from wheelferry.cache.pip_config import read_pip_configuration
from wheelferry.cache.uv import Uv, find_uv
from wheelferry.models.lock import choose_files
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run

_OURS = """
import json, sys
from pathlib import Path
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.pip_config import read_pip_configuration
from wheelferry.system.process import run
from wheelferry.progress import Silent
from wheelferry.cache.store import Store
files = [Download(**item) for item in json.load(open(sys.argv[1]))]
download_all(files, Store(Path(sys.argv[2])), read_pip_configuration(run), Silent())
"""


def main() -> None:
    """Resolve once, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default="2.13.0")
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        work = Path(name)
        files = resolve(arguments.torch, arguments.python, work)
        results: dict[str, list[Run]] = {"wheelferry": [], "pip download": [], "uv pip install": []}
        for number in range(arguments.runs):
            order = list(results)
            for tool in order[number % 3 :] + order[: number % 3]:
                results[tool].append(measure(tool, arguments.python, work / f"{number}-{tool}"))
                subprocess.run(["rm", "-rf", work / f"{number}-{tool}"], check=True)
        title = f"download of {len(files)} files for torch {arguments.torch}, median of {arguments.runs}"
        table(title, {tool: median(runs) for tool, runs in results.items()}, "pip download")


def resolve(torch: str, python: str, work: Path) -> list[dict[str, str | None]]:
    """The files of torch's closure with URL and hash."""
    index = read_pip_configuration(run)
    uv = Uv(program=find_uv(), run=run, index=index)
    target = Target(python=python, platform="manylinux_2_28_x86_64", torch=torch, backend="cpu")
    text = uv.resolve(
        target,
        requirements=[f"torch=={torch}"],
        constraints=[],
        find_links=None,
        interpreter=find_interpreter(python, run),
        work=work / "resolve",
    )
    files: list[dict[str, str | None]] = [
        {"url": choice.url, "filename": choice.filename, "sha256": choice.sha256}
        for choice in choose_files(text, target, base=work)
    ]
    (work / "files.json").write_text(json.dumps(files), "utf-8")
    lines = [f"{file['url']} --hash=sha256:{file['sha256']}\n" for file in files]
    (work / "urls.txt").write_text("".join(lines), "utf-8")
    return files


def measure(tool: str, python: str, out: Path) -> Run:
    """One cold run of one tool."""
    urls = out.parent / "urls.txt"
    out.mkdir()
    if tool == "wheelferry":
        return timed([sys.executable, "-c", _OURS, out.parent / "files.json", out])
    if tool == "pip download":
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir"]
        target = ["--python-version", python, "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:"]
        older = [part for n in range(5, 28) for part in ("--platform", f"manylinux_2_{n}_x86_64")]
        legacy = ["--platform", "manylinux2014_x86_64", "--platform", "manylinux1_x86_64"]
        return timed([*command, *target, *older, *legacy, "-d", out, "-r", urls])
    environment = {**os.environ, "UV_CACHE_DIR": str(out / "cache")}
    uv = find_uv()
    interpreter = find_interpreter(python, run).path
    subprocess.run([uv, "venv", "-q", "-p", interpreter, out / "env"], check=True, env=environment)
    return timed([uv, "pip", "install", "-q", "-p", out / "env", "--no-deps", "-r", urls], env=environment)


if __name__ == "__main__":
    main()
