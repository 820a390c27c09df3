"""What doctor prints."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from wheelferry.cli.console import print_json, print_line

if TYPE_CHECKING:  # for their names alone
    from wheelferry.doctor import Finding


def show_doctor(findings: "Iterable[Finding]", *, as_json: bool) -> None:
    """What the doctor found."""
    found = list(findings)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in found]})
        return
    for finding in found:
        mark = "ok     " if finding.good else "MISSING" if finding.blocking else "note   "
        print_line(f"{mark} {finding.subject:14} {finding.seen}")
        if finding.advice:
            print_line(f"        {'':14} → {finding.advice}")
