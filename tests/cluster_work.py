"""What the tests' workers do instead of building: imported by them from this folder."""

import os
import sys
import time
from pathlib import Path

from wheelferry.distributed.cluster import own_address, while_wanted
from wheelferry.errors import BuildError, MissingError
from wheelferry.system.process import Group, run

# The command that stands for a compiler: it would go on for minutes.
COMPILER = "import time; time.sleep(300)"


def slowly(number: int, folder: Path, seconds: float) -> tuple[int, str]:
    """Leaves a mark that it was begun, takes its time, says who did it."""
    (folder / f"{number}.{os.getpid()}").touch()
    time.sleep(seconds)
    return number, own_address()


def compile_for_ever(folder: Path) -> str:
    """Starts a process as a build does, and notes its number. The second time it is quick."""
    if any(folder.iterdir()):
        return "elsewhere"
    group = Group(run)
    with while_wanted(group.end):
        command = [sys.executable, "-u", "-c", f"import os; print(os.getpid()); {COMPILER}"]
        group.run(command, step="compile", on_line=lambda line: (folder / line).touch())
    return "here"


def fail(_: object) -> None:
    """A cell that does not compile."""
    raise BuildError("it does not compile", hint="repair it")


def fail_once(folder: Path) -> str:
    """Fails where the network does, the first time."""
    try:
        (folder / "tried").touch(exist_ok=False)
    except FileExistsError:
        return "done"
    raise MissingError("the index does not answer")


def die(_: object) -> None:
    """What the system does to a worker for want of memory."""
    os._exit(9)
