"""Commands that bring a bundle up to date: diff, delta, apply."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import Out
from wheelferry.cli.options import Json, Quiet, Verbose

Old = Annotated[
    Path,
    typer.Argument(metavar="OLD", help="Folder of the bundle that the clients have.", show_default=False),
]
New = Annotated[
    Path, typer.Argument(metavar="NEW", help="Folder of the bundle that they shall have.", show_default=False)
]


def diff(old: Old, new: New, json: Json = False) -> None:
    """Say how two bundles differ.

    It compares targets, packages, torch, Python, assets, files and bytes. A target whose torch, Python or
    backend differs counts as changed, not as removed and added. Only the manifests and the locks are read;
    `verify` says whether the files are as these say.
    """
    from wheelferry.cli.render.transfer import show_difference
    from wheelferry.transfer.diff import diff as run_diff

    show_difference(run_diff(old, new), as_json=json)


def delta(
    old: Old, new: New, out: Out, json: Json = False, verbose: Verbose = False, quiet: Quiet = False
) -> None:
    """Write the files of NEW that a client with OLD lacks.

    A file that OLD has under any name is left out. Of OLD only bundle.json is
    needed here. The folder carries apply.sh and apply.cmd, which make NEW of OLD, byte for byte,
    signature and report included, with any Python from 3.7 on.
    """
    from wheelferry.cli.render.transfer import show_delta
    from wheelferry.cli.session import open_tools
    from wheelferry.transfer.delta import make_delta

    show_delta(make_delta(old, new, out, open_tools(verbose=verbose, quiet=quiet)), as_json=json)


def apply(context: typer.Context) -> None:
    """Make the new bundle of a delta and the old bundle.

    As the delta's own apply.sh does. wheelferry apply DELTA OLD --out DIR; a delta for another bundle
    than OLD is refused.
    """
    from wheelferry.client.transfer.main import APPLY, main

    raise typer.Exit(main(APPLY, context.args, prog="wheelferry apply"))
