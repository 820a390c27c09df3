"""Profiles of machines and targets of bundles, synthesised for tests of preflight."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from wheelferry.client.common.bundle import Pin, Target

H100 = {"name": "NVIDIA H100 80GB HBM3", "capability": "9.0", "memory": 85520809984}
GTX_1080 = {"name": "NVIDIA GeForce GTX 1080", "capability": "6.1", "memory": 8589934592}

FOLDER: dict[str, Any] = {
    "path": "/home/ann/d2",
    "exists": False,
    "existing": "/home/ann",
    "device": "2049",
    "free_bytes": 50_000_000_000,
    "free_inodes": 3_000_000,
    "file_system": "ext4",
    "noexec": False,
    "read_only": False,
    "longest_name": 255,
    "writable": True,
    "reason": "",
    "symlinks": True,
    "hard_links": True,
    "executable": True,
    "largest_file": None,
}


def interpreter(version: str, **changes: Any) -> dict[str, Any]:
    """A Python as a profile has it."""
    minor = ".".join(version.split(".")[:2])
    return {
        "path": f"/usr/bin/python{minor}",
        "version": version,
        "implementation": "CPython",
        "bits": 64,
        "platform": "linux-x86_64",
        "musl": False,
        "free_threaded": False,
        "virtual": False,
        "prefix": "/usr",
        "venv": True,
        "ensurepip": True,
        "conda": False,
        "conda_base": False,
        "externally_managed": False,
        **changes,
    }


def nvidia(driver: str | None, *devices: Mapping[str, Any], error: str = "") -> dict[str, Any]:
    """A driver of NVIDIA with its devices, as a profile has them."""
    found = {"driver": driver, "module": "proprietary", "cuda": None, "cards": 1}
    return {**found, "devices": list(devices), "error": error}


def machine(**changes: Any) -> dict[str, Any]:
    """The profile of an ordinary Linux machine without a GPU."""
    return {
        "format": 1,
        "date": "2026-11-21T12:00:00Z",
        "system": "Linux",
        "machine": "x86_64",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.1.0-13-amd64",
        "glibc": "2.36",
        "loader": True,
        "cpu": {"model": "A processor", "cores": 8, "level": 3},
        "memory": 32_000_000_000,
        "pythons": [interpreter("3.11.7"), interpreter("3.9.18")],
        "nvidia": None,
        "vc_runtime": None,
        "long_paths": None,
        "environment": [],
        "configuration": [],
        "folders": [copy.deepcopy(FOLDER)],
        **changes,
    }


def windows(**changes: Any) -> dict[str, Any]:
    """The profile of an ordinary Windows machine without a GPU."""
    path = r"C:\Users\Ann\d2"
    folder = {**FOLDER, "path": path, "existing": r"C:\Users\Ann", "file_system": "NTFS"}
    return machine(
        **{
            "system": "Windows",
            "os": "Windows 10.0.22631",
            "kernel": "",
            "glibc": None,
            "loader": None,
            "pythons": [interpreter("3.11.9", path=r"C:\Python311\python.exe", platform="win-amd64")],
            "vc_runtime": ["vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll"],
            "long_paths": False,
            "folders": [{**folder, "free_inodes": None, "executable": None, "device": "c:\\"}],
            **changes,
        }
    )


def target(
    python: str = "3.11",
    platform: str = "manylinux_2_28_x86_64",
    backend: str = "cpu",
    torch: str = "2.13.0",
    images: Iterable[str] = (),
    wheels: Iterable[str] = (),
    pins: Mapping[str, str] | None = None,
    **entry: Any,
) -> Target:
    """A target as the client reads it from a bundle; `pins` are of its lock, `entry` adds to its manifest."""
    document = {
        "target": {"python": python, "platform": platform, "backend": backend, "torch": torch},
        "requirements": "requirements.txt",
        "pylock": "pylock.toml",
        "built": "",
        "footprint": {"bytes": 4_000_000_000, "files": 30_000, "longest_path": 150},
        **entry,
    }
    if images:
        document["cuda"] = {"images": list(images)}
    others = [Pin(name, version, "0" * 64, "") for name, version in (pins or {}).items()]
    return Target(document, [*(Pin("one", "1", "0" * 64, wheel) for wheel in wheels), *others])


RUNTIME = {
    "path": "runtime/cpython.tar.gz",
    "program": "python/bin/python3",
    "version": "3.11.15",
    "footprint": {"bytes": 100_000_000, "files": 4_000, "longest_path": 90},
}


class Bundle:
    """As much of a bundle as preflight looks at."""

    def __init__(self, *targets: Target, files: Mapping[str, int] | None = None) -> None:
        self.targets = list(targets)
        self.files = {name: (size, "0" * 64) for name, size in (files or {}).items()}
        self.assets: list[dict[str, Any]] = []

    def target(self, name: str) -> Target:
        """The target of that name."""
        return next(target for target in self.targets if target.name == name)
