"""What an examination says, what an installation takes, and how one wants to install."""

from dataclasses import asdict, dataclass
from typing import Optional

OK = "ok"
NOTE = "note"
WARNING = "warning"
PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `code` names it for programs, `level` is ok, note, warning or problem."""

    code: str
    level: str
    message: str
    remedy: str = ""

    def to_json(self):
        """As a receipt or --json has it."""
        return asdict(self)


@dataclass(frozen=True)
class Needs:
    """What an installation takes: on the prefix, in the system's temporary folder, and its extremes.

    `longest_path` counts characters from the environment's folder; `largest_file` is the largest file that
    is known, in bytes.
    """

    prefix_bytes: int
    prefix_files: int
    temp_bytes: int = 0
    temp_files: int = 0
    largest_file: int = 0
    longest_path: int = 0


@dataclass(frozen=True)
class Request:
    """How one wants to install.

    `prefix` and `temp` are absolute paths as the profile has them among its folders; no `temp` means that
    nothing is put there. `python` is the program of an interpreter that the user named; without one, the
    carried runtime is taken if `use_runtime` says so, else the best of the machine. `without_gpu` accepts
    a target whose GPU code cannot run here. `needs` is filled in by `choose`.
    """

    prefix: str
    temp: str = ""
    python: str = ""
    use_runtime: bool = True
    without_gpu: bool = False
    installer: str = "uv"
    needs: Optional[Needs] = None


def problems(findings):
    """Those findings that forbid an installation."""
    return [finding for finding in findings if finding.level == PROBLEM]
