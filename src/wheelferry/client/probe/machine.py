"""The machine: its system, C library, processor, memory, and the Visual C++ runtime."""

import ctypes
import os
import platform
import re
import sys

from wheelferry.client.probe.programs import PATIENCE, WINDOWS, read_text, registry

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


def os_text():
    """The system and its version as a person would say them."""
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        return "Windows %d.%d.%d" % (version.major, version.minor, version.build)
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


_LEVELS = (
    (2, "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    (3, "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"),
    (4, "avx512f avx512bw avx512cd avx512dq avx512vl"),
)


def x86_level(flags):
    """The x86-64 level (1 to 4, as in x86-64-v3) of a processor with these flags of /proc/cpuinfo."""
    level = 1
    for number, needed in _LEVELS:
        if not set(needed.split()) <= set(flags):
            return level
        level = number
    return level


def parse_cpuinfo(text):
    """The model and the x86-64 level in /proc/cpuinfo; the level is None on other architectures."""
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    return (model.group(1).strip() if model else ""), (x86_level(flags.group(1).split()) if flags else None)


def read_cpu():
    """Model, number of cores, and x86-64 level (1 to 4; None where it cannot be told) of the processor."""
    if WINDOWS:
        model, level = _windows_cpu()
    else:
        model, level = parse_cpuinfo(read_text("/proc/cpuinfo"))
    return {"model": model, "cores": os.cpu_count() or 1, "level": level}


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


def memory():
    """Bytes of main memory; None where the system does not say."""
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
