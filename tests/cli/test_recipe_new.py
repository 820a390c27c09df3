"""A recipe drafted from a folder, a repository and an archive; what check finds; the user's own folder."""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import wheelferry
from wheelferry.models.recipes.file import parse_recipe

SETUP = """
import os
import torch
from setuptools import setup
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension

cuda = os.getenv("FORCE_CUDA") == "1" and CUDA_HOME is not None
sources = ["csrc/ops.cpp"] + (["csrc/ops.cu"] if cuda else [])
setup(
    name="Tin.Ops", version="1.2", description="ops of tin", license="MIT", packages=["tin_ops"],
    python_requires=">=3.8", install_requires=["torch>=2.1"],
    ext_modules=[(CUDAExtension if cuda else CppExtension)("tin_ops._C", sources)],
    cmdclass={"build_ext": BuildExtension},
)
"""
KERNELS = """
template <typename T> __global__ void tin_kernel(const T* a, T* b) {}
__global__ static void __launch_bounds__(256) other_kernel(int n) {}
__device__ void helper(int n) {}
"""


def write_project(folder: Path, *, setup: str = SETUP) -> Path:
    (folder / "csrc").mkdir(parents=True)
    (folder / "tin_ops").mkdir()
    (folder / "setup.py").write_text(setup, "utf-8")
    (folder / "tin_ops" / "__init__.py").touch()
    (folder / "csrc" / "ops.cpp").touch()
    (folder / "csrc" / "ops.cu").write_text(KERNELS, "utf-8")
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *who, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def build_table(folder: Path) -> Mapping[str, object]:
    recipe = parse_recipe((folder / "tin-ops.toml").read_text("utf-8"), file="tin-ops.toml")
    return recipe.model_dump(mode="json")


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project below it, and its draft."""
    folder = tmp_path_factory.mktemp("recipes")
    write_project(folder / "my project")
    done = wheelferry("recipe", "new", folder / "my project", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert f"next: wheelferry recipe check {folder / 'tin-ops.toml'}" in done.stdout
    return folder


def test_a_draft_names_what_setup_py_tells(drafted: Path) -> None:
    recipe = build_table(drafted)
    assert (recipe["name"], recipe["distribution"], recipe["license"]) == ("tin-ops", "Tin.Ops", "MIT")
    release = recipe["releases"]["1.2"]  # type: ignore[index]
    assert (release["version"], release["torch"], release["python"]) == ("1.2", ">=2.1", ">=3.8")
    build = recipe["build"]
    assert build["extensions"] == ["tin_ops._C"]  # type: ignore[index]
    assert build["cuda_extensions"] == ["tin_ops._C"]  # type: ignore[index]
    assert build["cuda_kernels"] == ["tin_kernel", "other_kernel"]  # type: ignore[index]
    assert recipe["smoke"]["imports"] == ["torch", "tin_ops"]  # type: ignore[index]
    compile((drafted / "tin-ops" / "smoke" / "check_ops.py").read_text("utf-8"), "check_ops.py", "exec")


def test_a_finished_draft_has_nothing_missing(drafted: Path) -> None:
    done = wheelferry("recipe", "check", drafted / "tin-ops.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["next"] == f"wheelferry recipe try {drafted / 'tin-ops.toml'}@1.2"


def test_a_project_for_gpus_alone_is_drafted_and_checked(tmp_path: Path) -> None:
    refusing = 'if not cuda:\n    raise NotImplementedError("no CUDA")\nsetup('
    write_project(tmp_path / "project", setup=SETUP.replace("setup(", refusing, 1))
    done = wheelferry("recipe", "new", tmp_path / "project", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    build = build_table(tmp_path)["build"]
    assert (build["extensions"], build["cuda_extensions"]) == ([], ["tin_ops._C"])  # type: ignore[index]
    done = wheelferry("recipe", "check", tmp_path / "tin-ops.toml")
    assert done.returncode == 0, done.stderr
    done = wheelferry("plan", f"{tmp_path / 'tin-ops.toml'}@1.2")
    assert done.returncode == 2
    assert "tin-ops has compiled ops for CUDA alone, and backend default has none of them" in done.stderr
    assert "choose a build of torch" in done.stderr


@pytest.mark.parametrize(
    ("asked", "build"),
    [
        ("torch.cuda.is_available()", {"extensions": [], "cuda_extensions": ["tin_ops._C"]}),
        ("torch.has_cuda", {"extensions": ["tin_ops._C"], "cuda_extensions": ["tin_ops._C"]}),
    ],
)
def test_setup_py_that_asks_this_machine_for_a_gpu_is_answered(
    tmp_path: Path, asked: str, build: Mapping[str, object]
) -> None:
    """Refused without a GPU, or chosen by what torch was built with, which the build must not depend on."""
    asking = f"cuda = {asked}\n" + (
        "" if "has" in asked else 'if not cuda:\n    raise Exception("CPU version is not implemented")\n'
    )
    setup = SETUP.replace('cuda = os.getenv("FORCE_CUDA") == "1" and CUDA_HOME is not None\n', asking)
    write_project(tmp_path / "project", setup=setup)
    done = wheelferry("recipe", "new", tmp_path / "project", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    recipe = build_table(tmp_path)
    assert build.items() <= recipe["build"].items()  # type: ignore[attr-defined]
    told = recipe["substitutions"][0]  # type: ignore[index]
    assert (told["file"], told["old"], told["count"]) == ("setup.py", asked, 1)
    done = wheelferry("recipe", "check", tmp_path / "tin-ops.toml")
    assert done.returncode == 0, done.stderr


def test_a_folder_without_any_build_configuration(tmp_path: Path) -> None:
    """Its packages are named, and what is to be decided stands in the draft; then nothing is missing."""
    repository = tmp_path / "repository"
    write_project(repository)
    (repository / "LICENSE").write_text("text", "utf-8")
    bare = repository / "projects" / "Bare"
    (bare / "bare_one" / "configs").mkdir(parents=True)
    (bare / "bare_one" / "__init__.py").write_text("import numpy\nfrom torch import nn\n", "utf-8")
    (bare / "bare_one" / "configs" / "a.yaml").touch()
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "one")
    done = wheelferry("recipe", "new", repository, "--subdirectory", "projects/Bare", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "bare-one.toml"
    text = file.read_text("utf-8")
    recipe = parse_recipe(text, file=file.name)
    assert (recipe.build.packages, recipe.build.python_only) == (("bare_one",), True)
    assert recipe.build.requires == ()
    assert "# decide: it imports numpy: name" in text
    assert 'version = "0.1"  # decide' in text
    lines = [line for line in text.splitlines() if not line.startswith("# decide")]
    file.write_text("".join(line.partition("  # decide")[0] + "\n" for line in lines), "utf-8")
    done = wheelferry("recipe", "check", file)
    assert done.returncode == 0, done.stderr
    file.write_text(file.read_text("utf-8").replace('["bare_one"]', '["bare_two"]'), "utf-8")
    done = wheelferry("recipe", "check", file)
    assert done.returncode == 2
    assert "build.packages: the source's folder projects/Bare has no folder bare_two" in done.stderr


def test_a_draft_is_not_written_over(drafted: Path) -> None:
    before = (drafted / "tin-ops.toml").read_bytes()
    done = wheelferry("recipe", "new", drafted / "my project", "--out", drafted)
    assert (done.returncode, (drafted / "tin-ops.toml").read_bytes()) == (2, before)
    assert "is there already" in done.stderr


def test_check_names_everything_that_is_wrong_at_once(drafted: Path, tmp_path: Path) -> None:
    shutil.copytree(drafted, tmp_path / "r")
    file = tmp_path / "r" / "tin-ops.toml"
    text = file.read_text("utf-8")
    for old, new in (
        ('distribution = "Tin.Ops"', 'distribution = "tin"  # decide: is it that?'),
        ('version = "1.2"', 'version = "1.3"'),
        ('extensions = ["tin_ops._C"]\ncuda', 'extensions = ["tin_ops._D"]\ncuda'),
        ('modules = ["check_ops"]', 'modules = ["check_ops", "check_more"]'),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, "utf-8")
    (tmp_path / "r" / "tin-ops" / "smoke" / "check_ops.py").write_text("import torch\n", "utf-8")
    done = wheelferry("recipe", "check", file)
    assert done.returncode == 2
    for said in (
        "to decide: is it that?",
        "distribution: tin, and the project is called Tin.Ops",
        'releases."1.2".version: 1.3, and the project says 1.2',
        "setup.py makes no tin_ops._D without CUDA; it makes tin_ops._C",
        "check_more.py is no file",
        "check_ops.py has no check",
    ):
        assert said in done.stderr


def test_a_repository_is_pinned_by_its_newest_final_tag(tmp_path: Path) -> None:
    """In a subfolder, as the ops of larger projects are; the tags are annotated and not."""
    repository = tmp_path / "repository"
    write_project(repository / "ops")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "one")
    git(repository, "tag", "v0.9")
    git(repository, "tag", "-a", "v0.10", "-m", "ten")
    git(repository, "tag", "v1.0rc1")
    done = wheelferry("recipe", "new", repository, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    recipe = build_table(tmp_path / "out")
    assert recipe["source"]["subdirectory"] == "ops"  # type: ignore[index]
    assert recipe["releases"]["v0.10"]["commit"] == git(repository, "rev-parse", "v0.10^{commit}")  # type: ignore[index]
    done = wheelferry("recipe", "check", tmp_path / "out" / "tin-ops.toml")
    assert done.returncode == 0, done.stderr
    done = wheelferry("recipe", "new", repository, "--release", "v7", "--out", tmp_path / "other")
    assert done.returncode == 2
    assert "no tag or branch v7" in done.stderr
    assert "v1.0rc1" in done.stderr


def test_an_archive_is_pinned_by_its_hash(tmp_path: Path) -> None:
    project = write_project(tmp_path / "tin_ops-1.2")
    with tarfile.open(tmp_path / "tin_ops-1.2.tar.gz", "w:gz") as archive:
        archive.add(project, "tin_ops-1.2")
    done = wheelferry("recipe", "new", tmp_path / "tin_ops-1.2.tar.gz", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    following = json.loads(done.stdout)["next"]
    assert following.endswith(f"--source {tmp_path / 'tin_ops-1.2.tar.gz'}")
    done = wheelferry(*following.split()[1:])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("no such thing!", "there is no such file or folder, and it is no name of a package"),
        ("empty", "has no setup.py and no pyproject.toml"),
        ("plain-1.0.tar.gz", "describes no compiled modules"),
        ("notes.txt", "is no source archive"),
    ],
)
def test_what_a_recipe_cannot_build_is_refused(tmp_path: Path, named: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(name='plain')\n", "utf-8")
    with tarfile.open(tmp_path / "plain-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "setup.py", "plain-1.0/setup.py")
    (tmp_path / "notes.txt").touch()
    there = tmp_path / named
    done = wheelferry("recipe", "new", there if there.exists() else named, "--out", tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert list(tmp_path.glob("*.toml")) == []


PLAIN = """
import pkg_resources
from pathlib import Path
from setuptools import setup

version = (Path(__file__).parents[1] / "tin_ops" / "version").read_text()
setup(name="plain", version=version, packages=["plain"], install_requires=["tin-ops @ git+https://x.example/t.git"])
"""


def test_a_project_in_a_folder_that_compiles_nothing_and_needs_its_neighbour(tmp_path: Path) -> None:
    """It reads a file beside its own folder, and imports what setuptools has and it does not declare."""
    whole = write_project(tmp_path / "whole")
    (whole / "tin_ops" / "version").write_text("3.1", "utf-8")
    (whole / "plain" / "plain").mkdir(parents=True)
    (whole / "plain" / "plain" / "__init__.py").touch()
    (whole / "plain" / "setup.py").write_text(PLAIN, "utf-8")
    done = wheelferry("recipe", "new", whole, "--subdirectory", "plain", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "plain.toml").read_text("utf-8")
    recipe = parse_recipe(text, file="plain.toml")
    assert recipe.build.python_only
    assert "# decide: it requires tin-ops @ git+https://x.example/t.git, which no index has" in text
    assert [entry.requires for entry in recipe.build.requires] == ["wheel", "setuptools<81"]
    compile((tmp_path / "plain" / "smoke" / "check_ops.py").read_text("utf-8"), "check_ops.py", "exec")


def test_a_folder_elsewhere_is_refused_with_the_place_that_would_do(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    done = wheelferry("recipe", "new", project, "--out", tmp_path / "recipes")
    assert done.returncode == 2
    assert f"--out {tmp_path}" in done.stderr


def test_setup_py_that_fails_is_shown(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", setup="raise RuntimeError('only on Tuesdays')\n")
    done = wheelferry("recipe", "new", project, "--out", tmp_path)
    assert done.returncode == 5
    assert "only on Tuesdays" in done.stderr


def test_the_users_own_folder_of_recipes(drafted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELFERRY_RECIPES", os.pathsep.join([str(drafted)]))
    names = [entry["name"] for entry in json.loads(wheelferry("recipes", "--json").stdout)["recipes"]]
    assert {"tin-ops", "sample"} <= set(names)
    done = wheelferry("plan", "tin-ops@1.2", "--python", "3.12", "--torch", "2.13.0", "--json")
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("WHEELFERRY_RECIPES", str(drafted / "nowhere"))
    done = wheelferry("plan", "tin-ops@1.2")
    assert (done.returncode, "nowhere is no folder" in done.stderr) == (2, True)
