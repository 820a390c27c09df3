"""A draft for a project: found, looked at, written down."""

from dataclasses import dataclass
from pathlib import Path

from wheelferry.build.configure import configure, is_configured
from wheelferry.cache.source import export, project_in
from wheelferry.cache.tools import Tools
from wheelferry.drafting.bare import Bare, find_bare
from wheelferry.drafting.draft import Draft, write_draft
from wheelferry.drafting.examine import Examined, examine, find_project
from wheelferry.drafting.origin import Origin, find_origin
from wheelferry.errors import InputError
from wheelferry.models.planning.configuration import setup_cfg
from wheelferry.models.targets import Target
from wheelferry.system.files import write_atomic
from wheelferry.system.interpreters import find_interpreter


@dataclass(frozen=True, kw_only=True, slots=True)
class Drafted:
    """What was found, the draft, and the files that hold it."""

    origin: Origin
    examined: Examined
    draft: Draft
    recipe: Path
    checks: Path


def draft_recipe(
    named: str, folder: Path, target: Target, tools: Tools, *, release: str | None, subdirectory: str | None
) -> Drafted:
    """Write ``NAME.toml`` and ``NAME/smoke/check_ops.py`` into `folder` for what `named` is (`find_origin`).

    Its setup.py runs with the Python of `target`. Raises InputError when a file is there already, or for a
    project that a recipe cannot build; BuildError when its setup.py does not run.
    """
    interpreter = find_interpreter(target.python, tools.run, uv=tools.uv.program)
    origin = find_origin(named, release, target, folder, tools)
    with tools.store.workspace("draft", plain_path=True) as work:
        export(origin.source, work / "source", tools.run)
        inside = subdirectory if subdirectory is not None else find_project(work / "source", named)
        bare = _configure_bare(work / "source", inside, named, origin.release)
        with tools.progress.task("ask setup.py"):
            examined = examine(work / "source", inside, target, interpreter, work, tools)
    draft = write_draft(origin, examined, inside, bare)
    recipe, checks = folder / f"{draft.name}.toml", folder / draft.name / "smoke" / "check_ops.py"
    for file in (recipe, checks):
        if file.exists():
            raise InputError(f"{file} is there already", hint="move it away, or choose another --out")
    checks.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(checks, draft.checks)
    write_atomic(recipe, draft.recipe)  # last: whoever sees it has all of it
    return Drafted(origin=origin, examined=examined, draft=draft, recipe=recipe, checks=checks)


def _configure_bare(tree: Path, inside: str, named: str, release: str) -> Bare | None:
    """What the project is by its packages alone, and a configuration in its folder; None where it has one.

    Raises InputError where there are no packages either.
    """
    project = project_in(tree, inside)
    if is_configured(project):
        return None
    bare = find_bare(project, inside or named, release)
    text = setup_cfg(name=bare.name, version=bare.version, packages=bare.packages)
    configure(tree, project, bare.packages, text)
    return bare
