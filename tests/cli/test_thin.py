"""Thin bundles: what the client has already is required there, compared, and not carried."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clients import PYTHON, one_python
from conftest import write_wheel
from elffiles import elf_file
from yard import Yard

MAKE = ("bundle", "./tiny.toml@1.0", "--python", PYTHON, "--torch", "2.13.0", "--without-ops", "-q")
TORCH = ("--present", "torch==2.13.0")
CHECKS = """
@check("what is carried and what is present import")
def imports(context):
    import leaf, tiny, torch
"""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return Yard(tmp_path_factory.mktemp("thin") / "yard", checks=CHECKS)


def run(yard: Yard, *arguments: str | Path) -> tuple[int, str]:
    """The exit status of a command, and what it said, in one line."""
    process = yard.start(*arguments)
    said = process.communicate()[0]
    return process.returncode, " ".join(said.split())


@pytest.fixture(scope="module")
def thin(yard: Yard) -> Path:
    """A bundle without torch and leaf, verified beside those of the index."""
    status, said = run(yard, *MAKE, "--out", "thin ü", *TORCH, "--present", "leaf==1.5", "--level", "smoke")
    assert status == 0, said
    return yard.folder / "thin ü"


def target(bundle: Path) -> dict[str, Any]:
    """What the manifest says of the bundle's one target."""
    (entry,) = json.loads((bundle / "bundle.json").read_text("utf-8"))["targets"]
    found: dict[str, Any] = entry
    return found


class Client:
    """A Python with packages that are only metadata, and torch's version.py; and where is installed to."""

    def __init__(self, folder: Path, packages: Mapping[str, str], torch: str = "") -> None:
        self.environment, self.prefix = folder / "has ü", folder / "prefix"
        venv.create(self.environment, symlinks=True)
        (site,) = self.environment.glob("lib/python*/site-packages")
        for name, version in packages.items():
            info = site / f"{name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8"
            )
            (site / name).mkdir()
            (site / name / "__init__.py").write_text("here = True\n", "utf-8")
        if torch:
            (site / "torch" / "version.py").write_text(torch, "utf-8")
        self.site = site

    def install(self, bundle: Path, *options: str | Path) -> tuple[int, dict[str, Any]]:
        """The installer's exit status, and what it said with --json."""
        python = self.environment / "bin" / "python"
        where: list[str | Path] = ["--prefix", self.prefix, "--python", python]
        done = subprocess.run(
            [sys.executable, bundle / "install.pyz", "--json", *(options or where)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": one_python()},
        )
        said: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, said


CPU = "__version__ = '2.13.0+cpu'\ncuda = None\n"
CUDA = "__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n"
RIGHT = {"torch": "2.13.0", "leaf": "1.5"}


def test_what_is_present_is_in_lock_readme_and_report_and_not_carried(thin: Path) -> None:
    entry = target(thin)
    assert entry["present"] == [
        {"name": "leaf", "version": "1.5"},
        {"name": "torch", "version": "2.13.0", "cuda": "none"},
    ]
    assert json.loads((thin / "bundle.json").read_text("utf-8"))["format"] == 3
    # neither what leaf requires, nor what installs
    assert [path.name.split("-")[0] for path in (thin / "wheelhouse").iterdir()] == ["tiny"]
    assert not (thin / "tools").exists()
    said = "leaf 1.5, torch 2.13.0 (without CUDA)"
    requirements = (thin / "requirements.txt").read_text("utf-8").splitlines()
    assert requirements[0].endswith("--require-hashes --no-deps")
    assert requirements[1] == f"# must be there already: {said}"
    assert not [line for line in requirements if line.startswith(("torch", "leaf"))]
    assert "torch 2.13.0 (without CUDA)" in (thin / "README.txt").read_text("utf-8")
    report = json.loads((thin / "report" / "report.json").read_text("utf-8"))
    assert report["passed"]
    assert list(report["static"]["facts"]["present"].values()) == [said.split(", ")]
    assert said in (thin / "report" / "report.html").read_text("utf-8")


def test_it_is_installed_beside_what_is_there(thin: Path, tmp_path: Path) -> None:
    client = Client(tmp_path, RIGHT, CPU)
    status, said = client.install(
        thin, "--prefix", client.prefix, "--python", client.environment / "bin/python"
    )
    assert status == 0, said
    assert said["installer"]["kind"] == "pip"
    python = client.prefix / "current" / "bin" / "python"
    code = "import tiny, torch, leaf; print(torch.here, leaf.here, tiny.__file__)"
    seen = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert seen[:2] == ["True", "True"]
    assert str(client.prefix) in seen[2]
    # later, the machine's owner changes what is there
    (client.site / "leaf-1.5.dist-info" / "METADATA").write_text("Name: leaf\nVersion: 2.0\n", "utf-8")
    checked = subprocess.run(
        [client.prefix / "wheelferry", "--verify", "smoke"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1
    assert "leaf 1.5 must be there: it has leaf 2.0" in checked.stderr


def test_it_is_installed_into_the_environment_that_has_it(thin: Path, tmp_path: Path) -> None:
    client = Client(tmp_path, RIGHT, CPU)
    status, said = client.install(thin, "--into", client.environment)
    assert status == 0, said
    assert said["own"] == ["tiny"]
    assert (client.site / "tiny").is_dir()


@pytest.mark.parametrize(
    ("packages", "torch", "reason"),
    [
        ({"leaf": "1.5"}, "", "torch 2.13.0 (without CUDA): it has none"),
        (RIGHT | {"torch": "2.14.0"}, CPU.replace("2.13", "2.14"), "it has torch 2.14.0+cpu (without CUDA)"),
        (RIGHT, CUDA, "torch 2.13.0 (without CUDA): it has torch 2.13.0+cu130 (CUDA 13.0)"),
        (RIGHT | {"leaf": "1.6"}, CPU, "leaf 1.5: it has leaf 1.6"),
    ],
)
@pytest.mark.parametrize("into", [False, True])
def test_another_client_is_refused_and_nothing_is_written(
    thin: Path, tmp_path: Path, packages: Mapping[str, str], torch: str, reason: str, *, into: bool
) -> None:
    client = Client(tmp_path, packages, torch)
    before = sorted(client.site.iterdir())
    options: list[str | Path] = ["--into", client.environment] if into else []
    status, said = client.install(thin, *options)
    assert status == 3
    assert reason in said["error"]
    assert str(client.environment) in said["error"]
    assert not client.prefix.exists()
    assert sorted(client.site.iterdir()) == before


def test_a_cpu_build_in_the_place_of_one_for_cuda_is_refused(yard: Yard, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    wanted = Client(tmp_path / "wanted", RIGHT, CUDA)
    yard.run("probe", "--python", wanted.environment, "--out", profile)
    status, said = run(yard, *MAKE, "--out", "cuda", "--present", profile, "--no-verify")
    assert status == 0, said
    assert target(yard.folder / "cuda")["present"][1]["cuda"] == "13.0"
    status, seen = Client(tmp_path / "cpu", RIGHT, CPU).install(yard.folder / "cuda")
    assert status == 3
    assert "torch 2.13.0+cu130 (CUDA 13.0): it has torch 2.13.0+cpu (without CUDA)" in seen["error"]


def test_another_python_is_refused(thin: Path, tmp_path: Path) -> None:
    client = Client(tmp_path, RIGHT, CPU)
    program = client.environment / "bin" / "python"
    program.unlink()
    # what every Python is asked, answered by one of another version
    program.write_text(
        f'#!/bin/sh\n{sys.executable} "$@" | sed \'s/"version": "3[^"]*"/"version": "3.8.1"/\'\n'
    )
    program.chmod(0o755)
    status, said = client.install(thin)
    assert status == 3
    assert "CPython 3.8.1" in said["error"]
    assert f"the target is for Python {PYTHON}" in said["error"]


def test_libraries_that_a_probe_hashed_must_be_the_same(yard: Yard, tmp_path: Path) -> None:
    def client(name: str, library: bytes) -> Client:
        made = Client(tmp_path / name, RIGHT, CPU)
        (made.site / "torch" / "lib").mkdir()
        (made.site / "torch" / "lib" / "libtorch_cpu.so").write_bytes(library)
        return made

    first, profile = client("first", b"one"), tmp_path / "profile.json"
    said = yard.run("probe", "--python", first.environment, "--out", profile)
    assert "2 packages, torch 2.13.0+cpu" in said
    status, said = run(yard, *MAKE, "--out", "hashed", "--present", profile, "--no-verify")
    assert status == 0, said
    assert target(yard.folder / "hashed")["present"][1]["libraries"].keys() == {"torch/lib/libtorch_cpu.so"}
    assert first.install(yard.folder / "hashed")[0] == 0
    status, seen = client("second", b"two").install(yard.folder / "hashed")
    assert status == 3
    assert "but with other libraries: torch/lib/libtorch_cpu.so has SHA-256" in seen["error"]


def test_the_python_that_has_it_is_found(thin: Path, tmp_path: Path) -> None:
    client = Client(tmp_path, RIGHT, CPU)
    program = tmp_path / "bin" / "python3"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec '{client.environment / 'bin' / 'python'}' \"$@\"\n", "utf-8")
    program.chmod(0o755)
    path = os.pathsep.join([one_python(), str(program.parent)])
    done = subprocess.run(
        [sys.executable, thin / "install.pyz", "--json", "--check", "--prefix", client.prefix],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stdout
    (found,) = (one for one in json.loads(done.stdout)["findings"] if one["code"] == "python")
    assert str(client.environment) in found["message"]


def test_a_conflict_of_what_is_present_names_both(yard: Yard) -> None:
    write_wheel(yard.index, "wants", "1.0", requires=["leaf>=2"])
    status, said = run(yard, *MAKE, "--out", "none", *TORCH, "--present", "leaf==1.5", "--with", "wants")
    assert status == 2
    assert "leaf>=2" in said
    assert "On the client (--present): leaf 1.5" in said
    assert not (yard.folder / "none").exists()


def test_files_that_both_have_are_a_problem(yard: Yard) -> None:
    for name in ("build_a", "build_b"):
        write_wheel(yard.index, name, "1.0", files={"shared/__init__.py": name.encode()})
    options = ("--with", "build_a", "--with", "build_b", *TORCH, "--present", "build_a==1.0")
    status, said = run(yard, *MAKE, "--out", "both", *options, "--level", "static")
    assert status == 1
    assert "build_b-1.0-py3-none-any.whl: installs a file that build_a-1.0-py3-none-any.whl installs" in said


def test_what_no_index_has_is_told_and_cannot_be_proven_here(yard: Yard) -> None:
    write_wheel(yard.index, "plugin", "1.0", requires=["vendors-own"])
    options = ("--with", "plugin", *TORCH, "--present", "vendors-own==3.0+here")
    status, said = run(yard, *MAKE, "--out", "own", *options, "--level", "install")
    assert status == 3
    report = json.loads((yard.folder / "own" / "report" / "report.json").read_text("utf-8"))
    assert report["static"]["passed"]
    (note,) = (one for one in report["static"]["facts"]["notes"] if "vendors-own" in one)
    assert "vendors-own 3.0+here could not be compared (no index has it)" in note
    (reason,) = report["not_run"]
    assert "install: what must be on the client is not to be had here: vendors-own 3.0+here" in reason
    assert "problem" not in said


def test_with_plain_pip(yard: Yard) -> None:
    options = (*TORCH, "--present", "leaf==1.5", "--level", "smoke", "--installer", "pip")
    status, said = run(yard, *MAKE, "--out", "by-pip", *options)
    assert status == 0, said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--present", "torch>=2"), "names no exact version"),
        (("--present", "nowhere.txt"), "nowhere.txt"),
        (("--present", "torch==2.12.0"), "the torch of cp"),
        (("--present", "torch==2.13.0a0+nv1"), "no index has torch 2.13.0a0+nv1"),
        (("--present", "tiny==1.0"), "the bundle is made for tiny"),
        (("--present", "leaf==1.5", "--exclude", "leaf"), "leaf is excluded too"),
        (("--present", "leaf==1.5", "--present", "leaf==1.6"), "leaf 1.6, but"),
        (("--present", "nothing==1.0", "--no-verify"), "nothing that is present is required"),
        ((*TORCH, "--runtime", "standalone"), "(--runtime) sees nothing of what is present"),
    ],
)
def test_bad_input(yard: Yard, options: tuple[str, ...], said: str) -> None:
    status, text = run(yard, *MAKE, "--out", "bad", *options)
    assert status == 2, text
    assert said in text
    assert not (yard.folder / "bad").exists()


def test_a_file_of_pins(yard: Yard) -> None:
    (yard.folder / "has.txt").write_text(
        "# pip list --format=freeze\ntorch==2.13.0\nleaf==1.5\nother>=1\n", "utf-8"
    )
    status, said = run(yard, "plan", *MAKE[1:-1], "--present", "has.txt")
    assert status == 2
    assert "has.txt:4: other>=1 names no exact version" in said
    (yard.folder / "has.txt").write_text("torch==2.13.0\nleaf==1.5\n", "utf-8")
    status, said = run(yard, "plan", *MAKE[1:-1], "--present", "has.txt")
    assert status == 0
    assert "must be there leaf 1.5, torch 2.13.0" in said


def test_the_python_and_the_torch_of_the_profile_are_taken(yard: Yard, tmp_path: Path) -> None:
    client = Client(tmp_path, RIGHT, CPU)
    yard.run("probe", "--python", client.environment / "bin" / "python", "--out", tmp_path / "profile.json")
    plan = json.loads(
        yard.run("plan", "./tiny.toml@1.0", "--present", tmp_path / "profile.json", "--json", "--without-ops")
    )
    (cell,) = plan["cells"]
    assert (cell["python"], cell["torch"]) == (PYTHON, "2.13.0")
    assert cell["present"][1] == {"name": "torch", "version": "2.13.0+cpu", "cuda": "none"}


def test_a_probe_of_no_python(yard: Yard, tmp_path: Path) -> None:
    status, said = run(yard, "probe", "--python", tmp_path)
    assert status == 2
    assert f"there is no Python at {tmp_path}" in said


def test_modules_are_held_to_the_torch_that_is_present(tmp_path: Path) -> None:
    """Its wheel is not in the bundle: the index's tells what libraries and functions it has."""
    yard, number = Yard(tmp_path / "yard", checks=CHECKS), PYTHON.replace(".", "")
    had, gone = "_ZN2at5emptyEv", "_ZN3c106detail14torchCheckFailEv"
    torch = {"torch/version.py": b"cuda = None\n", "torch/lib/libtorch_cpu.so": elf_file(had=[had])}
    tag = f"cp{number}-cp{number}-manylinux_2_17_x86_64"
    write_wheel(yard.index, "torch", "2.13.0", tag=tag, files=torch)
    for name, wanted in (("fits", had), ("older", gone)):
        module = elf_file(["libtorch_cpu.so"], wanted=[wanted])
        files = {f"{name}/_C.cpython-{number}-x86_64-linux-gnu.so": module}
        write_wheel(yard.index, name, "1.0", tag=tag, files=files)
    make = (*MAKE, *TORCH, "--level", "static")
    status, said = run(yard, *make, "--out", "fits", "--with", "fits")
    assert status == 0, said
    status, said = run(yard, *make, "--out", "older", "--with", "older")
    assert status == 1
    assert "wants what torch 2.13.0 does not have: c10::detail::torchCheckFail" in said
    assert "[SYMBOLS]" in said


def test_what_a_thin_bundle_cannot_be_used_for(yard: Yard, thin: Path) -> None:
    status, said = run(yard, "matrix", "./tiny.toml", "--record", thin)
    assert status == 2
    assert "made without" in said or "(--present)" in said
    # it would remove what is present
    assert "uv pip sync" not in (thin / "README.txt").read_text("utf-8")
