"""Bundles of nothing but weights and data, and environments to put them into."""

import hashlib
import io
import os
import tarfile
import venv
from collections.abc import Mapping
from pathlib import Path

from wheelferry.client.common.bundle import Bundle

WEIGHTS = b"weights" * 1000
R50 = "assets/cache/models/MSRA/R-50.pkl"


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def make_bundle(root: Path, files: Mapping[str, bytes], unpack: tuple[str, ...] = ()) -> Bundle:
    """A bundle of nothing but assets, as the client sees it."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    document = {
        "recipe": "tiny", "release": "1.0", "digest": "d" * 64, "created_by": "tests", "targets": [],
        "files": [
            {"path": n, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in files.items()
        ],
        "assets": [{"path": n, "licence": "", "origin": "", "unpack": n in unpack} for n in sorted(files)],
        "asset_variables": {"cache": "TINY_CACHE", "datasets": "TINY_DATA"},
    }  # fmt: skip
    return Bundle(str(root), document)


def two_assets(root: Path) -> Bundle:
    """A file of weights, and an archive of data that is unpacked at its place."""
    files = {
        R50: WEIGHTS,
        "assets/datasets/shapes/all.tar.gz": archive(**{"train/1.png": b"1", "list": b"2"}),
    }
    return make_bundle(root, files, unpack=("assets/datasets/shapes/all.tar.gz",))


def quiet(_: int) -> None:
    """Nobody listens."""


def make_env(path: Path) -> Path:
    venv.create(path, symlinks=os.name != "nt")
    return path
