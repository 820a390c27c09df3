"""Finding recipes: those that ship with wheelferry, and the user's own files."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wheelferry.errors import InputError, MissingError
from wheelferry.models.apps import LISTING, START
from wheelferry.models.planning.alternatives import Alternatives, parse_alternatives
from wheelferry.models.planning.assets import PlannedAsset
from wheelferry.models.planning.downloads import LaterDownload, parse_downloads
from wheelferry.models.planning.supported import find_release
from wheelferry.models.recipes.file import parse_recipe, parse_torch_table
from wheelferry.models.recipes.recipe import Program, Recipe, Torch
from wheelferry.models.records import Record, parse_records
from wheelferry.models.tables.companions import Companion, parse_companions
from wheelferry.models.tables.processors import KnownNeed, parse_processors
from wheelferry.models.tables.system_libraries import SystemLibraries, parse_system_libraries
from wheelferry.system.texts import read_given_text

# Folders of the user's own recipes, separated as in PATH.
OWN_FOLDERS = "WHEELFERRY_RECIPES"
_TABLES = Path(__file__).with_name("tables")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocatedRecipe:
    """A recipe and the folder that its relative paths count from.

    `others` are those of further projects in the same bundle, in the order of `Plan.others`.
    """

    recipe: Recipe
    folder: Path
    others: tuple["LocatedRecipe", ...] = ()

    @property
    def projects(self) -> tuple["LocatedRecipe", ...]:
        """The recipe of each project in the bundle, this one first."""
        return (self, *self.others)


def shipped_folder() -> Path:
    """The folder of shipped recipes: inside the installed package, or ``recipes/`` of a checkout."""
    package = Path(__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def shipped_names() -> list[str]:
    """Names of the recipes that ship with wheelferry."""
    return sorted(path.stem for path in shipped_folder().glob("*.toml"))


def own_folders() -> list[Path]:
    """The user's folders of recipes, as `OWN_FOLDERS` names them; InputError for one that is not there."""
    folders = [Path(text).expanduser() for text in os.environ.get(OWN_FOLDERS, "").split(os.pathsep) if text]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{OWN_FOLDERS}: {folder} is no folder", hint="it names folders of recipes")
    return folders


def recipe_files() -> dict[str, Path]:
    """Every recipe by its name, the user's own first; they hide shipped ones of the same name."""
    files: dict[str, Path] = {}
    for folder in (*own_folders(), shipped_folder()):
        for path in sorted(folder.glob("*.toml")):
            files.setdefault(path.stem, path)
    return files


@cache
def shipped_torch() -> tuple[Torch, ...]:
    """The table of torch releases that serves every recipe without one of its own."""
    path = _TABLES / "torch.toml"
    return parse_torch_table(path.read_text("utf-8"), file=path.name)


@cache
def shipped_alternatives() -> tuple[Alternatives, ...]:
    """The table of packages that install the same modules."""
    return parse_alternatives((_TABLES / "alternatives.toml").read_text("utf-8"))


@cache
def shipped_downloads() -> tuple[LaterDownload, ...]:
    """The table of packages that download something when they are built or first used."""
    return parse_downloads((_TABLES / "downloads.toml").read_text("utf-8"))


@cache
def shipped_system_libraries() -> SystemLibraries:
    """The table of libraries that a client's system may lack."""
    return parse_system_libraries((_TABLES / "system_libraries.toml").read_text("utf-8"))


@cache
def shipped_companions() -> tuple[Companion, ...]:
    """The table of packages that are compiled against torch without saying against which."""
    return parse_companions((_TABLES / "torch_companions.toml").read_text("utf-8"))


@cache
def shipped_processors() -> tuple[KnownNeed, ...]:
    """The table of packages that need more than the plain processor of their platform."""
    return parse_processors((_TABLES / "processors.toml").read_text("utf-8"))


@cache
def shipped_not_imported() -> Mapping[str, str]:
    """Modules that are not imported to see whether they can be, and why not."""
    text = (_TABLES / "not_imported.toml").read_text("utf-8")
    return {str(module): str(reason) for module, reason in tomllib.loads(text)["modules"].items()}


def load_recipe(reference: str) -> LocatedRecipe:
    """The recipe called `reference`, or in the file `reference` when that ends in ``.toml``.

    Raises InputError when there is none or it is malformed.
    """
    if reference.endswith(".toml"):
        path = Path(reference).expanduser()
    else:
        files = recipe_files()
        if reference not in files:
            raise InputError(
                f"no recipe called {reference!r}",
                hint=f"there are {', '.join(sorted(files))}; your own file: ./my.toml@RELEASE, "
                f"or a folder of them in {OWN_FOLDERS}",
            )
        path = files[reference]
    text = read_given_text(path, kind="recipe ")
    return LocatedRecipe(
        recipe=parse_recipe(text, file=path.name, torch=shipped_torch()), folder=path.resolve().parent
    )


def records_file(located: LocatedRecipe) -> Path:
    """Where the records of a recipe's verified cells are kept: in its folder beside the recipe."""
    return located.folder / located.recipe.name / "records.json"


def load_records(located: LocatedRecipe, *, file: Path | None = None) -> tuple[Record, ...]:
    """The records of a recipe, none where there is no file; raises InputError for a malformed one."""
    path = file or records_file(located)
    if not path.exists():
        return ()
    return parse_records(read_given_text(path), file=path.name, recipe=located.recipe.name)


def split_reference(text: str) -> tuple[str, str]:
    """``sample@1.0`` as recipe and release; raises InputError when the release is missing."""
    recipe, at, release = text.rpartition("@")
    if not at or not recipe or not release:
        raise InputError(f"{text!r} names no release", hint="write RECIPE@RELEASE, as in sample@1.0")
    return recipe, release


def find_projects(references: Iterable[str]) -> list[tuple[LocatedRecipe, str]]:
    """The recipe and the release of each reference, and behind them the projects that these need.

    Raises InputError for a reference that names no release, a recipe or release that there is not, and a
    project that another one needs in another release.
    """
    return with_needed([_located(text) for text in references])


def with_needed(projects: Iterable[tuple[LocatedRecipe, str]]) -> list[tuple[LocatedRecipe, str]]:
    """Recipes and releases, and behind them those that they need; errors as of `find_projects`."""
    found = list(projects)
    for located, release_name in found:
        release = find_release(located.recipe, release_name)
        for text in release.projects:
            needed, wanted = _located(text, beside=located.folder)
            there = {one.recipe.name: name for one, name in found}
            if needed.recipe.name not in there:
                find_release(needed.recipe, wanted)
                found.append((needed, wanted))
            elif there[needed.recipe.name] != wanted:
                raise InputError(
                    f"{located.recipe.name}@{release_name} goes with {needed.recipe.name}@{wanted}, and not "
                    f"with {needed.recipe.name}@{there[needed.recipe.name]}",
                    hint=f"leave {needed.recipe.name} out: the one that is needed travels by itself",
                )
    return found


def _located(reference: str, *, beside: Path | None = None) -> tuple[LocatedRecipe, str]:
    """The recipe and the release that a reference names; a file's path counts from the folder `beside`."""
    name, release = split_reference(reference)
    if beside is not None and name.endswith(".toml"):
        name = str(beside / name)
    return load_recipe(name), release


def require_files(assets: Iterable[PlannedAsset], located: LocatedRecipe) -> None:
    """Raise unless the local files among `assets` are there: InputError for the user's, else MissingError."""
    for asset in assets:
        path = local_file(asset, located)
        if path is None or path.is_file():
            continue
        if asset.file is None:
            raise MissingError(
                f"asset {asset.spec}: {path} is not a file", hint="it belongs beside the recipe"
            )
        if asset.url is None:
            names = ", ".join(entry.name for entry in located.recipe.assets) or "none"
            raise InputError(
                f"--asset {asset.spec} is neither an asset of the recipe nor an address nor a file",
                hint=f"the recipe's assets are {names}; an address has ://",
            )
        raise InputError(f"--asset {asset.spec}: {path} is not a file", hint="write NAME=FILE")


def app_folders(programs: Iterable[Program], located: LocatedRecipe) -> dict[str, Path]:
    """The folders that travel for these programs, by their place below a bundle's folder of apps.

    The recipe's own is at its top (``""``), beside packages of wheelferry's. Raises InputError for what is
    not there, or has a name that a bundle gives to something else.
    """
    chosen = list(programs)
    if not chosen or located.recipe.apps is None:
        return {}
    own = located.folder / located.recipe.apps.path
    used = {name: shipped_folder() / "shared" / name for program in chosen for name in program.uses}
    for name in (START, LISTING, *used):
        if (own / name).exists() or (own / f"{name}.py").exists():
            raise InputError(f"{own / name}: a bundle puts something else there", hint="rename it")
    for program in chosen:
        if not (own / f"{program.module}.py").is_file():
            raise InputError(f"program {program.name}: {own / program.module}.py is no file")
    for name, folder in used.items():
        if not folder.is_dir():
            raise InputError(
                f"recipe {located.recipe.name}: wheelferry has no package {name!r} for programs",
                hint=f"it has {', '.join(sorted(p.name for p in folder.parent.iterdir()))}",
            )
    return {"": own, **used}


def local_file(asset: PlannedAsset, located: LocatedRecipe) -> Path | None:
    """The file on this machine that the asset's bytes come from; None for a download."""
    if asset.file is not None:
        return Path(asset.file).expanduser()
    if asset.url is not None and "://" not in asset.url:
        return located.folder / asset.url
    return None
