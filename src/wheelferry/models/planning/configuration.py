"""The build configuration that a project lacks: what setuptools needs to pack its Python packages. No I/O.

It is setup.cfg, because every setuptools reads it alike: what pyproject.toml may say of a licence is not the
same for those of Python 3.7 and today's
(https://setuptools.pypa.io/en/latest/userguide/declarative_config.html).
"""

from collections.abc import Iterable, Sequence

from wheelferry.models.planning.plan import Cell, Plan

# What build environments need for it: find_namespace came with setuptools 40.1.
BACKEND = ("setuptools>=40.1", "wheel")
PYPROJECT = f"""[build-system]
requires = [{", ".join(f'"{requirement}"' for requirement in BACKEND)}]
build-backend = "setuptools.build_meta"
"""


def configuration_of(plan: Plan, cell: Cell) -> str:
    """The text of setup.cfg for a cell of a recipe that names packages, "" for any other recipe."""
    recipe, release = plan.recipe, plan.release_name
    if not recipe.build.packages:
        return ""
    entries = (entry for entry in recipe.requirements if entry.applies(release, cell.target))
    return setup_cfg(
        name=recipe.distribution,
        version=plan.release.version,
        licence=recipe.license,
        packages=recipe.build.packages,
        requires=[entry.requires for entry in entries],
    )


def setup_cfg(
    *, name: str, version: str, packages: Sequence[str], licence: str = "", requires: Sequence[str] = ()
) -> str:
    """setup.cfg of a project with these packages, everything that lies in them, and these requirements."""
    lines = ["[metadata]", f"name = {name}", f"version = {version}"]
    lines += [f"license = {licence}"] if licence else []
    # folders without __init__.py count, as they do when the program is run from its checkout
    lines += ["", "[options]", "packages = find_namespace:", "install_requires =", *_indented(requires)]
    lines += ["", "[options.packages.find]", "include ="]
    lines += _indented(name for package in packages for name in (package, f"{package}.*"))
    return "\n".join([*lines, "", "[options.package_data]", "* = *", ""])


def _indented(texts: Iterable[str]) -> list[str]:
    return [f"    {text}" for text in texts]
