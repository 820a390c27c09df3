"""Closure: all that a cell's wheel requires, resolved until each part of it is a wheel or was made one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.build.dependencies.with_torch import build_pure, build_with_torch, obstacle
from wheelferry.build.populate import NeedsCompilerError, build_sdists
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import OTHER_WAYS, NeedsTorchError
from wheelferry.errors import InputError
from wheelferry.models.lock import Choice, choose_files
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.system.interpreters import Interpreter


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is resolved for a cell; wheels in the folder `links` count beside the index's."""

    requirements: Sequence[str]
    constraints: Sequence[str]
    links: Path
    interpreter: Interpreter


@dataclass(frozen=True, kw_only=True, slots=True)
class Closure:
    """The file of each package; `built` has, by their URL, the wheels of those that are sdists."""

    choices: tuple[Choice, ...]
    built: Mapping[str, Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class _WithTorch:
    """An sdist whose build needs torch, or says so, and its wheel."""

    sdist: Choice
    wheel: Entry


def resolve_closure(plan: Plan, cell: Cell, wanted: Wanted, work: Path, tools: Tools) -> Closure:
    """Resolve what is wanted, and build what exists only as an sdist.

    What needs torch to be built is built with the torch that will be shipped, and resolved as a wheel from
    then on; for another platform it is built where it compiles nothing. What cannot be built for the target
    must come as a wheel. Raises InputError when nothing fits,
    and what building raises.
    """
    only_binary: dict[str, str] = {}
    with_torch: list[_WithTorch] = []
    while True:
        # a folder each: uv keeps to the versions of a result that is there already
        folder = work / f"uv{len(only_binary) + len(with_torch)}"
        try:
            choices = _choose(cell, wanted, only_binary, with_torch, folder, tools)
            return _build(plan, cell, wanted, choices, with_torch, tools)
        except NeedsTorchError as error:
            reason = obstacle(cell)
            asked = (error.name, error.version, wanted.interpreter, tools)
            built = build_with_torch(plan, cell, *asked) if reason is None else build_pure(cell, *asked)
            if built is not None:
                with_torch.append(_placed(*built, wanted, error, with_torch, tools))
                continue
            lacking: Mapping[str, str] = {error.name: str(reason)}
            tools.progress.note(f"{error.name}: {reason}; looking for a release that has a wheel")
        except NeedsCompilerError as error:
            lacking = error.packages
            tools.progress.note(f"{error}; looking for a release that has a wheel")
        only_binary |= lacking


def _choose(
    cell: Cell,
    wanted: Wanted,
    only_binary: Mapping[str, str],
    with_torch: Sequence[_WithTorch],
    folder: Path,
    tools: Tools,
) -> tuple[Choice, ...]:
    """The best file for each package; the user's hashes are those of sdists, not of what was made of them."""
    try:
        with tools.progress.task("resolve"):
            resolution = tools.uv.resolve(
                cell.target,
                requirements=wanted.requirements,
                constraints=wanted.constraints,
                find_links=wanted.links,
                torch_index=cell.torch_index,
                only_binary=tuple(only_binary),
                excluded=[exclusion.name for exclusion in cell.excluded],
                present=cell.present,
                interpreter=wanted.interpreter,
                work=folder,
            )
    except NeedsTorchError:
        raise
    except InputError as error:
        if only_binary:
            raise _no_wheel(only_binary, cell, error) from None
        raise _with_present(cell, error) from None
    made = {one.sdist.name for one in with_torch}
    allowed = {name: hashes for name, hashes in cell.hashes.items() if name not in made}
    present = {one.name for one in cell.present}
    return choose_files(
        resolution, cell.target, base=folder, allowed=allowed, present=present, smallest=bool(present)
    )


def _with_present(cell: Cell, error: InputError) -> InputError:
    """The error of a resolution, with the versions of those present packages that it speaks of."""
    spoken = set(re.findall(r"[a-z0-9-]+", str(error)))
    named = ", ".join(str(one) for one in cell.present if one.name in spoken)
    if not named:
        return error
    return InputError(
        f"{error}\nOn the client (--present): {named}",
        hint="leave out of --present what another version is needed of: it is carried then, and hides the "
        f"client's own; or {error.hint}",
    )


def _build(
    plan: Plan,
    cell: Cell,
    wanted: Wanted,
    choices: Sequence[Choice],
    with_torch: Sequence[_WithTorch],
    tools: Tools,
) -> Closure:
    """The closure, in which what was built with torch is the sdist again that it was made of."""
    made = {one.wheel.filename: one for one in with_torch}
    built = build_sdists(
        choices,
        cell.target,
        wanted.interpreter,
        tools,
        sdist_constraints=plan.sdist_constraints,
        allowed=cell.hashes,
    )
    return Closure(
        choices=tuple(made[c.filename].sdist if c.filename in made else c for c in choices),
        built={**built, **{one.sdist.url: one.wheel for one in with_torch}},
    )


def _placed(
    sdist: Choice,
    wheel: Entry,
    wanted: Wanted,
    needed: NeedsTorchError,
    made: Sequence[_WithTorch],
    tools: Tools,
) -> _WithTorch:
    """Put the wheel where it is resolved from; raises `needed` when it lies there already."""
    one = _WithTorch(sdist=sdist, wheel=wheel)
    if one in made:
        raise needed
    tools.store.place(wheel.sha256, wanted.links / wheel.filename)
    return one


def _no_wheel(packages: Mapping[str, str], cell: Cell, error: InputError) -> InputError:
    named = "\n".join(f"  {name}: {reason}" for name, reason in packages.items())
    return InputError(
        f"no wheel for {cell.target.name}, and none can be made here:\n{named}\n{error}",
        hint=f"{OTHER_WAYS}, make the bundle there, or constrain the package with --with",
    )
