"""HTML pages from the templates of the package."""

from pathlib import Path

_TEMPLATES = Path(__file__).parents[1] / "templates"


def render_html(template: str, /, **values: object) -> str:
    """The page that `template` makes of `values`, which are escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((_TEMPLATES / template).read_text("utf-8")).render(values)
