"""The compiler from the package index, without it: how it is unpacked, started and asked."""

import os
import re
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elffiles import elf_file
from machofiles import macho_file
from pefiles import pe_file
from wheelferry.cache.store import Store
from wheelferry.errors import BuildError, IntegrityError
from wheelferry.models.targets import Target
from wheelferry.system.files import sha256_file
from wheelferry.system.process import Completed
from wheelferry.toolchains import facade, zig
from wheelferry.toolchains.modules import Compilation, Headers, Module

LINUX = Target(python="3.12", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="default")
WINDOWS = replace(LINUX, platform="win_amd64")


@pytest.mark.parametrize(
    ("platform", "triple"),
    [
        ("manylinux_2_28_x86_64", "x86_64-linux-gnu.2.28"),
        ("manylinux_2_34_x86_64", "x86_64-linux-gnu.2.28"),
        ("manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17"),
        ("manylinux_2_28_aarch64", "aarch64-linux-gnu.2.28"),
        ("win_amd64", "x86_64-windows-gnu"),
        ("macosx_14_0_arm64", "aarch64-macos.14.0"),
        ("macosx_26_0_arm64", "aarch64-macos.14.0"),
        ("macosx_11_0_arm64", "aarch64-macos.11.0"),
    ],
)
def test_a_module_runs_with_the_oldest_system_that_torch_runs_with(platform: str, triple: str) -> None:
    assert zig.triple_of(replace(LINUX, platform=platform)) == triple


def test_there_is_one_release_with_a_file_for_each_processor() -> None:
    found = [zig.locked(processor) for processor in ("x86_64", "aarch64")]
    assert all(one is not None and len(one.sha256) == 64 for one in found)
    assert len({one.sha256 for one in found if one}) == 2
    assert zig.locked("riscv64") is None


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package whose program says how it was called, and where its cache is."""
    path = tmp_path / "ziglang.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ziglang/zig", '#!/bin/sh\necho "$ZIG_GLOBAL_CACHE_DIR"\necho "$@"\n')
        archive.writestr("ziglang/lib/a.h", "")
    return path


def unpacked(wheel: Path, cache: Path, target: Target = LINUX) -> zig.Toolchain:
    release = zig.Locked(version="1.2", sha256=sha256_file(wheel))
    return zig.unpack(wheel, release, target, Store(cache))


def test_the_compiler_is_a_program_for_one_target_with_a_cache_that_stays(
    wheel: Path, tmp_path: Path
) -> None:
    found = unpacked(wheel, tmp_path / "the cache ü", WINDOWS)
    said = subprocess.run([found.compiler, "-c", "a b.cpp"], capture_output=True, text=True, check=True)
    folder, words = said.stdout.splitlines()
    assert words.split(" ", 1)[0] == "c++"
    assert "-target x86_64-windows-gnu" in words
    assert words.endswith("-c a b.cpp")
    assert Path(folder).is_relative_to(tmp_path / "the cache ü" / "machines")


def test_it_is_unpacked_once(wheel: Path, tmp_path: Path) -> None:
    first = unpacked(wheel, tmp_path / "cache")
    before = first.program.stat().st_mtime_ns
    again = unpacked(wheel, tmp_path / "cache", WINDOWS)
    assert again.program == first.program
    assert again.program.stat().st_mtime_ns == before
    assert again.compiler != first.compiler


def test_what_an_interrupted_run_left_is_not_taken_for_a_compiler(wheel: Path, tmp_path: Path) -> None:
    home = unpacked(wheel, tmp_path / "other").program.parents[1]
    left = tmp_path / "cache/machines" / f".{home.name}-{os.getpid()}"
    (left / "ziglang").mkdir(parents=True)
    (left / "ziglang" / "zig").write_text("half")
    assert unpacked(wheel, tmp_path / "cache").program.stat().st_size > 4


@pytest.mark.parametrize("damage", ["cut short", "removed"])
def test_a_damaged_compiler_is_not_used(damage: str, wheel: Path, tmp_path: Path) -> None:
    program = unpacked(wheel, tmp_path / "cache").program
    program.write_text("#!/bin/sh\n") if damage == "cut short" else program.unlink()
    with pytest.raises(IntegrityError, match="not what its wheel has") as caught:
        unpacked(wheel, tmp_path / "cache")
    assert "cache prune" in (caught.value.hint or "")


class FakeZig:
    """The compiler as a runner: writes what is asked of the linker, and remembers the commands."""

    def __init__(self, made: bytes) -> None:
        self.made = made
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str | Path], **_: Any) -> Completed:
        words = [str(word) for word in command]
        self.commands.append(words)
        if "-o" in words:
            Path(words[words.index("-o") + 1]).write_bytes(self.made if "-shared" in words else b"")
        return Completed(returncode=0, output="")

    @property
    def linked(self) -> list[str]:
        return self.commands[-1]


def compiled(
    tmp_path: Path,
    run: FakeZig,
    *,
    windows: bool,
    python: Path | None = None,
    triple: str = "t",
    package: str = "",
) -> Path:
    toolchain = zig.Toolchain(
        triple=triple,
        compiler=Path("c++"),
        program=Path("zig"),
        version="1",
        sha256="a",
        caching=Path("cached"),
    )
    out = tmp_path / "out" / ("_C.pyd" if windows else "_C.abi3.so")
    zig.compile_module(
        Module(name="_C", package=package, sources=[tmp_path / "a.cpp"], root=tmp_path),
        Headers(torch=Path("/t/include"), python=python),
        toolchain,
        Compilation(folder=tmp_path / "work", run=run),
        import_library=Path("/t/torch_cpu.lib") if windows else None,
        python=(3, 12),
        out=out,
    )
    return out


def test_a_module_for_windows_asks_python3_dll_alone(tmp_path: Path) -> None:
    run = FakeZig(pe_file(["python3.dll", "torch_cpu.dll", "KERNEL32.dll", "api-ms-win-crt-heap-l1-1-0.dll"]))
    assert compiled(tmp_path, run, windows=True).is_file()
    assert run.commands[0][0] == "cached", "sources go through the cache of objects"
    assert f"-I{facade.limited_folder()}" in run.commands[0]
    assert (run.linked[0], "/t/torch_cpu.lib" in run.linked) == ("c++", True)
    named = (tmp_path / "work/python3.def").read_text().split()
    assert named[:3] == ["LIBRARY", "python3.dll", "EXPORTS"]
    assert {"PyType_FromSpec", "PyExc_TypeError", "_Py_NoneStruct", "Py_DecRef"} <= set(named)


def test_without_the_limited_api_it_asks_the_dll_of_one_python(tmp_path: Path) -> None:
    run = FakeZig(pe_file(["python312.dll"]))
    compiled(tmp_path, run, windows=True, python=Path("/python"))
    assert (tmp_path / "work/python312.def").read_text().split()[1] == "python312.dll"
    assert f"-I{facade.limited_folder()}" not in run.commands[0]


def test_a_module_for_windows_that_would_not_load_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"imports libc\+\+\.dll"):
        compiled(tmp_path, FakeZig(pe_file(["python3.dll", "libc++.dll"])), windows=True)


def test_a_module_for_linux_shows_python_its_entry_and_nothing_else(tmp_path: Path) -> None:
    run = FakeZig(elf_file())
    assert compiled(tmp_path, run, windows=False).is_file()
    assert "-fPIC" in run.commands[0]
    assert f"-Wl,--version-script={tmp_path / 'work/visible.map'}" in run.linked
    assert (tmp_path / "work/visible.map").read_text() == "{ global: PyInit_*; local: *; };\n"
    assert str(tmp_path / "work/libtorch_cpu.so") in run.linked


LIBTORCH, LIBSYSTEM = "@rpath/libtorch_cpu.dylib", "/usr/lib/libSystem.B.dylib"
BOUND = {LIBTORCH: ["aoti_torch_get_dim"], LIBSYSTEM: ["free"], "": ["PyLong_FromLong", "_PyLong_Sign"]}


class FakeMacZig(FakeZig):
    """Links twice: the first result leaves torch's names to whichever file has them."""

    def __init__(self, drafted: Mapping[str, Sequence[str]], linked: Mapping[str, Sequence[str]]) -> None:
        super().__init__(b"")
        self.results = [macho_file(needed=[LIBSYSTEM, LIBTORCH], wanted=one) for one in (drafted, linked)]

    def __call__(self, command: Sequence[str | Path], **more: Any) -> Completed:
        if "-shared" in map(str, command):
            self.made = self.results.pop(0)
        return super().__call__(command, **more)


@pytest.mark.parametrize(
    ("package", "place"),
    [
        ("tiny", "@loader_path/../torch/lib"),
        ("tiny.deep", "@loader_path/../../torch/lib"),
        ("", "@loader_path/torch/lib"),
    ],
)
def test_a_module_for_macos_is_bound_to_the_torch_beside_it(package: str, place: str, tmp_path: Path) -> None:
    drafted = {LIBSYSTEM: ["free"], "": ["PyLong_FromLong", "aoti_torch_get_dim"]}
    run = FakeMacZig(drafted, BOUND)
    out = compiled(tmp_path, run, windows=False, triple="aarch64-macos.14.0", package=package)
    assert out.is_file()
    assert f"-Wl,-rpath,{place}" in run.linked
    assert "-Wl,-install_name,@rpath/_C.abi3.so" in run.linked
    stub = (tmp_path / "work/libtorch_cpu.tbd").read_text()
    assert "symbols: [ _aoti_torch_get_dim ]" in stub
    assert str(tmp_path / "work/libtorch_cpu.tbd") in run.linked
    # where zig lies must not be part of a module
    assert any(word.startswith("-ffile-prefix-map=") and word.endswith("=zig") for word in run.commands[0])


@pytest.mark.parametrize(
    ("drafted", "linked", "said"),
    [
        ({"": ["_ZN2at3addEv"]}, BOUND, "calls what is not of torch's stable ABI: _ZN2at3addEv"),
        ({"": []}, {"": ["omp_get_num_threads"]}, "needs omp_get_num_threads, which nobody"),
    ],
)
def test_a_module_for_macos_that_would_not_load_is_refused(
    drafted: Mapping[str, Sequence[str]], linked: Mapping[str, Sequence[str]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(BuildError, match=re.escape(said)):
        compiled(tmp_path, FakeMacZig(drafted, linked), windows=False, triple="aarch64-macos.14.0")
