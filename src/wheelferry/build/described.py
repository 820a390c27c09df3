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
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.toolchains.torch_stub import cuda_variables, place_torch_stub

_DEVICE_SOURCES = (".cu", ".cuh", ".h", ".hpp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """An extension as setup.py describes it: its name (``package._C``) and its source files."""

    name: str
    sources: tuple[str, ...]

    @property
    def has_kernels(self) -> bool:
        """Whether code for GPUs goes into it."""
        return any(source.endswith(".cu") for source in self.sources)


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What setup.py tells before it builds: its extensions, and the folder of the metadata that it prepared.

    The folder is None for a backend that prepares none.
    """

    extensions: tuple[Described, ...]
    metadata: Path | None


def require_described(
    recipe: Recipe, cell: Cell, tree: Path, python: Path, work: Path, tools: Tools, log: Path
) -> None:
    """Raise InputError when the project's setup.py in `tree` will not make the modules that the recipe names.

    It runs in a copy of `tree`, by `python`, which has what it needs to build. Where it cannot run like that,
    or describes no extension, nothing is known before the build.
    """
    described = _described(recipe, cell, tree, python, work, tools, log)
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
    without = [e.name for e in described if e.name in recipe.build.cuda_extensions and not e.has_kernels]
    if cell.cuda and without:
        raise InputError(
            f"{recipe.name}: {', '.join(without)} will hold no CUDA code: setup.py gives it no .cu file",
            hint="name it in the recipe's build.cuda_host_extensions instead of cuda_extensions",
        )


def _described(
    recipe: Recipe, cell: Cell, tree: Path, python: Path, work: Path, tools: Tools, log: Path
) -> tuple[Described, ...]:
    cuda, environment = cell.cuda.version if cell.cuda else None, dict(cell.environment)
    stub = place_torch_stub(work / "described-torch", cell.target.torch, cuda=cuda)
    try:
        told = describe(
            tree,
            python,
            work / "described",
            stub,
            environment,
            tools,
            log,
            cuda=bool(cuda),
            inside=recipe.source.subdirectory or "",
        )
    except BuildError:
        return ()
    return told.extensions


def describe(
    tree: Path,
    python: Path,
    folder: Path,
    stub: Path,
    environment: Mapping[str, str],
    tools: Tools,
    log: Path,
    *,
    cuda: bool,
    inside: str = "",
) -> Description:
    """What a project's setup.py tells when it is asked for its metadata, with the stand-in for torch `stub`.

    The project is the folder `inside` of `tree`. It runs in a copy of all of that in the new `folder`, by
    `python`, and with `environment`. Raises BuildError when it cannot run like that.
    """
    copy, listed, out = folder / "source", folder / "extensions.jsonl", folder / "metadata"
    out.mkdir(parents=True)
    shutil.copytree(tree, copy, symlinks=True)
    listed.touch()
    variables = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(stub),
        "CUDA_VISIBLE_DEVICES": "",
        "WHEELFERRY_LIST_EXTENSIONS": str(listed),
        **(cuda_variables(folder / "cuda") if cuda else {"FORCE_CUDA": "0"}),
        **environment,
    }
    metadata = with_backend(lambda b: b.prepare("wheel", out), copy / inside, python, variables, tools, log)
    lines = [json.loads(line) for line in listed.read_text("utf-8").splitlines()]
    return Description(
        extensions=tuple(Described(name=line["name"], sources=tuple(line["sources"])) for line in lines),
        metadata=Path(metadata) if metadata else None,
    )


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
