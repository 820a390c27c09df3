"""What pip and uv really do, where wheelferry rests on it: the installed ones, on tiny wheels, offline.

Each test has the tool and its version in its name. Where one fails after a newer release, its message says
what in wheelferry has to be looked at; findings/ and docs/explanation/levels.md may speak of it, too.
"""

import hashlib
import http.server
import json
import os
import platform
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from uv import find_uv_bin

from conftest import write_wheel
from wheelferry.client.installer import packages
from wheelferry.models.lock import Lock, LockedWheel, pylock_text, requirements_text, taken_instead
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import filename_parts
from wheelferry.serving.pages import project_page
from wheelferry.serving.simple_api import ServedWheel
from wheelferry.verification.installation.pip_install import _MISSING as MISSING

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="wheels for Linux on x86-64"
)

HERE = Target(
    python=f"{sys.version_info.major}.{sys.version_info.minor}",
    platform="manylinux_2_17_x86_64",
    torch="2.13.0",
    backend="cpu",
)
LINUX, MANYLINUX = "py3-none-linux_x86_64", "py3-none-manylinux_2_17_x86_64"


@dataclass(frozen=True)
class Tool:
    """pip or uv, with nothing of the user's: no configuration, no cache, no index."""

    name: str
    folder: Path

    def __call__(self, *arguments: str | Path, **settings: str) -> "Said":
        """Run it, with environment variables of its own beside those below."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        start = {"pip": [sys.executable, "-I", "-m", "pip"], "uv": [find_uv_bin(), "pip"]}[self.name]
        usual = {
            "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_NO_CONFIG": "1", "UV_NO_CACHE": "true", "UV_PYTHON": sys.executable,
        }  # fmt: skip
        done = subprocess.run(
            [*start, *map(str, arguments)],
            cwd=self.folder,
            env={**ours, **usual, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout)

    def install(self, *arguments: str | Path, into: Path, **settings: str) -> "Said":
        """Install into a folder of its own, which nothing else is looked at for."""
        return self("install", "--target", into, *arguments, **settings)


@dataclass(frozen=True)
class Said:
    status: int
    text: str


def tools(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test for each tool, with its version in the test's name."""
    parameters = [pytest.param(name, id=f"{name} {version(name)}") for name in names]
    mark: Callable[[Callable[..., None]], Callable[..., None]]
    mark = pytest.mark.parametrize("tool", parameters, indirect=True)
    return mark


@pytest.fixture
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Tool:
    (tmp_path / "elsewhere").mkdir()
    return Tool(request.param, tmp_path / "elsewhere")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def locked(*wheels: Path, excluded: Iterable[str] = ()) -> Lock:
    """A lock as bundles have it, over these files."""
    parts = [(path, *filename_parts(path.name)[:2]) for path in wheels]
    return Lock(
        target=HERE,
        wheels=tuple(
            LockedWheel(
                name=name,
                version=number,
                filename=path.name,
                sha256=sha256(path),
                size=path.stat().st_size,
                origin="",
            )
            for path, name, number in parts
        ),
        excluded=tuple(map(NormalizedName, excluded)),
    )


def write_lock(bundle: Path, lock: Lock, name: str = f"pylock.{HERE.name}.toml") -> Path:
    path = bundle / name
    path.write_text(pylock_text(lock, created_by="tests"), "utf-8")
    return path


def write_wanted(folder: Path, wheel: Path) -> list[str | Path]:
    """The options that ask for one file of leaf 1.0, by its hash."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"leaf==1.0 --hash=sha256:{sha256(wheel)}\n", "utf-8")
    return ["--require-hashes", "-r", wanted]


def changed(wheel: Path) -> None:
    """Other bytes of the same size."""
    wheel.write_bytes(wheel.read_bytes().replace(b"Generator: tests", b"Generator: TESTS"))


# ---- the pylock of bundles


@tools("pip", "uv")
def test_a_pylocks_paths_are_relative_to_it(tool: Tool, tmp_path: Path) -> None:
    """models/lock.py: a bundle may be moved, renamed, and used from any working folder."""
    made = tmp_path / "made"
    wheel = write_wheel(made / "wheelhouse", "leaf", "1.0")
    lock = write_lock(made, locked(wheel))
    moved = made.rename(tmp_path / "moved & renamed (ü)")
    said = tool.install("--no-index", "-r", moved / lock.name, into=tmp_path / "packages")
    assert said.status == 0, f"bundles cannot be installed from their pylock where they lie: {said.text}"
    assert (tmp_path / "packages" / "leaf").is_dir()


@tools("pip")
@pytest.mark.parametrize(
    ("name", "read"), [("pylock.toml", True), ("pylock.a-b_c.toml", True), ("lock.toml", False)]
)
def test_which_names_of_a_lock_are_read(tool: Tool, tmp_path: Path, name: str, read: bool) -> None:
    """bundle/pack.py names them pylock.TARGET.toml; a dot in the target's name would end that."""
    lock = write_lock(tmp_path, locked(write_wheel(tmp_path / "wheelhouse", "leaf", "1.0")), name)
    said = tool("install", "--dry-run", "--no-index", "-r", lock)
    assert (said.status == 0) is read, f"the names that bundles give to their pylock: {said.text}"
    assert "." not in HERE.name


@tools("pip", "uv")
def test_what_a_lock_leaves_out_on_purpose(tool: Tool, tmp_path: Path) -> None:
    """docs/serving.md and README.txt say when --no-deps is needed: pip looks at requirements, uv does not."""
    wheel = write_wheel(tmp_path / "wheelhouse", "tree", "1.0", requires=["absent"])
    lock = write_lock(tmp_path, locked(wheel, excluded=["absent"]))
    assert tool("install", "--dry-run", "--no-index", "--no-deps", "-r", lock).status == 0
    said = tool("install", "--dry-run", "--no-index", "-r", lock)
    needs_it = tool.name == "pip"
    assert (said.status != 0) is needs_it, f"who must give --no-deps with a pylock has changed: {said.text}"


@tools("pip")
def test_a_dry_run_reads_every_byte(tool: Tool, tmp_path: Path) -> None:
    """verification/installation/client_install.py says that pip hashed every wheel."""
    wheel = write_wheel(tmp_path / "wheelhouse", "leaf", "1.0")
    lock = locked(wheel)
    (tmp_path / "requirements.txt").write_text(requirements_text(lock), "utf-8")
    from_pylock = write_lock(tmp_path, lock)
    changed(wheel)
    for source in (
        ("--find-links", tmp_path / "wheelhouse", "--require-hashes", "-r", tmp_path / "requirements.txt"),
        ("-r", from_pylock),
    ):
        said = tool("install", "--dry-run", "--no-index", *source)
        assert said.status != 0, "the install level says that pip's dry run hashed every wheel; it does not"
        assert "DO NOT MATCH THE HASHES" in said.text


@tools("uv")
def test_a_dry_run_of_a_pylock_sees_size_and_not_content(tool: Tool, tmp_path: Path) -> None:
    """verification/installation/pylock_proof.py has uv go through the whole lock and install a part of it."""
    wheel = write_wheel(tmp_path / "wheelhouse", "leaf", "1.0")
    lock = write_lock(tmp_path, locked(wheel))
    dry = partial(tool, "install", "--dry-run", "--no-index", "--target", tmp_path / "packages", "-r", lock)
    assert re.search(r"^ \+ leaf==1\.0$", dry().text, re.MULTILINE), (
        "the form in which uv says what it would do"
    )
    changed(wheel)
    assert dry().status == 0, "uv hashes in a dry run: the install level need not install a part of the lock"
    assert tool.install("--no-index", "-r", lock, into=tmp_path / "packages").status != 0
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    said = dry()
    assert said.status != 0, "uv's dry run no longer compares sizes, as the report of the install level says"
    wheel.unlink()
    assert dry().status != 0, "uv's dry run does not see that a wheel is missing, as the report says it does"


# ---- which file is taken


@pytest.fixture
def both(tmp_path: Path) -> dict[str, Path]:
    """One version as two files, which differ in their tag alone; by the tool that takes it by itself."""
    tags = {"pip": LINUX, "uv": MANYLINUX}
    return {name: write_wheel(tmp_path / "files", "leaf", "1.0", tag=tag) for name, tag in tags.items()}


@tools("pip", "uv")
def test_of_linux_and_manylinux_each_takes_another(tool: Tool, both: dict[str, Path], tmp_path: Path) -> None:
    """wheelferry locks one file of a project, so that both tools take the same."""
    said = tool.install("--no-index", "--find-links", tmp_path / "files", "leaf", into=tmp_path / "packages")
    assert said.status == 0
    (taken,) = (tmp_path / "packages").glob("*.dist-info/WHEEL")
    assert both[tool.name].name.partition("none-")[2][:-4] in taken.read_text("utf-8"), (
        "the tools' preference"
    )


@tools("pip", "uv")
def test_in_a_folder_the_hash_does_not_choose_the_file(
    tool: Tool, both: dict[str, Path], tmp_path: Path
) -> None:
    """build/dependencies/lock.py: why a wheelhouse has one file of a version for a target."""
    other = next(path for name, path in both.items() if name != tool.name)
    wanted = write_wanted(tmp_path, other)
    folder = ("--no-index", "--find-links", tmp_path / "files")
    said = tool.install(*folder, *wanted, into=tmp_path / "packages")
    assert said.status != 0, f"{tool.name} now finds the file of the hash in a folder: several may lie there"


@pytest.fixture
def index(both: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """The same two as `wheelferry index` offers them; the address of the index."""
    served = [
        ServedWheel(
            filename=path.name,
            name=NormalizedName("leaf"),
            version=Version("1.0"),
            sha256=sha256(path),
            size=path.stat().st_size,
            requires_python="",
            metadata_sha256="",
        )
        for path in both.values()
    ]
    page = tmp_path / "simple" / "leaf" / "index.html"
    page.parent.mkdir(parents=True)
    text = project_page(NormalizedName("leaf"), served)
    page.write_text(re.sub(r' data-[a-z-]*metadata="[^"]*"', "", text), "utf-8")
    handler = partial(_Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple/"
        server.shutdown()
        thread.join()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@tools("pip", "uv")
@pytest.mark.parametrize("wanted", ["pip", "uv"])
def test_on_an_index_with_hashes_the_hash_chooses_the_file(
    tool: Tool, both: dict[str, Path], index: str, tmp_path: Path, wanted: str
) -> None:
    """serving/: bundles of several targets can be served together."""
    said = tool.install(
        "--index-url", index, *write_wanted(tmp_path, both[wanted]), into=tmp_path / "packages"
    )
    assert said.status == 0, f"a static index cannot offer several files of a version any more: {said.text}"


@tools("uv")
def test_a_folder_whose_name_has_a_comma_and_a_hash_sign(tool: Tool, tmp_path: Path) -> None:
    """client/installer/packages.py names the wheelhouse by an address, in which a comma is %2C."""
    odd = tmp_path / "a, b #c"
    write_wheel(odd, "leaf", "1.0")
    address = odd.as_uri().replace(",", "%2C")
    said = tool.install("--no-index", "--find-links", address, "leaf", into=tmp_path / "packages")
    assert said.status == 0, f"bundles in folders with such names cannot be installed: {said.text}"


@tools("uv")
def test_with_hashes_its_cache_does_not_hide_a_replaced_wheel(tool: Tool, tmp_path: Path) -> None:
    """client/installer/packages.py gives hashes, so a cache cannot bring back what was there before."""
    for content in (b"before", b"after"):
        wheel = write_wheel(tmp_path / "files", "leaf", "1.0", files={"leaf/data": content})
        into = tmp_path / content.decode()
        said = tool.install(
            "--no-index", "--find-links", tmp_path / "files", *write_wanted(tmp_path, wheel),
            into=into, UV_NO_CACHE="false", UV_CACHE_DIR=str(tmp_path / "cache"),
        )  # fmt: skip
        assert said.status == 0, said.text
        assert (into / "leaf" / "data").read_bytes() == content, "uv's cache hides a replaced wheel"


@tools("pip", "uv")
def test_in_a_bundle_of_several_targets_the_installer_takes_the_locked_wheel(
    tool: Tool, tmp_path: Path
) -> None:
    """client/installer/packages.py: beside it lies one of the same version for a newer system."""
    older = write_wheel(tmp_path / "wheelhouse", "leaf", "1.0", tag=MANYLINUX)
    newer = write_wheel(tmp_path / "wheelhouse", "leaf", "1.0", tag="py3-none-manylinux_2_18_x86_64")
    wanted = write_wanted(tmp_path, older)
    plain = ("--no-index", "--find-links", tmp_path / "wheelhouse")
    assert tool.install(*plain, *wanted, into=tmp_path / "no").status != 0, "the installer need not help them"
    assert taken_instead([older.name], [older.name, newer.name, "README"], HERE) == {older.name: newer.name}
    assert taken_instead([newer.name], [older.name, newer.name], HERE) == {}
    there = {f"wheelhouse/{path.name}": (0, "") for path in (older, newer)}
    bundle = SimpleNamespace(root=str(tmp_path), files=there)
    pins = [SimpleNamespace(wheel=f"wheelhouse/{older.name}")]
    chosen = packages._wheels_of(bundle, pins, str(tmp_path / "aside"))
    assert [path.name for path in Path(chosen).iterdir()] == [older.name]
    said = tool.install("--no-index", "--find-links", chosen, *wanted, into=tmp_path / "packages")
    assert said.status == 0, said.text
    alone = SimpleNamespace(root=str(tmp_path), files={f"wheelhouse/{older.name}": (0, "")})
    assert packages._wheels_of(alone, pins, str(tmp_path / "none")) == str(tmp_path / "wheelhouse")


# ---- what nobody looks at


@tools("pip", "uv")
def test_two_wheels_with_the_same_file_are_installed_in_silence(tool: Tool, tmp_path: Path) -> None:
    """verification/static/ownership.py says what installers do not."""
    wheels = [
        write_wheel(tmp_path, name, "1.0", files={"both/x.py": name.encode()}) for name in ("leaf", "twig")
    ]
    said = tool.install("--no-index", *wheels, into=tmp_path / "packages")
    assert said.status == 0, f"{tool.name} now refuses twins: SAME_FILE is its problem too: {said.text}"
    assert "both" not in said.text.replace(str(tmp_path), ""), f"{tool.name} now warns of twins: {said.text}"


@tools("uv")
def test_one_after_the_other_makes_twins_whole(tool: Tool, tmp_path: Path) -> None:
    """client/installer/packages.py sets UV_CONCURRENT_INSTALLS, so that no module is made of two wheels."""
    names = ("leaf", "twig", "tree")
    wheels = [
        write_wheel(tmp_path, name, "1.0", files={f"both/{n}.py": name.encode() for n in range(200)})
        for name in names
    ]
    for attempt in range(2):
        into = tmp_path / f"packages{attempt}"
        said = tool.install("--no-index", *wheels, into=into, UV_CONCURRENT_INSTALLS="1")
        assert said.status == 0, said.text
        owners = {path.read_bytes() for path in (into / "both").iterdir()}
        assert len(owners) == 1, "on the client a module can now be made of two wheels"


@tools("pip", "uv")
def test_nobody_compares_a_wheel_with_its_record(tool: Tool, tmp_path: Path) -> None:
    """wheels/record.py does, at the static level."""
    sound = write_wheel(tmp_path, "leaf", "1.0", files={"leaf/data": b"as recorded"})
    wheel = tmp_path / "other" / sound.name
    wheel.parent.mkdir()
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(wheel, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, b"something else" if name == "leaf/data" else source.read(name))
    said = tool.install("--no-index", wheel, into=tmp_path / "packages")
    assert said.status == 0, f"{tool.name} now compares with RECORD; docs/explanation/levels.md: {said.text}"


@tools("pip", "uv")
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_which_compression_is_refused(tool: Tool, tmp_path: Path, method: int) -> None:
    """verification/static/checks.py: COMPRESSION names the tool that does not read a wheel."""
    wheel = write_wheel(tmp_path, "leaf", "1.0", files={"leaf/data": b"x" * 1000}, compression=method)
    said = tool.install("--no-index", wheel, into=tmp_path / "packages")
    assert (said.status != 0) is (tool.name == "uv"), f"who reads which compression: {said.text}"


@tools("pip", "uv")
def test_metadata_of_the_future_is_installed(tool: Tool, tmp_path: Path) -> None:
    """verification/static/checks.py: METADATA tells what installers take and other tools do not."""
    wheel = write_wheel(tmp_path, "leaf", "1.0", metadata_version="3.0")
    said = tool.install("--no-index", wheel, into=tmp_path / "packages")
    assert said.status == 0, f"{tool.name} now refuses an unknown Metadata-Version: {said.text}"


@tools("pip")
def test_how_pip_check_names_what_is_missing(tool: Tool, tmp_path: Path) -> None:
    """verification/installation/pip_install.py reads these lines, to tell what was left out on purpose."""
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    wheel = write_wheel(tmp_path, "tree", "1.0", requires=["Absent_One>=2"])
    at = ("--python", env / "bin" / "python")
    assert tool(*at, "install", "--no-index", "--no-deps", wheel).status == 0
    said = tool(*at, "check")
    assert said.status == 1
    found = [match[1] for line in said.text.splitlines() if (match := MISSING.fullmatch(line))]
    assert found == ["Absent_One"] or found == ["absent-one"], f"verify --installer pip reads: {said.text}"


@tools("pip")
def test_what_a_report_of_pip_says_of_each_file(tool: Tool, tmp_path: Path) -> None:
    """Both proofs of the install level read name, version and address there."""
    lock = write_lock(tmp_path, locked(write_wheel(tmp_path / "wheelhouse", "leaf", "1.0")))
    said = tool("install", "--dry-run", "--no-index", "-r", lock, "--report", tmp_path / "report.json")
    assert said.status == 0, said.text
    (item,) = json.loads((tmp_path / "report.json").read_text("utf-8"))["install"]
    assert (item["metadata"]["name"], item["metadata"]["version"]) == ("leaf", "1.0")
    assert item["download_info"]["url"].endswith("/wheelhouse/leaf-1.0-py3-none-any.whl")
