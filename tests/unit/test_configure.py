"""A project without a build configuration: what is written for it, and what is refused."""

from pathlib import Path

import pytest

from conftest import RECIPE, TARGET
from wheelferry.build.configure import configure, is_configured, packages_in
from wheelferry.drafting.bare import find_bare
from wheelferry.errors import InputError
from wheelferry.models.planning.build_key import build_key
from wheelferry.models.planning.configuration import configuration_of
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.file import parse_recipe

BUILD = next(line for line in RECIPE.splitlines() if line.startswith("build = "))
PACKED = RECIPE.replace(BUILD, 'build = { packages = ["tiny", "tiny_more"] }')


def plan(text: str = PACKED) -> Plan:
    return make_plan(parse_recipe(text, file="tiny.toml"), "1.0", [TARGET])


def key(plan: Plan) -> str:
    return build_key(plan, plan.cells[0], source_id="s", inputs={}, toolchain="t")


def write(folder: Path, name: str, text: str = "") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")


def test_what_is_written_says_all_that_the_recipe_says() -> None:
    one = plan()
    lines = configuration_of(one, one.cells[0]).splitlines()
    for line in ("name = tiny", "version = 1.0", "packages = find_namespace:", "    leaf", "    tiny_more.*"):
        assert line in lines
    assert one.recipe.build.python_only
    assert not one.cells[0].ops
    assert {"setuptools>=40.1", "wheel"} <= set(one.cells[0].build_requires)


def test_no_configuration_is_written_for_other_recipes() -> None:
    other = plan(RECIPE)
    assert configuration_of(other, other.cells[0]) == ""


def test_what_gets_into_the_wheel_gets_into_the_build_key() -> None:
    keys = {
        key(plan(text))
        for text in (
            PACKED,
            PACKED.replace("leaf", "leaf>=2"),
            PACKED.replace('"tiny", "tiny_more"', '"tiny"'),
        )
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ('{ packages = ["tiny"], python_only = false }', "packages: they are packed without a compiler"),
        (
            '{ packages = ["tiny"], extensions = ["tiny._C"] }',
            "python_only: it says that there are no compiled",
        ),
        ('{ packages = ["tiny/more"] }', "build.packages[0]: "),
    ],
)
def test_packages_with_what_contradicts_them_are_refused(build: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(RECIPE.replace(BUILD, f"build = {build}"), file="tiny.toml")
    assert said in str(caught.value)


def test_the_configuration_and_the_nearest_licence_are_put_into_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "LICENSE", "top")
    write(tmp_path, "projects/NOTICE.txt", "nearer")
    write(tmp_path, "projects/x/tiny/__init__.py")
    folder = tmp_path / "projects" / "x"
    configure(tmp_path, folder, ["tiny"], "[metadata]\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "NOTICE.txt", "pyproject.toml", "setup.cfg", "tiny",
    ]  # fmt: skip
    assert is_configured(folder)


def test_a_licence_of_its_own_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "LICENSE", "top")
    write(tmp_path, "x/COPYING", "own")
    write(tmp_path, "x/tiny/__init__.py")
    configure(tmp_path, tmp_path / "x", ["tiny"], "")
    assert not (tmp_path / "x" / "LICENSE").exists()


@pytest.mark.parametrize(
    ("file", "text", "configured"),
    [
        ("setup.py", "", True),
        ("setup.cfg", "[metadata]\nname = x\n", True),
        ("setup.cfg", "[flake8]\nmax-line-length = 100%\n", False),
        ("pyproject.toml", "[project]\nname = 'x'\n", True),
        ("pyproject.toml", "[tool.poetry]\nname = 'x'\n", True),
        ("pyproject.toml", "[tool.black]\nline-length = 100\n", False),
        ("pyproject.toml", "[tool", True),
        ("README.md", "", False),
    ],
)
def test_settings_of_linters_are_no_build_configuration(
    tmp_path: Path, file: str, text: str, configured: bool
) -> None:
    write(tmp_path, file, text)
    assert is_configured(tmp_path) == configured


def test_a_project_that_is_configured_and_packages_that_are_not_there_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "x/there/__init__.py")
    with pytest.raises(InputError, match=r"the source's folder x has no folder gone, lost") as caught:
        configure(tmp_path, tmp_path / "x", ["there", "gone", "lost"], "")
    assert "its packages: there" in (caught.value.hint or "")
    write(tmp_path, "setup.py")
    with pytest.raises(InputError, match="the source says itself how it is built"):
        configure(tmp_path, tmp_path, ["there"], "")


def test_a_bare_project_is_told_from_its_files(tmp_path: Path) -> None:
    write(tmp_path, "look_here/__init__.py", "import os, numpy.linalg\nfrom . import own\n")
    write(
        tmp_path,
        "look_here/own.py",
        "from torch import nn\nfrom yacs.config import CfgNode\nimport look_here\n",
    )
    write(tmp_path, "look_here/broken.py", "print 'of Python 2'\n")
    write(tmp_path, "tests/__init__.py", "import pytest\n")
    assert packages_in(tmp_path) == ("look_here",)
    bare = find_bare(tmp_path, "https://git.example/look.git", "v1.2")
    assert (bare.name, bare.version, bare.imports) == ("look-here", "1.2", ("numpy", "yacs"))
    write(tmp_path, "other/__init__.py")
    bare = find_bare(tmp_path, "https://git.example/Look_It.git", "main")
    assert (bare.name, bare.version) == ("Look-It", "0.1")
    with pytest.raises(InputError, match="no Python package"):
        find_bare(tmp_path / "tests", "x", "main")


def test_the_digest_of_a_cell_knows_the_packages() -> None:
    first, second = plan(), plan(PACKED.replace('"tiny", "tiny_more"', '"tiny"'))
    assert first.cells[0].build_requires == second.cells[0].build_requires
    assert first.cells[0].plan_digest != second.cells[0].plan_digest
