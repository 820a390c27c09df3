"""The documentation site: ``sphinx-build -W docs site``. It works from a folder, its search included."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generate import write_reference

from wheelferry import __version__

project = "wheelferry"
author = "the wheelferry developers"
copyright = "2026, " + author  # noqa: A001
version = release = __version__

extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"wheelferry {__version__}"
html_copy_source = False
exclude_patterns = ["*.py"]
nitpicky = True
# the examples are commands with their explanation, which no lexer knows
highlight_language = "none"
# what is true of one day, or answers no robots
linkcheck_ignore = [r"http://server/.*", r"https://(mirror|git)\.example/.*"]

write_reference(Path(__file__).parent / "reference")


def setup(app: Any) -> None:  # Sphinx itself is there only with the extra `docs`
    """Sphinx calls this by its name."""
    app.connect("source-read", _list_recipes_pages)


def _list_recipes_pages(_: Any, page: str, source: list[str]) -> None:
    """Put the recipes' pages below the overview; in that file, also read on GitHub, it would be clutter."""
    if page == "coverage":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\ncoverage/*\n```\n"
