"""CUDA sources for Windows on Linux: that both compilers mean the same kernels, and how zig is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wheelferry.errors import BuildError, MissingError
from wheelferry.system.process import Completed
from wheelferry.toolchains.cuda_windows import (
    CudaForWindows,
    clang_options,
    has_long,
    mangled_parts,
    require_same_kernels,
    runtime_dll,
    runtime_names,
    started_kernels,
)
from wheelferry.toolchains.modules import Compilation, Headers, Module
from wheelferry.toolchains.nvcc import Nvcc, image_options

# As clang 22 writes them into an object file for Windows, and nvcc 13.0 into its own list.
STUBS = {
    "_Z27__device_stub__scale_kernelIdEvxPKT_PS0_6Params": "_Z12scale_kernelIdEvxPKT_PS0_6Params",
    "_ZN10detectron237__device_stub__RoIAlignRotatedForwardIfEEviPKT_S1_iiiiiiS3_PS1_": (
        "_ZN10detectron222RoIAlignRotatedForwardIfEEviPKT_S1_iiiiiiS3_PS1_"
    ),
    "_ZN1a2b1107__device_stub__" + "k" * 92 + "Ev": "_ZN1a2b192" + "k" * 92 + "Ev",
    "__device_stub__plain": "plain",
}
SCALE = "_Z12scale_kernelIdEvxPKT_PS0_6Params"


def an_object(*names: str) -> bytes:
    """The names in an object file's table of strings."""
    return b"\0\0" + b"\0".join(name.encode() for name in names) + b"\0"


@pytest.mark.parametrize(("stub", "kernel"), STUBS.items())
def test_what_clang_starts_is_called_as_nvcc_calls_it(stub: str, kernel: str) -> None:
    assert started_kernels(an_object("main", stub, ".text$" + stub, "cudaLaunchKernel")) == {kernel}


@pytest.mark.parametrize("name", [*STUBS, *STUBS.values(), "_ZN1aIXadL_Z1fvEEE1kEv", "_Z"])
def test_a_name_is_taken_apart_without_loss(name: str) -> None:
    assert "".join(mangled_parts(name)) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_Z1kl", True),
        ("_Z1kPm", True),
        ("_Z1kIlEvT_", True),
        ("_Z1kxPy", False),
        (SCALE, False),
        ("_Z5llmmmiS_", False),
        ("_Z1kILl4EEvi", False),
        ("_Z1kIZ4mainEUlvE_EvT_", False),
        ("_Z1kDhSt4pairIiiE", False),
        ("llama", False),
    ],
)
def test_long_is_found_among_the_types_alone(name: str, expected: bool) -> None:
    assert has_long(name) is expected


def test_both_must_mean_the_same_kernels(tmp_path: Path) -> None:
    compiled, source = tmp_path / "k.o", Path("k.cu")
    compiled.write_bytes(an_object("_Z27__device_stub__scale_kernelIdEvxPKT_PS0_6Params"))
    require_same_kernels(source, compiled, {SCALE, "_Z5otherv"})
    with pytest.raises(
        BuildError, match=r"k\.cu: for Windows _Z12scale_kernelIdEvxPKT_PS0_6Params is started"
    ):
        require_same_kernels(source, compiled, {SCALE.replace("vxP", "vlP")})
    compiled.write_bytes(an_object("_Z16__device_stub__kl"))
    with pytest.raises(BuildError, match=r"k\.cu: _Z1kl has an argument of type long"):
        require_same_kernels(source, compiled, {"_Z1kl"})


def test_the_runtime_is_that_of_the_toolkit(tmp_path: Path) -> None:
    nvcc = Nvcc(home=tmp_path, host_compiler=Path("g++"), images=())
    with pytest.raises(MissingError, match=r"cuda_runtime_api\.h does not say"):
        runtime_dll(nvcc)
    (tmp_path / "include").mkdir()
    header = tmp_path / "include" / "cuda_runtime_api.h"
    header.write_text("#define CUDART_VERSION  13010\n", "utf-8")
    assert runtime_dll(nvcc) == "cudart64_13"
    one = tmp_path / "one.o"
    one.write_bytes(
        an_object("__cudaRegisterFunction", "__imp_cudaGetDevice", "cudaLaunchKernel", "xcudaFoo")
    )
    assert runtime_names([one]) == ["__cudaRegisterFunction", "cudaGetDevice", "cudaLaunchKernel"]


class Started:
    """Notes the commands and answers as zig does."""

    def __init__(self, answer: str = "") -> None:
        self.answer, self.commands, self.environments = answer, [], []  # type: ignore[var-annotated]

    def __call__(self, command: Sequence[str | Path], **options: Any) -> Completed:
        self.commands.append([str(word) for word in command])
        self.environments.append(options.get("env") or {})
        return Completed(returncode=0, output=self.answer.replace("SOURCE", self.commands[-1][-3]))


def test_zig_is_asked_what_it_tells_clang(tmp_path: Path) -> None:
    answer = "/z/zig clang SOURCE -target x -MD -MF /c/a.d -isystem '/a b' -DX=1 -c -o /c/a.obj\n"
    run = Started(answer)
    found = clang_options(Path("/z/c++"), ["-O3"], Compilation(folder=tmp_path, run=run))
    assert found == ["-target", "x", "-isystem", "/a b", "-DX=1"]
    assert run.commands[0][:2] == ["/z/c++", "-O3"]
    assert run.environments[0]["ZIG_VERBOSE_CC"] == "1"
    with pytest.raises(BuildError, match="zig does not say how it calls clang: 'no'"):
        clang_options(Path("/z/c++"), [], Compilation(folder=tmp_path, run=Started("no\n")))


def test_a_source_is_compiled_for_gpus_first_and_then_for_the_cpu(tmp_path: Path) -> None:
    sources = [tmp_path / "a.cpp", tmp_path / "k.cu"]
    module = Module(name="_C", sources=sources, root=tmp_path, cuda_flags=["-DFLAG", "--use_fast_math"])
    nvcc = Nvcc(home=Path("/cuda"), host_compiler=Path("/usr/bin/g++"), images=image_options(["9.0"]))
    run = Started()
    compilation = Compilation(folder=tmp_path / "objects", run=run)
    cuda = CudaForWindows(nvcc, ["/z/zig", "clang"], module, Headers(torch=Path("/t")), compilation)
    command = [str(word) for word in cuda.command(sources[1])]
    (for_gpus,) = run.commands
    image = str(tmp_path / "objects" / "gpu-1" / "k.fatbin")
    assert for_gpus[-2:] == ["-o", image]
    assert {"-fatbin", "-gencode=arch=compute_90,code=sm_90", "-DFLAG", "--use_fast_math"} <= set(for_gpus)
    assert command[:2] == ["/z/zig", "clang"]
    assert command[command.index("-fcuda-include-gpubinary") + 2] == image
    assert "-DFLAG" in command
    assert "--use_fast_math" not in command
    (tmp_path / "objects" / "gpu-1" / "k.cudafe1.stub.c").write_text(
        "static void f(){__cudaRegisterEntry(__T1, ((void ( *)(int))k<float> ), _Z1kIfEvi, (-1));"
        "__cudaRegisterEntry(__T1, ((void ( *)(int))k<int> ), _Z1kIiEvi, (-1));}\n",
        "utf-8",
    )
    assert cuda.kernels(sources[1]) == {"_Z1kIfEvi", "_Z1kIiEvi"}
