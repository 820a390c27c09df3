"""Does this machine have what building needs?"""

import typer

from wheelferry.cli.options import Json


def doctor(json: Json = False) -> None:
    """Say whether this machine can build.

    It looks at compiler, git, Pythons, index, disk and sandbox.
    """
    from wheelferry.cli.render.doctor import show_doctor
    from wheelferry.cli.session import open_tools
    from wheelferry.doctor import examine

    findings = examine(open_tools(quiet=True))
    show_doctor(findings, as_json=json)
    if any(finding.blocking for finding in findings):
        raise typer.Exit(3)
