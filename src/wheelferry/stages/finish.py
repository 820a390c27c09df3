"""Finish: make a fresh wheel portable and honest: no host paths, the true tag, the torch it needs."""

import shutil
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from wheelferry.checks import extension_files, missing_device_code, missing_extensions
from wheelferry.errors import BuildError
from wheelferry.manifest import DeviceCode
from wheelferry.metadata import filename_parts
from wheelferry.plan import Cell
from wheelferry.platforms import linux
from wheelferry.store import Entry
from wheelferry.targets import Target, glibc_minor
from wheelferry.tools import Tools
from wheelferry.wheels import amend_metadata, pack, read_wheel, retag, set_tag, unpack


def finish_wheel(
    raw: Path,
    out: Path,
    cell: Cell,
    extensions: Iterable[str],
    cuda: DeviceCode | None,
    tools: Tools,
    *,
    epoch: int,
    stamp: bytes,
    log: Path,
) -> Entry:
    """Check the compiled modules, amend the metadata, tag and repack; the result goes to the store.

    Raises BuildError when a compiled module, or GPU code in it, is missing or not portable to the target.
    """
    missing = list(missing_extensions(read_wheel(raw), extensions, cell.target))
    if missing:
        raise BuildError(
            f"{raw.name} has no compiled {', '.join(missing)}",
            hint=f"the build passed without compiling; its log says why: {log}",
        )
    tree = out / "tree"
    unpack(raw, tree)
    if cuda is not None:
        _require_device_code(tree, cuda, cell.target, name=raw.name, log=log)
    if not cell.ops:
        # pure, but for this target alone: its torch, and what it requires, would not fit another
        set_tag(tree, f"{cell.target.interpreter}-none-{cell.target.platform}")
    amend_metadata(tree, version=cell.wheel_version, requires=[f"torch=={cell.target.torch}"], stamp=stamp)
    wheel = repack_for_target(tree, out / "packed", raw.name, cell.target, tools, epoch=epoch)
    if filename_parts(wheel.name)[2].isdisjoint(cell.target.tags):
        raise BuildError(
            f"the build made {wheel.name}, which does not fit {cell.target.name}", hint=f"its log: {log}"
        )
    return tools.store.add(wheel)


def _require_device_code(tree: Path, cuda: DeviceCode, target: Target, *, name: str, log: Path) -> None:
    """Raise BuildError unless the modules in `tree` hold the GPU code that was asked for."""
    files = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
    found = {}
    for module in cuda.modules:
        for file in extension_files(files, module, target):
            data = (tree / file).read_bytes()
            found[module] = (linux.read_elf(BytesIO(data)).device_images, data)
    problems = list(missing_device_code(cuda, found))
    if problems:
        raise BuildError(
            f"{name} is not the CUDA build that was asked for: {'; '.join(problems)}",
            hint=f"the build passed without compiling all of it; its log says why: {log}",
        )


def repack_for_target(tree: Path, out: Path, name: str, target: Target, tools: Tools, *, epoch: int) -> Path:
    """Pack an unpacked wheel with the platform tag that its binaries satisfy.

    Raises BuildError when they need a newer glibc than the target promises.
    """
    binaries = [path for path in tree.rglob("*") if path.is_file() and linux.is_binary(path.name)]
    if binaries:
        arch = target.platform.split("_", 3)[-1]
        for binary in binaries:
            linux.remove_search_paths(binary, tools.run)
        facts = {}
        for binary in binaries:
            with binary.open("rb") as stream:
                facts[binary.relative_to(tree).as_posix()] = linux.read_elf(stream)
        policy = linux.policy_for({v for f in facts.values() for v in f.symbol_versions}, arch)
        linux.check_portable(facts, policy, limit=glibc_minor(target.platform) or 0, name=name)
        retag(tree, policy.tag)
    wheel = pack(tree, out, tools.run, epoch=epoch)
    shutil.rmtree(tree)
    return wheel
