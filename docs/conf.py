"""The documentation site: ``sphinx-build -W docs site``. It works from a folder, its search included."""

import sys
from pathlib import Path

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
