"""Commands that prove things: verify."""

from pathlib import Path
from typing import Annotated

import typer

from wheelferry.cli.bundle import Level, LevelName
from wheelferry.cli.options import (
    AllowConnection,
    InstallerName,
    InstallerOption,
    Json,
    Quiet,
    RunnerOption,
    Verbose,
    WindowsPython,
)


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    level: Level = LevelName.train,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Public key, or allowed_signers file as ssh-keygen reads it: one of these must have "
            "signed the bundle (see sign). Not one that lies in the bundle.",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this target of the bundle.")
    ] = None,
    runner: RunnerOption = None,
    windows_python: WindowsPython = None,
    installer: InstallerOption = InstallerName.bundle,
    allow_connection: AllowConnection = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the report, for a bundle that is read-only. Default: in it."
        ),
    ] = None,
    prefix_length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Length of the folder that Windows clients install to: no path may get too long below it. "
            "Default: that of the installer's own choice, with a user name of 20 characters. "
            "0: do not check, for clients with long paths switched on.",
        ),
    ] = None,
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
    from wheelferry.cli.session import command_line, open_tools, read_allowed, require_runner
    from wheelferry.client.common.signature import read_signers
    from wheelferry.models.report import Level as ReportLevel
    from wheelferry.verification.install import Installer
    from wheelferry.verification.runner import Runner
    from wheelferry.verification.verify import check_report_folder
    from wheelferry.verification.verify import verify as run_verify

    require_runner(windows_python, runner)
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
        runner=Runner(runner.value) if runner else None,
        windows_python=windows_python,
        installer=Installer(installer.value),
        allowed=read_allowed(allow_connection or []),
    )
    show_report(report or bundle / "report", seen, as_json=json)
    end_of_verification(seen)
