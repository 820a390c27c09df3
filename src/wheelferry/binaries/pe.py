"""What is special about Windows: what a PE file imports, and which DLLs are there without any wheel.

Windows looks for the DLLs that a module imports in the module's own folder, in folders that a package added
(``os.add_dll_directory``), beside the program of the process, and in System32; it does not look at PATH when
Python loads a module (docs.python.org, "os.add_dll_directory", since 3.8).
"""

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from wheelferry.models.cuda import device_images, version_of
from wheelferry.models.targets import Target

if TYPE_CHECKING:
    import pefile

# Machine types of PE files: learn.microsoft.com, "PE Format", Machine Types.
AMD64 = 0x8664
_MACHINES = {AMD64: "amd64", 0x14C: "x86", 0xAA64: "arm64", 0x1C4: "arm"}

# Data directories: learn.microsoft.com, "PE Format", Optional Header Data Directories.
_EXPORTS, _IMPORTS, _DELAYED_IMPORTS, _CLR = 0, 1, 13, 14

# Rows of the import table and of that of delayed imports ("PE Format", Import Directory Table, Delay-Load
# Directory Table); a row without a name ends them.
_IMPORT_ROW = struct.Struct("<IIIII")
_DELAYED_ROW = struct.Struct("<IIIIIIII")
_BY_ORDINAL = 1 << 63
_EXPORT_TABLE = struct.Struct("<IIHHIIIIIII")

# Where nvcc puts GPU code: .nv_fatbin, cut to the eight characters that a section's name may have.
_DEVICE_CODE = b".nv_fatb"


@dataclass(frozen=True, kw_only=True, slots=True)
class PeFacts:
    """What one PE file is and asks of its surroundings.

    `imports` are the DLLs that Windows loads together with it, `delayed` those that it loads at the first
    call into them, both as the file spells them. `managed` files are of .NET, which runs them on any
    processor.
    """

    machine: int
    imports: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()
    managed: bool = False

    @property
    def fits_amd64(self) -> bool:
        """Whether a 64-bit Python on an amd64 processor can load it."""
        return self.machine == AMD64 or self.managed

    @property
    def machine_name(self) -> str:
        """``arm64``; a number for a machine that nobody here has heard of."""
        return _MACHINES.get(self.machine, hex(self.machine))


def read_pe(data: bytes | mmap.mmap) -> PeFacts:
    """Machine and imports of a PE file; raises ValueError for bytes that are none.

    Nothing but the headers and the names of the imported DLLs is read.
    """
    pe = _open(data)
    return PeFacts(
        machine=pe.FILE_HEADER.Machine,
        imports=tuple(_dll_names(pe, _IMPORTS, _IMPORT_ROW, name=3)),
        delayed=tuple(_dll_names(pe, _DELAYED_IMPORTS, _DELAYED_ROW, name=1)),
        managed=_address_of(pe, _CLR) != 0,
    )


def read_exports(data: bytes | mmap.mmap) -> tuple[str, ...]:
    """The names that a DLL exports, in its own order; raises ValueError for bytes that are no PE file.

    pefile's own reader stops at 8192 names, and torch_cpu.dll has several times that.
    """
    import pefile

    pe = _open(data)
    address = _address_of(pe, _EXPORTS)
    if not address:
        return ()
    try:
        table = _EXPORT_TABLE.unpack(pe.get_data(address, _EXPORT_TABLE.size))
        count, names = table[7], table[9]
        places = struct.unpack(f"<{count}I", pe.get_data(names, 4 * count))
        return tuple(_text(pe, data, place) for place in places)
    except (pefile.PEFormatError, struct.error, ValueError):
        raise ValueError("its table of exports cannot be read") from None


def _text(pe: "pefile.PE", data: bytes | mmap.mmap, address: int) -> str:
    """The text at an address, up to its NUL; ValueError where it has none."""
    start = pe.get_offset_from_rva(address)
    end = data.find(b"\0", start)
    if end < 0:
        raise ValueError("a name has no end")
    return data[start:end].decode("ascii", "replace")


def read_functions(data: bytes | mmap.mmap) -> dict[str, frozenset[str]]:
    """The functions that an amd64 module imports by name, by DLL in lower case; ValueError for no PE file.

    pefile's own reader cuts names at 512 characters; those of C++ can be longer.
    """
    import pefile

    pe = _open(data)
    found: dict[str, frozenset[str]] = {}
    try:
        for row in _rows(pe, _IMPORTS, _IMPORT_ROW):
            dll = _text(pe, data, row[3]).lower()
            names = frozenset(_imported_names(pe, data, row[0] or row[4]))
            found[dll] = found.get(dll, frozenset()) | names
    except (pefile.PEFormatError, struct.error, ValueError):
        raise ValueError("its table of imported DLLs cannot be read") from None
    return found


def _imported_names(pe: "pefile.PE", data: bytes | mmap.mmap, address: int) -> Iterator[str]:
    """The names in a table of imported functions; those that are imported by their number have none."""
    while True:
        (entry,) = struct.unpack("<Q", pe.get_data(address, 8))
        if entry == 0:
            return
        if not entry & _BY_ORDINAL:
            yield _text(pe, data, entry + 2)  # behind a hint of two bytes
        address += 8


def read_device_images(data: bytes | mmap.mmap) -> frozenset[str]:
    """The GPU code in a PE file, as `cuda.device_images` names it; ValueError for bytes that are none."""
    sections = [s for s in _open(data).sections if s.Name.rstrip(b"\0") == _DEVICE_CODE]
    return frozenset(image for section in sections for image in device_images(section.get_data()))


def _open(data: bytes | mmap.mmap) -> "pefile.PE":
    import pefile

    try:
        return pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        raise ValueError(f"not a PE file: {error.value}") from None


def _address_of(pe: "pefile.PE", directory: int) -> int:
    """Where a data directory lies in memory, 0 for none."""
    directories = pe.OPTIONAL_HEADER.DATA_DIRECTORY
    return int(directories[directory].VirtualAddress) if len(directories) > directory else 0


def _dll_names(pe: "pefile.PE", directory: int, row: struct.Struct, *, name: int) -> Iterator[str]:
    """The DLLs of an import table, in whose rows the field `name` leads to the DLL's name.

    pefile's own reader of delayed imports goes through every function, and leaves the rest out where it has
    seen 8192 of them: MKL's DLLs have more.
    """
    import pefile

    try:
        for entry in _rows(pe, directory, row):
            if entry[name] == 0:
                return
            dll = pe.get_string_at_rva(entry[name])
            if not dll:
                raise ValueError("its table of imported DLLs leads nowhere")
            yield dll.decode("ascii", "replace")
    except (pefile.PEFormatError, struct.error):
        raise ValueError("its table of imported DLLs cannot be read") from None


def _rows(pe: "pefile.PE", directory: int, row: struct.Struct) -> Iterator[tuple[int, ...]]:
    """The rows of a table of imported DLLs up to the one of zeros; struct.error where the file ends."""
    address = _address_of(pe, directory)
    while address:
        entry = row.unpack(pe.get_data(address, row.size))
        if not any(entry):
            return
        yield entry
        address += row.size


# Windows looks for DLLs beside python.exe, but that of a virtual environment only starts the one which the
# environment was made from: what a wheel put beside it is not found. Python 3.7 goes by PATH instead.
DLL_HOOK = (
    "import os, sys; scripts = os.path.join(sys.prefix, 'Scripts'); "
    "os.add_dll_directory(scripts) if hasattr(os, 'add_dll_directory') and os.path.isdir(scripts) "
    "else os.environ.update(PATH=scripts + os.pathsep + os.environ.get('PATH', ''))\n"
)


def write_dll_hook(tree: Path, distribution: str) -> None:
    """Let an unpacked wheel tell Windows, at each start of Python, where the runtime of Visual C++ lies.

    The wheel msvc-runtime installs it among the environment's scripts. A line of a ``.pth`` file that begins
    with ``import`` is run by Python itself (docs.python.org, "site").
    """
    (tree / dll_hook_name(distribution)).write_text(DLL_HOOK, "ascii", newline="\n")


def dll_hook_name(distribution: str) -> str:
    """What `write_dll_hook` calls its file, at the top of the wheel."""
    return f"{distribution}_dlls.pth"


def is_binary(name: str) -> bool:
    """Whether a file name is a DLL's or an extension module's; programs (.exe) import nothing into Python."""
    return name.lower().endswith((".dll", ".pyd"))


# A DLL that says in its name or folder that it is for another processor is data: debuggers carry the one
# that they put into a 32-bit process.
_FOREIGN = re.compile(r"(?:^|[/_.-])(x86(?!_64)|i[3-6]86|arm64|aarch64)(?=[/_.-])", re.IGNORECASE)


def is_foreign_data(name: str) -> bool:
    """Whether a DLL's path says that it is meant for another processor. A module (.pyd) is never data."""
    return name.lower().endswith(".dll") and _FOREIGN.search(name) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Provided:
    """Why a DLL need not be in a bundle. `note` says where it is missing all the same."""

    reason: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    provided: Provided
    names: frozenset[str]


def _group(reason: str, names: str, *, note: str = "") -> _Group:
    full = (name if "." in name else f"{name}.dll" for name in names.split())
    return _Group(provided=Provided(reason=reason, note=note), names=frozenset(full))


_MEDIA = "Windows N editions and Windows Server have it only with the Media Feature Pack or Media Foundation"

# What a bare Windows 10 brings. Each API's page on learn.microsoft.com names its DLL and the first Windows
# that has it; all of these are older than Windows 10, or came with it. Of the redistributable packages of
# Visual C++ none is among them.
_WINDOWS = (
    _group(
        "the Win32 API's base, loaded into almost every process",
        "ntdll kernel32 kernelbase advapi32 sechost rpcrt4 user32 win32u gdi32 gdi32full combase shcore "
        "version psapi userenv profapi powrprof",
    ),
    _group(
        "C runtimes: msvcrt is Windows' own, ucrtbase comes with Windows 10 (Universal CRT deployment)",
        "msvcrt ucrtbase msvcp_win",
    ),
    _group(
        "COM, OLE and the shell",
        "ole32 oleaut32 oleacc oledlg shell32 shlwapi propsys urlmon xmllite mscoree",
    ),
    _group(
        "windows, controls and drawing of the desktop",
        "comctl32 comdlg32 uxtheme dwmapi imm32 msctf msimg32 usp10 gdiplus windowscodecs dcomp mscms",
    ),
    _group(
        "networks",
        "ws2_32 wsock32 mswsock iphlpapi dnsapi winhttp wininet webio httpapi wldap32 mpr netapi32 netutils "
        "rasapi32 wlanapi fwpuclnt nsi dhcpcsvc normaliz mprapi",
    ),
    _group(
        "security, accounts and directories",
        "bcrypt bcryptprimitives ncrypt crypt32 cryptbase cryptsp cryptui wintrust msasn1 secur32 sspicli "
        "credui authz aclui activeds adsldpc ntdsapi samcli wkscli srvcli dsrole logoncli sfc "
        "security ntmarta",
    ),
    _group(
        "devices, power, sessions, services and performance counters",
        "setupapi cfgmgr32 devobj newdev hid winusb bluetoothapis bthprops.cpl winscard wtsapi32 winsta pdh "
        "loadperf wevtapi tdh ktmw32 virtdisk fltlib rstrtmgr",
    ),
    _group("debugging and error reports", "dbghelp dbgcore imagehlp wer"),
    _group("printing", "winspool.drv"),
    _group("archives, installation and search", "cabinet lz32 msi query esent"),
    _group("databases through ODBC", "odbc32 odbccp32"),
    _group(
        "Direct3D, DXGI, OpenGL and what compiles shaders (d3dcompiler_47 is Windows' own since 8.1)",
        "d2d1 dwrite d3d9 d3d10 d3d10_1 d3d11 d3d12 dxgi dxva2 d3dcompiler_47 ddraw opengl32 glu32",
    ),
    _group(
        "sound, video for Windows and game controllers",
        "winmm avrt dsound dinput8 xinput1_4 xinput9_1_0 mmdevapi avicap32 avifil32 msvfw32 msacm32",
    ),
    _group(
        "Media Foundation",
        "mf mfplat mfreadwrite mfplay mfcore evr wmvcore wmasf",
        note=_MEDIA,
    ),
)  # fmt: skip
_BY_NAME = {name: group.provided for group in _WINDOWS for name in group.names}

# API sets are names that Windows maps to DLLs of its own while it loads; those of the Universal CRT begin
# with api-ms-win-crt (learn.microsoft.com, "Windows API sets").
_API_SET = re.compile(r"(?:api|ext)-ms-[a-z0-9-]+\.dll")

_DRIVER = _group("the driver of an NVIDIA GPU", "nvcuda nvml nvapi64 nvcuvid nvencodeapi64")

# python311.dll, and python3.dll, which passes the stable ABI on to it.
_PYTHON = re.compile(r"python3(\d*)(?:t|_d)*\.dll")

# The runtime of Visual C++ 2015 and later, as msvc-runtime carries it: not those before it, nor that for
# debugging (vcruntime140d.dll), which only Visual Studio has.
_VISUAL_CPP = re.compile(r"(?:vcruntime|msvcp|concrt|vccorlib|vcomp|vcamp)140(?:_\w*[^\Wd])?\.dll")


def provided(dll: str, target: Target) -> Provided | None:
    """What has `dll` on every client of `target` without any wheel; None when a wheel must bring it."""
    name = dll.lower()
    if name in (f"python{target.interpreter[2:]}.dll", "python3.dll"):
        return Provided(reason="the interpreter")
    if _API_SET.fullmatch(name):
        return Provided(reason="an API set of Windows")
    if name in _DRIVER.names and version_of(target.backend) is not None:
        return _DRIVER.provided
    return _BY_NAME.get(name)


def is_pythons(dll: str) -> bool:
    """Whether `dll` is the library of some Python 3: never taken from a wheel, whoever carries a copy."""
    return _PYTHON.fullmatch(dll.lower()) is not None


def is_visual_cpp(dll: str) -> bool:
    """Whether `dll` belongs to the runtime of Visual C++, which the wheel msvc-runtime carries."""
    return _VISUAL_CPP.fullmatch(dll.lower()) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gap:
    distribution: str
    members: str  # a pattern of fnmatch
    dlls: frozenset[str]
    reason: str


# Published wheels that lack a DLL for an optional part of theirs, which is all that does not work then. Seen
# in the wheels themselves: pywin32 312, intel-openmp 2021.4.0, mkl 2021.4.0, tbb 2021.4.0, numba 0.68.1.
_GAPS = (
    _Gap(
        distribution="pywin32",
        members="pythonwin/*",
        dlls=frozenset({"mfc140u.dll"}),
        reason="the Pythonwin editor and its toolkit win32ui do not start; build 312 left the file out "
        "(mhammond/pywin32#2776)",
    ),
    _Gap(
        distribution="intel-openmp",
        members="*/omptarget.rtl.*",
        dlls=frozenset({"ze_loader.dll", "opencl.dll"}),
        reason="OpenMP on an Intel GPU, whose driver brings the file",
    ),
    _Gap(
        distribution="mkl",
        members="*/mkl_blacs_*",
        dlls=frozenset({"impi.dll", "mpich2mpi.dll", "msmpi.dll"}),
        reason="MKL's functions for clusters, which use the MPI that is installed there",
    ),
    _Gap(
        distribution="mkl",
        members="*/mkl_pgi_thread.*",
        dlls=frozenset({"pgc.dll", "pgf90.dll", "pgmath.dll"}),
        reason="MKL's threads for programs of the PGI compilers, which bring these files",
    ),
    _Gap(
        distribution="tbb",
        members="*/tbbbind*",
        dlls=frozenset({"libhwloc-5.dll", "libhwloc-15.dll"}),
        reason="binding threads to NUMA nodes, which TBB does without",
    ),
    _Gap(
        distribution="numba",
        members="numba/np/ufunc/tbbpool.*",
        dlls=frozenset({"tbb12.dll"}),
        reason="numba's threads through TBB, in the place of its own, for those who also have tbb",
    ),
)


def known_gap(distribution: str, member: str, dll: str) -> str | None:
    """What does not work because a published wheel lacks `dll` for `member`; None for an unknown case."""
    for gap in _GAPS:
        if distribution == gap.distribution and dll.lower() in gap.dlls and fnmatchcase(member, gap.members):
            return gap.reason
    return None


def beside_the_program(member: str) -> bool:
    """Whether a wheel's member lands in the environment's own folder or among its scripts.

    That is where msvc-runtime puts its DLLs, for the whole environment.
    """
    folder, _, inside = member.partition("/")
    parts = inside.split("/")
    if not folder.endswith(".data"):
        return False
    return parts[:-1] in (["data"], ["data", "Scripts"], ["scripts"])
