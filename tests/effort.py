"""How hard random trials try: a few of each by default, many with WHEELFERRY_DEEP=1."""

import datetime as dt
import os

DEEP = os.environ.get("WHEELFERRY_DEEP") == "1"

# Kills at random moments: another day tries other moments, and the same day the same ones.
SEED = dt.datetime.now(dt.UTC).date().toordinal()


def trials(few: int, many: int) -> int:
    """The number of trials to make."""
    return many if DEEP else few
