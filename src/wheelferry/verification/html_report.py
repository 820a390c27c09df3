"""HTML: the report as one self-contained page."""

import base64
from pathlib import Path

from wheelferry.client.common.sizes import human_size
from wheelferry.models.report import Report
from wheelferry.system.html import render_html

_LARGEST_PICTURE = 4_000_000


def render_page(report: Report, folder: Path) -> str:
    """The page; pictures named by checks are read from `folder` and put inside."""

    pictures = [
        _picture(folder / target.target / level.level.name.lower() / file["path"], file["caption"])
        for target in report.targets
        for level in target.levels
        for check in level.checks
        for file in check.files
    ]
    return render_html("report.html.j2", report=report, pictures=pictures, size=human_size, number=_number)


def _picture(path: Path, caption: str) -> dict[str, str]:
    """A data URI for a PNG that exists and is not huge; otherwise only its caption."""
    if path.suffix == ".png" and path.is_file() and path.stat().st_size <= _LARGEST_PICTURE:
        data = base64.b64encode(path.read_bytes()).decode()
        return {"caption": caption, "uri": f"data:image/png;base64,{data}"}
    return {"caption": f"{caption} ({path.name})", "uri": ""}


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
