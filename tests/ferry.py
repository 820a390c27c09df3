"""The program as its users run it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path


class Ferry:
    """Runs the program with a cache of its own, and with some variables of the environment emptied."""

    def __init__(self, cache: Path, *, emptied: Collection[str] = (), path: Path | None = None) -> None:
        """With `path` nothing is on PATH but what is in that folder."""
        self.cache, self.emptied, self.path = cache, emptied, path

    @property
    def environment(self) -> dict[str, str]:
        # an empty variable also overrides what a configuration file says
        emptied = dict.fromkeys(self.emptied, "")
        path = {"PATH": str(self.path)} if self.path else {}
        return {**os.environ, **emptied, **path, "WHEELFERRY_CACHE": str(self.cache), "NO_COLOR": "1"}

    def twin(self, folder: Path, *, without: Collection[str] = ()) -> "Ferry":
        """The program with a cache of its own in `folder`, in which all is that is in this one.

        The keys of the kinds `without` (``build``) are left out: what they led to is made anew. The bytes
        are shared, by hard links.
        """
        for name in ("objects", "keys", "machines", "sources"):
            if (self.cache / name).is_dir():
                left_out = shutil.ignore_patterns(".*", *(without if name == "keys" else ()))
                shutil.copytree(
                    self.cache / name, folder / name, copy_function=os.link, ignore=left_out, symlinks=True
                )
        return Ferry(folder, emptied=self.emptied)

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
