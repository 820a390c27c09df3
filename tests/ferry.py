"""The program as its users run it."""

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path


class Ferry:
    """Runs the program with a cache of its own, and with some variables of the environment emptied."""

    def __init__(self, cache: Path, *, emptied: Collection[str] = ()) -> None:
        self.cache, self.emptied = cache, emptied

    @property
    def environment(self) -> dict[str, str]:
        # an empty variable also overrides what a configuration file says
        emptied = dict.fromkeys(self.emptied, "")
        return {**os.environ, **emptied, "WHEELFERRY_CACHE": str(self.cache), "NO_COLOR": "1"}

    def __call__(self, *arguments: str | Path, status: int = 0, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "wheelferry", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=self.environment,
        )
        assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr if status else done.stdout
