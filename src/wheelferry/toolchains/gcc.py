"""Linux modules on torch's stable ABI: this machine's compiler, a torch wheel's headers, and the facade."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wheelferry.binaries import elf
from wheelferry.toolchains.modules import Compilation, Headers, Module, compile_objects, require_stable
from wheelferry.toolchains.nvcc import Nvcc, compile_command


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """The compiler, and the options that make what it links portable (`linux.compile_environment`).

    With `cuda` the module may have code for GPUs.
    """

    compiler: Path
    link_options: tuple[str, ...]
    cuda: Nvcc | None = None


def compile_module(
    module: Module, headers: Headers, toolchain: Toolchain, compilation: Compilation, *, out: Path
) -> None:
    """Compile and link `module` to the file `out`; raises BuildError with the compiler's words.

    The same inputs give the same bytes, wherever the compilation lies.
    """
    # what no other module sees need not be exported: PyInit_* is, by Python's own headers
    options = ["-fPIC", "-fvisibility=hidden", "-fwrapv", "-g0"]
    libraries = [_torch_library("libtorch_cpu.so", toolchain, compilation)]
    nvcc, command = toolchain.cuda, None
    if nvcc is not None:
        module = replace(module, include=(*module.include, nvcc.home / "include"))
        command = partial(compile_command, nvcc, module, headers, options)
        libraries += [_torch_library("libtorch_cuda.so", toolchain, compilation), nvcc.runtime]
    objects = compile_objects(module, headers, toolchain.compiler, options, compilation, cuda=command)
    out.parent.mkdir(parents=True, exist_ok=True)
    link = ["-shared", "-s", *toolchain.link_options, "-Wl,--no-as-needed"]
    compilation.run(
        [toolchain.compiler, *link, "-o", out, *objects, *libraries, "-Wl,--as-needed", "-ldl"],
        step=f"link {out.name}",
    )
    with out.open("rb") as stream:
        require_stable(out, elf.read_elf(stream).open_names)


def _torch_library(name: str, toolchain: Toolchain, compilation: Compilation) -> Path:
    """An empty library of that name to link against: the module has to ask for it, its functions are C's."""
    compilation.folder.mkdir(parents=True, exist_ok=True)
    library = compilation.folder / name
    command: Sequence[str | Path] = [toolchain.compiler, "-shared", f"-Wl,-soname,{name}"]
    compilation.run([*command, "-x", "c", "/dev/null", "-o", library], step=f"make a stand-in for {name}")
    return library
