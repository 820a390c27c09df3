"""Texts that are generated from templates, such as the CI pipelines."""

from collections.abc import Iterable
from pathlib import Path

from wheelferry.matrix.ci_jobs import Job, share_wheels
from wheelferry.models.recipes.recipe import Recipe

_TEMPLATES = Path(__file__).parents[1] / "templates"


def github_workflow(recipe: Recipe, reference: str, jobs: Iterable[Job], *, command: str) -> str:
    """A GitHub Actions workflow that builds, merges, verifies and publishes the cells of `jobs`."""
    return _pipeline("github.yml.j2", recipe, reference, jobs, command)


def gitlab_pipeline(recipe: Recipe, reference: str, jobs: Iterable[Job], *, command: str) -> str:
    """The same as a GitLab pipeline."""
    return _pipeline("gitlab.yml.j2", recipe, reference, jobs, command)


def _pipeline(template: str, recipe: Recipe, reference: str, jobs: Iterable[Job], command: str) -> str:
    wheels, found = share_wheels(recipe, list(jobs))
    return render_template(
        template,
        recipe=recipe,
        reference=reference,
        linux=[job for job in found if not job.windows],
        windows=[job for job in found if job.windows],
        wheels=wheels,
        jobs=found,
        command=command,
    )


def render_template(name: str, **values: object) -> str:
    """The text of a template of this package."""
    import jinja2

    # the texts are YAML and Markdown, where HTML escapes would be wrong; ${{ … }} is GitHub's own
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    return environment.get_template(name).render(**values)
