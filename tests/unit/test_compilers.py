"""What compiles ops on the stable ABI: which is taken, and what is said when there is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import RECIPE
from wheelferry.build import compilers
from wheelferry.cache.tools import CompilerChoice, Tools
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.models.lock import Choice
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Cell
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import Interpreter
from wheelferry.toolchains import linux, mingw, zig
from wheelferry.toolchains.native import Compiler

LINUX = Target(python="3.12", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="default")
OTHERS = [replace(LINUX, platform="win_amd64"), replace(LINUX, platform="manylinux_2_28_aarch64")]
PYTHON = Interpreter(path=Path("/python"), version="3.12.1", headers=Path("/none"))
ZIG = zig.Toolchain(triple="t", compiler=Path("c++"), program=Path("zig"), version="1", sha256="a")


def cell_for(target: Target) -> Cell:
    recipe = parse_recipe(
        RECIPE.replace('python = ">=3.10,<3.15"', 'python = ">=3.10,<3.15"\nwindows = ">=3.10,<3.15"'),
        file="tiny.toml",
    )
    (cell,) = make_plan(recipe, "1.0", [target], on_stable_abi=[target]).cells
    return cell


def missing(*_: Any, **__: Any) -> Any:
    raise MissingError("none is installed", hint="install one")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An x86-64 Linux without a compiler."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(linux, "find_compiler", missing)
    monkeypatch.setattr(mingw, "find", missing)


@pytest.fixture
def from_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "fetch_zig", lambda *_: ZIG)


def test_what_is_installed_comes_first(
    tools: Tools, from_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = mingw.Toolchain(compiler=Path("g"), dlltool=Path("d"), nm=Path("n"), version="12")
    monkeypatch.setattr(mingw, "find", lambda _: found)
    assert compilers.find_stable_compiler(cell_for(OTHERS[0]), PYTHON, tools) is found
    named = replace(tools, compiler=CompilerChoice.ZIG)
    assert compilers.find_stable_compiler(cell_for(OTHERS[0]), PYTHON, named) is ZIG


@pytest.mark.parametrize("target", [LINUX, *OTHERS])
def test_without_a_compiler_that_of_the_index_is_taken(
    target: Target, tools: Tools, bare: None, from_index: None
) -> None:
    assert compilers.find_stable_compiler(cell_for(target), PYTHON, tools) is ZIG


@pytest.mark.parametrize("target", [LINUX, *OTHERS])
def test_gxx_alone_is_not_replaced(target: Target, tools: Tools, bare: None, from_index: None) -> None:
    named = replace(tools, compiler=CompilerChoice.GXX)
    with pytest.raises(MissingError):
        compilers.find_stable_compiler(cell_for(target), PYTHON, named)


def test_nvcc_has_no_other_host_compiler_than_gxx(
    tools: Tools, from_index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = cell_for(replace(LINUX, backend="cu130"))
    with pytest.raises(InputError, match="nvcc needs g\\+\\+, zig does not compile CUDA ops"):
        compilers.find_stable_compiler(cuda, PYTHON, replace(tools, compiler=CompilerChoice.ZIG))
    asked: list[Any] = []
    monkeypatch.setattr("wheelferry.toolchains.native.require_host_compiler", lambda *it: asked.append(it[0]))
    monkeypatch.setattr(linux, "find_compiler", lambda: Path("/usr/bin/g++"))
    monkeypatch.setattr(linux, "toolchain_identity", lambda _: "g++ 12")
    found = compilers.find_stable_compiler(cuda, PYTHON, tools)
    assert isinstance(found, Compiler)
    assert (found.path, asked) == (Path("/usr/bin/g++"), [cuda.cuda])
    monkeypatch.setattr(linux, "find_compiler", missing)
    with pytest.raises(MissingError, match="none is installed"):
        compilers.find_stable_compiler(cuda, PYTHON, tools)


def test_without_any_both_ways_are_named(tools: Tools, bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_there(*_: Any) -> Any:
        raise InputError("the package index has no ziglang==9 for this machine:\nno such package")

    monkeypatch.setattr(compilers, "fetch_zig", none_there)
    with pytest.raises(MissingError, match=r"none is installed; and .* has no ziglang==9") as caught:
        compilers.find_stable_compiler(cell_for(LINUX), PYTHON, tools)
    assert "install one" in (caught.value.hint or "")
    assert "no such package" not in str(caught.value)


def resolves_to(name: str) -> Callable[..., tuple[Choice, ...]]:
    def resolve(*_: Any) -> tuple[Choice, ...]:
        from packaging.utils import canonicalize_name
        from packaging.version import Version

        one = Choice(
            name=canonicalize_name(name), version=Version("1"), filename="z.whl", url="u", sha256=None,
            is_sdist=False,
        )  # fmt: skip
        return (one,)

    return resolve


def test_an_index_without_it_is_bad_input(tools: Tools, bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def unresolved(*_: Any) -> Any:
        raise InputError("cannot resolve")

    monkeypatch.setattr(compilers, "resolve_environment", unresolved)
    with pytest.raises(InputError, match="the package index has no ziglang==") as caught:
        compilers.fetch_zig(cell_for(LINUX), PYTHON, tools)
    assert "--compiler g++" in (caught.value.hint or "")


def test_an_index_with_another_file_is_not_believed(
    tools: Tools, bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def fetch(choices: Any, _: Tools, *, allowed: Any) -> None:
        seen["allowed"] = allowed

    monkeypatch.setattr(compilers, "resolve_environment", resolves_to("ziglang"))
    monkeypatch.setattr(compilers, "fetch_files", fetch)
    with pytest.raises(IntegrityError, match="another file than the one that is known"):
        compilers.fetch_zig(cell_for(LINUX), PYTHON, tools)
    release = zig.locked("x86_64")
    assert release is not None
    assert seen["allowed"] == {"ziglang": frozenset([release.sha256])}


def test_a_machine_that_it_does_not_exist_for(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(InputError, match="riscv64"):
        compilers.fetch_zig(cell_for(LINUX), PYTHON, tools)


def test_each_compiler_is_part_of_the_key() -> None:
    gcc = mingw.Toolchain(compiler=Path("g"), dlltool=Path("d"), nm=Path("n"), version="12")
    others: list[compilers.Found] = [
        ZIG,
        replace(ZIG, sha256="b"),
        replace(ZIG, triple="u"),
        gcc,
        replace(gcc, version="13"),
    ]
    assert len({compilers.identity(one) for one in others}) == len(others)
