"""The client's side: install. Its options are the installer's own, parsed where they are on the client."""

import typer


def install(context: typer.Context) -> None:
    """Install a bundle on this machine, offline.

    As its own install.sh does: it looks at the machine, hashes every file, completes a new environment
    beside the one in use, proves it with the bundle's checks, and then switches.
    """
    from wheelferry.client.installer.main import main

    raise typer.Exit(main(context.args, prog="wheelferry install"))
