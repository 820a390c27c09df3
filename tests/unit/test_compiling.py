"""The process that setup.py starts to compile an extension: its settings, its request, its exit status."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from conftest import EMPTY_ELF
from wheelferry.errors import BuildError
from wheelferry.toolchains import facade, gcc, mingw, nvcc, zig
from wheelferry.toolchains.compiling import ByZig, ForLinux, ForWindows, Settings, main, write_settings
from wheelferry.toolchains.modules import Compilation, Headers, Module

MINGW = mingw.Toolchain(
    compiler=Path("/usr/bin/g++"), dlltool=Path("/usr/bin/dlltool"), nm=Path("/usr/bin/nm"), version="12"
)
WINDOWS = ForWindows(toolchain=MINGW, python=(3, 11), import_library=Path("torch_cpu.lib"))
ZIG = ByZig(
    toolchain=zig.Toolchain(
        triple="x86_64-linux-gnu.2.28",
        compiler=Path("/z/c++"),
        program=Path("/z/zig"),
        version="1",
        sha256="a",
    ),
    python=(3, 11),
    zig_import_library=None,
)
LINUX = ForLinux(
    toolchain=gcc.Toolchain(compiler=Path("/usr/bin/g++"), link_options=("portable.o", "-Wl,-x"))
)


def settings_for(compiler: ForWindows | ForLinux | ByZig, folder: Path) -> Settings:
    return Settings(
        compiler=compiler,
        headers=Headers(python=folder / "python", torch=folder / "include"),
        root=folder,
        work=folder / "objects ü",
    )


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    wanted = {
        "module": "_C",
        "package": "tiny",
        "sources": [str(tmp_path / "a.cpp")],
        "include": [str(tmp_path / "csrc")],
        "macros": {"A": None},
        "flags": ["-O1"],
        "out": str(tmp_path / "out" / "_C.so"),
        "jobs": 2,
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(wanted), "utf-8")
    return path


@pytest.mark.parametrize("compiler", [WINDOWS, LINUX, ZIG])
def test_settings_come_back_as_they_were(compiler: ForWindows | ForLinux | ByZig, tmp_path: Path) -> None:
    settings = settings_for(compiler, tmp_path)
    write_settings(settings, tmp_path / "s.json")
    assert TypeAdapter(Settings).validate_json((tmp_path / "s.json").read_bytes()) == settings


@pytest.mark.parametrize(("compiler", "place"), [(WINDOWS, mingw), (LINUX, gcc), (ZIG, zig)])
def test_each_platform_has_its_compiler(
    compiler: ForWindows | ForLinux | ByZig,
    place: Any,
    request_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def compile_module(*positional: Any, **named: Any) -> None:
        asked.extend((*positional, named))

    monkeypatch.setattr(place, "compile_module", compile_module)
    write_settings(settings_for(compiler, tmp_path), tmp_path / "s.json")
    assert main([str(tmp_path / "s.json"), str(request_file)]) == 0
    module, headers, toolchain, compilation, more = asked
    assert module == Module(
        name="_C",
        package="tiny",
        sources=(tmp_path / "a.cpp",),
        root=tmp_path,
        include=(tmp_path / "csrc",),
        macros={"A": None},
        flags=("-O1",),
    )
    assert headers == Headers(python=tmp_path / "python", torch=tmp_path / "include")
    assert toolchain == compiler.toolchain
    assert (compilation.folder, compilation.jobs) == (tmp_path / "objects ü" / "_C", 2)
    assert more["out"] == tmp_path / "out" / "_C.so"


@pytest.mark.parametrize(
    ("words", "wants_more"),
    [
        ("a.cpp: wheelferry's facade does not cover at::fft", True),
        ("a.cu:1:10: fatal error: ATen/cuda/CUDABlas.h: No such file or directory", True),
        ("a.cpp:1:10: fatal error: own/part.h: No such file or directory", False),
    ],
)
def test_what_does_not_compile_is_told(
    words: str,
    wants_more: bool,
    request_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compile_module(
        _module: Module, _headers: Headers, _toolchain: Any, compilation: Compilation, **_: Any
    ) -> None:
        compilation.on_compiled(Path("a.cpp"))
        raise BuildError(words, hint="see docs/facade.md")

    monkeypatch.setattr(mingw, "compile_module", compile_module)
    write_settings(settings_for(WINDOWS, tmp_path), tmp_path / "s.json")
    assert main([str(tmp_path / "s.json"), str(request_file)]) == 1
    said = capsys.readouterr()
    assert said.out == "[1/1] a.cpp\n"
    told, hint, *otherwise = said.err.splitlines()
    assert (told, hint) == (words, "see docs/facade.md")
    assert ["--no-stable-abi" in line for line in otherwise] == [True] * wants_more


def test_code_for_gpus_is_compiled_by_nvcc_and_all_of_the_module_knows_of_it(
    request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def run(command: Sequence[str | Path], **_: Any) -> None:
        words = [str(word) for word in command]
        commands.append(words)
        if "-shared" in words:
            Path(words[words.index("-o") + 1]).write_bytes(EMPTY_ELF)

    monkeypatch.setattr("wheelferry.toolchains.compiling.run", run)
    cuda = nvcc.Nvcc(
        home=tmp_path / "cuda",
        host_compiler=Path("/usr/bin/g++-12"),
        images=nvcc.image_options(["7.5", "9.0a"]),
    )
    compiler = ForLinux(toolchain=replace(LINUX.toolchain, cuda=cuda))
    write_settings(settings_for(compiler, tmp_path), tmp_path / "s.json")
    wanted = json.loads(request_file.read_text())
    wanted |= {
        "sources": [*wanted["sources"], str(tmp_path / "k.cu")],
        "cuda": True,
        "cuda_flags": ["-lineinfo"],
    }
    request_file.write_text(json.dumps(wanted), "utf-8")
    assert main([str(tmp_path / "s.json"), str(request_file)]) == 0, capsys.readouterr().err
    compiled = {word: words for words in commands for word in words if word.endswith(("a.cpp", "k.cu"))}
    of_host, of_device = (compiled[str(tmp_path / name)] for name in ("a.cpp", "k.cu"))
    assert of_device[:3] == [str(tmp_path / "cuda/bin/nvcc"), "-ccbin", "/usr/bin/g++-12"]
    assert {
        "-gencode=arch=compute_75,code=sm_75",
        "-gencode=arch=compute_90a,code=sm_90a",
        "-lineinfo",
    } <= set(of_device)
    assert "-O1" not in of_device
    assert of_host[0] == "/usr/bin/g++"
    for words in (of_host, of_device):
        assert facade.CUDA_MACRO in words
        assert f"-I{tmp_path / 'cuda/include'}" in words
    (link,) = [words for words in commands if words[-1] == "-ldl"]
    names = [Path(word).name for word in link if ".so" in word]
    assert names == ["_C.so", "libtorch_cpu.so", "libtorch_cuda.so", "libcudart.so"]

    # the same sources where the build is for the CPU
    request_file.write_text(json.dumps(wanted | {"cuda": False}), "utf-8")
    assert main([str(tmp_path / "s.json"), str(request_file)]) == 1
    assert "_C has code for GPUs (k.cu), and this build is for the CPU" in capsys.readouterr().err


def test_architectures_are_nvccs_options() -> None:
    assert nvcc.image_options(["9.0", "12.0+PTX"]) == (
        "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_120,code=sm_120",
        "-gencode=arch=compute_120,code=compute_120",
    )
