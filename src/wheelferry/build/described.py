"""What the project's files say before a compiler starts: the modules it makes, how its kernels branch."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wheelferry.build.backend import with_backend
from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError, InputError
from wheelferry.models.cuda import branches_above, from_oldest
from wheelferry.models.planning.build_key import required_modules
from wheelferry.models.planning.plan import Cell
from wheelferry.models.recipe import Recipe
from wheelferry.toolchains.torch_stub import place_torch_stub

_DEVICE_SOURCES = (".cu", ".cuh", ".h", ".hpp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """An extension as setup.py describes it: its name (``package._C``) and its source files."""

    name: str
    sources: tuple[str, ...]


def require_described(
    recipe: Recipe, cell: Cell, tree: Path, python: Path, work: Path, tools: Tools, log: Path
) -> None:
    """Raise InputError when setup.py of `tree` will not make the modules that the recipe names.

    It runs in a copy of `tree`, by `python`, which has what it needs to build. Where it cannot run like that,
    or describes no extension, nothing is known before the build.
    """
    described = _describe(cell, tree, python, work, tools, log)
    if not described:
        tools.progress.note("which modules setup.py makes is known only when they are compiled")
        return
    names = {extension.name for extension in described}
    wanted = required_modules(recipe, cell)
    if missing := [module for module in wanted if module not in names]:
        kind = "with" if cell.cuda else "without"
        keys = (
            "extensions, cuda_extensions, cuda_host_extensions" if cell.cuda else "extensions, cpu_extensions"
        )
        raise InputError(
            f"{recipe.name}: setup.py makes no {', '.join(missing)} {kind} CUDA; "
            f"it makes {', '.join(sorted(names))}",
            hint=f"correct them in the recipe: build.{keys}",
        )
    without = [e.name for e in described if e.name in recipe.build.cuda_extensions and not _has_kernels(e)]
    if cell.cuda and without:
        raise InputError(
            f"{recipe.name}: {', '.join(without)} will hold no CUDA code: setup.py gives it no .cu file",
            hint="name it in the recipe's build.cuda_host_extensions instead of cuda_extensions",
        )


def _has_kernels(extension: Described) -> bool:
    return any(source.endswith(".cu") for source in extension.sources)


def _describe(
    cell: Cell, tree: Path, python: Path, work: Path, tools: Tools, log: Path
) -> tuple[Described, ...]:
    """The extensions that setup.py describes when it tells its metadata, with a stand-in for torch."""
    folder = work / "described"
    copy, listed, out = folder / "source", folder / "extensions.jsonl", folder / "metadata"
    out.mkdir(parents=True)
    shutil.copytree(tree, copy, symlinks=True)
    listed.touch()
    try:
        with_backend(
            lambda builder: builder.prepare("wheel", out),
            copy,
            python,
            _variables(cell, folder / "stand-in", listed),
            tools,
            log,
        )
    except BuildError:
        return ()
    lines = [json.loads(line) for line in listed.read_text("utf-8").splitlines()]
    return tuple(Described(name=line["name"], sources=tuple(line["sources"])) for line in lines)


def _variables(cell: Cell, stub: Path, listed: Path) -> Mapping[str, str]:
    version = cell.cuda.version if cell.cuda else None
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(place_torch_stub(stub, cell.target.torch, cuda=version)),
        "CUDA_VISIBLE_DEVICES": "",
        "FORCE_CUDA": "1" if cell.cuda else "0",
        "WHEELFERRY_LIST_EXTENSIONS": str(listed),
        **dict(cell.environment),
    }


def device_options(
    recipe: Recipe, tree: Path, architectures: tuple[str, ...], tools: Tools
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How to compile the kernels in `tree`: the architectures to ask of torch, and further options of nvcc.

    Where the recipe says so, all come from the code of the oldest; not where a source asks for a newer one.
    """
    if not recipe.build.cuda_from_oldest:
        return architectures, ()
    asked, flags = from_oldest(architectures)
    if not flags:
        return asked, flags
    oldest = next(name for name in asked if name[-1].isdigit())
    branching = [path for path in _device_sources(tree) if branches_above(_text(path), oldest)]
    if branching:
        tools.progress.note(
            f"{branching[0].relative_to(tree)} has code of its own for architectures newer than {oldest}: "
            "each is compiled for itself"
        )
        return architectures, ()
    return asked, flags


def _device_sources(tree: Path) -> Iterable[Path]:
    return sorted(path for path in tree.rglob("*") if path.suffix in _DEVICE_SOURCES and path.is_file())


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")
