"""The verify command: prove a bundle, level by level."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import Level, LevelName
from wheelferry.cli.options import Json, Quiet, Trying, Verbose, with_groups

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Public key, or allowed_signers file as ssh-keygen reads it: one of these must have "
        "signed the bundle (see sign). Not one that lies in the bundle.",
    ),
]
OneTarget = Annotated[str | None, typer.Option(metavar="NAME", help="Only this target of the bundle.")]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder for the report, for a bundle that is read-only. Default: in it."
    ),
]
PrefixLength = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Length of the folder that Windows clients install to: no path may get too long below it. "
        "Default: that of the installer's own choice, with a user name of 20 characters. "
        "0: do not check, for clients with long paths switched on.",
    ),
]


@with_groups
def verify(
    bundle: Bundle,
    level: Level = LevelName.train,
    key: Key = None,
    target: OneTarget = None,
    *,
    trying: Trying,
    report: ReportFolder = None,
    prefix_length: PrefixLength = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Prove a bundle, level by level.

    Exit 1 if anything is wrong with it, 4 if it is not signed as it should be. static reads every byte;
    install installs with the bundle's own installer and no network, as the client will, and lets plain
    pip say that it would do the same; smoke runs the recipe's checks; train runs a short training.
    Targets for Windows are run with --runner wine. The report is left in the bundle's report folder.
    """
    from wheelferry.cli.render.bundle import end_of_verification, show_report
    from wheelferry.cli.session import command_line, open_tools, read_trying
    from wheelferry.client.common.signature import read_signers
    from wheelferry.models.report import Level as ReportLevel
    from wheelferry.verification.verify import check_report_folder
    from wheelferry.verification.verify import verify as run_verify

    settings = read_trying(trying)
    signers = read_signers(str(key), str(bundle)) if key else None
    tools = open_tools(verbose=verbose, quiet=quiet)
    if report is not None:
        check_report_folder(report)
    seen = run_verify(
        bundle,
        ReportLevel[level.value.upper()],
        tools,
        only=target,
        report_folder=report,
        command=command_line(),
        prefix_length=prefix_length,
        signers=signers,
        settings=settings,
    )
    show_report(report or bundle / "report", seen, as_json=json)
    end_of_verification(seen)
