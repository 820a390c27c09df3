"""The machine's own compiler as the build uses it, and what becomes of the wheel it made for Windows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pefiles import ARM64, pe_file
from wheelferry.build.repair import _require_device_code, repack_for_target
from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError, MissingError
from wheelferry.models.cuda import Cuda
from wheelferry.models.manifest import DeviceCode
from wheelferry.models.targets import Target
from wheelferry.system.process import Completed
from wheelferry.toolchains import msvc, native
from wheelferry.toolchains.cuda_toolkit import Toolkit

TARGET = Target(python="3.11", platform="win_amd64", torch="2.13.0", backend="cpu")


def packing(command: Sequence[str | Path], **_: Any) -> Completed:
    """Stands in for ``wheel pack``."""
    (Path(command[-1]) / "tiny-1-cp311-cp311-win_amd64.whl").touch()
    return Completed(returncode=0, output="")


def toolchain(path: Path) -> msvc.Toolchain:
    toolset = msvc.Toolset(studio=Path("C:/VS"), title="VS", version="14.44.35207")
    return msvc.Toolchain(
        compiler=path,
        identity="cl",
        toolset=toolset,
        variables={"INCLUDE": "i"},
        nvcc_flags=("-Xcompiler", "/x"),
    )


def test_windows_uses_visual_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def find(run: object, *, torch: str, cuda: Cuda | None) -> msvc.Toolchain:
        asked.update(torch=torch, cuda=cuda)
        return toolchain(tmp_path / "cl.exe")

    monkeypatch.setattr(native, "ON_WINDOWS", True)
    monkeypatch.setattr(msvc, "find_toolchain", find)
    found = native.find_compiler(packing, torch="2.13.0", cuda=Cuda(version="13.0"))
    assert (found.path, found.identity) == (tmp_path / "cl.exe", "cl")
    assert asked == {"torch": "2.13.0", "cuda": Cuda(version="13.0")}
    variables = native.compile_environment(found, tmp_path, {}, {}, packing)
    assert variables["INCLUDE"] == "i"
    assert Path(variables["TMP"]).is_dir()
    assert native.workspace_room(138) == msvc.room(138)


def test_nvcc_finds_cl_on_path_and_the_toolkits_dlls(tmp_path: Path) -> None:
    compiler = native.Compiler(
        path=tmp_path / "cl.exe", identity="", toolchain=toolchain(tmp_path / "cl.exe")
    )
    toolkit = Toolkit(home=tmp_path / "cuda", identity="")
    variables = native.cuda_environment(compiler, toolkit, {"PATH": "before"})
    assert variables["NVCC_APPEND_FLAGS"] == "-Xcompiler /x"
    assert variables["NVCC_PREPEND_FLAGS"] == ""
    assert variables["PATH"].startswith(str(tmp_path / "cuda" / "bin"))
    assert str(tmp_path / "cuda" / "bin" / "x86_64") in variables["PATH"]
    assert variables["PATH"].endswith("before")


def test_nvcc_is_told_of_gcc_and_of_folders_that_must_not_show(tmp_path: Path) -> None:
    compiler = native.Compiler(path=Path("/usr/bin/g++-12"), identity="")
    toolkit = Toolkit(home=tmp_path, identity="")
    given = {"PATH": "before", "CXXFLAGS": "-O2 -ffile-prefix-map=/w/source=source -g0"}
    variables = native.cuda_environment(compiler, toolkit, given)
    assert variables["NVCC_APPEND_FLAGS"] == "-Xcompiler -ffile-prefix-map=/w/source=source"
    assert variables["NVCC_PREPEND_FLAGS"] == f"-ccbin {Path('/usr/bin/g++-12')}"


def test_linux_needs_a_compiler_that_nvcc_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    def gcc(command: Sequence[str | Path], **_: Any) -> Completed:
        text = "g++ 14.2.0\nCopyright (C) 2024 Free Software Foundation, Inc.\n"
        return Completed(returncode=0, output="14\n" if command[1] == "-dumpversion" else text)

    monkeypatch.setattr(native, "ON_WINDOWS", False)
    monkeypatch.setattr("wheelferry.toolchains.linux.find_compiler", lambda: Path("g++"))
    assert "g++ 14.2.0" in native.find_compiler(gcc, torch="2.13.0", cuda=None).identity
    assert "portable.c" in native.find_compiler(gcc, torch="2.13.0", cuda=None).identity
    with pytest.raises(MissingError, match="does not accept GCC 14"):
        native.find_compiler(gcc, torch="2.6.0", cuda=Cuda(version="12.4"))


# ---- the wheel ----


def test_a_module_for_windows_is_packed_as_it_is(tmp_path: Path, tools: Tools) -> None:
    module = tmp_path / "tree" / "tiny" / "_C.cp311-win_amd64.pyd"
    module.parent.mkdir(parents=True)
    module.write_bytes(pe_file())
    packer = replace(tools, run=packing)
    wheel = repack_for_target(tmp_path / "tree", tmp_path / "out", "tiny.whl", TARGET, packer, epoch=0)
    assert wheel.name == "tiny-1-cp311-cp311-win_amd64.whl"
    assert not (tmp_path / "tree").exists()


def test_a_module_for_another_processor_is_named(tmp_path: Path, tools: Tools) -> None:
    module = tmp_path / "tree" / "tiny" / "_C.cp311-win_amd64.pyd"
    module.parent.mkdir(parents=True)
    module.write_bytes(pe_file(machine=ARM64))
    packer = replace(tools, run=packing)
    with pytest.raises(BuildError, match=r"tiny\.whl: _C\.cp311-win_amd64\.pyd is for arm64, not for amd64"):
        repack_for_target(tmp_path / "tree", tmp_path / "out", "tiny.whl", TARGET, packer, epoch=0)


def test_a_module_for_another_system_is_named(tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "_C.pyd").write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(BuildError, match=r"_C\.pyd is not a module for Windows"):
        repack_for_target(tmp_path / "tree", tmp_path / "out", "tiny.whl", TARGET, tools, epoch=0)


def test_gpu_code_is_looked_for_in_windows_modules(tmp_path: Path) -> None:
    module = tmp_path / "tiny" / "_C.pyd"
    module.parent.mkdir(parents=True)
    module.write_bytes(pe_file())
    wanted = DeviceCode(modules=("tiny._C",), images=("sm_90",), kernels=())
    with pytest.raises(BuildError, match=r"tiny\._C has no CUDA code"):
        _require_device_code(tmp_path, wanted, TARGET, name="tiny.whl", log=tmp_path / "log")
