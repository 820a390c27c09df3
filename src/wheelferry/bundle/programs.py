"""The programs for clients in a bundle: those of its projects, what they use of wheelferry's, their list."""

import json
import shutil
from pathlib import Path

from wheelferry.catalog import LocatedRecipe, app_folders
from wheelferry.models import apps
from wheelferry.models.planning.plan import Plan

_START_APPS = Path(__file__).parents[1] / "client" / "apps" / "start.py"


def write_apps(folder: Path, plan: Plan, located: LocatedRecipe) -> None:
    """Write the programs for the client: the recipe's folder, shared code, their list, what starts them.

    Of several projects, each has its files in a folder with its recipe's name.
    """
    having = [pair for pair in zip(plan.projects, located.projects, strict=True) if pair[0].programs]
    if not having:
        return
    programs = []
    for one, recipe in having:
        own = one.recipe.name if plan.others else ""
        for name, source in app_folders(one.programs, recipe).items():
            shutil.copytree(
                source,
                folder / own / name,
                ignore=shutil.ignore_patterns("__pycache__"),
                copy_function=shutil.copyfile,
                dirs_exist_ok=True,
            )
        place = {"folder": own} if own else {}
        programs += [p.model_dump(include={"name", "help", "module"}) | place for p in one.programs]
    shutil.copyfile(_START_APPS, folder / apps.START)
    listing = {
        "format": apps.FORMAT,
        "recipe": plan.recipe.name,
        "release": plan.release_name,
        "distribution": plan.recipe.distribution,
        "programs": programs,
    }
    (folder / apps.LISTING).write_text(json.dumps(listing, indent=1) + "\n", "utf-8", newline="\n")
