"""A yard whose project can be had for several torch releases: `matrix --prove` on nothing but small files."""

import json
import os
from pathlib import Path

from clients import PYTHON
from conftest import write_wheel
from wheelferry.cache.transient import LARGE
from yard import Yard

TORCHES = ("2.11.0", "2.12.0", "2.12.1", "2.13.0")
JOB = ["matrix", "./tiny.toml", "--prove", "--python", PYTHON, "--level", "static"]


class ProvingYard(Yard):
    """A project without compiled modules, for four torch releases of which each counts as large."""

    def __init__(self, folder: Path, *, backend: str = "") -> None:
        super().__init__(folder, backend=backend)
        recipe = self.folder / "tiny.toml"
        text = recipe.read_text("utf-8")
        build = next(line for line in text.splitlines() if line.startswith("build = "))
        row = text[text.index("[[torch]]") : text.index("[releases")]
        rows = "".join(row.replace("2.13.0", torch) for torch in TORCHES)
        recipe.write_text(text.replace(build, "build = { python_only = true }").replace(row, rows), "utf-8")
        tag = f"cp{PYTHON.replace('.', '')}-cp{PYTHON.replace('.', '')}-manylinux_2_17_x86_64"
        for torch in TORCHES:
            files = {"torch/version.py": b"cuda = None\n", "torch/ballast": os.urandom(LARGE + 1)}
            write_wheel(self.index, "torch", torch, tag=tag, files=files)

    def records(self) -> list[str]:
        """The torch of every cell that is recorded; the file is whole, or not there."""
        file = self.folder / "tiny" / "records.json"
        found = json.loads(file.read_text("utf-8"))["records"] if file.exists() else []
        assert all(record["levels"] == ["static"] for record in found), found
        return [record["target"]["torch"] for record in found]

    def large(self, cache: Path | None = None) -> list[Path]:
        """Large files in a cache, whatever for."""
        files = (path for path in (cache or self.cache).rglob("*") if path.is_file())
        return [path for path in files if path.stat().st_size > LARGE]
