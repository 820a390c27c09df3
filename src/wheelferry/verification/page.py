"""HTML: the report as one self-contained page, and the pages of a simple index."""

import base64
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import NormalizedName

from wheelferry.models.report import Check, Report
from wheelferry.serving.simple_api import ServedWheel
from wheelferry.system.files import human_size

_TEMPLATES = Path(__file__).parents[1] / "templates"
_LARGEST_PICTURE = 4_000_000


def render_page(report: Report, folder: Path) -> str:
    """The page; pictures named by checks are read from `folder` and put inside."""

    def pictures(target: str, level: str, check: Check) -> list[dict[str, str]]:
        return [_picture(folder / target / level / file["path"], file["caption"]) for file in check.files]

    return _render("report.html.j2", report=report, pictures=pictures, size=human_size, number=_number)


def projects_page(names: Iterable[NormalizedName]) -> str:
    """The root of a simple index (PEP 503)."""
    return _render("simple_root.html.j2", names=names)


def project_page(name: NormalizedName, wheels: Iterable[ServedWheel]) -> str:
    """One project's page in a simple index (PEP 503, 658, 714)."""
    return _render("simple_project.html.j2", name=name, wheels=wheels)


def _render(template: str, /, **values: object) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((_TEMPLATES / template).read_text("utf-8")).render(values)


def _picture(path: Path, caption: str) -> dict[str, str]:
    """A data URI for a PNG that exists and is not huge; otherwise only its caption."""
    if path.suffix == ".png" and path.is_file() and path.stat().st_size <= _LARGEST_PICTURE:
        data = base64.b64encode(path.read_bytes()).decode()
        return {"caption": caption, "uri": f"data:image/png;base64,{data}"}
    return {"caption": f"{caption} ({path.name})", "uri": ""}


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
