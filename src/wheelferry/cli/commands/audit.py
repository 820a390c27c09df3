"""Known vulnerabilities of a bundle's packages."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wheelferry.cli.options import Json, OnlyTarget, Quiet, Verbose

if TYPE_CHECKING:
    from wheelferry.inspection.vulnerabilities import Severity


class FailOn(StrEnum):
    """From which severity on a vulnerability fails the audit."""

    none = "none"
    any = "any"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


Bundle = Annotated[
    Path | None,
    typer.Argument(
        metavar="BUNDLE",
        help="The bundle's folder. Without one, --save keeps a database of all packages.",
    ),
]
Database = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Use this file instead of the network: one that --save wrote, or OSV's own export of PyPI.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the answers to this file, for --database on another machine."),
]
Place = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="URL",
        envvar="WHEELFERRY_OSV",
        help="Address of the OSV service to ask, or of a zip that it exports. Default: osv.dev.",
        show_envvar=True,
    ),
]
Threshold = Annotated[
    FailOn,
    typer.Option(
        "--fail-on",
        metavar="none|any|low|medium|high|critical",
        help="The lowest severity that counts. A vulnerability that nobody has rated counts as critical.",
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID=REASON",
        help="A vulnerability that does not count, by any of its identifiers, and the reason; repeatable.",
    ),
]


def audit(
    bundle: Bundle = None,
    target: OnlyTarget = None,
    database: Database = None,
    save: Save = None,
    place: Place = None,
    fail_on: Threshold = FailOn.any,
    ignore: Ignore = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """List the known vulnerabilities of a bundle's packages.

    By default osv.dev is asked, by name, about every package in the locks and about uv and pip, which install
    them. Whether a vulnerability concerns the version in the bundle is decided on this machine. A wheel that
    wheelferry built, or one with a local version (2.13.0+cpu), is judged as the public version. A Python in
    the bundle is not judged.

    The exit code is 1 if a vulnerability counts, and 3 if the database does not cover a package, which is
    then named.

    \b
    on the connected machine
      wheelferry audit d2-bundle --save osv.zip
    without a network, with a file that is brought over now and then
      wheelferry audit d2-bundle --database osv.zip --fail-on high
    download the database of all of PyPI
      wheelferry audit --save osv.zip
    """
    from wheelferry.cli.render.inspect import end_of_audit, show_audit, show_database
    from wheelferry.cli.session import open_tools, read_reasons
    from wheelferry.errors import InputError
    from wheelferry.inspection.audit import audit as run_audit
    from wheelferry.inspection.audit import save_export
    from wheelferry.inspection.osv import EXPORT, SERVICE

    _check_sources(database, save, place)
    reasons = read_reasons(ignore or [], option="--ignore", example="CVE-2024-1=not-reachable")
    tools = open_tools(verbose=verbose, quiet=quiet)
    if bundle is None:
        if save is None:
            raise InputError("no bundle is named", hint="wheelferry audit BUNDLE, or --save FILE alone")
        show_database(save, save_export(place or EXPORT, save, tools), as_json=json)
        return
    found = run_audit(
        bundle,
        tools,
        place=place or SERVICE,
        database=database,
        save=save,
        only=target,
        ignored=reasons,
    )
    threshold = _severity(fail_on)
    show_audit(bundle, found, threshold, as_json=json)
    end_of_audit(found, threshold)


def _check_sources(database: Path | None, save: Path | None, place: str | None) -> None:
    from wheelferry.errors import InputError

    if database is not None and (save is not None or place is not None):
        raise InputError(
            "--database does not go with --save or --from", hint="the file is all that is looked at then"
        )
    if place is not None and "://" not in place:
        raise InputError(f"--from {place!r} is not an address", hint="for a file there is --database")


def _severity(threshold: FailOn) -> "Severity | None":
    """The lowest severity that fails the audit; None: no severity does."""
    from wheelferry.inspection.vulnerabilities import Severity

    by_option = {FailOn.none: None, FailOn.any: Severity.LOW}
    return by_option[threshold] if threshold in by_option else Severity[threshold.name.upper()]
