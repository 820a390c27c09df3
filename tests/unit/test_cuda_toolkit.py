"""CUDA toolkits: which are accepted, and what is said of the others. Outputs are those of the real tools."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wheelferry.errors import MissingError
from wheelferry.models.cuda import Cuda
from wheelferry.progress import Silent
from wheelferry.system.process import Completed
from wheelferry.toolchains.cuda_toolkit import assembled_toolkit, given_toolkit, require_host_compiler

NVCC = """nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2022 NVIDIA Corporation
Built on Wed_Sep_21_10:33:58_PDT_2022
Cuda compilation tools, release {release}, V{release}.89
Build cuda_{release}.r{release}/compiler.31833905_0
"""
GCC = """g++ (Debian 12.2.0-14+deb12u1) 12.2.0
Copyright (C) 2022 Free Software Foundation, Inc.
"""
CLANG = "Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu\n"


class Heard(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Machine:
    """Answers as programs of that machine would."""

    def __init__(self, *, nvcc: str = "", compiler: str = GCC, number: str = "12") -> None:
        self.nvcc, self.compiler, self.number = nvcc, compiler, number

    def __call__(self, command: Sequence[str | Path], **options: Any) -> Completed:
        program, argument = Path(command[0]).stem, command[1]
        if program == "nvcc":
            if not self.nvcc:
                raise MissingError("program not found", hint=options["hint"])
            return Completed(returncode=0, output=NVCC.format(release=self.nvcc))
        return Completed(
            returncode=0, output=self.compiler if argument == "--version" else f"{self.number}\n"
        )


def test_no_toolkit_says_what_would_do() -> None:
    with pytest.raises(MissingError, match=r"CUDA 12\.6 is needed .* only from CUDA 13") as caught:
        given_toolkit(Cuda(version="12.6"), None, Machine(), Silent())
    assert "--cuda-home" in (caught.value.hint or "")


def test_a_folder_that_is_no_toolkit() -> None:
    with pytest.raises(MissingError) as caught:
        given_toolkit(Cuda(version="12.6"), Path("/opt/x"), Machine(), Silent())
    assert f"{Path('/opt/x')} must be a CUDA toolkit" in (caught.value.hint or "")


def test_another_major_version_is_refused_with_those_that_fit() -> None:
    with pytest.raises(MissingError, match=r"is CUDA 11\.8, the target needs CUDA 12\.6") as caught:
        given_toolkit(Cuda(version="12.6"), Path("/opt/cuda"), Machine(nvcc="11.8"), Silent())
    assert "any CUDA 12 toolkit fits, 12.6 best" in (caught.value.hint or "")


@pytest.mark.parametrize(("release", "warned"), [("12.6", False), ("12.4", True)])
def test_another_minor_version_is_a_warning(release: str, warned: bool) -> None:
    heard = Heard()
    toolkit = given_toolkit(Cuda(version="12.6"), Path("/opt/cuda"), Machine(nvcc=release), heard)
    assert toolkit.home == Path("/opt/cuda")
    assert release in toolkit.identity
    assert bool(heard.warnings) == warned


@pytest.mark.parametrize(
    ("version", "machine", "refused"),
    [
        ("13.0", Machine(), False),
        ("11.7", Machine(), True),
        ("11.7", Machine(number="11"), False),
        ("11.7", Machine(compiler=CLANG), False),
    ],
)
def test_the_host_compiler_must_suit_nvcc(version: str, machine: Machine, refused: bool) -> None:
    if not refused:
        require_host_compiler(Cuda(version=version), Path("g++"), machine)
        return
    with pytest.raises(MissingError, match=r"CUDA 11\.7 does not accept GCC 12") as caught:
        require_host_compiler(Cuda(version=version), Path("g++"), machine)
    assert "g++-11" in (caught.value.hint or "")


def test_the_wheels_for_windows_are_a_toolkit_as_they_lie(tmp_path: Path) -> None:
    """Their layout is that of nvidia-cuda-nvcc and nvidia-cuda-runtime 13.0 for win_amd64."""
    home = tmp_path / "env/Lib/site-packages/nvidia/cu13"
    for name in ("bin/nvcc.exe", "bin/x86_64/cudart64_13.dll", "include/cuda.h", "lib/x64/cudart.lib"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    toolkit = assembled_toolkit(Cuda(version="13.0"), tmp_path / "env", tmp_path / "cuda")
    assert toolkit.home == home
    assert not (tmp_path / "cuda").exists()


@pytest.mark.skipif(os.name == "nt", reason="on Windows no links are needed, nor always allowed")
def test_a_toolkit_is_assembled_from_wheels(tmp_path: Path) -> None:
    wheels = tmp_path / "env/lib/python3.12/site-packages/nvidia/cu13"
    for name in (
        "bin/nvcc",
        "include/cuda.h",
        "nvvm/bin/cicc",
        "lib/libcudart.so.13",
        "lib/libcudart_static.a",
    ):
        (wheels / name).parent.mkdir(parents=True, exist_ok=True)
        (wheels / name).write_text(name)
    toolkit = assembled_toolkit(Cuda(version="13.0"), tmp_path / "env", tmp_path / "cuda")
    for name, behind in (
        ("bin/nvcc", "bin/nvcc"),
        ("include/cuda.h", "include/cuda.h"),
        ("lib64/libcudart.so", "lib/libcudart.so.13"),
        ("lib64/libcudart_static.a", "lib/libcudart_static.a"),
    ):
        assert (toolkit.home / name).read_text() == behind


def test_wheels_without_a_compiler(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="have no nvcc"):
        assembled_toolkit(Cuda(version="13.0"), tmp_path / "env", tmp_path / "cuda")
