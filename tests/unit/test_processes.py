"""Processes are ended together with what they started: nothing of them writes a file afterwards."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wheelferry.client.common.processes import end_with_children

pytestmark = pytest.mark.skipif(os.name != "posix", reason="groups of processes are POSIX's")

# a child that tidies up when it is asked to end; the second one does not hear
POLITE = """
import pathlib, signal, sys, time
def tidy(*_):
    time.sleep(0.5)
    pathlib.Path(sys.argv[1], "tidied").touch()
    sys.exit()
signal.signal(signal.SIGTERM, tidy)
pathlib.Path(sys.argv[1], "ready").touch()
time.sleep(60)
"""
DEAF = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1], "ready").touch()
while True:
    pathlib.Path(sys.argv[1], "written").touch()
    time.sleep(0.01)
"""


def started(code: str, folder: Path) -> "subprocess.Popen[bytes]":
    """A shell, which ends at once when it is asked to, above a program that does not."""
    command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", code, str(folder)]
    process = subprocess.Popen(command, start_new_session=True)
    while not (folder / "ready").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_what_tidies_up_is_waited_for(tmp_path: Path) -> None:
    process = started(POLITE, tmp_path)
    end_with_children(process)
    assert process.returncode is not None
    assert (tmp_path / "tidied").exists()


def test_what_does_not_hear_is_ended_by_force(tmp_path: Path) -> None:
    end_with_children(started(DEAF, tmp_path))
    (tmp_path / "written").unlink()
    time.sleep(0.1)
    assert not (tmp_path / "written").exists()
