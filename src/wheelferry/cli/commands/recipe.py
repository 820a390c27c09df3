"""The recipe commands: new, check, try."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wheelferry.cli.commands.bundle import Level, LevelName
from wheelferry.cli.options import Json, Quiet, Verbose

if TYPE_CHECKING:
    from wheelferry.drafting.new import Drafted
    from wheelferry.models.recipes.recipe import Recipe

app = typer.Typer(
    help="Write a recipe for another project: new, check and try.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[str, typer.Argument(metavar="FILE[@RELEASE]", help="The recipe's file, ./mine.toml.")]
OnePython = Annotated[
    str | None, typer.Option("--python", metavar="X.Y", help="Python to do it with. Default: this one's.")
]
OneSource = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="URL|PATH",
        help="Repository, checkout or sdist to take instead of the recipe's source.",
    ),
]
OneTorch = Annotated[
    str | None, typer.Option("--torch", metavar="VERSION", help="torch. Default: the newest that fits.")
]


@app.command()
def new(
    project: Annotated[
        str,
        typer.Argument(
            metavar="NAME|URL|PATH", help="A name on the index, a git repository, a folder or an sdist."
        ),
    ],
    release: Annotated[
        str | None,
        typer.Option(metavar="TAG|VERSION", help="Release to describe. Default: the newest."),
    ] = None,
    subdirectory: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder in the source that has setup.py. Default: looked for."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the recipe; checks go to DIR/NAME/smoke.")
    ] = Path(),
    python: OnePython = None,
    torch: OneTorch = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Draft a recipe for a project with ops for torch, and first checks of it.

    Downloads or clones the project and runs its setup.py, with a stand-in for torch: nothing is compiled.
    What a person must decide is marked with "decide" in the file.
    """
    from wheelferry.cli.session import open_tools, own_target
    from wheelferry.drafting.new import draft_recipe

    tools = open_tools(verbose=verbose, quiet=quiet)
    target = own_target(python, torch)
    drafted = draft_recipe(project, out, target, tools, release=release, subdirectory=subdirectory)
    _show(drafted, as_json=json)


def _show(drafted: "Drafted", *, as_json: bool) -> None:
    from wheelferry.cli.console import print_json, print_line

    draft, given = drafted.draft, drafted.origin.given
    following = " ".join(filter(None, ["wheelferry recipe check", _shown(drafted.recipe), given]))
    if as_json:
        print_json(
            {
                "recipe": str(drafted.recipe),
                "checks": str(drafted.checks),
                "release": draft.release,
                "decide": draft.decisions,
                "next": following,
            }
        )
        return
    examined = drafted.examined
    print_line(f"{examined.name} {examined.version}: {len(examined.cpu)} compiled modules without CUDA, "
               f"{len(examined.cuda)} with it, {len(examined.kernels)} kernels")  # fmt: skip
    print_line(f"{drafted.recipe}: the recipe, with {len(draft.decisions)} lines to decide")
    for line in draft.decisions:
        print_line(f"  {line}")
    print_line(f"{drafted.checks}: first checks; add some that compare results")
    print_line(f"next: {following}")


def _shown(path: Path) -> str:
    """A path as the other commands take it: a recipe's file has a folder or ``./`` before it."""
    return str(path) if path.parent != Path() else f"./{path}"


@app.command()
def check(
    file: File,
    source: OneSource = None,
    python: OnePython = None,
    torch: OneTorch = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say what a recipe lacks; builds nothing.

    Reads the file, what it names beside it, and the project: is the source the pinned one, does its setup.py
    make the modules that the recipe names, with CUDA and without, and does the recipe name all that it needs?
    """
    from wheelferry.catalog import load_recipe
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.cli.options import TargetChoice
    from wheelferry.cli.session import open_tools, plan_from_options
    from wheelferry.drafting.review import review_files, review_source
    from wheelferry.errors import InputError

    path, release = _split(file)
    located = load_recipe(str(path))
    name = release or _newest(located.recipe)
    problems = list(review_files(located, path))
    backend = _only_backend(located.recipe, torch)
    choice = TargetChoice(python=_one(python), torch=_one(torch), backend=_one(backend))
    _, plan = plan_from_options([f"{path}@{name}"], choice, has_runtime=True, quiet=quiet)
    tools = open_tools(verbose=verbose, quiet=quiet)
    problems += review_source(plan, located, tools, source=source)
    if problems:
        raise InputError(
            f"{path} is not complete:\n" + "\n".join(problems), hint="correct these, and check it again"
        )
    given = f" --source {source}" if source else ""
    following = f"wheelferry recipe try {_shown(path)}@{name}{given}"
    if json:
        print_json({"recipe": str(path), "release": name, "next": following})
        return
    print_line(f"{path}: nothing is missing for {name}")
    print_line(f"next: {following}")


@app.command("try")
def try_recipe(
    file: File,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The bundle. Default: NAME-try.")
    ] = None,
    source: OneSource = None,
    python: OnePython = None,
    torch: OneTorch = None,
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="Build of torch: default, cpu, cu130 …")
    ] = None,
    level: Level = LevelName.smoke,
    verbose: Verbose = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build one target of a recipe, bundle it, install it without a network and run its checks."""
    from wheelferry.catalog import load_recipe
    from wheelferry.cli.commands.bundle import make_bundle
    from wheelferry.cli.console import print_line
    from wheelferry.cli.options import Making, Requirements, TargetChoice

    path, release = _split(file)
    recipe = load_recipe(str(path)).recipe
    references = [f"{path}@{release or _newest(recipe)}"]
    bundle = out or Path(f"{recipe.name}-try")
    make_bundle(
        references,
        bundle,
        TargetChoice(
            python=_one(python), torch=_one(torch), backend=_one(backend or _only_backend(recipe, torch))
        ),
        Requirements(),
        Making(source=[source] if source else None, verbose=verbose, quiet=quiet),
        level=level,
        json=json,
    )
    if not json:
        print_line(f"next: checks that compare results, then: wheelferry bundle {_shown(path)}@"
                   f"{release or _newest(recipe)} --out {recipe.name}-bundle")  # fmt: skip


def _one(value: str | None) -> list[str] | None:
    return [value] if value else None


def _only_backend(recipe: "Recipe", torch: str | None) -> str | None:
    """The CUDA of `torch`, or of the newest, where a project has ops for CUDA alone; None for any other."""
    from packaging.version import Version

    from wheelferry.models.planning.supported import backends_with_cuda

    if recipe.build.python_only or recipe.build.modules(cuda=False):
        return None
    newest = max((entry.version for entry in recipe.torch), key=Version)
    return next(iter(backends_with_cuda(recipe, torch or newest)), None)


def _split(text: str) -> tuple[Path, str | None]:
    """``./mine.toml@1.0`` as file and release; without a release, None."""
    path, at, release = text.rpartition("@")
    return (Path(path), release) if at and path.endswith(".toml") else (Path(text), None)


def _newest(recipe: "Recipe") -> str:
    from packaging.version import Version

    return max(recipe.releases, key=lambda name: Version(recipe.releases[name].version))
