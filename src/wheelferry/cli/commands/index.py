"""Commands that let a web server hand out what bundles hold: index."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import Out
from wheelferry.cli.options import Json, Quiet, Verbose


def index(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, of whatever projects and targets.")
    ],
    out: Out,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write a package index over bundles, for a web server.

    pip and uv install from it with --index-url http://SERVER/simple/. Every file is hashed first;
    wheels become hard links, or copies where the folder lies on another disk. A later run replaces the
    folder: name all bundles that it is to serve.
    """
    from wheelferry.cli.render.transfer import show_index
    from wheelferry.cli.session import open_tools
    from wheelferry.serving.index import index as run_index

    show_index(run_index(bundles, out, open_tools(verbose=verbose, quiet=quiet)), as_json=json)
