"""The smoke suites in a bundle: that of its project, or of several projects each in a folder of its own."""

import json
import shutil
from pathlib import Path

from wheelferry.catalog import LocatedRecipe
from wheelferry.models.planning.plan import Plan
from wheelferry.models.suites import FORMAT, LISTING, SUITE

_HARNESS = Path(__file__).parents[1] / "client" / "smoke" / "harness.py"


def write_suites(folder: Path, plan: Plan, located: LocatedRecipe) -> None:
    """Write the suite of the plan's project to `folder`; of several each to a folder of its own."""
    if not plan.others:
        _write_suite(folder, plan, located)
        return
    names = [one.recipe.name for one in plan.projects]
    for name, one, recipe in zip(names, plan.projects, located.projects, strict=True):
        _write_suite(folder / name, one, recipe)
    listing = {"format": FORMAT, "suites": names}
    (folder / LISTING).write_text(json.dumps(listing, indent=1) + "\n", "utf-8", newline="\n")


def _write_suite(folder: Path, plan: Plan, located: LocatedRecipe) -> None:
    smoke = plan.recipe.smoke
    shutil.copytree(
        located.folder / smoke.path,
        folder,
        ignore=shutil.ignore_patterns("__pycache__"),
        copy_function=shutil.copyfile,
    )
    shutil.copyfile(_HARNESS, folder / "harness.py")
    suite = {
        "format": 1,
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "distribution": plan.recipe.distribution,
        "imports": smoke.imports,
        "modules": smoke.modules,
        "own_data": smoke.own_data,
        "features": plan.release.features,
        "ops_features": plan.recipe.build.ops_features,
        "settings": smoke.settings,
        "connections": [connection.model_dump() for connection in smoke.connections],
    }
    (folder / SUITE).write_text(json.dumps(suite, indent=1) + "\n", "utf-8", newline="\n")
