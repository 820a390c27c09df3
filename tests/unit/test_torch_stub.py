"""What setup.py asks torch before it builds, answered without torch; and a refusal to compile with it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from wheelferry.toolchains.torch_stub import place_torch_stub, torch_stub_identity

SETUP = """
import torch
from setuptools import setup
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension
from torch.utils.hipify import hipify_python

assert [int(x) for x in torch.utils.hipify.__version__.split(".")] >= [1] and callable(hipify_python.hipify)
assert [int(x) for x in torch.__version__.split(".")[:2]] == [2, 13]
assert CUDA_HOME is None and not torch.cuda.is_available() and torch.version.cuda is None
setup(name="thing", ext_modules={extensions}, cmdclass={{"build_ext": {command}}})
"""


def build(
    folder: Path,
    *,
    extensions: str = "[]",
    command: str = "BuildExtension",
    variables: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    folder.mkdir()
    path = place_torch_stub(folder / "stand-in", "2.13.0")
    (folder / "setup.py").write_text(SETUP.format(extensions=extensions, command=command), "utf-8")
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--build-temp", "t", "--build-lib", "l"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), **(variables or {})},
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
    for number, extension in enumerate(("CppExtension", '__import__("setuptools").Extension')):
        status, said = build(tmp_path / str(number), extensions=f'[{extension}("thing._C", ["thing.cpp"])]')
        assert status != 0
        assert "setup.py still has extensions" in said
    status, said = build(tmp_path / "cuda", extensions='[CUDAExtension("thing._C", ["thing.cu"])]')
    assert status != 0
    assert "setup.py makes CUDA ops, and this build is for the CPU" in said


# Stands in for wheelferry's compiler: leaves what it was asked for in the place of the module.
COMPILER = """
import json, pathlib, sys
request = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
pathlib.Path(request["out"]).write_text(json.dumps(request), "utf-8")
"""
EXTENSION = """[CppExtension(
    "thing._C", ["csrc/a.cpp", "csrc/b.cpp"], include_dirs=["csrc"], define_macros=[("A", None), ("B", "2")],
    extra_compile_args={"cxx": ["-O1"], "nvcc": ["-x"]},
)]"""


def test_what_setup_py_asks_for_reaches_the_compiler(tmp_path: Path) -> None:
    (tmp_path / "compiler.py").write_text(COMPILER, "utf-8")
    command = [sys.executable, str(tmp_path / "compiler.py")]
    variables = {
        "WHEELFERRY_COMPILE": json.dumps(command),
        "WHEELFERRY_EXT_SUFFIX": ".cp311-win_amd64.pyd",
        "MAX_JOBS": "4",
    }
    folder = tmp_path / "p ü"
    status, said = build(folder, extensions=EXTENSION, variables=variables)
    assert status == 0, said
    module = folder / "l" / "thing" / "_C.cp311-win_amd64.pyd"
    assert json.loads(module.read_text("utf-8")) == {
        "module": "_C",
        "package": "thing",
        "sources": [str(folder / "csrc" / name) for name in ("a.cpp", "b.cpp")],
        "include": [str(folder / "csrc")],
        "macros": {"A": None, "B": "2"},
        "flags": ["-O1"],
        "out": str(module),
        "cuda": False,
        "cuda_flags": ["-x"],
        "jobs": 4,
    }


def test_an_extension_with_cuda_is_compiled_where_cuda_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "compiler.py").write_text(COMPILER, "utf-8")
    variables = {
        "WHEELFERRY_COMPILE": json.dumps([sys.executable, str(tmp_path / "compiler.py")]),
        "WHEELFERRY_EXT_SUFFIX": ".abi3.so",
        "WHEELFERRY_CUDA": "1",
    }
    both = '[CUDAExtension("thing._C", ["k.cu"]), CppExtension("thing.plain", ["p.cpp"])]'
    status, said = build(tmp_path / "p", extensions=both, variables=variables)
    assert status == 0, said
    built = tmp_path / "p" / "l" / "thing"
    kinds = {name: json.loads((built / f"{name}.abi3.so").read_text())["cuda"] for name in ("_C", "plain")}
    assert kinds == {"_C": True, "plain": False}


def test_modules_are_compiled_beside_one_another_and_share_the_jobs(tmp_path: Path) -> None:
    """Each compiler waits until the other has begun, which it would do in vain were they started in turn."""
    compiler = tmp_path / "compiler.py"
    compiler.write_text(MEETING + COMPILER, "utf-8")
    modules = ", ".join(f'CppExtension("thing.{name}", ["csrc/{name}.cpp"])' for name in ("a", "b"))
    variables = {
        "WHEELFERRY_COMPILE": json.dumps([sys.executable, str(compiler)]),
        "WHEELFERRY_EXT_SUFFIX": ".so",
        "MAX_JOBS": "4",
    }
    status, said = build(tmp_path / "p", extensions=f"[{modules}]", variables=variables)
    assert status == 0, said
    built = [json.loads((tmp_path / "p" / "l" / "thing" / f"{name}.so").read_text()) for name in ("a", "b")]
    assert [request["jobs"] for request in built] == [2, 2]


MEETING = """
import pathlib, sys, time
here = pathlib.Path(__file__).parent
(here / pathlib.Path(sys.argv[1]).name).touch()
deadline = time.monotonic() + 300
while len(list(here.glob("thing.*.json"))) < 2:
    assert time.monotonic() < deadline, "nobody else came"
    time.sleep(0.01)
"""


def test_a_compiler_that_fails_ends_the_build(tmp_path: Path) -> None:
    variables = {"WHEELFERRY_COMPILE": json.dumps([sys.executable, "-c", "raise SystemExit('no such op')"])}
    status, said = build(tmp_path / "p", extensions=EXTENSION, variables=variables)
    assert status != 0
    assert "no such op" in said


def test_the_identity_is_that_of_its_files() -> None:
    assert torch_stub_identity() == torch_stub_identity()
    assert torch_stub_identity().startswith("torch stand-in ")
