"""Known vulnerabilities of a bundle's packages."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.options import Json, OnlyTarget, Quiet, Verbose


class FailOn(StrEnum):
    """From which severity on a vulnerability fails the audit."""

    none = "none"
    any = "any"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


def audit(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="The bundle's folder. Without one, --save keeps a database of all packages.",
        ),
    ] = None,
    target: OnlyTarget = None,
    database: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judge by this file, without a network: what --save wrote, or OSV's own export of PyPI.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep what was learnt in this file, for --database elsewhere."),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            envvar="WHEELFERRY_OSV",
            help="OSV service to ask, or a zip as it exports them. Default: osv.dev's own.",
            show_envvar=True,
        ),
    ] = None,
    fail_on: Annotated[
        FailOn,
        typer.Option(
            "--fail-on",
            metavar="none|any|low|medium|high|critical",
            help="Exit with 1 from this severity on. What nobody has rated counts as the worst.",
        ),
    ] = FailOn.any,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=REASON",
            help="A vulnerability that does not count, by any of its names, and why; repeatable.",
        ),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """List the known vulnerabilities of a bundle's packages.

    Exit 1 if any counts. By default OSV is asked about every package of the locks and about the
    installers' own, by name; which versions a record is about is decided here, in the same way for a
    service and for a file. What was built here, or has a local version (2.13.0+cpu), is judged as the
    public version. Packages that a database does not cover are named, and the exit code is then 3. A
    Python that travels is not judged.

    \b
    on the connected machine
      wheelferry audit d2-bundle --save osv.zip
    behind the air gap, with a file that is brought there now and then
      wheelferry audit d2-bundle --database osv.zip --fail-on high
    a database of all of PyPI
      wheelferry audit --save osv.zip
    """
    from wheelferry.cli.render.inspect import end_of_audit, show_audit, show_database
    from wheelferry.cli.session import open_tools, read_reasons
    from wheelferry.errors import InputError
    from wheelferry.inspection.audit import audit as run_audit
    from wheelferry.inspection.audit import save_export
    from wheelferry.inspection.osv import EXPORT, SERVICE
    from wheelferry.inspection.vulnerabilities import Severity

    if database is not None and (save is not None or place is not None):
        raise InputError(
            "--database does not go with --save or --from", hint="the file is all that is looked at then"
        )
    if place is not None and "://" not in place:
        raise InputError(f"--from {place!r} is no address", hint="for a file there is --database")
    reasons = read_reasons(ignore or [], option="--ignore", example="CVE-2024-1=not-reachable")
    if bundle is None:
        if save is None:
            raise InputError("no bundle is named", hint="wheelferry audit BUNDLE, or --save FILE alone")
        tools = open_tools(verbose=verbose, quiet=quiet)
        show_database(save, save_export(place or EXPORT, save, tools), as_json=json)
        return
    seen = run_audit(
        bundle,
        open_tools(verbose=verbose, quiet=quiet),
        place=place or SERVICE,
        database=database,
        save=save,
        only=target,
        ignored=reasons,
    )
    by_option = {FailOn.none: None, FailOn.any: Severity.LOW}
    threshold = by_option[fail_on] if fail_on in by_option else Severity[fail_on.name.upper()]
    show_audit(bundle, seen, threshold, as_json=json)
    end_of_audit(seen, threshold)
