"""Wheels of other people's sdists whose build needs torch, built with the torch that the bundle will have."""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.build.backend import run_backend, with_backend
from wheelferry.build.compile import make_environment
from wheelferry.build.environment import own_target, resolve_environment
from wheelferry.build.populate import fetch_files, populate
from wheelferry.build.prepare import CompiledAgainst, require_headers
from wheelferry.build.repair import repack_for_target
from wheelferry.build.variables import build_variables
from wheelferry.cache.source import Source, export, read_sdist
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import OTHER_WAYS
from wheelferry.errors import BuildError, InputError
from wheelferry.models.lock import Choice, LockedWheel, by_name, choose_files
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.files import require_space
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.this_machine import is_own_platform
from wheelferry.toolchains import native
from wheelferry.toolchains.native import Compiler
from wheelferry.toolchains.torch_stub import place_torch_stub, torch_stub_identity
from wheelferry.wheels.archive import unpack
from wheelferry.wheels.rewrite import amend_metadata

# Part of the key of every such wheel: raise it when the same inputs would give another one.
_FORMAT = 1
# What the setup.py of those that compile ops imports of torch.
_EXTENSION = b"cpp_extension"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sdist:
    """An sdist that is ready to be built for `cell`: its source, and what it is built with."""

    cell: Cell
    source: Source
    filename: str
    interpreter: Interpreter
    compiler: Compiler
    environment: tuple[LockedWheel, ...]

    @property
    def torch(self) -> CompiledAgainst:
        """The torch that it is built with."""
        torch = by_name(self.environment)[NormalizedName("torch")]
        return CompiledAgainst(version=str(torch.version), sha256=torch.sha256)

    @property
    def key(self) -> str:
        """What its wheel depends on; build tools are left out, as they are for other sdists."""
        target = self.cell.target
        toolchain = [self.interpreter.version, dict(self.interpreter.compile), self.compiler.identity]
        document = [_FORMAT, self.source.identity, self.torch.sha256, target.name, *toolchain]
        return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def obstacle(cell: Cell) -> str | None:
    """Why an sdist that needs torch cannot be built here for the cell; None when it can."""
    if not is_own_platform(cell.target):
        return f"its build needs torch, and so a machine whose own platform is {cell.target.platform}"
    if cell.cuda is not None:
        return "its build needs torch, and code for GPUs is compiled here only for what has a recipe"
    return None


def build_with_torch(
    plan: Plan, cell: Cell, name: str, version: str, interpreter: Interpreter, tools: Tools
) -> tuple[Choice, Entry]:
    """The sdist of a release of `name`, and its wheel: from the store if this torch built it before.

    The wheel's version and its requirements name the torch; its tag is the oldest that its modules satisfy.
    Raises BuildError when it does not build, or not portably; MissingError without headers or a compiler;
    InputError when what it wants to be built with does not fit the torch; IntegrityError when the sdist has
    none of the hashes that the user gave.
    """
    choice = _locate(cell, name, version, tools)
    archive = fetch_files([choice], tools, allowed=cell.hashes)[choice.url]
    source = read_sdist(name, tools.store.path(archive.sha256), archive.sha256, origin=choice.url)
    require_headers(cell, interpreter)
    compiler = native.find_compiler(tools.run, torch=cell.target.torch, cuda=None)
    with tools.store.workspace("with-torch", plain_path=True) as work:
        export(source, work / "source", tools.run)
        log = tools.store.log_path(f"build-{name}")
        sdist = _Sdist(
            cell=cell,
            source=source,
            filename=choice.filename,
            interpreter=interpreter,
            compiler=compiler,
            environment=_lock_environment(
                plan, cell, choice.filename, work / "source", interpreter, tools, log
            ),
        )
        with tools.store.lock(f"sdist-{sdist.key}"):
            known = tools.store.recall("sdist", sdist.key)
            if known is not None:
                return choice, known
            try:
                entry = _build(sdist, work, tools, log)
            except BuildError as error:
                message = f"{choice.filename} does not build with torch {sdist.torch.version}: {error}"
                raise BuildError(message, hint=error.hint or OTHER_WAYS) from None
            tools.store.remember("sdist", sdist.key, entry)
    return choice, entry


def build_pure(
    cell: Cell, name: str, version: str, interpreter: Interpreter, tools: Tools
) -> tuple[Choice, Entry] | None:
    """The sdist of a release of `name` that only says that it needs torch, and its wheel for every platform.

    Its build sees a stand-in for torch. None for an sdist that compiles something, or whose build wants more
    of torch than its name.
    """
    choice = _locate(cell, name, version, tools)
    archive = fetch_files([choice], tools, allowed=cell.hashes)[choice.url]
    source = read_sdist(name, tools.store.path(archive.sha256), archive.sha256, origin=choice.url)
    key = _pure_key(source, cell, interpreter)
    with tools.store.lock(f"sdist-{key}"):
        entry = tools.store.recall("sdist", key)
        if entry is None:
            try:
                entry = _build_pure(source, cell, name, interpreter, tools)
            except (BuildError, InputError) as error:
                tools.progress.note(f"{choice.filename}: {str(error).splitlines()[0]}")
                return None
            tools.store.remember("sdist", key, entry)
    return choice, entry


def _pure_key(source: Source, cell: Cell, interpreter: Interpreter) -> str:
    document = [_FORMAT, "pure", source.identity, cell.target.torch, interpreter.version]
    return hashlib.sha256(json.dumps([*document, torch_stub_identity()]).encode()).hexdigest()


def _build_pure(source: Source, cell: Cell, name: str, interpreter: Interpreter, tools: Tools) -> Entry:
    """Build it in an environment without torch; raises BuildError where it is not for every platform."""
    log = tools.store.log_path(f"build-{name}")
    with tools.store.workspace("pure", plain_path=True) as work:
        tree = work / "source"
        export(source, tree, tools.run)
        if any(_EXTENSION in path.read_bytes() for path in tree.glob("*.py")):
            raise BuildError("its build compiles ops with torch")
        own = Path(sys.executable)
        declared = with_backend(lambda builder: builder.build_system_requires, tree, own, {}, tools, log)
        wanted = sorted(text for text in declared if canonicalize_name(Requirement(text).name) != "torch")
        target = own_target(cell)
        choices = resolve_environment(cell, target, tuple(wanted), interpreter, tools)
        environment = populate(choices, target, interpreter, tools)
        python = make_environment(work, environment, interpreter, tools, log)
        variables = build_variables(None, interpreter, work, python, source.epoch, tools)
        variables["PYTHONPATH"] = str(place_torch_stub(work / "stand-in", cell.target.torch))
        with tools.progress.task(f"build {name} without torch") as task:
            raw = run_backend(tree, work / "raw", python, variables, tools, log, task)
        if any(tag.platform != "any" for tag in filename_parts(raw.name)[2]):
            raise BuildError(f"it made {raw.name}, which is not for every platform")
        unpack(raw, work / "tree")
        packed = repack_for_target(
            work / "tree", work / "packed", raw.name, cell.target, tools, epoch=source.epoch
        )
        return tools.store.add(packed)


def _locate(cell: Cell, name: str, version: str, tools: Tools) -> Choice:
    """Where the index has the sdist."""
    with tools.store.workspace("locate") as work:
        found = tools.uv.locate_sdist(name, version, python=cell.target.python, work=work)
        (choice,) = choose_files(found, cell.target, base=work, allowed=cell.hashes)
    return choice


def _lock_environment(
    plan: Plan, cell: Cell, filename: str, tree: Path, interpreter: Interpreter, tools: Tools, log: Path
) -> tuple[LockedWheel, ...]:
    """What the sdist is built with, downloaded: the torch that will be shipped, and build tools.

    Those are what the sdist declares, and what the recipe knows to serve with that torch.
    """
    own = Path(sys.executable)  # only reads pyproject.toml
    declared = with_backend(lambda builder: builder.build_system_requires, tree, own, {}, tools, log)
    wanted = (f"torch=={cell.target.torch}", *cell.build_requires, *sorted(declared))
    try:
        with tools.progress.task("resolve the build environment"):
            choices = resolve_environment(cell, cell.target, tuple(dict.fromkeys(wanted)), interpreter, tools)
    except InputError as error:
        message = f"{filename} declares to be built with {', '.join(sorted(declared))}: {error}"
        raise InputError(message, hint=error.hint) from None
    constraints = plan.recipe.build.sdist_constraints
    return populate(choices, cell.target, interpreter, tools, sdist_constraints=constraints)


def _build(sdist: _Sdist, work: Path, tools: Tools, log: Path) -> Entry:
    # unpacked, a wheel takes about twice its size
    room = 2 * sum(wheel.size for wheel in sdist.environment)
    require_space(work, room, purpose="the build environment")
    with tools.progress.task("make the build environment"):
        python = make_environment(work, sdist.environment, sdist.interpreter, tools, log)
    variables = build_variables(sdist.compiler, sdist.interpreter, work, python, sdist.source.epoch, tools)
    with tools.progress.task(f"build {sdist.filename} with torch {sdist.torch.version}") as task:
        raw = run_backend(work / "source", work / "raw", python, variables, tools, log, task)
    return _repair(raw, sdist, work / "finished", tools)


def _repair(raw: Path, sdist: _Sdist, out: Path, tools: Tools) -> Entry:
    """Say in a fresh wheel for which torch it was made, give it the tag that it satisfies, and keep it."""
    cell = sdist.cell
    version = filename_parts(raw.name)[1]
    stamp = {"source": sdist.source.identity, "torch": asdict(sdist.torch), "key": sdist.key}
    unpack(raw, out / "tree")
    amend_metadata(
        out / "tree",
        version=f"{version}{'.' if version.local else '+'}{cell.target.torch_label}",
        requires=[f"torch=={cell.target.torch}"],
        stamp=(json.dumps(stamp, indent=1, sort_keys=True) + "\n").encode(),
    )
    wheel = repack_for_target(
        out / "tree", out / "packed", raw.name, cell.target, tools, epoch=sdist.source.epoch
    )
    if filename_parts(wheel.name)[2].isdisjoint(cell.target.tags):
        raise BuildError(f"the build made {wheel.name}, which does not fit {cell.target.name}")
    return tools.store.add(wheel)
