"""The sample's bundle on a machine that has nothing: no network, no Python on PATH, no rights."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from browser import require_browser
from ferry import Ferry
from pages import DRIVER, SANDBOX_ENTRY, check_page
from runtimes import make_runtime
from shapes import make_shapes

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TORCH = "2.13.0"
GLIBC = platform.libc_ver()[1].replace(".", "_")
NOBODY = 65534
PREFIX = "Prüf stand"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may enter: pytest keeps its own to itself."""
    folder = Path(tempfile.mkdtemp(prefix="wheelferry-isolated-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stick(ferry: Ferry, place: Path) -> Path:
    """A bundle that carries a Python; for this machine's own glibc, because that is what its Python needs.

    Its ops are compiled in the ordinary way, against one torch.
    """
    runtime = make_runtime(place)
    out = place / "st ück"
    ferry(
        "bundle", "sample@1.0", "--python", PYTHON, "--torch", TORCH, "--runtime", runtime, "--no-verify",
        "--app", "app", "--no-stable-abi", "--platform", f"manylinux_{GLIBC}_{platform.machine()}",
        "--out", out,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def bare(place: Path) -> "Bare":
    """The machine; what is installed on it goes away with the test module."""
    return Bare(place / "client")


class Bare:
    """Runs commands as nobody in a network namespace, with programs of the system but no Python on PATH."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.programs = (folder / name for name in ("home", "temp", "programs"))
        for path in (self.home, self.temporary, self.programs):
            path.mkdir(parents=True)
            path.chmod(0o777)
        for name in ("/usr/bin", "/bin"):
            for program in Path(name).iterdir():
                link = self.programs / program.name
                if not re.match(r"python|pip|uv|conda", program.name) and not link.is_symlink():
                    link.symlink_to(program)
        self.prefix = self.home / PREFIX
        self.account = {
            "PATH": str(self.programs),
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
        }
        self.isolate = self._isolation()

    def _isolation(self) -> Sequence[str]:
        """The command that takes the network, and as root the rights, away; skips where none can."""
        if os.geteuid() == 0:
            drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            command = ["unshare", "--net", "--", *drop]
        else:
            command = ["unshare", "--user", "--net", "--"]
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"no namespace can be made here: {tried.stderr.strip()}")
        return command

    def __call__(self, *command: str | Path, status: int = 0, **environ: str) -> str:
        done = subprocess.run(
            [*self.isolate, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=self.home,
            env={**self.account, **environ},
        )
        assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}"
        return done.stdout


def test_one_command_on_a_bare_machine(bare: Bare, stick: Path) -> None:
    for name in ("python3", "python"):
        assert not (bare.programs / name).exists()
    said = bare("sh", stick / "install.sh", "--prefix", bare.prefix, "--yes", LD_LIBRARY_PATH="/nonexistent")
    assert "no Python here: starting the one of the bundle" in said
    assert "LD_LIBRARY_PATH=/nonexistent is set; the installer ignores it" in said
    code = "import sys, skiff; print(sys.base_prefix); import socket; print(socket.if_nameindex())"
    base, interfaces = bare(bare.prefix / "python", "-c", code).splitlines()
    assert base.startswith(str(bare.prefix / "runtime"))
    assert "lo" in interfaces
    assert "eth" not in interfaces
    receipt = json.loads((bare.prefix / "current" / "receipt.json").read_text("utf-8"))
    assert receipt["installer"]["kind"] == "uv"
    assert receipt["suite"]["smoke"]["failed"] == 0
    assert receipt["suite"]["smoke"]["passed"] >= 20
    assert list(bare.temporary.iterdir()) == []
    assert [path.name for path in bare.home.iterdir()] == [PREFIX]


def test_weights_of_the_bundle_are_found_without_a_word(bare: Bare) -> None:
    """The recipe's asset travelled, and the environment knows where it is."""
    receipt = json.loads((bare.prefix / "current" / "receipt.json").read_text("utf-8"))
    assert receipt["suite"]["smoke"]["skipped"] <= 1
    code = "import os; print(os.environ['SKIFF_CACHE'])"
    cache = Path(bare(bare.prefix / "python", "-c", code).strip())
    assert [path for path in cache.rglob("*") if path.is_file()]


def test_it_proves_itself_with_a_training_run_and_data_of_ones_own(bare: Bare) -> None:
    """The environment's Python opens the pictures; the one that installed has no Pillow."""
    make_shapes(bare.home / "own")
    own: list[str | Path] = ["--data", bare.home / "own", "--evaluate-only"]
    command = [bare.prefix / "wheelferry", "--verify", "train", *own]
    said = bare(*command, "--expect", "bbox/AP50>=80")
    # two processes cannot find each other here: even the loopback device is down
    assert "3 passed, 1 skipped" in said
    assert re.search(r"bbox/AP50: \d+", said)
    page = bare.prefix / "current" / "report" / "train" / "report.html"
    assert page.read_text("utf-8").count("data:image/png;base64,") >= 3
    said = bare(*command, "--expect", "bbox/AP50>100", status=1)
    assert "on your data bbox/AP50 is more than 100: it is" in said
    next((bare.home / "own" / "val" / "images").iterdir()).unlink()
    assert "error picture-missing (1)" in bare(*command, status=2)
    shutil.rmtree(bare.home / "own")


def test_who_may_only_read_it_can_prove_it_too(bare: Bare) -> None:
    """As where an administrator installed it; the weights are found, by links of one's own."""
    bare("chmod", "-R", "a-w", bare.prefix)
    try:
        said = bare(bare.prefix / "wheelferry", "--verify", "smoke")
        assert "0 failed" not in said
        assert re.search(r"2\d passed, [01] skipped", said)
        shutil.rmtree(bare.home / ".cache", ignore_errors=True)
    finally:
        bare("chmod", "-R", "u+w", bare.prefix)


def test_the_page_shows_in_a_browser_what_the_model_finds(bare: Bare, tmp_path: Path) -> None:
    """The program as the client starts it, with a browser beside it that nothing but the program answers."""
    require_browser()
    account = [f"{name}={value}" for name, value in bare.account.items()]
    start = ["env", "-i", *account, *bare.isolate[bare.isolate.index("--") + 1 :], bare.prefix / "wheelferry"]
    namespace = [*bare.isolate[: bare.isolate.index("--")], "--", sys.executable, SANDBOX_ENTRY]
    done = subprocess.run(
        [str(part) for part in (*namespace, sys.executable, DRIVER, tmp_path / "seen", *start, "app")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = check_page(json.loads(done.stdout), bare.prefix / "accepted")
    assert record["facts"][0] == ["Weights", "detector.npz"]
    images = os.environ.get("WHEELFERRY_DOCS_IMAGES")
    if images:
        with Image.open(tmp_path / "seen" / "wide-light.png") as screen:
            screen.convert("RGB").save(Path(images) / "app.jpg", quality=88)
    # the program was killed, and kept what was accepted
    shutil.rmtree(bare.prefix / "accepted")
    for left in bare.temporary.iterdir():
        shutil.rmtree(left)


def test_too_little_space_is_refused_before_anything_is_written(bare: Bare, stick: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = bare.home / "small"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size=50m tmpfs '{disk}' && chmod 777 '{disk}'"
    nobody = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    install = f"{nobody} sh '{stick}/install.sh' --prefix '{disk}/p' --yes; echo status $?; ls -A '{disk}'"
    script = f"{mounted} && {{ {install}; }}"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", script],
        capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "HOME": str(bare.home)},
    )  # fmt: skip
    assert re.search(r"50\.\d MB free in .*, \d\.\d GB needed|52\.4 MB free", done.stderr)
    assert done.stdout.strip() == "status 3"
    disk.rmdir()


def test_uninstalling_leaves_nothing(bare: Bare) -> None:
    bare(bare.prefix / "wheelferry", "--uninstall", "--yes")
    assert list(bare.home.iterdir()) == []
    shutil.rmtree(bare.programs)
