"""Texts that are generated from templates: the coverage page and the CI pipelines."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from wheelferry.matrix.ci_jobs import Job
from wheelferry.matrix.coverage import LINUX, Status, Verdict
from wheelferry.matrix.grid import LEGEND, make_grid
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import DEFAULT_BACKEND

_TEMPLATES = Path(__file__).parents[1] / "templates"


def coverage_page(recipes: Sequence[tuple[Recipe, Sequence[Verdict]]], *, command: str) -> str:
    """The page in Markdown: for each recipe a grid for each release, the evidence, and the reasons.

    `command` is the command line that writes the page again.
    """
    sections = []
    reasons: dict[str, int] = {}
    for recipe, verdicts in recipes:
        grids = []
        for name, release in recipe.releases.items():
            grid = make_grid([v for v in verdicts if v.release == name])
            for row in grid.rows:
                for square in row.squares:
                    for reason in square.reasons:
                        reasons.setdefault(reason, len(reasons) + 1)
            if grid.rows:
                grids.append({"name": name, "release": release, "grid": grid})
        counts = {status: sum(v.status is status for v in verdicts) for status in Status}
        usual = [v for v in verdicts if v.target.backend == DEFAULT_BACKEND and v.target.platform == LINUX]
        usual = [v for v in usual if v.status is not Status.UNSUPPORTED]
        seen = [v for v in verdicts if v.record]
        stale = [v for v in verdicts if v.status is Status.UNTRIED and v.reason]
        sections.append(
            {
                "recipe": recipe,
                "grids": grids,
                "counts": counts,
                "usual": len(usual),
                "usual_verified": sum(v.status is Status.VERIFIED for v in usual),
                "seen": seen,
                "stale": stale,
            }
        )
    return _render("coverage.md.j2", sections=sections, reasons=reasons, legend=LEGEND, command=command)


def github_workflow(recipe: Recipe, reference: str, jobs: Iterable[Job], *, command: str) -> str:
    """A GitHub Actions workflow that builds, merges, verifies and publishes the cells of `jobs`."""
    return _pipeline("github.yml.j2", recipe, reference, jobs, command)


def gitlab_pipeline(recipe: Recipe, reference: str, jobs: Iterable[Job], *, command: str) -> str:
    """The same as a GitLab pipeline."""
    return _pipeline("gitlab.yml.j2", recipe, reference, jobs, command)


def _pipeline(template: str, recipe: Recipe, reference: str, jobs: Iterable[Job], command: str) -> str:
    found = list(jobs)
    return _render(
        template,
        recipe=recipe,
        reference=reference,
        linux=[job for job in found if not job.windows],
        windows=[job for job in found if job.windows],
        jobs=found,
        command=command,
    )


def _render(name: str, **values: object) -> str:
    import jinja2

    # the texts are YAML and Markdown, where HTML escapes would be wrong; ${{ … }} is GitHub's own
    environment = jinja2.Environment(
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
    return environment.from_string((_TEMPLATES / name).read_text("utf-8")).render(**values)
