"""Commands that look at a client: probe."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.options import Json


def probe(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write this machine's profile there.")
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            "--script", metavar="FILE", help="Write the probe itself there, to carry it to the client."
        ),
    ] = None,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Folder that the installation shall go to; repeatable. Default: home and temp.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write down what an installation on a machine depends on, for bundle --profile.

    With --script, write the same as one file that runs on the client with any Python from 3.7 on; a bundle's
    install.sh --probe FILE does it where there is none.
    """
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.cli.session import write_text
    from wheelferry.client import profile

    if script is not None:
        write_text(script, Path(profile.__file__).read_text("utf-8"))
        print_line(f"{script}: on the client, python3 {script.name} --out profile.json")
        if out is None and not json:
            return
    seen = profile.collect([str(path) for path in folder or profile.usual_folders()])
    if out is not None:
        write_text(out, profile.to_text(seen))
    if json:
        print_json(seen)
    else:
        print_line(profile.summary(seen))
