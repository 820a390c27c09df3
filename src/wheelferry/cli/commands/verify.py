"""The verify command: prove a bundle, level by level."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.commands.bundle import Level, LevelName
from wheelferry.cli.options import Json, OwnDataOptions, Quiet, Trying, Verbose, with_groups

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Public key, or allowed_signers file as ssh-keygen reads it: one of its keys must have signed "
        "the bundle (see sign). The file must not come from the bundle.",
    ),
]
OneTarget = Annotated[str | None, typer.Option(metavar="NAME", help="Only this target of the bundle.")]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for the report, if the bundle is read-only. Default: report in the bundle.",
    ),
]
PrefixLength = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Number of characters in the name of the folder that Windows clients install to. Paths below "
        "it must stay within the limit of Windows. Default: the folder that the installer chooses for a user "
        "name of 20 characters. 0: do not check, for clients with long paths switched on.",
    ),
]
Reread = Annotated[
    bool,
    typer.Option(
        "--reread",
        help="Unpack all wheels and compare them with their RECORD. Default: those that were not read on "
        "this machine before. Every file is hashed, and for a wheel that is the same, byte for byte, holds "
        "what was found in it then.",
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
    own_data: OwnDataOptions,
    report: ReportFolder = None,
    prefix_length: PrefixLength = None,
    reread: Reread = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Verify a bundle, level by level.

    static reads every byte. install installs the bundle without a network, with its own installer as the
    client will, and asks plain pip whether it would install the same. smoke runs the recipe's checks.
    train runs a short training. Targets for Windows are run with --runner wine, those for 64-bit Arm with
    --runner qemu.

    With --data the level train also trains on labelled pictures of your own, or with --evaluate-only measures
    weights on them, and puts curve, figures and pictures into the report:

      wheelferry verify d2-bundle --data parts --weights run/model_final.pth --expect 'bbox/AP50>=60'

    The report is written to the folder report in the bundle. The exit code is 1 if anything is wrong with
    the bundle or an expectation is not met, 2 if the data set has errors, and 4 if the bundle is not signed
    by the --key.
    """
    from wheelferry.cli.render.bundle import end_of_verification, show_report
    from wheelferry.cli.session import command_line, open_tools, read_own_data, read_trying
    from wheelferry.client.common.signature import read_signers
    from wheelferry.models.report import Level as ReportLevel
    from wheelferry.verification.verify import check_report_folder
    from wheelferry.verification.verify import verify as run_verify

    settings = replace(read_trying(trying), own=read_own_data(own_data, level.value))
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
        again=reread,
    )
    show_report(report or bundle / "report", seen, as_json=json)
    end_of_verification(seen)
