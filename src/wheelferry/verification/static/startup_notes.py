"""What of a bundle's wheels runs whenever Python starts, as notes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from wheelferry.errors import IntegrityError
from wheelferry.models.problems import Note
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.wheels.startup import startup_code


def startup_notes(root: Path, wheels: Mapping[str, WheelInfo]) -> Iterator[Note]:
    """A note for each line or module of the `wheels`, by their path below `root`, that runs at the start.

    No problem: packages have good reasons for it, and what such code tries to reach is seen when it is run.
    """
    for path, info in wheels.items():
        try:
            found = startup_code(root / path, info)
        except IntegrityError:  # its damage is told where the wheel is compared with its RECORD
            continue
        for code in found:
            yield Note(file=path, message=str(code))
