"""The options that several commands share, each written once."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


class InstallerName(StrEnum):
    """The choices of --installer."""

    bundle = "bundle"
    pip = "pip"


class CompilerName(StrEnum):
    """The choices of --compiler."""

    AUTO = "auto"
    GXX = "g++"
    ZIG = "zig"


class RunnerName(StrEnum):
    """What runs the targets that this machine cannot run by itself."""

    wine = "wine"
    qemu = "qemu"


References = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE@RELEASE...",
        help="What to build, as in detectron2@v0.6 or ./my.toml@1.0; several go into one bundle.",
        show_default=False,
    ),
]
Python = Annotated[
    list[str] | None,
    typer.Option(
        "--python", metavar="X.Y", help="Python of the target; repeat for several. Default: this one's."
    ),
]
Platform = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TAG",
        help="Platform of the target: linux_x86_64, manylinux_2_28_aarch64, win_amd64, macosx_14_0_arm64; "
        "repeatable. "
        "Default: this machine's.",
    ),
]
Backend = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Which build of torch, and what the ops are compiled for: cpu, cu130 (CUDA 13.0) and so on. "
        "Default: torch as your index has it, ops for the CPU. Repeatable.",
    ),
]
TorchIndex = Annotated[
    str | None,
    typer.Option(
        "--torch-index",
        metavar="URL|DIR",
        help="Index or folder of torch and torchvision, instead of PyTorch's own; may contain {backend}.",
    ),
]
CudaArch = Annotated[
    list[str] | None,
    typer.Option(
        "--cuda-arch",
        metavar="X.Y",
        help="GPU architecture to compile for, as in 9.0; repeatable. Default: torch's.",
    ),
]
CudaHome = Annotated[
    Path | None,
    typer.Option(
        "--cuda-home",
        metavar="DIR",
        help="CUDA toolkit to compile with. Default: for CUDA 13 the compiler on PyPI, else CUDA_HOME.",
    ),
]
CompilerOption = Annotated[
    CompilerName,
    typer.Option(
        "--compiler",
        help="What compiles ops on torch's stable ABI: g++ (for Windows that of mingw-w64); zig, which comes "
        "from the package index and compiles for every platform; or auto: g++ where it is installed, or zig.",
    ),
]
Torch = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VERSION", help="torch to build against and ship; repeatable. Default: the newest that fits."
    ),
]
WithoutOps = Annotated[
    bool,
    typer.Option(
        "--without-ops",
        help="Leave out the compiled ops, for releases that are useful without them. No compiler is needed.",
    ),
]
StableAbi = Annotated[
    bool | None,
    typer.Option(
        "--stable-abi/--no-stable-abi",
        help="Compile the ops on torch's stable ABI, so that one wheel serves torch 2.10 and later; with "
        "--no-stable-abi, against the target's torch alone. Default: on Linux the stable ABI for CPU ops, "
        "where torch and the recipe allow it; not for CUDA ops, whose kernels have not run on a GPU so. A "
        "Linux machine can compile for Windows on the stable ABI only; CUDA ops for Windows are an "
        "experiment there: no kernel of them ran on a Windows with a GPU.",
        show_default=False,
    ),
]
Wheel = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="A wheel of the project or of a dependency, to be taken as it is instead of built or "
        "downloaded; repeatable.",
    ),
]
RunnerOption = Annotated[
    RunnerName | None,
    typer.Option(
        "--runner",
        help="What runs targets of other machines on Linux on x86-64: wine those for Windows, qemu those for "
        "64-bit Arm. Without it their files are checked, and nothing of them is run.",
        show_default=False,
    ),
]
InstallerOption = Annotated[
    InstallerName,
    typer.Option(
        "--installer",
        help="What installs the bundle while it is verified: its own installer as on the client, with a dry "
        "run of plain pip beside it (bundle); or plain pip alone (pip).",
    ),
]
AllowConnection = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-connection",
        metavar="HOST[:PORT]=REASON",
        help="An address that code in the bundle may try to reach while it is verified, and the reason why "
        "that does no harm; repeatable. Any other attempt is a problem.",
    ),
]
WindowsPython = Annotated[
    Path | None,
    typer.Option(
        "--windows-python",
        metavar="DIR|FILE",
        help="The CPython for Windows that --runner wine uses: a folder or an archive. Default: the one that "
        "the bundle carries, else one that is put together from packages of the index.",
    ),
]
ArmRoot = Annotated[
    Path | None,
    typer.Option(
        "--arm-root",
        metavar="DIR|FILE",
        help="The root file system of 64-bit Arm that --runner qemu uses, with the target's Python: a folder "
        "or a tar archive, such as an exported container. Default: one that is put together from Debian's "
        "packages by this machine's apt.",
    ),
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[RECIPE=]URL|PATH",
        help="Repository, checkout or sdist to take instead of the recipe's source. Of several projects it "
        "is the first one's, and that of all in the same repository; RECIPE= names another. Repeatable.",
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="REQ",
        help="One more requirement for the bundle, as in scipy or 'pandas>=2'; repeatable.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Leave a package out although others require it; the bundle says so. Repeatable.",
    ),
]
Prefer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Of packages that install the same module, such as opencv-python and opencv-python-headless, "
        "take this one and leave out the others; repeatable.",
    ),
]
Present = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REQ|FILE",
        help="What the client has already, and what is therefore required there and not carried: "
        "'torch==2.11.0', a file of such lines, or a profile that `wheelferry probe --python` wrote; "
        "repeatable. What these packages need themselves is not carried either.",
    ),
]
RequirementFile = Annotated[
    list[str] | None,
    typer.Option(
        "--requirement",
        "-r",
        metavar="FILE",
        help="A requirements file for the bundle, as pip reads it, hashes, -r and -c included; repeatable.",
    ),
]
Runtime = Annotated[
    list[str] | None,
    typer.Option(
        "--runtime",
        metavar="standalone|FILE",
        help="Carry a Python for clients that have none: standalone takes the python-build-standalone that "
        "uv knows; FILE is an archive (.tar.gz for Linux, .zip or .nupkg for Windows). Repeatable.",
    ),
]
Asset = Annotated[
    list[str] | None,
    typer.Option(
        "--asset",
        metavar="SPEC",
        help="Weights or data for the bundle: NAME of an asset in the recipe, an address such as "
        "detectron2://…, a FILE, or NAME=FILE for a file that takes the place of the download; repeatable.",
    ),
]
App = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A program of the recipe that clients start with DIR/wheelferry NAME, and what it requires; all "
        "for every one. Repeatable.",
    ),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        help="A client's profile, as `wheelferry probe` writes it: choose what fits that machine, and refuse "
        "what would not run there.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Dask scheduler (tcp://HOST:8786) whose workers build the wheels, each that of one target at a "
        "time; see docs/scheduler.md. Default: build them on this machine.",
        show_default=False,
    ),
]
Builders = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="With --scheduler: build each wheel on N workers and compare; a difference is an error.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Compilations at once. Default: what cores and memory allow."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also show the commands that are run and their output.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only results and errors.")]


OnlyTarget = Annotated[
    str | None, typer.Option("--target", metavar="NAME", help="Only this target of the bundle.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetChoice:
    """Which targets, and how their wheels are made."""

    python: Python = None
    platform: Platform = None
    backend: Backend = None
    torch: Torch = None
    torch_index: TorchIndex = None
    cuda_arch: CudaArch = None
    without_ops: WithoutOps = False
    stable_abi: StableAbi = None
    profile: Profile = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """What a bundle shall hold beside the project and what that requires, and what it shall not."""

    extra: With = None
    app: App = None
    exclude: Exclude = None
    prefer: Prefer = None
    present: Present = None
    requirement: RequirementFile = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """What wheels are made of, by how many workers, and how much of it is shown."""

    wheel: Wheel = None
    cuda_home: CudaHome = None
    compiler: CompilerOption = CompilerName.AUTO
    source: Source = None
    scheduler: Scheduler = None
    builders: Builders = 1
    jobs: Jobs = None
    verbose: Verbose = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Trying:
    """How the targets of a bundle are tried when it is verified."""

    runner: RunnerOption = None
    windows_python: WindowsPython = None
    arm_root: ArmRoot = None
    installer: InstallerOption = InstallerName.bundle
    allow_connection: AllowConnection = None


DataSet = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Labelled pictures to prove the bundle with, at the level train: a folder, a label file or an "
        "archive, or the name of one that the bundle carries (--asset). They are checked as by `data check`.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|NAME",
        help="Weights to begin with: a file, or a name that the bundle knows. Default: what the bundle has.",
    ),
]
Configuration = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE|NAME",
        help="Configuration of the model: a file, or a name that the project knows (of Detectron2: the model "
        "zoo's). Default: the one beside the weights, or one that fits the data.",
    ),
]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="'METRIC>=N'",
        help="What must be measured, as in 'bbox/AP50>=60' (with >=, >, <= or <); repeatable. Missing it is "
        "a problem.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Time for training and measuring, as in 90s, 10m or 1h; the training has as many steps as fit. "
        "Default: 10m.",
    ),
]
EvaluateOnly = Annotated[
    bool, typer.Option("--evaluate-only", help="Train nothing: measure the weights as they are.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnDataOptions:
    """A data set of the user's to prove a bundle with, and what is expected of it."""

    data: DataSet = None
    weights: Weights = None
    config: Configuration = None
    expect: Expect = None
    budget: Budget = None
    evaluate_only: EvaluateOnly = False


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of its groups (the dataclasses above) one by one, as typer reads them."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name]))
            continue
        types = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(
                one.name, parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name]
            )
            for one in fields(groups[name])
        ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
        command(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
