"""Commands that seal: sign."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.options import Json, Quiet, Verbose


def sign(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    key: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="OpenSSH private key; or a public key whose private one is in ssh-agent."
        ),
    ],
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Sign a bundle with an OpenSSH key.

    Others can then check who it is from. Every file is hashed first; then ssh-keygen signs bundle.json,
    which holds all the hashes, for the namespace "wheelferry". The signature is bundle.json.sig beside it.
    Whoever has the public key checks it with `verify --key`, `install --key`, or ssh-keygen alone. No key
    yet? ssh-keygen -t ed25519 -f KEY
    """
    from wheelferry.cli.render.transfer import show_signed
    from wheelferry.cli.session import open_tools
    from wheelferry.transfer.sign import sign as run_sign

    show_signed(run_sign(bundle, key, open_tools(verbose=verbose, quiet=quiet)), as_json=json)
