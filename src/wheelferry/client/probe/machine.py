"""The machine: its system, C library, processor, memory, and the Visual C++ runtime."""

import ctypes
import os
import platform
import re
import sys

from wheelferry.client.common.processors import ARM_FEATURES, X86_LEVELS, x86_level
from wheelferry.client.probe.macos import cpu_of, is_apple_silicon, macos_version, memory_of, read_sysctl
from wheelferry.client.probe.programs import MACOS, PATIENCE, WINDOWS, read_text, registry, run_program

# The DLLs of the Visual C++ runtime that compiled Python packages load.
VC_RUNTIME = ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll")


def normalised_machine(name):
    """The architecture as wheels spell it on Linux: x86_64 for AMD64 and x64, aarch64 for ARM64."""
    known = {"amd64": "x86_64", "x64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64", "i386": "i686"}
    return known.get(name.lower(), name.lower())


def machine_name(environ):
    """The processor's architecture as the system spells it, not that of a 32-bit Python."""
    if WINDOWS:
        # a 32-bit Python sees the real one in the first; platform.machine() asks WMI, which may hang
        return environ.get("PROCESSOR_ARCHITEW6432") or environ.get("PROCESSOR_ARCHITECTURE", "")
    return platform.machine()


def real_machine(environ, run):
    """As `normalised_machine`, of the processor itself: Rosetta translates programs for Intel's."""
    if MACOS and is_apple_silicon(read_sysctl(run)):
        return "aarch64"
    return normalised_machine(machine_name(environ))


def os_text(run=run_program):
    """The system and its version as a person would say them."""
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        return "Windows %d.%d.%d" % (version.major, version.minor, version.build)
    if MACOS:
        return "macOS %s" % (macos_version(run) or "of an unknown version")
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read_text("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else platform.platform()


def glibc_version(run):
    """The version of the C library such as ``2.36``; None where it is not glibc.

    platform.libc_ver() reads version strings out of the Python program, which names the glibc that the
    program asks for, and that of a foreign program with a static Python.
    """
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        # this Python was made for another C library; the system may have glibc all the same
        status, text = run(["getconf", "GNU_LIBC_VERSION"], PATIENCE)
        text = text if status == 0 else ""
    match = re.match(r"glibc (\d+\.\d+)", text.strip())
    return match.group(1) if match else None


def has_loader():
    """Whether programs for the usual glibc systems find their loader: not on Alpine, not on NixOS."""
    names = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
    name = names.get(normalised_machine(platform.machine()))
    return name is not None and os.path.exists(name)


# Arm's processors do not tell their names. Source: arch/arm64/include/asm/cputype.h of Linux.
_ARM_PARTS = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE", "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}  # fmt: skip


def parse_cpuinfo(text):
    """The model, the x86-64 level and the features in /proc/cpuinfo.

    The level is None on other architectures, the features where there are none of those that wheels make a
    difference of. Where cores differ, what all of them have counts.
    """
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    part = re.search(r"^CPU part\s*:\s*(\w+)$", text, re.MULTILINE)
    name = model.group(1).strip() if model else ""
    if part and part.group(1).lower() in _ARM_PARTS:
        core = _ARM_PARTS[part.group(1).lower()]
        name = "%s (%s)" % (name, core) if name else core
    lines = re.findall(r"^(flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    if not lines:
        return name, None, None
    common = set.intersection(*(set(found.split()) for _, found in lines))
    if lines[0][0] == "flags":
        known = [flag for _, flags in X86_LEVELS for flag in flags]
        return name, x86_level(common), sorted(common & set(known))
    return name, None, sorted(common & set(ARM_FEATURES))


def read_cpu(run=run_program):
    """The processor: its name, how many cores Python sees, and what it can do; None for what is not told."""
    if WINDOWS:
        model, level = _windows_cpu()
        features = None
    elif MACOS:
        level = None
        model, features = cpu_of(read_sysctl(run))
    else:
        model, level, features = parse_cpuinfo(read_text("/proc/cpuinfo"))
    return {"model": model, "cores": os.cpu_count() or 1, "level": level, "features": features}


def _windows_cpu():
    if sys.platform != "win32":
        return "", None
    key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    model = str(registry("HKEY_LOCAL_MACHINE", key, "ProcessorNameString") or "").strip()
    has = ctypes.windll.kernel32.IsProcessorFeaturePresent
    if sys.getwindowsversion().build < 19041 or machine_name(os.environ).upper() != "AMD64":
        return model, None  # before Windows 10 2004 it does not know of SSSE3 and later
    # numbers of winnt.h: CMPXCHG16B, SSE3, SSSE3, SSE4.1, SSE4.2; AVX, AVX2; AVX-512
    for level, numbers in ((2, (14, 13, 36, 37, 38)), (3, (39, 40)), (4, (41,))):
        if not all(has(number) for number in numbers):
            return model, level - 1
    return model, 4


def memory(run=run_program):
    """Bytes of main memory; None where the system does not say."""
    if MACOS:
        return memory_of(read_sysctl(run))
    if sys.platform == "win32":
        # MEMORYSTATUSEX: two 32-bit numbers, the second being the load, then seven 64-bit ones
        status = (ctypes.c_uint64 * 8)()
        ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
        done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1]) if done else None
    match = re.search(r"^MemTotal:\s*(\d+) kB", read_text("/proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def find_vc_runtime(environ):
    """Which DLLs of the Visual C++ runtime the system has; None off Windows."""
    if not WINDOWS:
        return None
    # a 32-bit Python is shown other files under the name System32
    place = "Sysnative" if environ.get("PROCESSOR_ARCHITEW6432") else "System32"
    folder = os.path.join(environ.get("SystemRoot", r"C:\Windows"), place)
    return [name for name in VC_RUNTIME if os.path.isfile(os.path.join(folder, name))]


def long_paths():
    """Whether Windows lets programs use paths of 260 characters and more; None off Windows."""
    if not WINDOWS:
        return None
    key = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    return registry("HKEY_LOCAL_MACHINE", key, "LongPathsEnabled") == 1
