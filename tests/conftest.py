"""Synthesised wheels and bundles, so that tests need no index, no compiler and no torch."""

import base64
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from ferry import Ferry
from wheelferry.build.cells import Locked
from wheelferry.build.compile import Built
from wheelferry.build.prepare import CompiledAgainst
from wheelferry.bundle.assets import carry_assets
from wheelferry.bundle.installers import InstallerSet
from wheelferry.bundle.pack import pack
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.store import Entry, Store
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import Uv
from wheelferry.catalog import LocatedRecipe
from wheelferry.models.lock import Lock, LockedWheel
from wheelferry.models.manifest import NAME, parse_manifest
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Cell
from wheelferry.models.planning.requirements import given_with
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import STAMP
from wheelferry.progress import Silent
from wheelferry.system.files import sha256_file
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.process import run

# A shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TARGET = Target(python="3.11", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="cpu")

# The shortest file that is an ELF object: a 64-bit header that announces no sections.
EMPTY_ELF = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
    "<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0
)


def fat_binary(*architectures: int) -> bytes:
    """A fat binary as nvcc writes it: a header, then one entry of machine code for each architecture."""
    payload = b"code" * 6
    entries = b"".join(
        struct.pack("<HHIQIIHHI", 2, 0x101, 64, len(payload), 0, 0, 0, 1, architecture).ljust(64, b"\0")
        + payload
        for architecture in architectures
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries


def elf_with_device_code(*architectures: int, kernel: str = "tiny_kernel") -> bytes:
    """An ELF object with nothing but a .nv_fatbin section and the name of a kernel."""
    code, names = fat_binary(*architectures), b"\0.nv_fatbin\0.shstrtab\0"
    contents = code + names + kernel.encode()
    table = 64 + len(contents)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table, 0, 64, 56, 0, 64, 3, 2
    )
    sections = struct.pack("<IIQQQQIIQQ", *[0] * 10)
    sections += struct.pack("<IIQQQQIIQQ", 1, 1, 2, 0, 64, len(code), 0, 0, 8, 0)
    sections += struct.pack("<IIQQQQIIQQ", 12, 3, 0, 0, 64 + len(code), len(names), 0, 0, 1, 0)
    return header + contents + sections


RECIPE = """
format = 1
name = "tiny"
summary = "a project for tests"
license = "Apache-2.0"
distribution = "tiny"
source = { kind = "folder", path = "tiny/project" }
build = { extensions = ["tiny._C"], cuda_kernels = ["tiny_kernel"] }
requirements = [{ requires = "leaf" }]

[[torch]]
version = "2.13.0"
python = ">=3.10,<3.15"

[releases."1.0"]
tree = "0000000000000000000000000000000000000000000000000000000000000000"
version = "1.0"
torch = ">=2.0"
python = ">=3.9"
features = ["ops"]

[smoke]
path = "tiny/smoke"
imports = ["tiny"]
modules = ["check_tiny"]
"""


def wheelferry(*arguments: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the program itself."""
    return subprocess.run(
        [sys.executable, "-m", "wheelferry", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Iterable[str] = (),
    tag: str = "py3-none-any",
    files: Mapping[str, bytes] | None = None,
    stamp: bytes | None = None,
    requires_python: str = "",
    metadata_lines: Iterable[str] = (),
    metadata_version: str = "2.1",
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write a small but correct wheel and return its path."""
    info = f"{name}-{version}.dist-info"
    interpreter, abi, platforms = tag.split("-")
    metadata = [f"Metadata-Version: {metadata_version}\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    metadata += [f"Requires-Python: {requires_python}"] if requires_python else []
    metadata += metadata_lines
    tags = "".join(f"Tag: {interpreter}-{abi}-{platform}\n" for platform in platforms.split("."))
    contents = {
        f"{name}/__init__.py": b"",
        **(files or {}),
        f"{info}/METADATA": ("\n".join(metadata) + "\n\n").encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n{tags}".encode(),
    }
    if stamp is not None:
        contents[f"{info}/{STAMP}"] = stamp
    record = "".join(f"{path},{_record_hash(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = folder / f"{name}-{version}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in contents.items():
            archive.writestr(zipfile.ZipInfo(entry), data, compression)
    return path


def _record_hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def locked(path: Path, store: Store) -> LockedWheel:
    """Put a copy of a wheel into the store and describe it as a lock does."""
    data = path.read_bytes()
    copy = path.with_suffix(".copy")
    copy.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    store.adopt(copy, sha256)
    name, version = path.name.split("-")[:2]
    return LockedWheel(
        name=canonicalize_name(name),
        version=Version(version),
        filename=path.name,
        sha256=sha256,
        size=len(data),
        origin=f"https://index.example/{path.name}",
    )


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """Tools whose store is in the test's own folder."""
    index = IndexSettings()
    return Tools(
        run=run,
        store=Store(tmp_path / "store"),
        index=index,
        uv=Uv(program=Path("uv"), run=run, index=index),
        progress=Silent(),
        jobs=2,
    )


@pytest.fixture
def located(tmp_path: Path) -> LocatedRecipe:
    """The tests' own recipe, with its smoke folder."""
    smoke = tmp_path / "recipes" / "tiny" / "smoke"
    smoke.mkdir(parents=True)
    (smoke / "check_tiny.py").write_text("from harness import check\n", "utf-8")
    return LocatedRecipe(recipe=parse_recipe(RECIPE, file="tiny.toml"), folder=tmp_path / "recipes")


@pytest.fixture
def bundle(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """A complete bundle of four synthesised wheels: torch, leaf, its dependency, and the built one."""
    return pack_bundle(tmp_path / "bundle", tmp_path / "made", tools, located)


def pack_bundle(
    out: Path,
    made: Path,
    tools: Tools,
    located: LocatedRecipe,
    targets: Iterable[Target] = (TARGET,),
    cuda_architectures: Iterable[str] = (),
    assets: Iterable[str] = (),
    installer_set: InstallerSet | None = None,
    more: Iterable[LockedWheel] = (),
    release: str = "1.0",
    torch_files: Mapping[str, bytes] | None = None,
    apps: Iterable[str] = (),
) -> Path:
    """Synthesise wheels in `made`; the real stage packs them to `out`, and `more`, which is asked for.

    `torch_files` are in the wheel of torch.
    """
    more = list(more)
    plan = make_plan(
        located.recipe,
        release,
        targets,
        cuda_architectures=cuda_architectures,
        assets=assets,
        required=[given_with(wheel.name) for wheel in more],
        apps=apps,
    )
    cells = [_synthesise(cell, made, tools.store, more, torch_files) for cell in plan.cells]
    installer_sets = {cell.lock.target: installer_set or _kit(made, tools.store) for cell in cells}
    carried = carry_assets(plan, located, tools)
    pack(plan, located, ["0" * 64], cells, out, tools, installer_sets=installer_sets, assets=carried)
    return out


def _kit(made: Path, store: Store) -> InstallerSet:
    """Wheels with the names of uv and pip; nothing can be installed with them."""
    folder = made / "kit"
    return InstallerSet(
        uv=locked(write_wheel(folder, "uv", "0.9.0"), store),
        pip=locked(write_wheel(folder, "pip", "26.0"), store),
    )


# Of torch, and of what is built against it.
_MANYLINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64")


def _synthesise(
    cell: Cell,
    made: Path,
    store: Store,
    more: Iterable[LockedWheel],
    torch_files: Mapping[str, bytes] | None,
) -> Locked:
    """Torch, a leaf, its twig, and the project built against that torch, for one target."""
    python = cell.target.interpreter
    number = python.removeprefix("cp")
    windows = cell.target.platform == "win_amd64"
    torch_platform, own_platform = ("win_amd64",) * 2 if windows else _MANYLINUX
    version = cell.target.torch
    tag = f"{python}-{python}-{torch_platform}"
    torch = locked(write_wheel(made, "torch", version, tag=tag, files=torch_files or {}), store)
    stamp = json.dumps({"torch": {"version": version, "sha256": torch.sha256}}).encode()
    architectures = cell.cuda.architectures if cell.cuda else ()
    numbers = [int(name.replace(".", "")) for name in architectures]
    module = elf_with_device_code(*numbers) if cell.cuda else EMPTY_ELF
    suffix = f"{python}-win_amd64.pyd" if windows else f"cpython-{number}-x86_64-linux-gnu.so"
    wheel = write_wheel(
        made,
        "tiny",
        cell.wheel_version,
        requires=[f"torch=={version}", "leaf>=1"],
        tag=f"{python}-{python}-{own_platform}",
        files={f"tiny/_C.{suffix}": module},
        stamp=stamp,
    )
    project = locked(wheel, store)
    leaf = locked(write_wheel(made, "leaf", "1.5", requires=["twig<3; python_version >= '3.8'"]), store)
    twig = locked(write_wheel(made, "twig", "2.1", requires_python=">=3.8"), store)
    built = Built(
        environment_key="none",
        cell=cell,
        wheel=Entry(sha256=project.sha256, filename=project.filename, size=project.size),
        torch=CompiledAgainst(version=str(torch.version), sha256=torch.sha256),
        cuda_architectures=architectures,
        interpreter=Interpreter(path=Path("python"), version=cell.target.python, headers=Path("include")),
    )
    wheels = sorted((torch, project, leaf, twig, *more), key=lambda wheel: wheel.name)
    return Locked(built=built, lock=Lock(target=cell.target, wheels=tuple(wheels)))


def reseal(bundle: Path) -> None:
    """Make the manifest true again after a change on disk, as somebody would who wants it to go unnoticed."""
    document = json.loads((bundle / NAME).read_text("utf-8"))
    for file in document["files"]:
        path = bundle / file["path"]
        file.update(size=path.stat().st_size, sha256=sha256_file(path))
    manifest = parse_manifest(json.dumps(document))
    (bundle / NAME).unlink()  # other folders may share its bytes
    (bundle / NAME).write_text(manifest.to_text(), "utf-8", newline="\n")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No unit test may touch the user's cache."""
    if "e2e" not in request.keywords and "real" not in request.keywords:
        monkeypatch.setenv("WHEELFERRY_CACHE", os.fspath(tmp_path / "store"))


# The folder that the end-to-end tests of all processes share; set for them by the one that starts them.
SHARED = "WHEELFERRY_TESTS_SHARED"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[SHARED] = tempfile.mkdtemp(prefix="wheelferry-e2e-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SHARED))


# The modules that take longest come first, so that no core is left alone with one of them at the end.
_FIRST = ("test_sample", "test_wine", "test_cuda_build", "test_windows_install", "test_isolated")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests before all others; xdist gives out the files in this order."""

    def order(item: pytest.Item) -> tuple[bool, int]:
        module = item.path.stem
        place = _FIRST.index(module) if module in _FIRST else len(_FIRST)
        return item.get_closest_marker("e2e") is None, place

    items.sort(key=order)


@pytest.fixture(scope="session")
def ferry() -> Ferry:
    """The program with one cache for all end-to-end tests, so that torch is downloaded once."""
    return Ferry(Path(os.environ[SHARED]) / "cache ü")
