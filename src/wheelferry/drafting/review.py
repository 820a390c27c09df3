"""What a recipe still lacks, found without building anything."""

import ast
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.build.configure import configure
from wheelferry.build.fetch import fetch
from wheelferry.cache.source import export, project_in, substitute
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.drafting.examine import Examined, examine
from wheelferry.models.planning.configuration import BACKEND, configuration_of
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.texts import read_given_text

UNDECIDED = "# decide:"


def review_files(located: LocatedRecipe, file: Path) -> Iterable[str]:
    """What is wrong with the recipe `file` and with what it names beside it; nothing is fetched."""
    for number, line in enumerate(read_given_text(file, kind="recipe ").splitlines(), 1):
        if UNDECIDED in line:
            yield f"{file.name}, line {number}: to decide: {line.partition(UNDECIDED)[2].strip()}"
    yield from _smoke(located)
    for asset in located.recipe.assets:
        if asset.is_local and not (located.folder / asset.url).is_file():
            yield f"assets: {located.folder / asset.url} is no file"


def _smoke(located: LocatedRecipe) -> Iterable[str]:
    smoke = located.recipe.smoke
    for module in smoke.modules:
        path = located.folder / smoke.path / f"{module}.py"
        if not path.is_file():
            yield f"smoke.modules: {path} is no file"
            continue
        try:
            tree = ast.parse(read_given_text(path))
        except SyntaxError as error:
            yield f"{path}, line {error.lineno}: {error.msg}"
            continue
        names = (decorator for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
                 for decorator in node.decorator_list)  # fmt: skip
        if not any(isinstance(one, ast.Call) and getattr(one.func, "id", "") == "check" for one in names):
            yield f"{path} has no check: a function below @check(…)"


def review_source(plan: Plan, located: LocatedRecipe, tools: Tools, *, source: str | None) -> Iterable[str]:
    """Where recipe and project disagree, as its setup.py tells; `source` stands in for the recipe's own.

    Raises IntegrityError for a source that is not the pinned one, BuildError when its setup.py does not run.
    """
    fetched = fetch(plan, located.folder, tools, source=source)
    cell, build = plan.cells[0], plan.recipe.build
    interpreter = find_interpreter(cell.target.python, tools.run, uv=tools.uv.program)
    with tools.store.workspace("review", plain_path=True) as work, tools.progress.task("ask setup.py"):
        tree, inside = work / "source", plan.recipe.source.subdirectory
        export(fetched, tree, tools.run)
        substitute(tree, cell.substitutions)
        project = project_in(tree, inside)
        if configuration := configuration_of(plan, cell):
            configure(tree, project, build.packages, configuration)
        examined = examine(
            tree,
            inside or "",
            cell.target,
            interpreter,
            work,
            tools,
            environment=dict(cell.environment),
            cuda_environment=build.cuda_environment,
        )
    yield from _differences(plan, examined)


def _differences(plan: Plan, examined: Examined) -> Iterable[str]:
    recipe = plan.recipe
    if canonicalize_name(recipe.distribution) != canonicalize_name(examined.name):
        yield f"distribution: {recipe.distribution}, and the project is called {examined.name}"
    if Version(plan.release.version).public != Version(examined.version).public:
        release = f'releases."{plan.release_name}"'
        yield f"{release}.version: {plan.release.version}, and the project says {examined.version}"
    yield from _modules(recipe, examined)
    stated = [entry.requires for entry in recipe.build.requires]
    implied = BACKEND if recipe.build.packages else ()
    named = {canonicalize_name(Requirement(text).name) for text in (*stated, *implied)}
    for requirement, reason in examined.build_requires:
        if canonicalize_name(Requirement(requirement).name) not in named:
            yield f"build.requires: no {requirement}{f': {reason}' if reason else ''}"


def _modules(recipe: Recipe, examined: Examined) -> Iterable[str]:
    for cuda, described in ((False, examined.cpu), (True, examined.cuda)):
        names = [extension.name for extension in described]
        kind = "with CUDA" if cuda else "without CUDA"
        for module in recipe.build.modules(cuda=cuda):
            if module not in names:
                yield f"build: setup.py makes no {module} {kind}; it makes {', '.join(names) or 'nothing'}"
    without = {e.name for e in examined.cuda if not e.has_kernels}
    for module in recipe.build.cuda_extensions:
        if module in without:
            yield f"build.cuda_extensions: setup.py gives {module} no .cu file: see cuda_host_extensions"
