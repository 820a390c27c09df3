"""A project, an index and a recipe of nothing but small files: the whole job runs on them in a few seconds.

The project builds itself, without compiler and setuptools, and the index is a folder.
"""

import os
import subprocess
import sys
from pathlib import Path

from clients import PYTHON, make_kit
from conftest import RECIPE, write_wheel
from wheelferry.cache.store import Store
from wheelferry.system.files import tree_hash

_BACKEND = """
import base64, hashlib, zipfile

def _entry(name, data):
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\\n"

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(directory, config_settings=None, metadata_directory=None):
    info = "tiny-1.0.dist-info"
    metadata = ["Metadata-Version: 2.1", "Name: tiny", "Version: 1.0", "Requires-Dist: leaf>=1", "", ""]
    wheel = ["Wheel-Version: 1.0", "Generator: yard", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
    files = {
        "tiny/__init__.py": b"",
        f"{info}/METADATA": "\\n".join(metadata).encode(),
        f"{info}/WHEEL": "\\n".join(wheel).encode(),
    }
    record = "".join(_entry(name, data) for name, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\\n").encode()
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return name
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


class Yard:
    """The place, and the program run in it with a cache of its own and the folder as its only index."""

    def __init__(self, folder: Path, *, backend: str = "", checks: str = "") -> None:
        """What `backend` adds to the project's build backend takes the place of what has the same name.

        `checks` are those of the smoke suite.
        """
        self.folder, self._backend, self._checks = folder, _BACKEND + backend, checks
        self.index, self.cache = folder / "index", folder / "cache"
        (folder / "no-index").mkdir(parents=True)
        self._make_project()
        self._make_index()

    def _make_project(self) -> None:
        project = self.folder / "tiny" / "project"
        project.mkdir(parents=True)
        (project / "backend.py").write_text(self._backend, "utf-8")
        (project / "pyproject.toml").write_text(_PROJECT, "utf-8")
        smoke = self.folder / "tiny" / "smoke"
        smoke.mkdir()
        (smoke / "check_tiny.py").write_text(f"from harness import check\n{self._checks}", "utf-8")
        recipe = RECIPE.replace("0" * 64, tree_hash(project))
        recipe = recipe.replace('features = ["ops"]', 'features = ["ops"]\nops = "optional"')
        (self.folder / "tiny.toml").write_text(recipe, "utf-8")

    def _make_index(self) -> None:
        ballast = {f"{name}/ballast": os.urandom(300_000) for name in ("torch", "leaf", "twig")}
        number = PYTHON.replace(".", "")
        torch = {"torch/version.py": b"cuda = None\n", "torch/ballast": ballast["torch/ballast"]}
        tag = f"cp{number}-cp{number}-manylinux_2_17_x86_64"
        write_wheel(self.index, "torch", "2.13.0", tag=tag, files=torch)
        write_wheel(self.index, "twig", "2.1", files={"twig/ballast": ballast["twig/ballast"]})
        leaf = {"leaf/ballast": ballast["leaf/ballast"]}
        write_wheel(self.index, "leaf", "1.5", requires=["twig<3"], files=leaf)
        for name in ("setuptools", "wheel"):
            write_wheel(self.index, name, "80.0")
        store = Store(self.folder / "kit-store")
        kit = make_kit(self.folder / "kit", store)
        for wheel in (kit.uv, kit.pip):
            store.place(wheel.sha256, self.index / wheel.filename)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        # a URL, because pip splits at spaces
        own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.index.as_uri(), "PIP_CONFIG_FILE": os.devnull}
        return {**kept, **own, "WHEELFERRY_CACHE": str(self.cache), "UV_NO_CONFIG": "1", "NO_COLOR": "1"}

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "wheelferry", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str | Path) -> str:
        process = self.start(*arguments)
        said = process.communicate()[0]
        assert process.returncode == 0, said
        return said
