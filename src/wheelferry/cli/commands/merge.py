"""Commands that make one folder of several: merge."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import Out
from wheelferry.cli.options import Json, Quiet, Verbose


def merge(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Folders that `bundle`, or `build`, made.")
    ],
    out: Out,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make one bundle of the bundles of several machines.

    They must hold the same release, built from the same source. Each file is hashed again, and one name
    with two contents is an error. Given folders of wheels instead, as `build --out` writes them, it makes
    one folder of wheels.
    """
    from wheelferry.cli.render.bundle import show_bundle, show_wheels
    from wheelferry.cli.session import open_tools
    from wheelferry.pipeline import Bundled
    from wheelferry.transfer.merge import merge as run_merge

    merged = run_merge(bundles, out, open_tools(verbose=verbose, quiet=quiet))
    if merged.manifest is None:
        show_wheels(out, merged.wheels, as_json=json)
    else:
        show_bundle(Bundled(out=out, manifest=merged.manifest, report=None), as_json=json)
