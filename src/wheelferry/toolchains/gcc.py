"""Linux modules on torch's stable ABI: this machine's compiler, a torch wheel's headers, and the facade."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.binaries import elf
from wheelferry.toolchains.modules import Compilation, Headers, Module, compile_objects, require_stable


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """The compiler, and the options that make what it links portable (`linux.compile_environment`)."""

    compiler: Path
    link_options: tuple[str, ...]


def compile_module(
    module: Module, headers: Headers, toolchain: Toolchain, compilation: Compilation, *, out: Path
) -> None:
    """Compile and link `module` to the file `out`; raises BuildError with the compiler's words.

    The same inputs give the same bytes, wherever the compilation lies.
    """
    # what no other module sees need not be exported: PyInit_* is, by Python's own headers
    options = ["-fPIC", "-fvisibility=hidden", "-fwrapv", "-g0"]
    objects = compile_objects(module, headers, toolchain.compiler, options, compilation)
    library = _torch_library(toolchain, compilation)
    out.parent.mkdir(parents=True, exist_ok=True)
    link = ["-shared", "-s", *toolchain.link_options, "-Wl,--no-as-needed"]
    compilation.run(
        [toolchain.compiler, *link, "-o", out, *objects, library, "-Wl,--as-needed", "-ldl"],
        step=f"link {out.name}",
    )
    with out.open("rb") as stream:
        require_stable(out, elf.read_elf(stream).open_names)


def _torch_library(toolchain: Toolchain, compilation: Compilation) -> Path:
    """An empty libtorch_cpu.so to link against: the module has to ask for it, its functions are C's."""
    library = compilation.folder / "libtorch_cpu.so"
    command: Sequence[str | Path] = [toolchain.compiler, "-shared", f"-Wl,-soname,{library.name}"]
    compilation.run(
        [*command, "-x", "c", "/dev/null", "-o", library], step="make a stand-in for libtorch_cpu.so"
    )
    return library
