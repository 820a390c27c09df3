"""Modules on torch's stable ABI by the compiler from the package index (PyPI's ziglang), for every platform.

It is clang with all that it needs to make modules for another system: libc++, which becomes part of the
module, mingw-w64's runtime, the names in macOS's libSystem, and the symbols of each release of glibc, so that
the oldest glibc a module runs with is what the target's name says. No C++ type crosses the border to torch,
whose own library is another.
"""

import os
import re
import shlex
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wheelferry.binaries import elf, macho
from wheelferry.binaries.pe import read_functions
from wheelferry.cache.store import Store
from wheelferry.errors import BuildError, IntegrityError
from wheelferry.models.targets import DEFAULT_GLIBC_MINOR, DEFAULT_MACOS, Target, glibc_minor, macos_release
from wheelferry.system.files import remove_tree, rename
from wheelferry.toolchains import facade
from wheelferry.toolchains.cuda_windows import (
    CudaForWindows,
    clang_options,
    require_same_kernels,
    runtime_dll,
    runtime_names,
)
from wheelferry.toolchains.mingw import check_imports, define_library
from wheelferry.toolchains.modules import (
    Compilation,
    Headers,
    Module,
    compile_objects,
    is_cuda,
    require_stable,
)
from wheelferry.toolchains.nvcc import Nvcc

DISTRIBUTION = "ziglang"
# What -O3 means for the parts that are compiled when a target is linked for the first time.
_OPTIMISED = "-O3"
# Nobody else needs a name of the module but Python.
_VISIBLE = "{ global: PyInit_*; local: *; };\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """The one release that is used, and the SHA-256 of its wheel for this machine's processor."""

    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """The compiler for one target (`triple`) as a script, zig's own program, and the hash of its wheel.

    `caching` is the compiler to use for sources where another stands in for it.
    """

    triple: str
    compiler: Path
    program: Path
    version: str
    sha256: str
    caching: Path | None = None


def locked(processor: str) -> Locked | None:
    """The release for machines with such a processor; None where there is none."""
    document = tomllib.loads(Path(__file__).with_name("zig.toml").read_text("utf-8"))
    sha256 = document["sha256"].get(processor)
    return Locked(version=document["version"], sha256=sha256) if sha256 else None


def triple_of(target: Target) -> str:
    """How zig calls the platform; with the glibc or macOS that torch itself needs, or an older one."""
    if target.is_windows:
        return "x86_64-windows-gnu"
    release = macos_release(target.platform)
    if release is not None:
        return f"aarch64-macos.{min(DEFAULT_MACOS, release)}.0"
    minor = min(DEFAULT_GLIBC_MINOR, glibc_minor(target.platform) or DEFAULT_GLIBC_MINOR)
    return f"{target.processor}-linux-gnu.2.{minor}"


def unpack(wheel: Path, release: Locked, target: Target, store: Store) -> Toolchain:
    """The compiler out of its wheel, which has `release.sha256`; unpacked once, with a cache of its own.

    In that cache are the parts that a target's first link compiles. Raises IntegrityError for a compiler that
    was changed after it was unpacked.
    """
    home = store.machines / f"{DISTRIBUTION}-{release.version}-{release.sha256[:12]}"
    with store.lock(f"{DISTRIBUTION}-{release.sha256[:12]}"):
        if not home.is_dir():
            _unpack(wheel, home)
        program = home / "ziglang" / "zig"
        _require_unchanged(wheel, program)
        triple = triple_of(target)
        script = _write_script(home, program, triple)
    return Toolchain(
        triple=triple, compiler=script, program=program, version=release.version, sha256=release.sha256
    )


def _unpack(wheel: Path, home: Path) -> None:
    """Whole or not at all."""
    aside = home.with_name(f".{home.name}-{os.getpid()}")
    if aside.exists():
        remove_tree(aside)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(aside)
    (aside / "ziglang" / "zig").chmod(0o755)
    rename(aside, home)


def _require_unchanged(wheel: Path, program: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo("ziglang/zig").file_size
    if not program.is_file() or program.stat().st_size != size:
        raise IntegrityError(
            f"{program} is not what its wheel has",
            hint="`wheelferry cache prune` removes it; it is unpacked again when needed",
        )


def _write_script(home: Path, program: Path, triple: str) -> Path:
    """A C++ compiler for the target, with caches below `home`."""
    folder = home / "compilers" / triple
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "c++"
    text = (
        "#!/bin/sh\n"
        f"export ZIG_GLOBAL_CACHE_DIR={shlex.quote(str(home / 'cache'))}\n"
        f"export ZIG_LOCAL_CACHE_DIR={shlex.quote(str(home / 'cache'))}\n"
        f'exec {shlex.quote(str(program))} c++ -target {triple} -fno-sanitize=undefined "$@"\n'
    )
    if not script.is_file() or script.read_text("utf-8") != text:
        aside = script.with_name(f"c++.{os.getpid()}")
        aside.write_text(text, "utf-8")
        aside.chmod(0o755)
        rename(aside, script)
    return script


def compile_module(
    module: Module,
    headers: Headers,
    toolchain: Toolchain,
    compilation: Compilation,
    *,
    import_library: Path | None,
    python: tuple[int, int],
    out: Path,
    cuda: Nvcc | None = None,
) -> None:
    """Compile and link `module` to the file `out`; raises BuildError with the compiler's words.

    `import_library` is torch's for Windows, None elsewhere. `python` is what a module for Windows is for
    that is not on the limited API. With `cuda` a module for Windows may have code for GPUs, whose bytes
    depend on where nvcc runs. Else the same inputs give the same bytes, wherever the compilation lies.
    """
    windows = import_library is not None
    options = ["-fvisibility=hidden", "-fwrapv", "-g0", *([] if windows else ["-fPIC"])]
    if "-macos" in toolchain.triple:
        # zig keeps the names of local functions there, one of which has the hash of all that was compiled:
        # the places of its headers must not be part of that
        options.append(f"-ffile-prefix-map={toolchain.program.parent}=zig")
    compiler = toolchain.caching or toolchain.compiler
    if cuda and windows:
        objects = _compile_with_cuda(cuda, module, headers, toolchain, options, compilation)
    else:
        objects = compile_objects(module, headers, compiler, options, compilation)
    out.parent.mkdir(parents=True, exist_ok=True)
    if "-macos" in toolchain.triple:
        _link_for_macos(objects, module.package, toolchain, compilation, out)
        return
    if import_library is None:
        _link_for_linux(objects, toolchain, compilation, out)
        return
    own = f"python{python[0]}{python[1]}" if headers.python else "python3"
    names = _python_names(objects) if headers.python else facade.limited_names()
    dlltool: list[str | Path] = [toolchain.program, "dlltool"]
    libraries = [import_library, define_library(own, names, dlltool, compilation)]
    runtime = runtime_dll(cuda) if cuda else None
    if runtime:
        libraries.append(define_library(runtime, runtime_names(objects), dlltool, compilation))
    link = [_OPTIMISED, "-shared", "-s"]
    compilation.run([toolchain.compiler, *link, "-o", out, *objects, *libraries], step=f"link {out.name}")
    for left in (out.with_suffix(".pdb"), out.with_suffix(".lib")):
        left.unlink(missing_ok=True)
    check_imports(out, own, *filter(None, [runtime]))
    require_stable(out, sorted(read_functions(out.read_bytes()).get("torch_cpu.dll", ())))


def _compile_with_cuda(
    nvcc: Nvcc,
    module: Module,
    headers: Headers,
    toolchain: Toolchain,
    options: Sequence[str],
    compilation: Compilation,
) -> list[Path]:
    module = replace(module, include=(*module.include, nvcc.home / "include"))
    all_options = [*options, _OPTIMISED, facade.CXX_STANDARD]
    clang: list[str | Path] = [toolchain.program, "clang"]
    clang += clang_options(toolchain.compiler, all_options, compilation)
    cuda = CudaForWindows(nvcc, clang, module, headers, compilation)
    compiler = toolchain.caching or toolchain.compiler
    objects = compile_objects(module, headers, compiler, options, compilation, cuda=cuda.command)
    for source, compiled in zip(module.sources, objects, strict=True):
        if is_cuda(source):
            require_same_kernels(source, compiled, cuda.kernels(source))
    return objects


def _link_for_linux(
    objects: Sequence[Path], toolchain: Toolchain, compilation: Compilation, out: Path
) -> None:
    visible = compilation.folder / "visible.map"
    visible.write_text(_VISIBLE, "ascii")
    # empty: the module has to ask for it, its functions are C's
    library = compilation.folder / "libtorch_cpu.so"
    empty = compilation.folder / "empty.c"
    empty.write_text("", "ascii")
    command: list[str | Path] = [toolchain.compiler, "-nostdlib", "-shared", f"-Wl,-soname,{library.name}"]
    step = "make a stand-in for libtorch_cpu.so"
    compilation.run([*command, "-x", "c", empty, "-o", library], step=step)
    link: list[str | Path] = [_OPTIMISED, "-shared", "-s", f"-Wl,--version-script={visible}"]
    asked: list[str | Path] = ["-Wl,--no-as-needed", library, "-Wl,--as-needed"]
    compilation.run([toolchain.compiler, *link, "-o", out, *objects, *asked], step=f"link {out.name}")
    with out.open("rb") as stream:
        require_stable(out, elf.read_elf(stream).open_names)


# Where dyld finds torch's libraries, if torch is not loaded yet: beside the module's package.
_TORCH_FOLDER = "torch/lib"
# A library for the linker alone: what it is loaded by, and the names in it.
_STUB = """\
--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '{library}'
exports:
  - targets: [ arm64-macos ]
    symbols: [ {names} ]
...
"""
_LIBTORCH = "@rpath/libtorch_cpu.dylib"
_LIBSYSTEM = "/usr/lib/libSystem.B.dylib"


def _link_for_macos(
    objects: Sequence[Path], package: str, toolchain: Toolchain, compilation: Compilation, out: Path
) -> None:
    """Link twice: the first tells what is left open, so that torch's part of it can be bound to torch.

    Python's names are left to whichever file has them, as setuptools does on macOS: Python itself, or its
    library. zig signs what it links ("ad hoc"), without which Apple's processors run nothing.
    """
    command: list[str | Path] = [toolchain.compiler, _OPTIMISED, "-shared", "-s", *objects]
    command += ["-Wl,-undefined,dynamic_lookup", f"-Wl,-install_name,@rpath/{out.name}"]
    draft = compilation.folder / "draft.so"
    compilation.run([*command, "-o", draft], step=f"see what {out.name} needs")
    wanted, _ = macho.read_names(draft.read_bytes())
    of_torch = sorted(name for name in wanted.get("", ()) if not _is_pythons(name))
    require_stable(out, of_torch)
    stub = compilation.folder / "libtorch_cpu.tbd"
    names = ", ".join(f"_{name}" for name in of_torch)
    stub.write_text(_STUB.format(library=_LIBTORCH, names=names), "ascii")
    up = "../" * len([part for part in package.split(".") if part])
    command += [stub, f"-Wl,-rpath,@loader_path/{up}{_TORCH_FOLDER}"]
    compilation.run([*command, "-o", out], step=f"link {out.name}")
    _require_bound(out)


def _is_pythons(name: str) -> bool:
    return name.startswith(("Py", "_Py"))


def _require_bound(module: Path) -> None:
    """Raise BuildError unless all that a module leaves open is left to torch, Python and macOS itself."""
    wanted, _ = macho.read_names(module.read_bytes())
    require_stable(module, sorted(wanted.get(_LIBTORCH, ())))
    loose = sorted(name for name in wanted.get("", ()) if not _is_pythons(name))
    others = sorted(wanted.keys() - {"", _LIBTORCH, _LIBSYSTEM})
    if loose or others:
        raise BuildError(
            f"{module.name} needs {', '.join([*others, *loose][:5])}, which nobody on the client has to have",
            hint="its sources use a library of their own",
        )


def _python_names(objects: Sequence[Path]) -> list[str]:
    """What of Python's the objects may call: the names in their tables of strings that could be its."""
    found: set[str] = set()
    for path in objects:
        found.update(
            name.decode() for name in re.findall(rb"\0(?:__imp_)?(_?Py\w+)(?=\0)", path.read_bytes())
        )
    return sorted(found)
