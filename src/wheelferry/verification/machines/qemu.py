"""What is special about QEMU: programs for 64-bit Arm on x86-64, their system calls by this machine's kernel.

The kernel starts them by itself once QEMU is registered with binfmt_misc: system-wide, as the packages of
distributions do, or in a user namespace, which Linux 6.7 and later allow to everybody. So programs that are
started by programs are emulated too.
"""

import re
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from wheelferry.errors import MissingError
from wheelferry.system.process import CommandRunner

# One command on Debian and Ubuntu.
SETUP = "apt-get install --no-install-recommends qemu-user-static"
SETUP_SYSTEM_WIDE = "as root, apt-get install qemu-user-static binfmt-support registers it for all programs"

# Armv8.2, as today's small machines have it; PyPI's torch for 64-bit Arm needs Armv8.1 (`atomics`).
PROCESSOR = "cortex-a76"
# What Linux says of it on such a machine; of the emulated core there is no word in this machine's /proc.
# Features: AT_HWCAP of qemu 7.2 -cpu cortex-a76, by the names of Linux' arch/arm64/kernel/cpuinfo.c.
_CPUINFO = """\
processor\t: {number}
BogoMIPS\t: 100.00
Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""

_REGISTRY = Path("/proc/sys/fs/binfmt_misc")
_PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
_VERSION = re.compile(r"version (\d[\w.]*)")
_MACHINE = 183  # EM_AARCH64
# ELF, 64 bits, little-endian, an executable (2) or a shared object (3), which the last bit tells apart.
_IDENTITY = b"\x7fELF\x02\x01\x01" + bytes(9)
_MAGIC = _IDENTITY + struct.pack("<HH", 2, _MACHINE)
_MASK = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"


@dataclass(frozen=True, kw_only=True, slots=True)
class Emulator:
    """QEMU's program for 64-bit Arm, its version, and whether the whole machine has it registered."""

    program: Path
    version: str
    system_wide: bool = False

    @property
    def register(self) -> str | None:
        """The line that registers it in a namespace; None where that is done.

        With F the kernel opens the program now: no other root needs to have it.
        """
        if self.system_wide:
            return None
        magic, mask = ("".join(f"\\x{byte:02x}" for byte in text) for text in (_MAGIC, _MASK))
        return f"|wheelferry-aarch64|M||{magic}|{mask}|{self.program}|F"


def find_emulator(run: CommandRunner) -> Emulator:
    """The QEMU that the whole machine has registered, else one on PATH; MissingError when there is none."""
    registered = next(registered_for_arm(_REGISTRY), None)
    if registered is not None:
        return Emulator(program=registered, version=_version(registered, run), system_wide=True)
    found = [Path(path) for name in _PROGRAMS if (path := shutil.which(name))]
    for program in found:
        if is_static(program):
            return Emulator(program=program.resolve(), version=_version(program, run))
    why = "QEMU for 64-bit Arm is not on this machine"
    if found:
        why = f"{found[0]} needs libraries of this machine, so it does not start in another root"
    raise MissingError(why, hint=f"install it, for example: {SETUP}")


def _version(program: Path, run: CommandRunner) -> str:
    if not program.is_file():  # registered by a container, whose file the kernel keeps open
        return "unknown"
    said = run([program, "--version"], step="ask QEMU for its version", error=MissingError).output
    match = _VERSION.search(said)
    if match is None:
        raise MissingError(
            f"{program} is not QEMU: it says {said.strip()[:80]!r}", hint=f"for example: {SETUP}"
        )
    return match[1]


def registered_for_arm(registry: Path) -> Iterator[Path]:
    """What the folder of binfmt_misc says that the kernel starts programs of 64-bit Arm with."""
    for path in sorted(registry.iterdir()) if registry.is_dir() else ():
        if path.name in ("register", "status"):
            continue
        lines = path.read_text("utf-8", "replace").splitlines()
        entry = {key: value for key, _, value in (line.partition(" ") for line in lines)}
        if "enabled" in entry and _starts_arm(entry):
            yield Path(entry["interpreter"])


def _starts_arm(entry: Mapping[str, str]) -> bool:
    if entry.get("offset") != "0" or "interpreter" not in entry:
        return False
    magic = bytes.fromhex(entry.get("magic", ""))
    mask = bytes.fromhex(entry.get("mask", "ff" * len(magic)))
    return len(magic) >= len(_MAGIC) and all(
        own & bits == wanted & bits for own, wanted, bits in zip(_MAGIC, magic, mask, strict=False)
    )


def is_static(program: Path) -> bool:
    """Whether an ELF program is started by the kernel alone, without the loader of this machine."""
    try:
        with program.open("rb") as stream:
            return not any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(stream).iter_segments())
    except ELFError:
        return False


def tiny_program() -> bytes:
    """A program for 64-bit Arm that does nothing but end with status 0, in three instructions."""
    code = struct.pack("<III", 0xD2800000, 0xD2800BA8, 0xD4000001)  # mov x0, #0; mov x8, #93; svc #0
    start, headers = 0x400000, 64 + 56
    size = headers + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", _IDENTITY, 2, _MACHINE, 1, start + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 0x1000)
    return header + segment + code


def cpuinfo(cores: int) -> str:
    """/proc/cpuinfo of a machine with so many cores of `PROCESSOR`."""
    return "".join(_CPUINFO.format(number=number) for number in range(cores))


def visible(folders: Iterable[Path]) -> tuple[str, ...]:
    """The folders by every name that leads to them: as they are called, and without links."""
    names = (name for folder in folders for name in (str(folder.absolute()), str(folder.resolve())))
    return tuple(dict.fromkeys(names))
