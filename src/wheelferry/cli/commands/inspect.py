"""What a bundle holds."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.options import Json, OnlyTarget, Quiet


def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    target: OnlyTarget = None,
    sbom: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write an SBOM of each target there: TARGET.cdx.json (CycloneDX 1.6)."
        ),
    ] = None,
    licences: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also collect the licence texts of the wheels there: a file a package, and licences.json.",
        ),
    ] = None,
    json: Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the whole address that each file came from.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Show what a bundle holds, and where it comes from.

    The manifest and the locks are checked. Wheels are read but not hashed; `verify` does that. A licence
    counts as clear when the wheel's metadata name one SPDX expression; the others are listed with the
    reason.

    \b
    what travels, and from where
      wheelferry inspect d2-bundle
    for whoever keeps the inventory: the same bundle gives the same bytes
      wheelferry inspect d2-bundle --sbom sbom --licences licences
    """
    from wheelferry.cli.render.inspect import show_inspection
    from wheelferry.cli.session import watcher
    from wheelferry.inspection.inspect import inspect as run_inspect

    progress = watcher(quiet=quiet)
    seen = run_inspect(bundle, progress, only=target)
    written: list[Path] = []
    if licences is not None:
        from wheelferry.inspection.licences import collect_licences

        collect_licences(seen, licences, progress)
        written.append(licences)
    if sbom is not None:
        from wheelferry.inspection.sbom import write_sboms

        written += write_sboms(seen, sbom)
    show_inspection(seen, written, whole=verbose, as_json=json)
