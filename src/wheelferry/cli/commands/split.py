"""Commands for media that are too small for a bundle: split, join."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import Out
from wheelferry.cli.options import Json, Quiet, Verbose


def split(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.", show_default=False)
    ],
    out: Out,
    size: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="What a medium holds, as in 4GB, 4GiB or 650MB. Each volume, with all that lies beside it, "
            "stays below. FAT32 takes no file of 4GiB or more.",
        ),
    ] = "4GB",
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle as volumes for sticks or DVDs.

    Each medium gets a folder of its own. It holds one volume; an index with the hash of every volume; and
    join.sh and join.cmd, which make the bundle again with any Python from 3.7 on. Without a Python: the
    volumes in order are one tar archive.
    """
    from wheelferry.cli.render.transfer import show_volumes
    from wheelferry.cli.session import open_tools
    from wheelferry.transfer.split import split as run_split
    from wheelferry.transfer.volumes import parse_size

    limit = parse_size(size)
    show_volumes(run_split(bundle, limit, out, open_tools(verbose=verbose, quiet=quiet)), as_json=json)


def join(context: typer.Context) -> None:
    """Make a bundle of the volumes that it was split into.

    As their own join.sh does. wheelferry join DIR... --out BUNDLE; bad and missing volumes are named, and
    a rerun continues.
    """
    from wheelferry.client.transfer.main import JOIN, main

    raise typer.Exit(main(JOIN, context.args, prog="wheelferry join"))
