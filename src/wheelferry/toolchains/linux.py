"""What is special about Linux: symbol versions, manylinux tags, RPATH, and portable.c."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from wheelferry.errors import MissingError
from wheelferry.system.files import sha256_file
from wheelferry.system.process import CommandRunner

_PORTABLE = Path(__file__).with_name("portable.c")
_HOST_OPTIONS = ("-Wl,-rpath", "-L", "-I", "-march=", "-mtune=", "-mcpu=")


def find_compiler() -> Path:
    """The C++ compiler that setuptools will use; raises MissingError when there is none."""
    program = shutil.which(os.environ.get("CXX", "g++"))
    if program is None:
        raise MissingError(
            "no C++ compiler on this machine",
            hint="install one, for example: apt-get install g++ (or set CXX)",
        )
    return Path(program)


def toolchain_identity(run: CommandRunner) -> str:
    """The compiler's and linker's own version lines: part of a build's key."""
    lines = []
    for program in (find_compiler(), Path("ld")):
        output = run([program, "--version"], step=f"ask {program} for its version", error=MissingError).output
        lines.append(output.splitlines()[0])
    return "; ".join(lines)


def portable_identity() -> str:
    """The hash of what is linked into every build: part of its key."""
    return f"portable.c {sha256_file(_PORTABLE)}"


def compile_environment(
    work: Path, prefixes: Mapping[Path, str], configured: Mapping[str, str], run: CommandRunner
) -> dict[str, str]:
    """Compiler and linker variables for a reproducible, portable module.

    `prefixes` maps folders whose names must not reach the binary to what stands there instead.
    `configured` holds the interpreter's own CFLAGS, LDSHARED and LDCXXSHARED: setuptools puts CFLAGS
    from the environment in the place of the interpreter's, optimisation included, so ours start
    with them. Options that name host folders or tune for the building machine are taken out.
    """
    kept = {
        name: " ".join(word for word in command.split() if not word.startswith(_HOST_OPTIONS))
        for name, command in configured.items()
    }
    maps = " ".join(f"-ffile-prefix-map={folder}={name}" for folder, name in prefixes.items())
    flags = f"-O2 {kept.pop('CFLAGS', '')} -g0 {maps}"
    linker = {name: command for name, command in kept.items() if command}
    return {
        **linker,
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "LDFLAGS": " ".join(link_options(work, run)),
    }


def link_options(work: Path, run: CommandRunner) -> tuple[str, ...]:
    """What makes a linked module portable and repeatable; portable.c is compiled into `work` for it."""
    obj = work / "portable.o"
    options = ["-x", "c", "-c", "-fPIC", "-O2", "-ffunction-sections", "-fdata-sections"]
    run([find_compiler(), *options, _PORTABLE, "-o", obj], step="compile portable.c")
    # what portable.c asks of these by version has to be found, also where a project does not name them; from
    # glibc 2.34 on the last three are empty
    libraries = ("-Wl,--push-state,--as-needed", "-lm", "-ldl", "-lpthread", "-lrt", "-Wl,--pop-state")
    return (str(obj), *libraries, "-Wl,--gc-sections", "-Wl,--build-id=none")
