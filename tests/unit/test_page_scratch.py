"""The folder for temporary files of the page: gone at the end, and after a kill by the next start."""

import signal
import subprocess
import sys
from pathlib import Path

import page.scratch
import pytest
from page.scratch import scratch_folder

HOLD = """
import sys
from page.scratch import scratch_folder
with scratch_folder("page-") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.scratch.tempfile, "tempdir", str(tmp_path))


def start(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another program with such a folder, which runs."""
    path = Path(page.scratch.__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(path), "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_program_left_is_removed_and_what_runs_is_left_alone(tmp_path: Path) -> None:
    (running, kept), (killed, left) = start(tmp_path), start(tmp_path)
    try:
        (left / "picture.jpg").write_bytes(b"x")
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        for name in ("page-of-somebody-else", "other"):
            (tmp_path / name).mkdir()
        with scratch_folder("page-") as own:
            assert sorted(tmp_path.iterdir()) == sorted(
                [kept, Path(own), tmp_path / "page-of-somebody-else", tmp_path / "other"]
            )
        assert not Path(own).exists()
    finally:
        running.communicate(timeout=60)
    assert not kept.exists()
