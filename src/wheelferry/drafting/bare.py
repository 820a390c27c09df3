"""A project that has packages and no build configuration: what can be told of it from its files."""

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.version import InvalidVersion, Version

from wheelferry.build.configure import packages_in
from wheelferry.errors import InputError

# What a person must replace: nothing in the files says a version.
_NO_VERSION = "0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bare:
    """Packages to pack, what to call the project, and the modules that they import from elsewhere."""

    name: str
    version: str
    packages: tuple[str, ...]
    imports: tuple[str, ...]


def find_bare(project: Path, named: str, release: str) -> Bare:
    """What is in the folder `project`, which is called `named` (a path or an address).

    The version is that of the tag `release`, if it is one. Raises InputError where no package is.
    """
    packages = packages_in(project)
    if not packages:
        raise InputError(
            f"{named} has no setup.py, no pyproject.toml and no Python package (a folder with __init__.py)",
            hint="a recipe builds Python projects; --subdirectory names a folder of a repository",
        )
    called = packages[0] if len(packages) == 1 else PurePosixPath(named.rstrip("/")).name
    return Bare(
        name=called.removesuffix(".git").replace("_", "-"),
        version=_version(release),
        packages=packages,
        imports=tuple(sorted(set(_imported(project, packages)) - {"torch", *packages})),
    )


def _version(release: str) -> str:
    try:
        return str(Version(release))
    except InvalidVersion:
        return _NO_VERSION


def _imported(project: Path, packages: Iterable[str]) -> Iterable[str]:
    """Top-level modules that the packages import and Python does not have itself."""
    for path in (path for name in packages for path in sorted((project / name).rglob("*.py"))):
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # a template, or of another Python: its imports are unknown
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            tops = (name.partition(".")[0] for name in names)
            yield from (top for top in tops if top not in sys.stdlib_module_names)
