"""Windows modules compiled on Linux, without a compiler: what is asked of it, and what is refused."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from pefiles import pe_file
from wheelferry.errors import BuildError, InputError, MissingError
from wheelferry.models import stable_abi
from wheelferry.system.process import Completed
from wheelferry.toolchains import facade, mingw, modules
from wheelferry.toolchains.modules import Compilation, Headers, Module, unpack_torch

SHIM = "torch/include/torch/csrc/stable/c/shim.h"
PARTS = (SHIM, "torch/include/pybind11/stl.h", "torch/lib/torch_cpu.lib")
NAMES = """
0-a.cpp.o:
                 U __imp_PyExc_TypeError
                 U PyObject_Call
0000000000000010 T PyInit__C
                 U _Py_Dealloc
                 U torch_call_dispatcher
                 U _ZNSt9exceptionD1Ev
"""


class FakeTools:
    """mingw-w64 as a runner: writes what is asked of the linker, and remembers the commands."""

    def __init__(self, made: bytes = b"", thread_model: str = "posix") -> None:
        self.made = made
        self.thread_model = thread_model
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str | Path], **_: Any) -> Completed:
        words = [str(word) for word in command]
        self.commands.append(words)
        if "-shared" in words:
            Path(words[words.index("-o") + 1]).write_bytes(self.made)
        said = {"-v": f"Thread model: {self.thread_model}\n", "-dumpversion": "12-posix\n"}
        return Completed(
            returncode=0, output=NAMES if "--undefined-only" in words else said.get(words[1], "")
        )


def torch_wheel(
    folder: Path, version: str = "2.13.0", parts: Sequence[str] = PARTS, tag: str = "win_amd64"
) -> Path:
    path = folder / f"torch-{version}-cp311-cp311-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for part in (*parts, "torch/lib/torch_cpu.dll"):
            archive.writestr(part, part)
    return path


def compiled(tmp_path: Path, tools: FakeTools, **options: Any) -> Path:
    toolchain = mingw.Toolchain(compiler=Path("g++"), dlltool=Path("dlltool"), nm=Path("nm"), version="12")
    out = tmp_path / "out/_C.cp312-win_amd64.pyd"
    mingw.compile_module(
        Module(name="_C", sources=[tmp_path / "a.cpp", tmp_path / "deep/a.cpp"], root=tmp_path, **options),
        Headers(python=Path("/p"), torch=Path("/t/include")),
        toolchain,
        Compilation(folder=tmp_path / "work", run=tools),
        python=(3, 12),
        import_library=Path("/t/torch_cpu.lib"),
        out=out,
    )
    return out


def test_what_is_asked_for_reaches_the_compiler(tmp_path: Path) -> None:
    tools = FakeTools(pe_file(["python312.dll", "torch_cpu.dll", "KERNEL32.dll", "msvcrt.dll"]))
    made = compiled(tmp_path, tools, macros={"A": None, "B": "2"}, include=[tmp_path / "csrc"])
    assert made.is_file()
    first, second = tools.commands[0], tools.commands[1]
    assert first[first.index("-o") + 1] != second[second.index("-o") + 1], "two sources of one name"
    assert {"-DA", "-DB=2", "-DTORCH_EXTENSION_NAME=_C", facade.TARGET_MACRO} <= set(first)
    folders = [word for word in first if word.startswith("-I") or word == "/t/include"]
    assert folders == [f"-I{tmp_path / 'csrc'}", f"-I{facade.include_folder()}", "/t/include"], (
        "in this order"
    )


def test_the_import_library_has_the_names_of_python_that_the_objects_leave_open(tmp_path: Path) -> None:
    compiled(tmp_path, FakeTools(pe_file(["python312.dll"])))
    definition = (tmp_path / "work/python312.def").read_text()
    assert definition.split() == [
        *("LIBRARY", "python312.dll", "EXPORTS"),
        *("PyExc_TypeError", "PyObject_Call", "_Py_Dealloc"),
    ]


def test_strftime_comes_from_the_newer_c_library(tmp_path: Path) -> None:
    tools = FakeTools(pe_file(["python312.dll", "ucrtbase.dll"]))
    compiled(tmp_path, tools)
    assert (tmp_path / "work/ucrtbase.def").read_text().split() == [
        *("LIBRARY", "ucrtbase.dll", "EXPORTS", "strftime")
    ]
    (link,) = (command for command in tools.commands if "-shared" in command)
    assert str(tmp_path / "work/libucrtbase.a") in link


@pytest.mark.parametrize(
    "dll",
    [
        "libstdc++-6.dll",
        "libgcc_s_seh-1.dll",
        "libwinpthread-1.dll",
        "python311.dll",
        "c10.dll",
        "USER32.dll",
    ],
)
def test_a_module_that_would_not_load_is_refused(dll: str, tmp_path: Path) -> None:
    tools = FakeTools(pe_file(["python312.dll", "torch_cpu.dll", dll]))
    with pytest.raises(BuildError, match=re.escape(dll)):
        compiled(tmp_path, tools)


def test_the_toolchain_is_found_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError) as missing:
        mingw.find(FakeTools())
    assert "g++-mingw-w64-x86-64-posix" in str(missing.value.hint)
    for name in ("x86_64-w64-mingw32-g++", "x86_64-w64-mingw32-dlltool", "x86_64-w64-mingw32-nm"):
        program = tmp_path / name
        program.write_text("")
        program.chmod(0o755)
    assert mingw.find(FakeTools()).version == "12-posix"
    with pytest.raises(MissingError, match="no C\\+\\+ threads"):
        mingw.find(FakeTools(thread_model="win32"))
    (tmp_path / "x86_64-w64-mingw32-nm").unlink()
    with pytest.raises(MissingError, match="binutils"):
        mingw.find(FakeTools())


def test_of_a_torch_wheel_only_what_is_needed_is_unpacked(tmp_path: Path) -> None:
    torch = unpack_torch(torch_wheel(tmp_path), tmp_path / "unpacked")
    assert torch == tmp_path / "unpacked/torch"
    found = {str(p.relative_to(torch.parent)) for p in torch.rglob("*") if p.is_file()}
    assert found == set(PARTS)
    assert mingw.find_import_library(torch).is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": "2.9.1"}, "torch 2.9.1 has no stable ABI for compiled ops"),
        ({"parts": PARTS[1:]}, "has no torch/include/torch/csrc/stable/c/shim.h"),
        ({"parts": PARTS[:1]}, "has no torch/include/pybind11"),
    ],
)
def test_torch_wheels_that_do_not_serve(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        unpack_torch(torch_wheel(tmp_path, **options), tmp_path / "unpacked")


def test_only_a_torch_for_windows_has_what_is_linked_against(tmp_path: Path) -> None:
    torch = unpack_torch(torch_wheel(tmp_path, parts=PARTS[:2]), tmp_path / "unpacked")
    with pytest.raises(InputError, match=re.escape("has no torch/lib/torch_cpu.lib")):
        mingw.find_import_library(torch)


@pytest.mark.parametrize(
    ("version", "serves"), [("2.9.1", False), ("2.10.0", True), ("2.10.0+cpu", True), ("3.0", True)]
)
def test_torch_releases(version: str, serves: bool) -> None:
    assert stable_abi.serves(Version(version)) is serves


def test_headers_of_python_get_the_configuration_of_windows(tmp_path: Path) -> None:
    linux = tmp_path / "linux"
    (linux / "cpython").mkdir(parents=True)
    (linux / "Python.h").write_text("")
    (linux / "pyconfig.h").write_text("#define SIZEOF_LONG 8\n")
    (linux / "cpython/object.h").write_text("")
    made = mingw.prepare_python_headers(linux, tmp_path / "windows")
    assert re.search(r"^#define SIZEOF_LONG 4$", (made / "pyconfig.h").read_text(), re.MULTILINE)
    assert (made / "cpython/object.h").is_file()
    assert (linux / "pyconfig.h").read_text() == "#define SIZEOF_LONG 8\n"
    with pytest.raises(MissingError, match=re.escape(str(tmp_path))):
        mingw.prepare_python_headers(tmp_path, tmp_path / "w")


def headers() -> list[Path]:
    return sorted(path for path in facade.include_folder().rglob("*") if path.is_file())


def test_no_header_takes_the_place_of_one_that_torchs_stable_abi_needs() -> None:
    """What is taken out of a torch wheel to compile against is torch's own."""
    parts = [part.removeprefix("torch/include/") for part in modules._TORCH_PARTS]
    taken = tuple(part for part in parts if part.startswith("torch/"))
    names = {str(path.relative_to(facade.include_folder())) for path in headers()}
    assert "torch/extension.h" in names
    assert {"torch/csrc/stable/", "torch/headeronly/"} <= set(taken)
    assert [name for name in names if name.startswith(taken)] == []


def test_what_is_named_as_missing_is_missing() -> None:
    own = facade.include_folder() / "wheelferry"
    missing = re.findall(r"WHEELFERRY_NO_METHOD\((\w+)\)", (own / "missing_methods.h").read_text())
    assert len(missing) > 400
    assert len(missing) == len(set(missing))
    methods = set(re.findall(r"\b(\w+)\([^;{}]*\) const(?:&)?(?: \{|;)", (own / "tensor.h").read_text()))
    assert {"sizes", "index_select", "accessor"} <= methods
    assert methods.intersection(missing) == set()


def test_every_header_is_documented_by_its_first_line() -> None:
    for path in headers():
        first = path.read_text().splitlines()[0]
        assert first.startswith(("// ", "#error ")), path
