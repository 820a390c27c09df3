"""CUDA as facts: versions, architectures, which compiler fits which, and what a fat binary holds. No I/O."""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wheelferry.errors import InputError

# From CUDA 13 on, PyPI has the compiler itself; the wheels for CUDA 12 hold only ptxas.
FIRST_ON_PYPI = 13

# The oldest and newest architecture that nvcc of a CUDA release compiles for, in tenths, by first release.
# Source: the release notes of the CUDA toolkits.
_ARCHITECTURES = (
    ((9, 0), 30, 70), ((10, 0), 30, 75), ((11, 0), 35, 80), ((11, 1), 35, 86), ((11, 8), 35, 90),
    ((12, 0), 50, 90), ((12, 8), 50, 121), ((13, 0), 75, 121),
)  # fmt: skip

# The first GCC that nvcc refuses, by first CUDA release. Source: the toolkits' installation guides.
_GCC_LIMITS = (
    ((9, 2), 8), ((10, 1), 9), ((11, 0), 10), ((11, 1), 11), ((11, 4), 12), ((12, 0), 13), ((12, 3), 14),
    ((12, 8), 15), ((13, 0), 16),
)  # fmt: skip

# The oldest cl that nvcc of a CUDA release accepts on Windows, and the first that it refuses, by first CUDA
# release. Source: crt/host_config.h in NVIDIA's own wheels for Windows, read for 11.7 to 13.5; before that
# the toolkits' installation guides (Visual Studio 2022 from 11.6 on).
_MSVC_RANGES = (
    ((10, 1), (19, 10), (19, 30)), ((11, 6), (19, 10), (19, 40)), ((12, 4), (19, 10), (19, 50)),
    ((13, 0), (19, 20), (19, 50)), ((13, 2), (19, 20), (19, 60)),
)  # fmt: skip
# Visual Studio 2022 became 19.40 with its update 17.10. Its standard library wants CUDA 12.4 then, and nvcc
# before that a cl before 19.40; both can be told to let it pass, which no later Visual Studio bears.
_STUDIO_2022 = ((19, 40), (19, 50))

# What source code compares the architecture with that it is compiled for: 750 for 7.5.
_COMPARED = re.compile(r"(\d+)\s*[<>=!]=?\s*__CUDA_ARCH__|__CUDA_ARCH__\s*[<>=!]=?\s*(\d+)")

_FATBIN_MAGIC = 0xBA55ED50
_FATBIN_HEADER = struct.Struct("<IHHQ")  # magic, version, header size, size of the entries
_FATBIN_ENTRY = struct.Struct(
    "<HHIQIIHHI"
)  # kind, -, header size, payload size, -, -, minor, major, architecture
_KINDS = {1: "compute", 2: "sm"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cuda:
    """The CUDA of a target: its version (``13.0``) and the architectures asked for.

    `architectures` are spelled as torch's TORCH_CUDA_ARCH_LIST has them (``7.5``, ``9.0a``, ``12.0+PTX``);
    none means those that torch itself was built for.
    """

    version: str
    architectures: tuple[str, ...] = ()

    @property
    def on_pypi(self) -> bool:
        """Whether PyPI has a compiler of this version."""
        return parse_version(self.version)[0] >= FIRST_ON_PYPI

    def packages(self, *, windows: bool = False) -> tuple[str, ...]:
        """Requirements for the compiler and for the headers that torch's own requirements do not bring.

        torch for Windows has its CUDA libraries inside, without the headers that its own headers include.
        """
        parts = ("nvcc", "crt", "cccl", "runtime")
        compiler = (
            *(f"nvidia-cuda-{part}=={self.version}.*" for part in parts),
            f"nvidia-nvvm=={self.version}.*",
        )
        # the libraries have numbers of their own, which the toolkit's package knows
        return (
            (*compiler, f"cuda-toolkit[cublas,cusolver,cusparse]=={self.version}.*") if windows else compiler
        )


def parse_version(text: str) -> tuple[int, int]:
    """``13.0`` as (13, 0)."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def version_of(backend: str) -> str | None:
    """The CUDA version in a backend's name: 13.0 for cu130, 9.2 for cu92; None for one without CUDA."""
    match = re.fullmatch(r"cu(\d{1,2})(\d)", backend)
    return f"{match[1]}.{match[2]}" if match else None


def backend_of(version: str) -> str:
    """The backend's name of a CUDA version: cu130 for 13.0."""
    return f"cu{version.replace('.', '')}"


def parse_architectures(texts: Iterable[str], version: str) -> tuple[str, ...]:
    """Read ``--cuda-arch``: ``7.5``, ``75``, ``sm_75``, ``9.0a``, ``12.0+PTX``, also several at once.

    Raises InputError for what is no architecture, or not one that CUDA `version` compiles for.
    """
    words = [word for text in texts for word in re.split(r"[;,\s]+", text) if word]
    return tuple(dict.fromkeys(_architecture(word, version) for word in words))


def _architecture(word: str, version: str) -> str:
    match = re.fullmatch(r"(?:sm_)?(\d{1,2})\.?(\d)([af]?)(\+PTX)?", word)
    if match is None:
        raise InputError(f"unknown CUDA architecture {word!r}", hint="write it as in --cuda-arch 9.0")
    number = int(match[1] + match[2])
    oldest, newest = architecture_range(version)
    if not oldest <= number <= newest:
        raise InputError(
            f"CUDA {version} does not compile for sm_{number}",
            hint=f"it compiles for {_dotted(oldest)} to {_dotted(newest)}",
        )
    return f"{match[1]}.{match[2]}{match[3]}{match[4] or ''}"


def _dotted(number: int) -> str:
    return f"{number // 10}.{number % 10}"


def architecture_range(version: str) -> tuple[int, int]:
    """The oldest and newest architecture of CUDA `version`, in tenths (75 for 7.5)."""
    known = [(low, high) for first, low, high in _ARCHITECTURES if first <= parse_version(version)]
    return known[-1] if known else (30, 70)


def from_flags(flags: str) -> tuple[str, ...]:
    """Architectures from torch's own list: ``sm_75 sm_90a`` as 7.5 and 9.0a; its PTX is left out."""
    found = re.findall(r"\bsm_(\d+)(\d)([af]?)\b", flags)
    return tuple(dict.fromkeys(f"{major}.{minor}{variant}" for major, minor, variant in found))


def from_oldest(architectures: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of `architectures` to ask of torch, and what to tell nvcc so that all of them are compiled.

    The code of the oldest is made once, as compute_75 for instance, and assembled for each newer one: to
    nvcc a virtual architecture may be older than the real one (its manual, "GPU feature list"). Those with
    code of their own, as ``9.0a``, and those that leave PTX behind, as ``12.0+PTX``, stay apart.
    """
    asked = tuple(architectures)
    plain = sorted((name for name in asked if re.fullmatch(r"\d+\.\d", name)), key=_tenths)
    if len(plain) < 2:
        return asked, ()
    oldest, newer = plain[0], plain[1:]
    flags = tuple(f"-gencode=arch=compute_{_tenths(oldest)},code=sm_{_tenths(name)}" for name in newer)
    return tuple(name for name in asked if name not in newer), flags


def _tenths(name: str) -> int:
    return int(name.replace(".", ""))


def branches_above(text: str, architecture: str) -> bool:
    """Whether source code asks for an architecture newer than `architecture` (``7.5``).

    It does where it compares ``__CUDA_ARCH__`` with a greater number.
    """
    numbers = (int(before or after) for before, after in _COMPARED.findall(text))
    return any(number > 10 * _tenths(architecture) for number in numbers)


def images_of(architectures: Iterable[str]) -> tuple[str, ...]:
    """The images that a build for `architectures` must hold, as `device_images` names them."""
    images = []
    for architecture in architectures:
        name, _, forward = architecture.partition("+")
        number = re.sub(r"[^0-9]", "", name)
        images += [f"sm_{number}", *([f"compute_{number}"] if forward else [])]
    return tuple(dict.fromkeys(images))


def gcc_limit(version: str) -> int | None:
    """The first GCC that nvcc of CUDA `version` refuses; None when it is older than the table."""
    known = [limit for first, limit in _GCC_LIMITS if first <= parse_version(version)]
    return known[-1] if known else None


def msvc_range(version: str, *, lenient: bool = False) -> tuple[tuple[int, int], tuple[int, int]]:
    """The oldest cl that CUDA `version` accepts and the first that it refuses, as (19, 40).

    With `lenient`, refused is what it also refuses when it is told to be lenient (`msvc_wanted_flags`).
    """
    known = [(low, high) for first, low, high in _MSVC_RANGES if first <= parse_version(version)]
    low, high = known[-1] if known else _MSVC_RANGES[0][1:]
    return low, _STUDIO_2022[1] if lenient and high == _STUDIO_2022[0] else high


def msvc_wanted_flags(version: str, compiler: tuple[int, int]) -> tuple[str, ...]:
    """What nvcc of CUDA `version` must be told to work with that cl.

    CUDA 13's own headers want the preprocessor that follows the standard (CCCL 3.0's release notes).
    """
    if parse_version(version) >= (13, 0):
        return ("-Xcompiler", "/Zc:preprocessor")
    if compiler >= msvc_range(version)[1]:
        return ("-allow-unsupported-compiler", "-D_ALLOW_COMPILER_AND_STL_VERSION_MISMATCH")
    return ()


def device_images(section: bytes) -> set[str]:
    """The images in a ``.nv_fatbin`` section: ``sm_90`` for machine code, ``compute_90`` for PTX.

    The section is a row of fat binaries: a header, then entries of a header and a payload each. Payloads
    may be compressed, headers are not. ValueError for bytes that do not follow that form.
    """
    return set(_walk(section))


def _walk(section: bytes) -> Iterator[str]:
    offset = 0
    while offset + _FATBIN_HEADER.size <= len(section):
        magic, _, header, size = _FATBIN_HEADER.unpack_from(section, offset)
        if magic == 0:
            offset += 8  # containers are aligned to eight bytes
            continue
        if magic != _FATBIN_MAGIC or header < _FATBIN_HEADER.size:
            raise ValueError(f"no fat binary at byte {offset} of the section")
        end = offset + header + size
        if end > len(section):
            raise ValueError(f"the fat binary at byte {offset} is cut off")
        yield from _entries(section, offset + header, end)
        offset = end


def _entries(section: bytes, offset: int, end: int) -> Iterator[str]:
    while offset + _FATBIN_ENTRY.size <= end:
        kind, _, header, size, _, _, _, _, architecture = _FATBIN_ENTRY.unpack_from(section, offset)
        if header < _FATBIN_ENTRY.size or offset + header + size > end:
            raise ValueError(f"the entry at byte {offset} is cut off")
        if kind in _KINDS:
            yield f"{_KINDS[kind]}_{architecture}"
        offset += header + size
