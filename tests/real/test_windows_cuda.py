"""Detectron2's CUDA operators for Windows, compiled on Linux, ask of CUDA what those of a Linux build ask.

No kernel runs. Stand-ins for torch and for the CUDA runtime write down what is loaded and launched: on Linux
by an ordinary Python, for Windows by a Windows Python under Wine. No index at hand had torch for Windows with
CUDA: its headers and its import library are those of the build for the CPU.
docs/explanation/windows-cuda.md says what that leaves open.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import torch_without_numbers
from conftest import TARGET
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.tools import Tools
from wheelferry.cli.session import open_tools
from wheelferry.errors import MissingError
from wheelferry.models.lock import choose_files
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.targets import Target
from wheelferry.system.process import run
from wheelferry.verification.machines.runner import open_machine
from wheelferry.verification.machines.wine import find_compiler, find_wine

HERE = Path(__file__).parent
SOURCE = os.environ.get("WHEELFERRY_DETECTRON2_SOURCE")
RELEASE, PYTHON, TORCH, BACKEND = "main", "3.12", "2.13.0", "cu130"
WINDOWS: Target = replace(TARGET, python=PYTHON, platform="win_amd64", torch=TORCH)
KERNELS = 25  # ten templates, each for two or three types, and one for float alone
# what of torch's wheel is compiled against, and what says which build it is
PARTS = (
    "torch/include/torch/csrc/stable/",
    "torch/include/torch/csrc/inductor/aoti_torch/",
    "torch/include/torch/headeronly/",
    "torch/include/pybind11/",
    "torch/lib/torch_cpu.lib",
    "torch/version.py",
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not SOURCE, reason="set WHEELFERRY_DETECTRON2_SOURCE to a URL or path of the repository"
    ),
]


@pytest.fixture(scope="module")
def tools() -> Tools:
    """What the stages need; a skip without Wine or its compiler."""
    try:
        find_wine(run)
        find_compiler(run)
    except MissingError as error:
        pytest.skip(f"{error}; {error.hint}")
    return open_tools(quiet=True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_windows_asks_of_cuda_what_linux_asks(tools: Tools, folder: Path) -> None:
    index = folder / "index"
    write_torch(fetch_torch(tools), index)
    for_windows = ["--platform", "win_amd64", "--torch-index", str(index)]
    windows = module_of(build(folder / "windows", *for_windows), folder / "_C.pyd")
    linux = module_of(build(folder / "linux"), folder / "_C.abi3.so")

    kernels = write_kernels(linux, folder / "kernels.txt")
    assert len(kernels) == KERNELS
    on_linux = run_on_linux(linux, folder)
    on_windows = run_in_wine(windows, folder, tools)
    assert sorted(on_windows["kernel"]) == sorted(on_linux["kernel"]) == sorted(kernels)
    assert on_windows["launch"] == on_linux["launch"], "names, grids, blocks, memory, and every argument"
    assert {line.split()[0] for line in on_linux["launch"]} == set(kernels), "a kernel that was not tried"
    assert set(images(on_windows)) <= set(images(on_linux)), "code for GPUs of another size"
    print(len(on_linux["launch"]), "launches of", len(kernels), "kernels")


def images(record: dict[str, list[str]]) -> list[int]:
    """The sizes of the code for GPUs that was loaded; their hashes agree where both lay in one folder."""
    return [int(line.split()[line.split().index("size") + 1]) for line in record["image"]]


# ------------------------------------------------------------------------------------ builds


def fetch_torch(tools: Tools) -> Path:
    """torch's wheel for Windows as the index has it: for the CPU."""
    with tools.store.workspace("torch") as work:
        resolution = tools.uv.resolve(
            WINDOWS,
            requirements=[f"torch=={TORCH}"],
            constraints=[],
            find_links=None,
            interpreter=None,
            work=work,
        )
        (choice,) = [one for one in choose_files(resolution, WINDOWS, base=work) if one.name == "torch"]
    download = Download(url=choice.url, filename=choice.filename, sha256=choice.sha256)
    (entry,) = download_all([download], tools.store, tools.index, tools.progress).values()
    return tools.store.path(entry.sha256)


def write_torch(wheel: Path, index: Path) -> None:
    """What is compiled against of that wheel, called a build with CUDA."""
    index.mkdir()
    version = f"{TORCH}+{BACKEND}"
    info = f"torch-{version}.dist-info"
    name = f"torch-{version}-{WINDOWS.interpreter}-{WINDOWS.interpreter}-win_amd64.whl"
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(index / name, "w", zipfile.ZIP_DEFLATED) as new:
        written = []
        for member in old.namelist():
            place, data = member, old.read(member) if member.startswith(PARTS) else b""
            if re.fullmatch(r"torch-[^/]*\.dist-info/(METADATA|WHEEL)", member):
                place = f"{info}/{member.rpartition('/')[2]}"
                data = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), old.read(member))
            if member == "torch/version.py":
                data = re.sub(rb"(?m)^(__version__ =) .*$", rf"\1 '{version}'".encode(), data)
                data = re.sub(rb"(?m)^(cuda: .* =) None\b", rb"\1 '13.0'", data)
                assert b"13.0'" in data
            if data:
                new.writestr(place, data)
                written.append(f"{place},,")
        new.writestr(f"{info}/RECORD", "\n".join([*written, f"{info}/RECORD,,\n"]))


def build(out: Path, *options: str) -> Path:
    """A wheel of Detectron2 with CUDA on the stable ABI."""
    command = [sys.executable, "-m", "wheelferry", "build", f"detectron2@{RELEASE}", "--python", PYTHON]
    command += ["--torch", TORCH, "--backend", BACKEND, "--stable-abi", "--cuda-arch", "9.0"]
    # find-links could have another build of the same torch
    environment = {**os.environ, "PIP_FIND_LINKS": "", "NO_COLOR": "1"}
    completed(*command, *options, "--source", str(SOURCE), "--out", out, env=environment)
    (wheel,) = out.glob("*.whl")
    return wheel


def module_of(wheel: Path, place: Path) -> Path:
    """The compiled module of the wheel, as the file `place`."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if re.search(r"/_C\.(pyd|abi3\.so)$", name)]
        place.write_bytes(archive.read(member))
    return place


def completed(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout


# --------------------------------------------------------------------------------- stand-ins


def write_kernels(module: Path, table: Path) -> list[str]:
    """The names of the kernels in a module; with the sizes of their arguments in the file `table`."""
    tool = next(Path(sys.prefix).glob("lib/python*/site-packages/nvidia/cu*/bin/cuobjdump"))
    listing = completed(tool, "-elf", module)
    argument = re.compile(r"Ordinal : (0x\w+)\s+Offset  : 0x\w+\s+Size    : (0x\w+)")
    lines = []
    for part in re.split(r"(?m)^\.nv\.info\.(?=\w+$)", listing)[1:]:
        name, _, rest = part.partition("\n")
        found = argument.findall(re.split(r"(?m)^\.", rest)[0])
        sizes = [int(size, 16) for _, size in sorted(found, key=lambda one: int(one[0], 16))]
        lines.append(" ".join(map(str, [name, *sizes])))
    table.write_text("\n".join(lines) + "\n", "ascii")
    return [line.split()[0] for line in lines]


def make_stand_ins(folder: Path, compiler: str, names: tuple[str, ...], *options: str) -> None:
    """torch's two libraries and the CUDA runtime for one system, in the folder."""
    folder.mkdir()
    cpu, cuda, runtime = names
    functions = {cpu: torch_without_numbers.TORCH_CPU, cuda: torch_without_numbers.TORCH_CUDA}
    for name, its in functions.items():
        source = folder / f"{name}.s"
        source.write_text(torch_without_numbers.jumps(its), "ascii")
        own = [option.replace("NAME", name) for option in options]
        completed(compiler, "-shared", "-nostartfiles", *own, "-o", folder / name, source)
    completed(compiler, "-shared", "-O1", "-fPIC", "-o", folder / runtime, HERE / "cuda_recorder.c")


def read_record(record: Path) -> dict[str, list[str]]:
    """What was written, by its kind: image, kernel, launch …"""
    found: dict[str, list[str]] = {}
    for line in record.read_text("ascii").splitlines():
        kind, _, rest = line.partition(" ")
        found.setdefault(kind, []).append(rest)
    return found


def run_on_linux(module: Path, folder: Path) -> dict[str, list[str]]:
    names = ("libtorch_cpu.so", "libtorch_cuda.so", "libcudart.so.13")
    make_stand_ins(folder / "so", "gcc", names, "-Wl,-z,noexecstack", "-Wl,-soname,NAME")
    shutil.copy(folder / "kernels.txt", folder / "so")
    record = folder / "linux.txt"
    print(completed(sys.executable, HERE / "cuda_launches.py", module, folder / "so", record))
    return read_record(record)


def run_in_wine(module: Path, folder: Path, tools: Tools) -> dict[str, list[str]]:
    names = ("torch_cpu.dll", "torch_cuda.dll", "cudart64_13.dll")
    options = ("-Wl,--export-all-symbols", "-Wl,-e,0")
    make_stand_ins(folder / "dll", "x86_64-w64-mingw32-gcc", names, *options)
    shutil.copy(folder / "kernels.txt", folder / "dll")
    entry = TargetEntry(target=WINDOWS, requirements="", pylock="", built="", extensions=())
    work = folder / "wine"
    record = work / "windows.txt"
    with open_machine(work, entry, work, tools) as machine:
        done = machine.sandbox(
            [machine.base, HERE / "cuda_launches.py", module, folder / "dll", record],
            step="call the operators",
            log=work / "operators.log",
            check=False,
        )
    assert done.returncode == 0, done.output[-4000:]
    print(done.output)
    return read_record(record)
