"""Commands that look at a client: probe."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.options import Json, Runtime


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
    kit: Annotated[
        Path | None,
        typer.Option(
            "--kit",
            metavar="DIR",
            help="Write a folder to carry to a client, with a Python if it has none.",
        ),
    ] = None,
    runtime: Runtime = None,
    json: Json = False,
) -> None:
    """Write down what an installation on a machine depends on, for bundle --profile.

    With --script, write the same as one file that runs on the client with any Python from 3.7 on. With --kit
    and --runtime, write a folder whose install.sh --probe FILE does it where there is none, as that of a
    bundle does.
    """
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.cli.session import write_text
    from wheelferry.client import profile

    if kit is not None:
        _write_kit(kit, runtime or [])
    if script is not None:
        write_text(script, Path(profile.__file__).read_text("utf-8"))
        print_line(f"{script}: on the client, python3 {script.name} --out profile.json")
    if (script is not None or kit is not None) and out is None and not json:
        return
    seen = profile.collect([str(path) for path in folder or profile.usual_folders()])
    if out is not None:
        write_text(out, profile.to_text(seen))
    if json:
        print_json(seen)
    else:
        print_line(profile.summary(seen))


def _write_kit(folder: Path, runtimes: list[str]) -> None:
    from wheelferry.bundle.probe_kit import write_probe_kit
    from wheelferry.cli.console import print_line
    from wheelferry.cli.session import open_tools

    write_probe_kit(folder, runtimes, open_tools())
    print_line(f"{folder}: on the client, sh install.sh --probe profile.json")
