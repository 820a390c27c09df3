"""Run by a project's setup.py in its build environment: compiles one extension for Windows.

``python -m wheelferry.crosscompile SETTINGS REQUEST``: SETTINGS is the file that `write_settings` wrote,
REQUEST what setup.py asks for. The exit status is 1 for what does not compile, which is told on stderr.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.version import Version

from wheelferry.errors import WheelferryError
from wheelferry.platforms import mingw
from wheelferry.process import run


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """For which Python and torch, with which compiler, and where; `root` is the project's folder."""

    python: tuple[int, int]
    python_headers: Path
    torch: mingw.TorchParts
    toolchain: mingw.Toolchain
    root: Path
    work: Path
    jobs: int = 1


def write_settings(settings: Settings, path: Path) -> None:
    """Write down `settings` for a process that is started later."""
    path.write_text(json.dumps(asdict(settings), default=str), "utf-8")


def read_settings(path: Path) -> Settings:
    """What `write_settings` wrote."""
    found = json.loads(path.read_text("utf-8"))
    torch, tools = found["torch"], found["toolchain"]
    return Settings(
        python=(found["python"][0], found["python"][1]),
        python_headers=Path(found["python_headers"]),
        torch=mingw.TorchParts(
            version=Version(torch["version"]), include=Path(torch["include"]), library=Path(torch["library"])
        ),
        toolchain=mingw.Toolchain(
            compiler=Path(tools["compiler"]),
            dlltool=Path(tools["dlltool"]),
            nm=Path(tools["nm"]),
            version=tools["version"],
        ),
        root=Path(found["root"]),
        work=Path(found["work"]),
        jobs=int(found["jobs"]),
    )


def compile_request(settings: Settings, request: Path) -> Path:
    """Compile what setup.py asks for; the module's path. Raises BuildError when it does not compile."""
    wanted = json.loads(request.read_text("utf-8"))
    out = Path(wanted["out"])
    done: list[Path] = []

    def tell(source: Path) -> None:
        done.append(source)
        sys.stdout.write(f"[{len(done)}/{len(wanted['sources'])}] {source.name}\n")  # as ninja does
        sys.stdout.flush()

    made = mingw.compile_module(
        sources=[Path(source) for source in wanted["sources"]],
        module=wanted["module"],
        python=settings.python,
        python_headers=settings.python_headers,
        torch=settings.torch,
        toolchain=settings.toolchain,
        run=run,
        work=settings.work / wanted["module"],
        out=out.parent,
        root=settings.root,
        include=[Path(folder) for folder in wanted["include"]],
        macros=wanted["macros"],
        flags=wanted["flags"],
        jobs=settings.jobs,
        on_compiled=tell,
    )
    if made != out:
        made.replace(out)
    return out


def main(arguments: list[str]) -> int:
    """The command line."""
    settings, request = map(Path, arguments)
    try:
        compile_request(read_settings(settings), request)
    except WheelferryError as error:
        sys.stderr.write(f"{error}\n" + (f"{error.hint}\n" if error.hint else ""))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
