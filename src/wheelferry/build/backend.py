"""Running a project's own build backend, with its output in a log and its steps as progress."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wheelferry.cache.tools import Tools
from wheelferry.errors import BuildError, WheelferryError
from wheelferry.progress import Task

if TYPE_CHECKING:
    from build import ProjectBuilder


Result = TypeVar("Result")
_NINJA_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


def run_backend(
    tree: Path,
    out: Path,
    python: Path,
    variables: Mapping[str, str],
    tools: Tools,
    log: Path,
    task: Task,
) -> Path:
    """The wheel that the project's own build backend makes in the environment, without isolation."""
    out.mkdir()

    def build(builder: "ProjectBuilder") -> str:
        return builder.build("wheel", out)

    return Path(with_backend(build, tree, python, variables, tools, log, on_line=_ninja_listener(task)))


def with_backend(
    work: "Callable[[ProjectBuilder], Result]",
    tree: Path,
    python: Path,
    variables: Mapping[str, str],
    tools: Tools,
    log: Path,
    *,
    on_line: Callable[[str], None] | None = None,
) -> "Result":
    """Let the build backend of the project in `tree` do `work`; raises BuildError when it fails."""
    from build import BuildBackendException, BuildException, ProjectBuilder

    def runner(
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        tools.run(
            list(cmd),
            step="the project's build",
            cwd=Path(cwd) if cwd else tree,
            env={**variables, **(extra_environ or {})},
            log=log,
            on_line=on_line,
        )

    try:
        with warnings.catch_warnings(record=True) as caught:
            result = work(ProjectBuilder(tree, python_executable=str(python), runner=runner))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as sink:
            sink.writelines(f"warning: {warning.message}\n" for warning in caught)
        return result
    except BuildBackendException as error:
        if isinstance(error.exception, WheelferryError):
            raise error.exception from None  # what our runner raised, wrapped
        raise BuildError(f"the project's build backend failed: {error}; the whole log: {log}") from None
    except BuildException as error:
        raise BuildError(f"the project's build backend failed: {error}; the whole log: {log}") from None


def _ninja_listener(task: Task) -> Callable[[str], None]:
    """Turns ninja's ``[k/n]`` into progress."""

    def listen(line: str) -> None:
        match = _NINJA_STEP.match(line)
        if match:
            task.total(int(match[2]), done=int(match[1]))

    return listen
