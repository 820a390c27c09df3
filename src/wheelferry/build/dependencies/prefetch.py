"""While wheels compile: what they will require is resolved and brought into the store.

The lock comes after the compiler, because it is made of the built wheel; but what the wheel will say is
known before, from the metadata that the project's backend prepares. What could not be fetched ahead the lock
fetches, or explains; but all of it has to fit together, before anything is compiled.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheelferry.build.backend import with_backend
from wheelferry.build.compile import make_environment
from wheelferry.build.dependencies.closure import Closure, Wanted, resolve_closure
from wheelferry.build.dependencies.lock import (
    pins_of,
    place_given,
    warn_of_alternatives,
    warn_of_downloads,
)
from wheelferry.build.environment import own_target, resolve_environment
from wheelferry.build.populate import IncompleteWheelError, populate
from wheelferry.build.prepare import Prepared
from wheelferry.cache.source import Source, export, project_in, substitute
from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError, MissingError, WheelferryError
from wheelferry.models.lock import LockedWheel
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.progress import Labelled, Stoppable
from wheelferry.system.interpreters import Interpreter, find_interpreter
from wheelferry.system.process import Group
from wheelferry.toolchains.torch_stub import cuda_variables, place_torch_stub
from wheelferry.wheels.read import read_wheel

# What setup.py needs of a build environment to tell its metadata; torch is stood in for.
_BACKEND = ("setuptools", "wheel", "packaging")


@contextlib.contextmanager
def fetching_ahead(plan: Plan, cells: Sequence[Prepared], source: Source, tools: Tools) -> Iterator[None]:
    """Fetch what the cells' wheels will require while the context lasts, and to its end.

    On an exception, Ctrl-C too, it is broken off.
    """
    waiting = [prepared for prepared in cells if tools.store.recall("build", prepared.key) is None]
    if not waiting:
        yield
        return
    group, stop = Group(tools.run), threading.Event()
    own = replace(
        tools,
        run=group.run,
        uv=replace(tools.uv, run=group.run),
        progress=Stoppable(Labelled(tools.progress, "meanwhile"), stop),
    )
    thread = threading.Thread(target=_fetch_each, args=(plan, waiting, source, own, stop))
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        group.end()
        raise
    finally:
        thread.join()


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What it takes to ask a project for its metadata before it is compiled for a cell.

    `backend` are the wheels that its setup.py needs to tell them; `torch` is the version that will be
    shipped, build and all, where that is known.
    """

    cell: Cell
    interpreter: Interpreter
    backend: tuple[LockedWheel, ...]
    torch: str | None = None


def as_prepared(prepared: Prepared) -> Asked:
    """With the build environment of a cell that is ready to be compiled here."""
    return Asked(
        cell=prepared.cell,
        interpreter=prepared.interpreter,
        backend=tuple(wheel for wheel in prepared.environment.wheels if wheel.name in _BACKEND),
        torch=prepared.torch.version if prepared.torch else None,
    )


def for_metadata(plan: Plan, cell: Cell, interpreter: Interpreter, tools: Tools) -> Asked:
    """For a cell that is compiled elsewhere: of its build environment no more than tells the metadata."""
    wanted = [text for text in cell.build_requires if canonicalize_name(Requirement(text).name) in _BACKEND]
    target = own_target(cell)
    choices = resolve_environment(cell, target, tuple(wanted), interpreter, tools)
    constraints = plan.recipe.build.sdist_constraints
    wheels = populate(choices, target, interpreter, tools, sdist_constraints=constraints)
    return Asked(cell=cell, interpreter=interpreter, backend=wheels)


def require_closure(plan: Plan, asked: Asked, source: Source, tools: Tools, *, given: Iterable[Path]) -> None:
    """Return when all that the project's metadata, the recipe and the user require is known to fit together.

    Raises InputError when it does not, IntegrityError when no file has a hash that the user gave, and
    IncompleteWheelError when an sdist's build does not get what it downloads; what keeps the question from
    being asked, the build or the lock will tell.
    """
    with tools.store.workspace("ahead", plain_path=True) as work, tools.progress.task("resolve"):
        try:
            _resolve(plan, asked, source, work, tools, given=given)
        except IncompleteWheelError:
            raise
        except (BuildError, MissingError) as error:
            tools.progress.note(f"not resolved before it is built: {str(error).splitlines()[0]}")


def require_joint_closure(
    cell: Cell,
    projects: Sequence[tuple[Plan, Cell, Source | Path | None]],
    tools: Tools,
    *,
    given: Iterable[Path],
) -> None:
    """Return when what several projects in one bundle require is known to fit together.

    `cell` is what their cells for one target require together. Of each project the metadata tell the rest,
    those of its source or of the wheel that was given. Errors as of `require_closure`.
    """
    plan = projects[0][0]
    interpreter = find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)
    with tools.store.workspace("ahead", plain_path=True) as work, tools.progress.task("resolve"):
        requires: list[str] = []
        try:
            for number, (own, own_cell, source) in enumerate(projects):
                folder = work / str(number)
                folder.mkdir()
                requires += _required_by(own, own_cell, source, interpreter, folder, tools)
            _resolve_together(plan, cell, requires, interpreter, work, tools, given=given)
        except (BuildError, MissingError) as error:
            tools.progress.note(f"not resolved before it is built: {str(error).splitlines()[0]}")


def _required_by(
    plan: Plan, cell: Cell, source: Source | Path | None, interpreter: Interpreter, work: Path, tools: Tools
) -> list[str]:
    """What one project's wheel will require, or its given wheel does; nothing where its backend is silent."""
    if source is None:
        return []
    if isinstance(source, Path):
        return [str(requirement) for requirement in read_wheel(source).requires]
    asked = for_metadata(plan, cell, interpreter, tools)
    return _requirements(plan, asked, source, work, tools) or []


def _fetch_each(
    plan: Plan, cells: Sequence[Prepared], source: Source, tools: Tools, stop: threading.Event
) -> None:
    for prepared in cells:
        try:
            _fetch(plan, prepared, source, tools)
        except WheelferryError as error:
            if stop.is_set():
                return
            reason = str(error).splitlines()[0]
            tools.progress.note(f"not fetched ahead for {prepared.cell.target.name}: {reason}")


def _fetch(plan: Plan, prepared: Prepared, source: Source, tools: Tools) -> None:
    cell = prepared.cell
    with tools.store.workspace("ahead", plain_path=True) as work:
        closure = _resolve(plan, as_prepared(prepared), source, work, tools, given=())
        # before the compiler is done, it may take an hour
        warn_of_alternatives(closure.choices, cell, tools)
        warn_of_downloads(plan, closure.choices, cell, tools)
        populate(
            closure.choices,
            cell.target,
            prepared.interpreter,
            tools,
            sdist_constraints=plan.sdist_constraints,
            allowed=cell.hashes,
            built=closure.built,
        )


def _resolve(
    plan: Plan, asked: Asked, source: Source, work: Path, tools: Tools, *, given: Iterable[Path]
) -> Closure:
    """The files that the lock will hold beside the project's wheel; none when its backend does not tell."""
    cell = asked.cell
    requires = _requirements(plan, asked, source, work, tools)
    if requires is None:
        return Closure(choices=(), built={})
    return _resolve_together(
        plan, cell, requires, asked.interpreter, work, tools, given=given, torch=asked.torch
    )


def _resolve_together(
    plan: Plan,
    cell: Cell,
    requires: Iterable[str],
    interpreter: Interpreter,
    work: Path,
    tools: Tools,
    *,
    given: Iterable[Path],
    torch: str | None = None,
) -> Closure:
    """The files for all that is required; `torch` is the version with its build, where that is known."""
    links = work / "given"
    fitting = place_given(given, links, cell)
    exactly = [f"torch=={torch}"] if torch and cell.carries_torch else []
    wanted = Wanted(
        requirements=[
            *plan.of_others(requires),
            *plan.requirements_of_others(cell),
            cell.shipped_torch,
        ],
        constraints=[*cell.shipped_constraints, *exactly, *pins_of(fitting)],
        links=links,
        interpreter=interpreter,
    )
    return resolve_closure(plan, cell, wanted, work, tools)


def _for_cuda(work: Path) -> dict[str, str]:
    """Variables by which a project describes its CUDA ops, which some have alone; they are only listed."""
    return {
        **cuda_variables(work / "cuda"),
        "WHEELFERRY_LIST_EXTENSIONS": str(work / "extensions.jsonl"),
    }


def _requirements(plan: Plan, asked: Asked, source: Source, work: Path, tools: Tools) -> list[str] | None:
    """What the project's metadata require; None when its backend does not tell before it builds.

    setup.py sees a stand-in for torch, which takes a moment instead of the seconds that torch takes.
    """
    tree, log = work / "source", tools.store.log_path("ahead")
    export(source, tree, tools.run)
    substitute(tree, asked.cell.substitutions)
    project = project_in(tree, plan.recipe.source.subdirectory)
    python = make_environment(work, asked.backend, asked.interpreter, tools, log)
    cuda = asked.cell.cuda.version if asked.cell.cuda else None
    variables: dict[str, Any] = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(place_torch_stub(work / "stand-in", asked.cell.target.torch, cuda=cuda)),
        "CUDA_VISIBLE_DEVICES": "",
        **(_for_cuda(work) if cuda else {}),
        **dict(asked.cell.environment),
    }
    out = work / "metadata"
    out.mkdir()
    folder = with_backend(
        lambda builder: builder.prepare("wheel", out), project, python, variables, tools, log
    )
    if folder is None:
        return None
    raw, _ = parse_email((Path(folder) / "METADATA").read_bytes())
    return list(raw.get("requires_dist", []))
