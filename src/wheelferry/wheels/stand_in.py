"""A wheel of metadata alone: a resolver takes it for a package that is on the client already."""

import zipfile
from pathlib import Path

from wheelferry.models.present import PresentPackage


def write_stand_in(folder: Path, package: PresentPackage) -> Path:
    """Write the wheel of `package`, which requires nothing: what it needs is its owner's to have."""
    stem = f"{package.name.replace('-', '_')}-{package.version}"
    wheel = "Wheel-Version: 1.0\nGenerator: wheelferry\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        metadata = f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n"
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(f"{stem}.dist-info/WHEEL", wheel)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path
