"""What is special about building on Windows: Visual Studio is found, chosen, and its environment loaded.

Nothing here has run on Windows itself; docs/windows.md says what has been seen.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from packaging.version import Version

from wheelferry.errors import MissingError
from wheelferry.models.cuda import Cuda, msvc_range, msvc_wanted_flags
from wheelferry.system.process import CommandRunner

# The C++ compilers for x64, as Visual Studio's installer names them: learn.microsoft.com,
# "Visual Studio Build Tools component directory".
COMPONENT = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
WORKLOAD = "Microsoft.VisualStudio.Workload.VCTools"
INSTALL_HINT = (
    "install the Build Tools with their C++ workload, for example: winget install "
    "Microsoft.VisualStudio.2022.BuildTools --override "
    f'"--quiet --wait --add {WORKLOAD} --includeRecommended"'
)

# The C++ that a torch's headers are written in, and the first cl that has it, by torch release.
# /std:c++20 came with Visual Studio 2019 16.11: learn.microsoft.com, "/std (Specify language standard
# version)"; torch 2.13 asks for it (torch/utils/cpp_extension.py). Older ones are built with 2019 at least.
_CXX_STANDARDS = ((Version("0"), "C++17", (19, 20)), (Version("2.13"), "C++20", (19, 29)))

# cl's first version that takes /experimental:deterministic and /pathmap; older ones get /Brepro alone.
_DETERMINISTIC = (19, 29)

# Windows' MAX_PATH, its final NUL counted: cl and link know no longer names, whatever the system's setting.
MAX_PATH = 260
# Below a source tree: where setuptools puts the object of a file given by its full path.
_OBJECTS = len(r"\build\temp.win-amd64-cpython-3NN\Release") + len(".obj")

# Prints the environment as JSON in ASCII: `set` would print it in the code page of the console.
_ASK = "import json,os;print('@@'+json.dumps(dict(os.environ)))"
_SETUP, _PROGRAM = "WHEELFERRY_SETUP", "WHEELFERRY_PROGRAM"
_MARK = "@@"


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolset:
    """One set of C++ compilers: the Visual Studio it belongs to, and its version (``14.44.35207``).

    `active` means that its environment is already loaded, by the user.
    """

    studio: Path
    title: str
    version: str
    active: bool = False

    @property
    def compiler(self) -> tuple[int, int]:
        """The version of its cl: 19.44 for the toolset 14.44 (learn.microsoft.com, "_MSC_VER")."""
        major, minor = self.version.split(".")[:2]
        return int(major) + 5, int(minor)

    @property
    def name(self) -> str:
        """``MSVC 14.44 of Visual Studio Build Tools 2022``."""
        return f"MSVC {'.'.join(self.version.split('.')[:2])} of {self.title}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """A toolset whose environment is known: its cl, what cl and link say of themselves, and the variables.

    `variables` are those that the toolset's environment has beyond, or other than, this process's.
    """

    compiler: Path
    identity: str
    toolset: Toolset
    variables: Mapping[str, str]
    nvcc_flags: tuple[str, ...] = ()


def find_toolchain(run: CommandRunner, *, torch: str, cuda: Cuda | None = None) -> Toolchain:
    """The compiler to build with against `torch`, and with nvcc of `cuda`.

    Raises MissingError naming what to install when there is none, or none that fits.
    """
    toolset = choose(toolsets(run), torch=torch, cuda=cuda)
    variables = {} if toolset.active else load(toolset, run)
    compiler = _find_on_path("cl.exe", {**os.environ, **variables})
    if compiler is None:
        raise MissingError(
            f"{toolset.name}: its environment has no cl.exe on PATH",
            hint="repair it with Visual Studio's installer",
        )
    linker = _find_on_path("link.exe", {**os.environ, **variables}) or Path("link.exe")
    return Toolchain(
        compiler=compiler,
        identity="; ".join(_banner(program, run) for program in (compiler, linker)),
        toolset=toolset,
        variables=variables,
        nvcc_flags=msvc_wanted_flags(cuda.version, toolset.compiler) if cuda else (),
    )


# ---- which there are ----


def toolsets(run: CommandRunner, environ: Mapping[str, str] = os.environ) -> list[Toolset]:
    """Every toolset of every Visual Studio with C++; only the active one when the user has loaded one.

    Raises MissingError for an active environment of another processor than x64.
    """
    active = _active(environ)
    if active is not None:
        return [active]
    return [toolset for studio in installations(run, environ) for toolset in _toolsets_of(studio)]


def _active(environ: Mapping[str, str]) -> Toolset | None:
    """The toolset of a Developer Command Prompt that wheelferry was started in."""
    processor = environ.get("VSCMD_ARG_TGT_ARCH")
    if processor is None:
        return None
    if processor != "x64":
        raise MissingError(
            f"the environment of Visual Studio that is loaded here is for {processor}, not for x64",
            hint="start wheelferry from an ordinary prompt, or from the x64 Native Tools Command Prompt",
        )
    return Toolset(
        studio=Path(environ.get("VSINSTALLDIR", "")),
        title=f"Visual Studio {environ.get('VisualStudioVersion', '')}".strip(),
        version=environ.get("VCToolsVersion", "14.0"),
        active=True,
    )


def installations(run: CommandRunner, environ: Mapping[str, str] = os.environ) -> list[tuple[Path, str]]:
    """Folder and title of every Visual Studio that has the C++ compilers, the newest first.

    vswhere is where Visual Studio's installer always puts it (its own README says so).
    """
    programs = environ.get("ProgramFiles(x86)") or r"C:\Program Files (x86)"
    vswhere = Path(programs) / "Microsoft Visual Studio" / "Installer" / "vswhere.exe"
    command: list[str | Path] = [
        vswhere,
        "-products",
        "*",
        "-requires",
        COMPONENT,
        "-sort",
        "-format",
        "json",
        "-utf8",
    ]
    try:
        output = run(command, step="ask vswhere for Visual Studio", check=False).output
    except MissingError:  # neither Visual Studio nor its installer
        return []
    return parse_installations(output)


def parse_installations(output: str) -> list[tuple[Path, str]]:
    """What ``vswhere -format json`` printed; nothing for what is not a list of installations."""
    try:
        document = json.loads(output)
    except json.JSONDecodeError:
        return []
    found: Sequence[Any] = document if isinstance(document, list) else ()
    return [
        (Path(entry["installationPath"]), entry.get("displayName") or "Visual Studio")
        for entry in found
        if isinstance(entry, dict) and "installationPath" in entry and entry.get("isComplete", True)
    ]


def _toolsets_of(studio: tuple[Path, str]) -> list[Toolset]:
    folder, title = studio
    tools = folder / "VC" / "Tools" / "MSVC"
    names = [path.name for path in tools.iterdir()] if tools.is_dir() else []
    return [
        Toolset(studio=folder, title=title, version=name)
        for name in names
        if re.fullmatch(r"14\.\d+(\.\d+)*", name) and any((tools / name).glob("bin/Host?64/x64/cl.exe"))
    ]


# ---- which one fits ----


def choose(found: Iterable[Toolset], *, torch: str, cuda: Cuda | None) -> Toolset:
    """The newest toolset that torch's headers and nvcc accept; raises MissingError when there is none."""
    known = sorted(found, key=lambda toolset: Version(toolset.version), reverse=True)
    if not known:
        raise MissingError("no C++ compiler: Visual Studio is not on this machine", hint=INSTALL_HINT)
    refused = {toolset: _objection(toolset, torch, cuda) for toolset in known}
    fitting = [toolset for toolset, objection in refused.items() if objection is None]
    if not fitting:
        said = "\n".join(f"{toolset.name}: {objection}" for toolset, objection in refused.items())
        raise MissingError(f"no C++ compiler here fits:\n{said}", hint=_hint(torch, cuda))
    # one that nvcc accepts as it is goes before a newer one that it must be told to accept
    plain = [one for one in fitting if cuda is None or not _needs_leave(one, cuda)]
    return (plain or fitting)[0]


def _objection(toolset: Toolset, torch: str, cuda: Cuda | None) -> str | None:
    standard, first = _standard(torch)
    if toolset.compiler < first:
        return f"torch {torch} is written in {standard}, which cl {_dotted(first)} was the first to know"
    if cuda is None:
        return None
    oldest, limit = msvc_range(cuda.version, lenient=True)
    if toolset.compiler < oldest:
        return f"CUDA {cuda.version} accepts cl {_dotted(oldest)} and newer"
    if toolset.compiler >= limit:
        return f"CUDA {cuda.version} accepts cl older than {_dotted(limit)}"
    return None


def _needs_leave(toolset: Toolset, cuda: Cuda) -> bool:
    return toolset.compiler >= msvc_range(cuda.version)[1]


def _standard(torch: str) -> tuple[str, tuple[int, int]]:
    fitting = [entry for entry in _CXX_STANDARDS if entry[0] <= Version(torch)]
    return fitting[-1][1:]


def _hint(torch: str, cuda: Cuda | None) -> str:
    if cuda is None:
        return INSTALL_HINT
    oldest, limit = msvc_range(cuda.version)
    oldest = max(oldest, _standard(torch)[1])
    return (
        f"add a set of MSVC build tools from {_toolset_name(oldest)} to before {_toolset_name(limit)} with "
        "Visual Studio's installer (Individual components), or choose another --backend"
    )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _toolset_name(compiler: tuple[int, int]) -> str:
    return f"v14.{compiler[1]}"


# ---- its environment ----


def load(toolset: Toolset, run: CommandRunner, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What ``vcvarsall.bat x64`` of the toolset sets, beyond or other than what is set already.

    Raises MissingError when the batch file fails. Names are in capitals, as Windows does not mind.
    """
    batch = PureWindowsPath(toolset.studio) / "VC" / "Auxiliary" / "Build" / "vcvarsall.bat"
    short = ".".join(toolset.version.split(".")[:2])
    # Both paths are quoted inside variables, because no argument with a quote in it reaches cmd unharmed.
    variables = {
        _SETUP: f'"{batch}"',
        _PROGRAM: f'"{sys.executable}" -I -c "{_ASK}"',
        "VSCMD_SKIP_SENDTELEMETRY": "1",
    }
    command = [environ.get("COMSPEC", "cmd.exe"), "/d", "/c", "call", f"%{_SETUP}%", "x64"]
    command += [f"-vcvars_ver={short}", "&&", f"%{_PROGRAM}%"]
    hint = "repair it with Visual Studio's installer, or start wheelferry from its own command prompt"
    step = f"load the environment of {toolset.name}"
    output = run(command, step=step, env={**environ, **variables}, error=MissingError, hint=hint).output
    return changes(output, {**environ, **variables}, step=step, hint=hint)


def changes(output: str, before: Mapping[str, str], *, step: str, hint: str) -> dict[str, str]:
    """The variables that the environment in the last line of `output` has beyond, or other than, `before`."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith(_MARK)), None)
    if line is None:
        raise MissingError(f"{step}: it printed no environment:\n{output.strip()[-800:]}", hint=hint)
    known = {name.upper(): value for name, value in before.items()}
    after = json.loads(line.removeprefix(_MARK))
    changed = {name.upper(): value for name, value in after.items() if known.get(name.upper()) != value}
    changed.pop("PROMPT", None)  # cmd's own
    return changed


def _find_on_path(program: str, environ: Mapping[str, str]) -> Path | None:
    path = next((value for name, value in environ.items() if name.upper() == "PATH" and value), "")
    path = environ.get("PATH", path)
    for folder in path.split(";"):
        if folder and (found := Path(folder) / program).is_file():
            return found
    return None


def _banner(program: Path, run: CommandRunner) -> str:
    """The first line that cl and link print: their names, versions and processor."""
    output = run(
        [program], step=f"ask {program.name} for its version", check=False, error=MissingError
    ).output
    return next((line.strip() for line in output.splitlines() if line.strip()), program.name)


# ---- compiling ----


def compile_environment(
    toolchain: Toolchain, prefixes: Mapping[Path, str], temporary: Path
) -> dict[str, str]:
    """The toolset's variables, and options that make the same module from the same source.

    `prefixes` maps folders whose names must not reach the binary to what stands there instead; they may
    have no spaces. cl reads CL and link reads LINK before their own arguments (learn.microsoft.com,
    "CL environment variables", "LINK environment variables"); both allow 1024 characters.
    """
    compiler = ["/Brepro"]
    if toolchain.toolset.compiler >= _DETERMINISTIC:
        compiler = [
            "/experimental:deterministic",
            *(f"/pathmap:{old}={new}" for old, new in prefixes.items()),
        ]
    return {
        **toolchain.variables,
        # for setuptools and torch: it is loaded, do not look for another; MSSdk is the old distutils'
        "DISTUTILS_USE_SDK": "1",
        "MSSDK": "1",
        "CL": " ".join(compiler),
        "LINK": "/Brepro /INCREMENTAL:NO",
        **dict.fromkeys(("TEMP", "TMP"), str(temporary)),
    }


def room(longest: int) -> int:
    """How long the path of a source tree may be, when its longest file below it has `longest` characters.

    An object's path holds that of the tree twice: setuptools repeats the source's full path, less the
    drive, below build\\temp.
    """
    drive = len("C:")
    return (MAX_PATH - 1 - _OBJECTS - 1 - longest + drive) // 2
