"""The facade with a real compiler and a real torch: facade_probe.cpp is compiled as if for torch itself."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from wheelferry.cache.pip_config import read_pip_configuration
from wheelferry.cache.uv import find_uv
from wheelferry.system.process import run as run_process
from wheelferry.toolchains import facade

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
TORCH = "2.13.0"


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with torch and nothing else, from the index that pip is configured for."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    index = read_pip_configuration(run_process)
    options: list[str | Path] = [
        "--python",
        home / "bin/python",
        "--cache-dir",
        home / "cache",
        *index.uv_arguments,
    ]
    done = subprocess.run(
        [find_uv(), "pip", "install", "-q", *options, f"torch=={TORCH}", "numpy"],
        env={**os.environ, **index.uv_environment()},
        check=False,
    )
    assert done.returncode == 0
    shutil.rmtree(home / "cache")
    return home / "bin/python"


def torch_folder(python: Path) -> Path:
    return Path(run(python, "-c", "import torch; print(torch.__path__[0])").stdout.strip())


def compile_command(python: Path, *, limited: bool = False) -> list[str | Path]:
    """g++ with the facade before torch's headers; CPython's, or those of its limited API."""
    headers = run(python, "-c", "import sysconfig; print(sysconfig.get_path('include'))").stdout.strip()
    own: list[str | Path] = [f"-I{facade.limited_folder()}"] if limited else ["-isystem", headers]
    return [
        *("g++", "-O1", "-fPIC", "-Wall", "-Wextra", "-Werror"),
        *(facade.CXX_STANDARD, facade.TARGET_MACRO, "-DTORCH_EXTENSION_NAME=probe"),
        *own,
        *(f"-I{facade.include_folder()}", "-isystem", torch_folder(python) / "include"),
    ]


@pytest.mark.parametrize("limited", [False, True], ids=["one Python", "limited API"])
def test_calls_do_what_torch_does(limited: bool, python: Path, tmp_path: Path) -> None:
    module = tmp_path / "probe.so"
    link: list[str | Path] = [
        "-shared",
        HERE / "facade_probe.cpp",
        "-o",
        module,
        f"-L{torch_folder(python) / 'lib'}",
        "-ltorch_cpu",
    ]
    built = run(*compile_command(python, limited=limited), *link)
    assert built.returncode == 0, built.stderr
    done = run(python, HERE / "facade_checks.py", module)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"all of torch {TORCH}")
    # of torch it takes C functions only, no mangled name of C++
    needed = run("nm", "-D", "--undefined-only", module).stdout.split()
    ours = [name for name in needed if "torch" in name or "3c10" in name or "2at" in name]
    assert ours
    assert [name for name in ours if not name.startswith(("aoti_torch_", "torch_"))] == []
    if limited:
        assert {name for name in needed if "Py" in name and not name.startswith("_Z")} <= set(
            facade.limited_names()
        )


def test_pybind11_on_the_limited_api_behaves_as_pybind11(python: Path, tmp_path: Path) -> None:
    """binding_checks.py asks one module made with each the same; what they answer is compared."""
    said = {}
    for limited in (False, True):
        module = tmp_path / str(limited) / "probe.so"
        module.parent.mkdir()
        built = run(
            *compile_command(python, limited=limited), "-shared", HERE / "binding_probe.cpp", "-o", module,
            f"-L{torch_folder(python) / 'lib'}", "-ltorch_cpu",
        )  # fmt: skip
        assert built.returncode == 0, built.stderr
        done = run(python, HERE / "binding_checks.py", module)
        assert done.returncode == 0, done.stdout + done.stderr
        said[limited] = done.stdout.splitlines()
    assert len(said[True]) > 60
    assert said[True] == said[False]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("at::Tensor f(at::Tensor t) { return t.softmax(1); }", "does not cover at::Tensor::softmax"),
        ("at::Tensor f(at::Tensor t) { return at::conv2d(t, t); }", "does not cover at::conv2d"),
        ("at::Tensor f(at::Tensor t) { return t + t; }", "does not cover operators between tensors: +"),
        ("void f(at::Tensor t) { t += 1; }", "does not cover operators between tensors: +="),
        ("at::Tensor f(at::Tensor t) { return 2 * t[0]; }", "does not cover operators between tensors: *"),
        ("void f(at::Tensor t) { std::cout << t; }", "does not print tensors"),
        ('int f(at::Tensor t) { return 1; } TORCH_LIBRARY(x, m) { m.def("f", &f); }', "int and float are"),
        ("void f(at::Tensor t) { auto x = t[0]; x = t; }", "declare it as at::Tensor"),
        ("struct F : torch::autograd::Function<F> {};", "write the gradient in Python"),
        ("#include <ATen/cuda/CUDAContext.h>", "this source is for GPUs, in a build for the CPU"),
        ("#include <ATen/cuda/CUDAEvent.h>", "does not cover <ATen/cuda/CUDAEvent.h>"),
        ("at::Tensor f() { return at::arange(5); }", "does not cover at::arange"),
        ("#include <ATen/native/CPUBlas.h>", "should not be included"),
    ],
)  # fmt: skip
def test_what_is_not_covered_is_named(source: str, said: str, python: Path, tmp_path: Path) -> None:
    path = tmp_path / "source.cpp"
    # that with Python's headers costs twice the time of the others
    header = "torch/library.h" if "TORCH_LIBRARY" in source else "ATen/ATen.h"
    path.write_text(f"#include <{header}>\n#include <iostream>\n{source}\n")
    done = run(*compile_command(python), "-fsyntax-only", path)
    assert done.returncode != 0
    assert said in done.stderr, done.stderr
