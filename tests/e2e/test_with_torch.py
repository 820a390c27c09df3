"""An sdist that needs torch to be built: compiled for a bundle, and imported from it."""

import io
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ferry import Ferry
from wheelferry.binaries.elf import read_elf
from wheelferry.wheels.read import read_wheel

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TORCH = "2.13.0"
NAME = "wheelferry_test_hull"
FILES = {
    "setup.py": f"""
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

module = CppExtension("{NAME}._C", ["{NAME}/twice.cpp"])
setup(name="{NAME}", version="1.0", packages=["{NAME}"], ext_modules=[module],
      cmdclass={{"build_ext": BuildExtension}})
""",
    f"{NAME}/__init__.py": "import torch\nfrom ._C import twice\nassert twice(torch.ones(1)).item() == 2\n",
    f"{NAME}/twice.cpp": """
#include <torch/extension.h>
torch::Tensor twice(torch::Tensor x) { return x * 2; }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("twice", &twice); }
""",
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sdist, beside the user's index."""
    folder = tmp_path / "links"
    folder.mkdir()
    with tarfile.open(folder / f"{NAME}-1.0.tar.gz", "w:gz") as archive:
        for name, text in FILES.items():
            info = tarfile.TarInfo(f"{NAME}-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_FIND_LINKS", f"{os.environ.get('PIP_FIND_LINKS', '')} {folder.as_uri()}")
    return folder


def test_it_is_compiled_with_the_torch_that_ships(index: Path, ferry: Ferry, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    options = ["--python", PYTHON, "--torch", TORCH, "--without-ops", "--with", NAME, "--level", "install"]
    said = json.loads(ferry("bundle", "sample@1.0", *options, "--out", out, "--json"))
    assert said["report"]["passed"]
    (wheel,) = (out / "wheelhouse").glob(f"{NAME}-*.whl")
    tag = f"cp{PYTHON.replace('.', '')}"
    assert wheel.name.startswith(f"{NAME}-1.0+pt{TORCH}-{tag}-{tag}-manylinux_2_")
    info = read_wheel(wheel)
    assert [str(requirement) for requirement in info.requires] == [f"torch=={TORCH}"]
    with zipfile.ZipFile(wheel) as archive:
        (module,) = (name for name in archive.namelist() if name.endswith(".so"))
        facts = read_elf(io.BytesIO(archive.read(module)))
    assert facts.search_paths == ()


def test_for_windows_it_is_refused_in_time(index: Path, ferry: Ferry, tmp_path: Path) -> None:
    options = ["--python", PYTHON, "--torch", TORCH, "--platform", "win_amd64", "--with", NAME]
    said = ferry("lock", "sample@1.0", *options, "--out", tmp_path / "lock", status=2)
    assert "its build needs torch, and so a machine whose own platform is win_amd64" in said
    assert "--wheel FILE" in said
    assert "  compile " not in said
