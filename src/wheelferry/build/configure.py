"""Configure: write the build configuration of a project that has none, and find what it could pack."""

import configparser
import tomllib
from collections.abc import Iterable
from pathlib import Path

from wheelferry.errors import InputError
from wheelferry.models.planning.configuration import PYPROJECT
from wheelferry.system.files import write_atomic

# Folders of a repository that may be packages and are not the project.
_BESIDE = {"test", "tests", "tools", "scripts", "configs", "docs", "demo", "demos", "examples", "datasets"}
_LICENCES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*")


def is_configured(project: Path) -> bool:
    """Whether the folder says how it is built; files with settings of linters alone do not."""
    if (project / "setup.py").is_file():
        return True
    try:
        declared = configparser.ConfigParser(interpolation=None)
        declared.read(project / "setup.cfg", "utf-8")
        file = project / "pyproject.toml"
        document = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    except (configparser.Error, ValueError):
        return True  # the build backend knows better what is wrong with it
    tools = document.get("tool", {})
    return bool({"metadata", "options"} & set(declared) or {"build-system", "project"} & set(document)) or (
        bool({"poetry", "setuptools"} & set(tools))
    )


def packages_in(project: Path) -> tuple[str, ...]:
    """The Python packages of a folder, without those that projects keep beside what is installed."""
    folders = sorted(path.parent.name for path in project.glob("*/__init__.py"))
    return tuple(name for name in folders if name.isidentifier() and name.lower() not in _BESIDE)


def configure(tree: Path, project: Path, packages: Iterable[str], configuration: str) -> None:
    """Write `configuration` (setup.cfg) into the folder `project` of an exported `tree`.

    Where the folder has no licence text, that of the nearest folder above it is put there, and so into the
    wheel. Raises InputError for a project that has a configuration, and for packages that it has not.
    """
    if is_configured(project):
        raise InputError(
            f"build.packages: {_named(project, tree)} says itself how it is built",
            hint="leave packages out of the recipe: setup.py or pyproject.toml names them",
        )
    if missing := [name for name in packages if not (project / name).is_dir()]:
        raise InputError(
            f"build.packages: {_named(project, tree)} has no folder {', '.join(missing)}",
            hint=f"its packages: {', '.join(packages_in(project)) or 'none'}; see source.subdirectory too",
        )
    write_atomic(project / "setup.cfg", configuration)
    write_atomic(project / "pyproject.toml", PYPROJECT)
    for text in _licences_above(tree, project):
        write_atomic(project / text.name, text.read_text("utf-8", errors="replace"))


def _named(project: Path, tree: Path) -> str:
    inside = project.relative_to(tree).as_posix()
    return "the source" if inside == "." else f"the source's folder {inside}"


def _licences_above(tree: Path, project: Path) -> list[Path]:
    """Licence texts of the nearest folder above `project` that has any; none where it has its own."""
    for folder in (project, *project.parents):
        if found := sorted(path for pattern in _LICENCES for path in folder.glob(pattern) if path.is_file()):
            return [] if folder == project else found
        if folder == tree:
            break
    return []
