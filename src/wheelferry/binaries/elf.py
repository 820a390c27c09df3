"""Linux binaries (ELF): what they need, and which manylinux policy that satisfies."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from wheelferry.errors import BuildError
from wheelferry.models.cuda import device_images

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfFacts:
    """What one ELF file asks of its surroundings.

    `symbol_versions` maps each version it needs (``GLIBC_2.28``) to the symbols that need it; `open_names`
    are the symbols that it needs in no version, as those of torch and Python are. `device_images` are as
    `cuda.device_images` names them.
    """

    symbol_versions: Mapping[str, tuple[str, ...]]
    needed: tuple[str, ...]
    search_paths: tuple[str, ...]
    device_images: frozenset[str] = frozenset()
    open_names: tuple[str, ...] = ()


def read_elf(stream: BinaryIO) -> ElfFacts:
    """Needed libraries, symbol versions, RPATH and RUNPATH, and GPU code of an ELF file.

    Raises ELFError or ValueError for bytes that are none.
    """
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    needed: list[str] = []
    paths: list[str] = []
    elf = ELFFile(stream)
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            for entry in section.iter_tags():
                if entry.entry.d_tag == "DT_NEEDED":
                    needed.append(str(entry.needed))  # type: ignore[attr-defined]  # set by d_tag
                elif entry.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                    paths.append(str(getattr(entry, "rpath", None) or getattr(entry, "runpath", "")))
    fat = elf.get_section_by_name(".nv_fatbin")
    images = frozenset(device_images(fat.data())) if fat is not None else frozenset()
    versions = _versions(elf)
    versioned = {name for names in versions.values() for name in names}
    return ElfFacts(
        symbol_versions=versions,
        needed=tuple(needed),
        search_paths=tuple(paths),
        device_images=images,
        open_names=tuple(name for name in _undefined(elf) if name not in versioned),
    )


def read_device_images(data: bytes) -> frozenset[str]:
    """The GPU code in an ELF file, as `cuda.device_images` names it."""
    return read_elf(BytesIO(data)).device_images


def _undefined(elf: "ELFFile") -> Iterator[str]:
    """The symbols that others must bring; without weak ones, which nobody need have."""
    table = elf.get_section_by_name(".dynsym")
    for symbol in table.iter_symbols() if table is not None else ():  # type: ignore[attr-defined]
        if symbol.name and symbol["st_shndx"] == "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_WEAK":
            yield symbol.name


def _versions(elf: "ELFFile") -> dict[str, tuple[str, ...]]:
    """The symbols of each needed version: .gnu.version_r names versions, .gnu.version numbers symbols."""
    from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection

    names: dict[int, str] = {}
    symbols: dict[str, list[str]] = {}
    sections = list(elf.iter_sections())
    for section in sections:
        if isinstance(section, GNUVerNeedSection):
            for _, auxiliaries in section.iter_versions():
                names.update({auxiliary.entry.vna_other: auxiliary.name for auxiliary in auxiliaries})
    for name in names.values():
        symbols[name] = []
    for section in sections:
        if isinstance(section, GNUVerSymSection):
            for symbol in section.iter_symbols():
                version = names.get(symbol.entry["ndx"])
                if version is not None:
                    symbols[version].append(symbol.name)
    return {version: tuple(found) for version, found in symbols.items()}


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


def is_binary(name: str) -> bool:
    """Whether a file name is a shared object's."""
    return name.endswith(".so") or ".so." in name.rsplit("/", 1)[-1]


def check_portable(facts: Mapping[str, ElfFacts], policy: Policy, *, limit: int, name: str) -> None:
    """Raise BuildError, naming the symbols, when the modules would not run on glibc 2.`limit`."""
    if policy.glibc_minor is not None and policy.glibc_minor <= limit:
        return
    arch = policy.tag.removeprefix("linux_") if policy.glibc_minor is None else policy.tag.split("_", 3)[-1]
    blamed = [
        f"{module}: {symbol}@{version}"
        for module, fact in facts.items()
        for version, symbols in fact.symbol_versions.items()
        if (policy_for([version], arch).glibc_minor or limit + 1) > limit
        for symbol in symbols
    ]
    raise BuildError(
        f"{name} is {policy.tag}, the target allows manylinux_2_{limit}, because of:\n" + "\n".join(blamed),
        hint="build on an older distribution (a manylinux image), or raise --platform",
    )
