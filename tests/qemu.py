"""Programs on a processor of another kind: qemu's emulation of one program (qemu-user)."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def emulator() -> str:
    """The program for x86-64; where `.ci/run` has installed it, its absence is a failure."""
    found = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if found is None:
        if os.environ.get("WHEELFERRY_TESTS_NEED_QEMU"):
            pytest.fail("qemu-user should have been installed")
        pytest.skip("no qemu-user on this machine: apt-get install qemu-user-static")
    return found


def python_on(processor: str, folder: Path, site: Path) -> str:
    """A program in `folder` that is this Python on another processor, with the packages in `site`."""
    program = folder / f"python-{processor}"
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{site}"\n'
        f'exec "{emulator()}" -cpu {processor} "{Path(sys.executable).resolve()}" "$@"\n'
    )
    program.chmod(0o755)
    return str(program)
