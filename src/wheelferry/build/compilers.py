"""Compilers for ops on torch's stable ABI: this machine's own, or the one from the package index."""

import platform
import sys
from pathlib import Path

from packaging.utils import NormalizedName

from wheelferry.build.environment import own_target, resolve_environment
from wheelferry.build.populate import fetch_files
from wheelferry.cache.tools import CompilerChoice, Tools
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.models.planning.plan import Cell
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.this_machine import is_own_platform
from wheelferry.toolchains import mingw, native, zig
from wheelferry.toolchains.native import Compiler

Found = Compiler | mingw.Toolchain | zig.Toolchain


def identity(found: Found) -> str:
    """All of a compiler that its results depend on, as one text."""
    if isinstance(found, Compiler):
        return found.identity
    if isinstance(found, mingw.Toolchain):
        return f"mingw-w64 {found.version}"
    return f"{zig.DISTRIBUTION} {found.version} {found.sha256} for {found.triple}"


def find_stable_compiler(cell: Cell, interpreter: Interpreter, tools: Tools) -> Found:
    """What compiles the cell's ops: what the user names, else g++ or mingw-w64 if it is here, else zig.

    g++ comes first because the first link with zig compiles its C++ library, which takes longer than all
    else. Raises MissingError saying what can be installed when there is nothing.
    """
    if cell.cuda is not None:
        return _find_for_nvcc(cell, interpreter, tools)
    if tools.compiler is CompilerChoice.ZIG:
        return fetch_zig(cell, interpreter, tools)
    try:
        return find_own(cell.target, tools)
    except MissingError as error:
        if tools.compiler is CompilerChoice.GXX:
            raise
        own = error
    try:
        found = fetch_zig(cell, interpreter, tools)
    except (MissingError, InputError) as error:
        said = str(error).splitlines()[0].rstrip(":")
        raise MissingError(
            f"no C++ compiler for {cell.target.name}: {own}; and the one from the package index cannot be "
            f"had: {said}",
            hint=f"{own.hint or 'install one'}; or see to it that pip's index has {zig.DISTRIBUTION}",
        ) from None
    tools.progress.note(
        f"no compiler for {cell.target.platform} is installed: {zig.DISTRIBUTION} {found.version} from the "
        "package index compiles; its first link for a platform takes a minute"
    )
    return found


def _find_for_nvcc(cell: Cell, interpreter: Interpreter, tools: Tools) -> Compiler | zig.Toolchain:
    """g++, of a version that nvcc of the cell's CUDA accepts: nvcc calls it for what runs on the CPU.

    For Windows on Linux zig compiles that, and g++ is there for nvcc to read sources with.
    """
    if not is_own_platform(cell.target):
        if tools.compiler is CompilerChoice.GXX:
            raise InputError(
                f"{cell.target.name}: g++ does not compile CUDA ops for Windows, zig does",
                hint="leave --compiler out",
            )
        find_host_compiler(cell, tools)
        tools.progress.warn(
            f"{cell.target.name}: CUDA ops for Windows that Linux compiles are an experiment: what they ask "
            "of CUDA was compared with what a Linux build asks, but they never ran on a Windows with a GPU"
        )
        return fetch_zig(cell, interpreter, tools)
    if tools.compiler is CompilerChoice.ZIG:
        raise InputError(
            f"{cell.target.name}: nvcc needs g++, zig does not compile CUDA ops", hint="leave --compiler out"
        )
    return find_host_compiler(cell, tools)


def find_host_compiler(cell: Cell, tools: Tools) -> Compiler:
    """The g++ that nvcc calls; MissingError without one that it accepts."""
    return native.find_compiler(tools.run, torch=cell.target.torch, cuda=cell.cuda)


def find_own(target: Target, tools: Tools) -> Compiler | mingw.Toolchain:
    """g++ for this machine's own platform, mingw-w64 for Windows on Linux; MissingError without either."""
    if is_own_platform(target):
        return native.find_compiler(tools.run, torch=target.torch, cuda=None)
    if target.is_windows:
        return mingw.find(tools.run)
    raise MissingError(
        f"g++ of this machine does not compile for {target.platform}",
        hint="the compiler from the package index does: --compiler zig",
    )


def fetch_zig(cell: Cell, interpreter: Interpreter, tools: Tools) -> zig.Toolchain:
    """The compiler from the package index for the cell's platform, unpacked; downloaded when it is not here.

    Raises InputError for a machine that it does not exist for or an index that does not have it, MissingError
    for an index that cannot be reached, and IntegrityError for another file than the one that is known.
    """
    release = zig.locked(platform.machine())
    if sys.platform != "linux" or release is None:
        raise InputError(
            f"--compiler zig is for Linux on x86_64 and aarch64; this is {sys.platform}, {platform.machine()}"
        )
    wheel = tools.store.take(release.sha256)
    if wheel is None:
        wheel = _download(release, cell, interpreter, tools)
    return zig.unpack(wheel, release, cell.target, tools.store)


def _download(release: zig.Locked, cell: Cell, interpreter: Interpreter, tools: Tools) -> Path:
    wanted = (f"{zig.DISTRIBUTION}=={release.version}",)
    try:
        choices = resolve_environment(cell, own_target(cell), wanted, interpreter, tools)
    except InputError as error:
        raise InputError(
            f"the package index has no {wanted[0]} for this machine:\n{error}",
            hint="ask for it where the index is kept, or compile with an installed compiler (--compiler g++)",
        ) from None
    chosen = [choice for choice in choices if choice.name == zig.DISTRIBUTION]
    allowed = {NormalizedName(zig.DISTRIBUTION): frozenset([release.sha256])}
    with tools.progress.task("fetch the compiler from the package index"):
        fetch_files(chosen, tools, allowed=allowed)
    wheel = tools.store.take(release.sha256)
    if wheel is None:
        raise IntegrityError(f"{wanted[0]} of the package index is another file than the one that is known")
    return wheel
