"""The pages of a simple index."""

from collections.abc import Iterable

from packaging.utils import NormalizedName

from wheelferry.serving.simple_api import ServedWheel
from wheelferry.system.html import render_html


def projects_page(names: Iterable[NormalizedName]) -> str:
    """The root of a simple index (PEP 503)."""
    return render_html("simple_root.html.j2", names=names)


def project_page(name: NormalizedName, wheels: Iterable[ServedWheel]) -> str:
    """One project's page in a simple index (PEP 503, 658, 714)."""
    return render_html("simple_project.html.j2", name=name, wheels=wheels)
