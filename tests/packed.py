"""Archives with whatever a test wants in them."""

import io
import tarfile
import zipfile
from pathlib import Path

Content = bytes | tarfile.TarInfo


def entry(kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def symlink(target: str) -> tarfile.TarInfo:
    return entry(tarfile.SYMTYPE, target)


def write_tar(path: Path, *members: tuple[str, Content], mode: str = "w:gz") -> Path:
    """A tar whose members are files of some bytes, or anything that a TarInfo can be."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = entry() if isinstance(content, bytes) else content
            data = content if isinstance(content, bytes) else b""
            info.name, info.size, info.mtime = name, len(data), 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, *members: tuple[str, bytes, int]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path
