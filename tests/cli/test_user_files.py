"""What users bring: requirement files, profiles and recipes as their shells and editors wrote them."""

import json
import shutil
from pathlib import Path

import pytest

from clients import PYTHON
from conftest import wheelferry, write_wheel
from machines import machine
from wheelferry.catalog import shipped_folder
from wheelferry.system.files import sha256_file
from yard import Yard

PLAN = ("plan", "sample@1.0", "--python", "3.12", "--torch", "2.13.0")
# prepare, lock and whatever lies between: the project says when it is built
LOCK = ("lock", "./tiny.toml@1.0", "--python", PYTHON, "--torch", "2.13.0", "--without-ops", "--out", "locks")
_TELLS = """
wheel_of = build_wheel

def build_wheel(*arguments, **options):
    import pathlib, os
    pathlib.Path(os.environ["WHEELFERRY_CACHE"], "was-built").touch()
    return wheel_of(*arguments, **options)
"""


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "yard", backend=_TELLS)


def lock(yard: Yard, *more: str | Path) -> tuple[int, str, bool]:
    """Exit status, what was said, and whether the project was built for it."""
    process = yard.start(*LOCK, *more)
    said = process.communicate()[0]
    return process.returncode, said, (yard.cache / "was-built").exists()


def test_a_file_of_powershell_is_planned(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "my.txt").write_bytes("numpy>=1.24  # größer\r\n-c sub\\\r\n/limits.txt\r\n".encode("utf-16"))
    (tmp_path / "sub" / "limits.txt").write_text("\ufeffscipy<2\npywin32; sys_platform == 'win32'\n", "utf-8")
    done = wheelferry(*PLAN, "-r", "my.txt", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["requirements"][-1] == "numpy>=1.24"
    assert cell["constraints"][-1] == "scipy<2"
    assert cell["left_out"] == ['pywin32; sys_platform == "win32"']


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("numpy\nscipy # größer\n".encode("latin-1"), "my.txt:2: the byte 0xf6 cannot be read as UTF-8"),
        (b"numpy @ file:///croot/numpy/work\n", "my.txt:1: it comes from a path"),
        (b"leaf @ git+https://git.example/leaf\n", "my.txt:1: it comes from an address"),
        (b"numpy\ntorch==2.5.0\n", "my.txt:2: the torch of"),
        (b"torchvision==0.20.0\n", "my.txt:1: torchvision 0.28.0 is the one"),
        (b"skiff==0.5\n", "my.txt:1: the bundle is of skiff 1.0"),
        (b"numpy\n-r my.txt\n", "my.txt:2: the file includes itself"),
        (b"--index-url https://index.example\n", "my.txt:1: --index-url is not for a bundle"),
    ],
)
def test_what_cannot_be_met_is_said_by_plan(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "my.txt").write_bytes(text)
    done = wheelferry(*PLAN, "-r", "my.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "what to do:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_profile_and_a_recipe_of_windows_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "profile.json").write_bytes(json.dumps(machine()).encode(encoding))
    shutil.copytree(shipped_folder() / "sample", tmp_path / "sample")
    recipe = (shipped_folder() / "sample.toml").read_text("utf-8")
    (tmp_path / "my.toml").write_bytes(recipe.replace("\n", "\r\n").encode(encoding))
    done = wheelferry("plan", "./my.toml@1.0", "--profile", "profile.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "my.toml").write_bytes(b'format = 1\nname = "gr\xf6\xdfer"\n')
    done = wheelferry("plan", "./my.toml@1.0", cwd=tmp_path)
    assert done.returncode == 2
    assert "my.toml:2: the byte 0xf6 cannot be read as UTF-8" in done.stderr


def test_hashes_hold_for_what_is_locked(yard: Yard) -> None:
    wheel = yard.index / "leaf-1.5-py3-none-any.whl"
    wanted = yard.folder / "my.txt"
    wanted.write_text(f"leaf==1.5 --hash=sha256:{'0' * 64}\n", "utf-8")
    status, said, was_built = lock(yard, "-r", "my.txt")
    assert (status, was_built) == (4, False), said
    assert "has one of the given hashes: leaf 1.5" in said
    assert "are the hashes those of another platform or Python?" in said
    wanted.write_text(f"leaf==1.5 \\\n    --hash=sha256:{sha256_file(wheel)}\n", "utf-8")
    status, said, _ = lock(yard, "-r", "my.txt")
    assert status == 0, said
    (locked,) = (yard.folder / "locks").glob("requirements*.txt")
    assert sha256_file(wheel) in locked.read_text("utf-8")


def test_what_the_index_cannot_give_is_known_before_the_project_is_built(yard: Yard) -> None:
    status, said, was_built = lock(yard, "--with", "leaf==1.5", "--with", "twig>=3")
    assert status == 2, said
    assert "cannot resolve for" in said
    assert not was_built
    status, said, was_built = lock(yard, "--with", "leaf==1.5")
    assert (status, was_built) == (0, True), said


# A backend that tells what the wheel will require before it builds one.
_ASKS_FOR_BUD = """
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    import pathlib
    info = pathlib.Path(directory, "tiny-1.0.dist-info")
    info.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: tiny", "Version: 1.0", "Requires-Dist: bud<2", ""]
    (info / "METADATA").write_text(chr(10).join(lines))
    return info.name
"""


def test_what_does_not_fit_the_project_is_known_before_it_is_built(tmp_path: Path) -> None:
    """What the user requires can be met by itself; only the project's own metadata are against it."""
    yard = Yard(tmp_path / "yard", backend=_TELLS + _ASKS_FOR_BUD)
    for version in ("1.0", "2.0"):
        write_wheel(yard.index, "bud", version)
    status, said, was_built = lock(yard, "--with", "bud>=2")
    assert (status, was_built) == (2, False), said
    assert "bud<2" in said
    status, said, was_built = lock(yard, "--with", "bud<2", "--with", "tiny[extra]==1.0")
    assert (status, was_built) == (0, True), said
