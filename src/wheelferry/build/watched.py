"""Builds whose attempts to reach another machine are seen: what they fetch, no index and no lock knows of."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import wheelferry.client.smoke
from wheelferry.models.connections import Attempt

_HARNESS = Path(wheelferry.client.smoke.__file__).with_name("harness.py")
_MODULE = "wheelferry_connections"
_LOG = "WHEELFERRY_CONNECTIONS"

# Python runs it before everything else. It tells when the interpreter ends: that of the build backend, and
# those that it starts.
_SITECUSTOMIZE = f"""
import atexit, json, os
from {_MODULE} import Connections
connections = Connections()
def tell():
    found = connections.take()
    if found:
        with open(os.environ["{_LOG}"], "a", encoding="utf-8") as log:
            log.writelines(json.dumps(attempt) + "\\n" for attempt in found)
atexit.register(tell)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildWatch:
    """`environment` makes every Python that a build starts tell of what it tries to reach.

    Not seen are programs that are not Python, Python 3.7, and Python with -I, -E or -S.
    """

    environment: Mapping[str, str]
    log: Path

    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts so far, each once."""
        if not self.log.is_file():
            return ()
        lines = self.log.read_text("utf-8").splitlines()
        return tuple(dict.fromkeys(Attempt.read(json.loads(line)) for line in lines))


def watch_build(folder: Path) -> BuildWatch:
    """A watch that keeps its files in the new folder `folder`."""
    modules, log = folder / "modules", folder / "connections"
    modules.mkdir(parents=True)
    shutil.copyfile(_HARNESS, modules / f"{_MODULE}.py")
    (modules / "sitecustomize.py").write_text(_SITECUSTOMIZE, "utf-8")
    return BuildWatch(environment={"PYTHONPATH": str(modules), _LOG: str(log)}, log=log)
