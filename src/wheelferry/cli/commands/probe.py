"""Commands that look at a client: probe."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.options import Json, Runtime
from wheelferry.errors import InputError


def probe(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write this machine's profile there.")
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            "--script",
            metavar="FILE",
            help="Write the probe itself there, as in probe.pyz, to carry it to the client.",
        ),
    ] = None,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Folder that shall be installed to; repeatable. Default: the home and temporary folders.",
        ),
    ] = None,
    python: Annotated[
        list[Path] | None,
        typer.Option(
            "--python",
            metavar="ENV",
            help="An environment, or its Python: list what is installed there, and the hashes of torch's "
            "libraries, for bundle --present; repeatable.",
        ),
    ] = None,
    kit: Annotated[
        Path | None,
        typer.Option(
            "--kit",
            metavar="DIR",
            help="Write a folder that looks at a client without a Python; see --runtime.",
        ),
    ] = None,
    runtime: Runtime = None,
    json: Json = False,
) -> None:
    """Write down what a machine is, for bundle --profile.

    The profile has everything that an installation depends on. With --script, write the same as one file that
    runs on the client with any Python from 3.7 on. With --kit and --runtime, write a folder whose
    install.sh --probe FILE does it where there is none, as that of a bundle does.
    """
    from wheelferry.bundle.zipapp import probe_program
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.cli.session import watcher, write_file, write_text
    from wheelferry.client.probe.folders import usual_folders
    from wheelferry.client.probe.installed import python_of
    from wheelferry.client.probe.profile import collect, summary, to_text

    if kit is not None:
        _write_kit(kit, runtime or [])
    if script is not None:
        write_file(script, probe_program())
        print_line(f"{script}: on the client, python3 {script.name} --out profile.json")
    if (script is not None or kit is not None) and out is None and not json:
        return
    programs = [(path, python_of(str(path))) for path in python or ()]
    for path, program in programs:
        if program is None:
            raise InputError(
                f"there is no Python at {path}", hint="give an environment's folder or its Python"
            )
    folders = [str(path) for path in folder or usual_folders()]
    with watcher(quiet=json).task("look at this machine"):
        seen = collect(folders, environments=[program for _, program in programs])
    answered = [environment["python"] for environment in seen["environments"]]
    silent = [str(path) for path, program in programs if program not in answered]
    if silent:
        raise InputError(f"no Python answers at {', '.join(silent)}")
    if out is not None:
        write_text(out, to_text(seen))
    if json:
        print_json(seen)
    else:
        print_line(summary(seen))


def _write_kit(folder: Path, runtimes: list[str]) -> None:
    from wheelferry.bundle.probe_kit import write_probe_kit
    from wheelferry.cli.console import print_line
    from wheelferry.cli.session import open_tools

    write_probe_kit(folder, runtimes, open_tools())
    print_line(f"{folder}: on the client, sh install.sh --probe profile.json")
