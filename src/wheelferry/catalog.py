"""Finding recipes: those that ship with wheelferry, and the user's own files."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wheelferry.errors import InputError
from wheelferry.models.alternatives import Alternatives, parse_alternatives
from wheelferry.models.recipe import Recipe, Torch, parse_recipe, parse_torch_table
from wheelferry.models.records import Record, parse_records


@dataclass(frozen=True, kw_only=True, slots=True)
class LocatedRecipe:
    """A recipe and the folder that its relative paths count from."""

    recipe: Recipe
    folder: Path


def shipped_folder() -> Path:
    """The folder of shipped recipes: inside the installed package, or ``recipes/`` of a checkout."""
    package = Path(__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def shipped_names() -> list[str]:
    """Names of the recipes that ship with wheelferry."""
    return sorted(path.stem for path in shipped_folder().glob("*.toml"))


@cache
def shipped_torch() -> tuple[Torch, ...]:
    """The table of torch releases that serves every recipe without one of its own."""
    path = Path(__file__).with_name("torch.toml")
    return parse_torch_table(path.read_text("utf-8"), file=path.name)


@cache
def shipped_alternatives() -> tuple[Alternatives, ...]:
    """The table of packages that install the same modules."""
    return parse_alternatives(Path(__file__).with_name("alternatives.toml").read_text("utf-8"))


def load_recipe(reference: str) -> LocatedRecipe:
    """The recipe called `reference`, or in the file `reference` when that ends in ``.toml``.

    Raises InputError when there is none or it is malformed.
    """
    if reference.endswith(".toml"):
        path = Path(reference).expanduser()
    else:
        path = shipped_folder() / f"{reference}.toml"
        if reference not in shipped_names():
            raise InputError(
                f"no recipe called {reference!r}",
                hint=f"shipped are {', '.join(shipped_names())}; your own file: ./my.toml@RELEASE",
            )
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot read recipe {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error}") from None
    return LocatedRecipe(
        recipe=parse_recipe(text, file=path.name, torch=shipped_torch()), folder=path.resolve().parent
    )


def records_file(located: LocatedRecipe) -> Path:
    """Where the records of a recipe's verified cells are kept: in its folder beside the recipe."""
    return located.folder / located.recipe.name / "records.json"


def load_records(located: LocatedRecipe, *, file: Path | None = None) -> tuple[Record, ...]:
    """The records of a recipe, none where there is no file; raises InputError for a malformed one."""
    path = file or records_file(located)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error}") from None
    return parse_records(text, file=path.name, recipe=located.recipe.name)


def split_reference(text: str) -> tuple[str, str]:
    """``sample@1.0`` as recipe and release; raises InputError when the release is missing."""
    recipe, at, release = text.rpartition("@")
    if not at or not recipe or not release:
        raise InputError(f"{text!r} names no release", hint="write RECIPE@RELEASE, as in sample@1.0")
    return recipe, release
