"""Reading wheels: their metadata, licence terms, sizes, and single files."""

import re
import stat
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.client.preflight.present import NO_CUDA
from wheelferry.client.probe.installed import TORCH_CONFIG, parse_torch
from wheelferry.errors import IntegrityError
from wheelferry.models.cuda import from_flags
from wheelferry.models.manifest import Footprint
from wheelferry.models.wheel_info import STAMP, Member, WheelInfo, path_length
from wheelferry.wheels.archive import UNREADABLE, find_dist_info, read_text
from wheelferry.wheels.licences import Terms, licence_files

# Its text names what torch was compiled for.
_TORCH_MODULE = "torch/lib/libtorch_python.so"


def read_wheel(path: Path) -> WheelInfo:
    """Read a wheel's metadata; raises IntegrityError when it is not a well-formed wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            info = find_dist_info(path, names)
            text = read_text(archive, f"{info}/METADATA")
            metadata, _ = parse_email(text)
            # packaging reads METADATA, not WHEEL
            wheel = HeaderParser().parsestr(read_text(archive, f"{info}/WHEEL"))
            stamp = read_text(archive, f"{info}/{STAMP}").encode() if f"{info}/{STAMP}" in names else None
            points = f"{info}/entry_points.txt"
            return WheelInfo(
                name=canonicalize_name(metadata.get("name", "")),
                version=Version(metadata.get("version", "")),
                tags=frozenset(tag for text in wheel.get_all("Tag", []) for tag in parse_tag(text)),
                requires=tuple(Requirement(text) for text in metadata.get("requires_dist", [])),
                requires_python=metadata.get("requires_python", ""),
                extras=tuple(metadata.get("provides_extra", [])),
                files={
                    entry.filename: Member(entry.file_size, entry.CRC, entry.compress_type)
                    for entry in archive.infolist()
                    if not entry.is_dir()
                },
                metadata=text,
                entry_points=read_text(archive, points) if points in names else "",
                stamp=stamp,
                wheel_version=(wheel.get("Wheel-Version") or "1.0").strip(),
                dist_info=info,
                links=tuple(e.filename for e in archive.infolist() if stat.S_ISLNK(e.external_attr >> 16)),
            )
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None


def read_metadata(path: Path) -> bytes:
    """The METADATA file of a wheel, byte for byte; raises IntegrityError when it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return read_text(archive, f"{find_dist_info(path, archive.namelist())}/METADATA").encode()
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None


def read_terms(path: Path) -> Terms:
    """What a wheel says of its licence; raises IntegrityError when it is not a well-formed wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            info = find_dist_info(path, names)
            metadata, _ = parse_email(read_text(archive, f"{info}/METADATA"))
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None
    return Terms(
        expression=metadata.get("license_expression", ""),
        text=metadata.get("license", ""),
        classifiers=tuple(metadata.get("classifiers", [])),
        files=licence_files(names, info, metadata.get("license_files", [])),
    )


def read_members(path: Path, names: Iterable[str], *, limit: int) -> dict[str, bytes]:
    """Files out of a wheel by their names; raises IntegrityError for one of more than `limit` bytes."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                size = archive.getinfo(name).file_size
                if size > limit:
                    raise IntegrityError(f"{path.name}: {name} has {size} bytes, which no text there has")
                found[name] = archive.read(name)
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: not a readable wheel: {error}") from None
    return found


def torch_cuda(path: Path) -> str | None:
    """The CUDA version that a torch wheel is built with (``13.0``), None for one without CUDA.

    Read from ``torch/version.py``, which every torch since 0.4 has; raises IntegrityError without it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = read_text(archive, "torch/version.py")
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: no readable torch wheel: {error}") from None
    match = re.search(r"^cuda\b[^=]*=\s*(?:'([\d.]+)'|None)", text, re.MULTILINE)
    if match is None:
        raise IntegrityError(f"{path.name}: torch/version.py does not say which CUDA it is built with")
    return ".".join(match[1].split(".")[:2]) if match[1] else None


def torch_architectures(path: Path) -> tuple[str, ...]:
    """What a torch wheel for Linux is compiled for, as torch.cuda.get_arch_list() has it: ``7.5``, ``9.0``.

    Its module says so in one text (``sm_75 sm_80``); none for a wheel without it. IntegrityError for a wheel
    that cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _TORCH_MODULE not in archive.namelist():
                return ()
            found = re.findall(rb"sm_\d+[af]?(?: (?:sm|compute)_\d+[af]?)+", archive.read(_TORCH_MODULE))
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: no readable torch wheel: {error}") from None
    return from_flags(found[0].decode()) if len(set(found)) == 1 else ()


def torch_build(path: Path) -> tuple[str, bool | None]:
    """The CUDA of a torch wheel (``13.0``, ``none`` without), and whether it has the newer C++ ABI of GCC.

    The second is None where it does not say. Raises IntegrityError as `torch_cuda` does.
    """
    cuda = torch_cuda(path) or NO_CUDA
    try:
        with zipfile.ZipFile(path) as archive:
            config = read_text(archive, TORCH_CONFIG) if TORCH_CONFIG in archive.namelist() else ""
    except UNREADABLE as error:
        raise IntegrityError(f"{path.name}: no readable torch wheel: {error}") from None
    return cuda, parse_torch("", config)["cxx11_abi"]


def footprint(wheels: Iterable[Path], *, windows: bool = False) -> Footprint:
    """What `wheels` take once they are installed, by what their archives say; byte code not counted.

    The longest path counts from the environment's folder, as `path_length` counts it.
    """
    size, files, longest = 0, 0, 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        size += sum(entry.file_size for entry in entries)
        files += len(entries)
        longest = max([longest, *(path_length(entry.filename, windows=windows) for entry in entries)])
    return Footprint(bytes=size, files=files, longest_path=longest)
