"""Packages that install the same module: told before and after the bundle is made, and left out on demand."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clients import PYTHON
from conftest import write_wheel
from yard import Yard

MAKE = ("bundle", "./tiny.toml@1.0", "--python", PYTHON, "--torch", "2.13.0", "--without-ops", "-q")
BOTH = ("--with", "viewer", "--with", "server")


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """An index with two packages that require two builds of cv2, as ultralytics and albumentations do."""
    yard = Yard(tmp_path_factory.mktemp("excluding") / "yard")
    for build in ("opencv-python", "opencv-python-headless"):
        files = {"cv2/__init__.py": f"build = {build!r}\n".encode(), "cv2/data": b"the same in both"}
        write_wheel(yard.index, build.replace("-", "_"), "5.0", files=files)
    write_wheel(yard.index, "viewer", "1.0", requires=["opencv-python>=4"])
    write_wheel(yard.index, "server", "1.0", requires=["opencv_python_headless>=4"])
    return yard


def bundle(yard: Yard, out: str, *options: str) -> tuple[int, str]:
    """The exit status of `bundle`, and what it said."""
    process: subprocess.Popen[str] = yard.start(*MAKE, "--out", out, *options)
    said = process.communicate()[0]
    return process.returncode, " ".join(said.split())


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report" / "report.json").read_text("utf-8"))
    return found


def test_two_builds_of_a_module_are_a_problem(yard: Yard) -> None:
    status, said = bundle(yard, "both", *BOTH, "--level", "static")
    assert status == 1
    assert "opencv_python-5.0-py3-none-any.whl: installs 2 files that opencv_python_headless-5.0" in said
    assert "1 of them with other content: cv2/__init__.py" in said


def test_the_lock_warns_of_them(yard: Yard) -> None:
    status, said = bundle(yard, "locked", *BOTH, "--no-verify")
    assert status == 0
    assert "warning" not in said, "-q is quiet"
    said = " ".join(yard.run("lock", *MAKE[1:-1], "--out", "locks", *BOTH).split())
    assert "opencv-python and opencv-python-headless install the same module, cv2: the client gets" in said
    assert "--prefer opencv-python" in said


@pytest.mark.parametrize("option", [("--prefer", "opencv-python-headless"), ("--exclude", "OpenCV_Python")])
@pytest.mark.parametrize("installer", ["bundle", "pip"])
def test_one_of_them_is_left_out_and_the_bundle_says_so(
    yard: Yard, option: tuple[str, str], installer: str
) -> None:
    out = f"{option[0].strip('-')}-{installer}"
    status, said = bundle(yard, out, *BOTH, *option, "--level", "install", "--installer", installer)
    assert status == 0, said
    folder = yard.folder / out
    (entry,) = json.loads((folder / "bundle.json").read_text("utf-8"))["targets"]
    assert entry["excluded"] == ["opencv-python"]
    head = (folder / "requirements.txt").read_text("utf-8").splitlines()[:2]
    assert head[0].endswith("--require-hashes --no-deps")
    assert head[1] == "# left out on purpose, although it is required: opencv-python"
    assert "--require-hashes --no-deps -r requirements.txt" in (folder / "README.txt").read_text("utf-8")
    (note,) = report(folder)["static"]["facts"]["notes"]
    assert note.endswith(
        "viewer-1.0-py3-none-any.whl: requires opencv-python>=4, which was left out of the bundle on purpose"
    )
    assert not list((folder / "wheelhouse").glob("opencv_python-*"))
    assert list((folder / "wheelhouse").glob("opencv_python_headless-*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--exclude", "numpy"), "--exclude numpy: nothing requires it"),
        (("--exclude", "torch"), "torch cannot be excluded"),
        (("--exclude", "Tiny"), "tiny cannot be excluded"),
        (("--exclude", "server"), "server is asked for, and left out with --exclude server"),
        (("--prefer", "leaf"), "--prefer leaf: no alternative to it is known"),
        (("--prefer", "opencv-contrib-python"), "--prefer opencv-contrib-python: only its alternatives are"),
    ],
)
def test_what_cannot_be_left_out(yard: Yard, options: tuple[str, str], said: str) -> None:
    status, text = bundle(yard, "none", *BOTH, *options, "--level", "static")
    assert status == 2
    assert said in text
    assert not (yard.folder / "none").exists()
