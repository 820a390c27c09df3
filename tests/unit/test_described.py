"""What setup.py will make is known, and compared with the recipe, before a compiler starts."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE, TARGET
from wheelferry.build.compile import _compiled_before, _kept_on_failure
from wheelferry.build.described import device_options, require_described
from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError, InputError
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Cell
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.system.process import run

# As torch-scatter's: other modules for CUDA than for the CPU alone, and one of them without kernels.
SETUP = """
import os
from setuptools import setup
from torch.__config__ import parallel_info
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension

cuda = os.getenv("FORCE_CUDA") == "1" and CUDA_HOME is not None and os.path.isdir(CUDA_HOME)
make, suffix = (CUDAExtension, "cuda") if cuda else (CppExtension, "cpu")
modules = [
    make(f"tiny._scatter_{suffix}", ["scatter.cpp"] + (["scatter.cu"] if cuda else [])),
    make(f"tiny._version_{suffix}", ["version.cpp"]),
]
assert "no OpenMP" not in parallel_info()
setup(name="tiny", version="1.0", ext_modules=modules, cmdclass={"build_ext": BuildExtension})
"""
MODULES = """
cpu_extensions = ["tiny._scatter_cpu", "tiny._version_cpu"]
cuda_extensions = ["tiny._scatter_cuda"]
cuda_host_extensions = ["tiny._version_cuda"]
cuda_from_oldest = true
"""


def recipe_with(build: str) -> Recipe:
    line = next(line for line in RECIPE.splitlines() if line.startswith("build = "))
    return parse_recipe(RECIPE.replace(line, "") + f"[build]\n{build}\n", file="tiny.toml")


def cell_of(recipe: Recipe, *, cuda: bool) -> Cell:
    target = replace(TARGET, backend="cu130" if cuda else TARGET.backend)
    return make_plan(recipe, "1.0", [target]).cells[0]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "setup.py").write_text(SETUP, "utf-8")
    return folder


@pytest.fixture
def running(tools: Tools) -> Tools:
    return replace(tools, run=run)


def check(recipe: Recipe, tree: Path, tools: Tools, *, cuda: bool) -> None:
    work = tree.parent / f"work-{cuda}"
    work.mkdir()
    python, log = Path(sys.executable), tree.parent / "log"
    require_described(recipe, cell_of(recipe, cuda=cuda), tree, python, work, tools, log)


@pytest.mark.parametrize("cuda", [False, True])
def test_each_backend_has_modules_of_its_own(tree: Path, running: Tools, cuda: bool) -> None:
    recipe = recipe_with(MODULES)
    check(recipe, tree, running, cuda=cuda)
    suffix = "cuda" if cuda else "cpu"
    assert set(recipe.build.modules(cuda=cuda)) == {f"tiny._scatter_{suffix}", f"tiny._version_{suffix}"}
    assert sorted(path.name for path in tree.iterdir()) == ["setup.py"]  # it ran in a copy


@pytest.mark.parametrize(
    ("old", "new", "cuda", "said"),
    [
        ('"tiny._version_cpu"', '"tiny._version"', False, "makes no tiny._version without CUDA"),
        ('"tiny._scatter_cuda"', '"tiny._scatter_cpu"', True, "makes no tiny._scatter_cpu with CUDA"),
        (
            'cuda_extensions = ["tiny._scatter_cuda"]',
            'cuda_extensions = ["tiny._scatter_cuda", "tiny._version_cuda"]',
            True,
            "tiny._version_cuda will hold no CUDA code",
        ),
    ],
)
def test_a_module_that_is_not_made_is_refused(
    tree: Path, running: Tools, old: str, new: str, cuda: bool, said: str
) -> None:
    assert old in MODULES
    with pytest.raises(InputError, match=said):
        check(recipe_with(MODULES.replace(old, new)), tree, running, cuda=cuda)


def test_a_setup_py_that_needs_the_real_torch_is_left_to_the_build(tree: Path, running: Tools) -> None:
    wrong = recipe_with(MODULES.replace("tiny._", "other._"))
    with pytest.raises(InputError):
        check(wrong, tree, running, cuda=False)
    (tree / "setup.py").write_text("import torch\ntorch.zeros(1)\n", "utf-8")
    check(wrong, tree, running, cuda=True)


def test_a_recipe_without_modules_is_refused() -> None:
    with pytest.raises(InputError, match=r"tiny\.toml: build: .*needs extensions, cpu_extensions or cuda"):
        recipe_with('cuda_host_extensions = ["tiny._C"]')


def test_kernels_that_ask_for_a_newer_card_are_compiled_for_each(tree: Path, tools: Tools) -> None:
    recipe, architectures = recipe_with(MODULES), ("7.5", "9.0")
    (tree / "scatter.cu").write_text("#if __CUDA_ARCH__ < 700\n#endif\n", "utf-8")
    once = (("7.5",), ("-gencode=arch=compute_75,code=sm_90",))
    assert device_options(recipe, tree, architectures, tools) == once
    plain = recipe_with(MODULES.replace("cuda_from_oldest = true", "cuda_from_oldest = false"))
    assert device_options(plain, tree, architectures, tools) == (architectures, ())
    (tree / "atomics.cuh").write_text("#if __CUDA_ARCH__ >= 900\n#endif\n", "utf-8")
    assert device_options(recipe, tree, architectures, tools) == (architectures, ())


def test_what_the_recipe_does_not_accept_is_kept_and_checked_anew(tmp_path: Path, tools: Tools) -> None:
    raw = tmp_path / "tiny-1.0-py3-none-any.whl"
    raw.write_bytes(b"compiled for an hour")
    with pytest.raises(BuildError), _kept_on_failure(raw, "key", tools):
        raise BuildError("it has no tiny._C")
    again = tmp_path / "again"
    again.mkdir()
    found = _compiled_before("key", again, tools)
    assert found is not None
    assert (found.name, found.read_bytes()) == (raw.name, b"compiled for an hour")
    with _kept_on_failure(found, "key", tools):
        pass
    assert _compiled_before("key", again, tools) is None


def test_a_project_for_gpus_alone_has_no_plan_without_cuda() -> None:
    recipe = recipe_with('cuda_extensions = ["tiny._C"]')
    assert cell_of(recipe, cuda=True).cuda is not None
    with pytest.raises(InputError, match="compiled ops for CUDA alone, and backend cpu has none") as caught:
        cell_of(recipe, cuda=False)
    assert caught.value.hint == "choose a build of torch 2.13.0 with CUDA: --backend cu130"
    table = [{"version": "2.13.0", "python": ">=3.10", "cuda": "12.8", "other_cuda": ["12.6"]}]
    known = Recipe.model_validate({**recipe.model_dump(), "torch": table})
    with pytest.raises(InputError) as caught:
        cell_of(known, cuda=False)
    assert caught.value.hint == "choose a build of torch 2.13.0 with CUDA: --backend cu128 or cu126"


def test_a_project_for_the_cpu_alone_has_no_plan_with_cuda() -> None:
    recipe = recipe_with('cpu_extensions = ["tiny._C"]')
    assert cell_of(recipe, cuda=False).cuda is None
    with pytest.raises(
        InputError, match="no compiled ops for CUDA, and backend cu130 asks for them"
    ) as caught:
        cell_of(recipe, cuda=True)
    assert caught.value.hint == "leave --backend out, or take --backend cpu"
