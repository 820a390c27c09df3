"""What the user says of the client: its profile, and what is present there."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wheelferry.cli.options import TargetChoice
from wheelferry.models.planning.present import (
    GivenPresent,
    given_present,
    read_environments,
    read_pins,
    require_once,
    torch_release,
)
from wheelferry.system.texts import read_given_text

if TYPE_CHECKING:  # for its name alone
    from wheelferry.models.profile import Profile


def read_profile(path: Path) -> "Profile":
    """The client's profile in the file `path`; raises InputError when there is none."""
    from wheelferry.models.profile import parse_profile

    again = "write it on the client with probe.pyz (wheelferry probe --script probe.pyz)"
    return parse_profile(read_given_text(path, hint=again), file=str(path))


def read_present(texts: Iterable[str]) -> list[GivenPresent]:
    """What --present says: requirements, files of such, and profiles of machines; InputError for the rest."""
    found: list[GivenPresent] = []
    for text in texts:
        path = Path(text)
        if not path.exists() and re.search("[<>=~!]", text):
            found.append(given_present(text))
        elif path.suffix.lower() == ".json":
            found += read_environments(read_profile(path), text)
        else:
            from wheelferry.system.requirement_files import read_requirement_files

            found += read_pins(read_requirement_files([path]))
    require_once(found)
    return found


def choose_by_present(choice: TargetChoice, present: Sequence[GivenPresent]) -> TargetChoice:
    """The choice with what was left open as the client has it: its Python, and the release of its torch."""
    pythons = sorted({one.python for one in present if one.python})
    torch = torch_release(present)
    return replace(
        choice,
        python=choice.python or pythons or None,
        torch=choice.torch or ([torch] if torch else None),
    )
