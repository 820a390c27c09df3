"""Rewriting unpacked wheels: version, requirements, tags; and packing them again."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from wheelferry.errors import BuildError
from wheelferry.models.wheel_info import STAMP
from wheelferry.system.process import CommandRunner


def amend_metadata(folder: Path, *, version: str, requires: Iterable[str], stamp: bytes) -> None:
    """Set the version, add requirements and put our stamp into the .dist-info of an unpacked wheel."""
    (info,) = folder.glob("*.dist-info")
    path = info / "METADATA"
    head, separator, body = path.read_text("utf-8").partition("\n\n")
    lines = [f"Version: {version}" if line.startswith("Version:") else line for line in head.splitlines()]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    path.write_text("\n".join(lines) + separator + body, "utf-8")
    (info / STAMP).write_bytes(stamp)
    name = info.name.split("-", 1)[0]
    info.rename(folder / f"{name}-{version}.dist-info")
    for data in folder.glob("*.data"):  # scripts and headers; the wheel's version is in its name too
        data.rename(folder / f"{name}-{version}.data")


def retag(folder: Path, platform: str) -> None:
    """Replace the platform part of every tag in the WHEEL file of an unpacked wheel."""
    (info,) = folder.glob("*.dist-info")
    path = info / "WHEEL"
    lines = []
    for line in path.read_text("utf-8").splitlines():
        key, _, value = line.partition(": ")
        if key == "Tag" and not value.endswith("-any"):
            line = f"Tag: {value.rsplit('-', 1)[0]}-{platform}"
        if line not in lines or not line:
            lines.append(line)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def set_tag(folder: Path, tag: str) -> None:
    """Give an unpacked wheel one tag, whatever it had."""
    (info,) = folder.glob("*.dist-info")
    path = info / "WHEEL"
    kept = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("Tag:")]
    path.write_text("\n".join([*kept, f"Tag: {tag}"]) + "\n", "utf-8")


def pack(folder: Path, out: Path, run: CommandRunner, *, epoch: int) -> Path:
    """Pack an unpacked wheel with pypa's ``wheel``: RECORD is written again, file order and dates fixed."""
    for path in folder.rglob("*"):
        # the builder's umask must not reach the archive
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    out.mkdir(parents=True, exist_ok=True)
    run(
        [sys.executable, "-m", "wheel", "pack", folder, "--dest-dir", out],
        step=f"pack {folder.name}",
        env={**_plain_environment(), "SOURCE_DATE_EPOCH": str(max(epoch, 315_532_800))},
    )
    wheels = list(out.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"packing {folder} gave {len(wheels)} wheels instead of one")
    return wheels[0]


def _plain_environment() -> Mapping[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
