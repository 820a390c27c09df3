"""Bundles that can really be installed: tiny wheels, with the uv and the pip of the test's environment."""

import atexit
import functools
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from conftest import RECIPE, locked, pack_bundle, write_wheel
from wheelferry.bundle.installers import InstallerSet
from wheelferry.bundle.runtime import Carried, take_archive
from wheelferry.cache.store import Store
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.models.lock import LockedWheel
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.system.files import link_or_copy, sha256_file

WINDOWS = Target(python="3.11", platform="win_amd64", torch="2.13.0", backend="default")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_GLIBC = platform.libc_ver()[1].replace(".", "_")
HERE = Target(
    python=PYTHON, platform=f"manylinux_{_GLIBC}_{platform.machine()}", torch="2.13.0", backend="default"
)

# What the checks of the bundles do: see that the packages are there.
CHECKS = """
import os
from harness import check, expect

@check("all packages import")
def imports(context):
    import leaf, tiny, torch, twig
    context.value("python", os.sys.version.split()[0])

@check("cargo has a script")
def script(context):
    import cargo
    expect(callable(cargo.main), "cargo has no main")
"""


def windows_recipe(located: LocatedRecipe) -> LocatedRecipe:
    """The tests' recipe, with a torch that has wheels for Windows."""
    entry = 'python = ">=3.10,<3.15"\n'
    text = RECIPE.replace(entry, entry + entry.replace("python", "windows"), 1)
    return replace(located, recipe=parse_recipe(text, file="tiny.toml"))


def pack_client_bundle(
    out: Path,
    tools: Tools,
    located: LocatedRecipe,
    *,
    target: Target = HERE,
    runtime: Path | None = None,
    files: Mapping[str, bytes] | None = None,
    kit: InstallerSet | None = None,
    apps: Sequence[str] = (),
) -> Path:
    """A bundle for this very machine, or for another with its `kit`.

    `files` are those of one more package, called cargo.
    """
    (located.folder / "tiny" / "smoke" / "check_tiny.py").write_text(CHECKS, "utf-8")
    made = out.with_name(f"{out.name}-made")
    version = f"1.{len(files or {})}"
    contents = {f"cargo/{name}": data for name, data in (files or {}).items()}
    cargo = locked(write_wheel(made, "cargo", version, files=_script(version) | contents), tools.store)
    if kit is None:
        kit = make_kit(made / "kit", tools.store, take_archive(runtime, tools) if runtime else None)
    more = [cargo]
    return pack_bundle(out, made, tools, located, targets=[target], installer_set=kit, more=more, apps=apps)


def _script(version: str) -> dict[str, bytes]:
    """An entry point, so that a script with the interpreter's path is written."""
    entry = b"[console_scripts]\ncargo = cargo:main\n"
    return {
        "cargo/__init__.py": f"def main():\n    print('cargo {version}')\n".encode(),
        f"cargo-{version}.dist-info/entry_points.txt": entry,
    }


# Set by a test: a script that is carried in the place of uv.
_OTHER_UV = ""


def make_kit(folder: Path, store: Store, python: Carried | None = None) -> InstallerSet:
    """The installed uv and pip as wheels again; they are zipped once and linked into every store."""
    folder.mkdir(parents=True)
    uv, pip = (_bring(_zipped(name, _OTHER_UV), folder, store) for name in ("uv", "pip"))
    return InstallerSet(uv=uv, pip=pip, python=python)


def _bring(wheel: LockedWheel, folder: Path, store: Store) -> LockedWheel:
    if not store.has(wheel.sha256):
        link_or_copy(_made() / wheel.filename, folder / wheel.filename)
        store.adopt(folder / wheel.filename, wheel.sha256)
    return wheel


@functools.cache
def _made() -> Path:
    """Where this process keeps what it zips; the folder goes when it ends."""
    folder = tempfile.mkdtemp(prefix="wheelferry-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def _zipped(name: str, other_uv: str) -> LockedWheel:
    distribution = importlib.metadata.distribution(name)
    version = distribution.version
    path = _made() / f"{name}-{version}{'-0other' if other_uv else ''}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in distribution.files or ():
            inside = f"{name}-{version}.data/scripts/{file.name}" if ".." in file.parts else file.as_posix()
            if other_uv and inside.endswith("/scripts/uv"):
                archive.writestr(inside, other_uv)
            elif not inside.endswith(".pyc"):
                archive.write(Path(str(file.locate())), inside)
    return LockedWheel(
        name=canonicalize_name(name),
        version=Version(version),
        filename=path.name,
        sha256=sha256_file(path),
        size=path.stat().st_size,
        origin=f"https://index.example/{path.name}",
    )


def one_python() -> str:
    """A PATH with the tests' Python and the system's programs: a search of all Pythons takes seconds."""
    return os.pathsep.join([str(Path(sys.executable).resolve().parent), "/usr/local/bin", "/usr/bin", "/bin"])
