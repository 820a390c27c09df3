"""What setup.py asks torch before it builds, answered without torch; and a refusal to compile with it."""

import os
import subprocess
import sys
from pathlib import Path

from wheelferry.stand_in import place_stand_in, stand_in_identity

SETUP = """
import torch
from setuptools import setup
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension

assert [int(x) for x in torch.__version__.split(".")[:2]] == [2, 13]
assert CUDA_HOME is None and not torch.cuda.is_available() and torch.version.cuda is None
setup(name="thing", ext_modules={extensions}, cmdclass={{"build_ext": {command}}})
"""


def build(folder: Path, *, extensions: str = "[]", command: str = "BuildExtension") -> tuple[int, str]:
    folder.mkdir()
    path = place_stand_in(folder / "stand-in", "2.13.0")
    (folder / "setup.py").write_text(SETUP.format(extensions=extensions, command=command), "utf-8")
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--build-temp", "t", "--build-lib", "l"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_project_without_extensions_is_built(tmp_path: Path) -> None:
    assert build(tmp_path / "plain")[0] == 0
    assert build(tmp_path / "options", command="BuildExtension.with_options(use_ninja=False)")[0] == 0


def test_an_extension_is_refused(tmp_path: Path) -> None:
    for number, extension in enumerate(
        (
            'CppExtension("thing._C", ["thing.cpp"])',
            'CUDAExtension("thing._C", ["thing.cpp"])',
            '__import__("setuptools").Extension("thing._C", ["thing.cpp"])',
        )
    ):
        status, said = build(tmp_path / str(number), extensions=f"[{extension}]")
        assert status != 0
        assert "setup.py still has extensions" in said


def test_the_identity_is_that_of_its_files() -> None:
    assert stand_in_identity() == stand_in_identity()
    assert stand_in_identity().startswith("torch stand-in ")
