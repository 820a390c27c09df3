"""Extension modules on torch's stable ABI: what their compilers (gcc, mingw) have in common."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version

from wheelferry.errors import BuildError, InputError, MissingError
from wheelferry.models import stable_abi
from wheelferry.models.wheel_info import filename_parts
from wheelferry.system.process import CommandRunner
from wheelferry.system.threads import in_threads
from wheelferry.toolchains import facade

# The parts of a torch wheel that the facade stands on.
_TORCH_PARTS = (
    "torch/include/torch/csrc/stable/",
    "torch/include/torch/csrc/inductor/aoti_torch/",
    "torch/include/torch/headeronly/",
    "torch/include/pybind11/",
    "torch/lib/torch_cpu.lib",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """An extension module that a project's setup.py asks for (``_C``), in a `package` (``mine.ops``).

    `macros` with None are defined without a value. `root` is the project's folder: paths below it are all
    that the binary's messages show. `cuda_flags` are for its .cu files, `flags` for the others.
    """

    name: str
    sources: Sequence[Path]
    root: Path
    package: str = ""
    include: Sequence[Path] = ()
    macros: Mapping[str, str | None] = field(default_factory=dict)
    flags: Sequence[str] = ()
    cuda_flags: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Headers:
    """The headers to compile against: torch's ``include``, and the folder with Python.h.

    Without the latter the module is on CPython's limited API, for which the facade has its own headers.
    """

    torch: Path
    python: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Compilation:
    """Where objects go, what starts the compiler, how often at once; `on_compiled` hears of each source."""

    folder: Path
    run: CommandRunner
    jobs: int = 1
    on_compiled: Callable[[Path], None] = lambda _: None


def unpack_torch(wheel: Path, folder: Path) -> Path:
    """Take the headers and the import library out of a torch wheel, into `folder`; torch's folder there.

    Raises InputError for a wheel that is no torch, or one before `stable_abi.FIRST_TORCH`.
    """
    name, version, _ = filename_parts(wheel.name)
    if name != "torch":
        raise InputError(f"{wheel.name} is not a torch wheel")
    require_torch(version)
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.startswith(_TORCH_PARTS)]
        archive.extractall(folder, members)
    torch = folder / "torch"
    for needed in ("include/torch/csrc/stable/c/shim.h", "include/pybind11"):
        if not (torch / needed).exists():
            raise InputError(f"{wheel.name} has no torch/{needed}")
    return torch


def identify_torch(wheel: Path, *, windows: bool) -> str:
    """SHA-256 over what is used of a torch wheel: equal for its wheels of all Pythons."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.namelist()):
            if member.startswith(_TORCH_PARTS) and (windows or not member.endswith(".lib")):
                digest.update(f"{member}\0".encode() + hashlib.sha256(archive.read(member)).digest())
    return digest.hexdigest()


def require_torch(version: Version) -> None:
    """Raise InputError for a torch whose stable ABI does not suffice."""
    if not stable_abi.serves(version):
        raise InputError(
            f"torch {version} has no stable ABI for compiled ops",
            hint=f"choose torch {stable_abi.FIRST_TORCH} or newer",
        )


def require_python(include: Path) -> None:
    """Raise MissingError when the folder has no Python.h."""
    if not (include / "Python.h").is_file():
        raise MissingError(
            f"CPython's headers are not in {include}",
            hint="install that Python's development package (python3-dev), or let uv or pyenv install it",
        )


def compile_objects(
    module: Module,
    headers: Headers,
    compiler: Path,
    options: Sequence[str | Path],
    compilation: Compilation,
    *,
    cuda: Callable[[Path], Sequence[str | Path]] | None = None,
) -> list[Path]:
    """Compile the sources of `module` with the facade; the object files. Raises BuildError.

    `cuda` gives the command for a .cu file, but for the file of the result. Raises InputError for such a file
    without it.
    """
    if cuda is None and (for_gpus := [source.name for source in module.sources if is_cuda(source)]):
        raise InputError(
            f"{module.name} has code for GPUs ({', '.join(for_gpus)}), and this build is for the CPU",
            hint="choose a backend with CUDA, as in --backend cu130",
        )
    compilation.folder.mkdir(parents=True, exist_ok=True)
    plain: list[str | Path] = [compiler, *options, *preprocessing(module, headers, cuda=cuda is not None)]
    plain += ["-O3", facade.CXX_STANDARD, *prefix_maps(module, headers), *module.flags]
    objects = [compilation.folder / f"{number}-{path.stem}.o" for number, path in enumerate(module.sources)]

    def compile_one(pair: tuple[Path, Path]) -> None:
        source, result = pair
        command = cuda(source) if cuda and is_cuda(source) else [*plain, "-c", source]
        compilation.run([*command, "-o", result], step=f"compile {source.name}")
        compilation.on_compiled(source)

    pairs = zip(module.sources, objects, strict=True)
    # those for GPUs take longest
    in_threads(compile_one, sorted(pairs, key=lambda pair: not is_cuda(pair[0])), workers=compilation.jobs)
    return objects


def is_cuda(source: Path) -> bool:
    """Whether nvcc compiles it."""
    return source.suffix == ".cu"


def preprocessing(module: Module, headers: Headers, *, cuda: bool = False) -> list[str]:
    """Macros and folders of headers, for whichever compiler; `cuda` for a module with code for GPUs in it."""
    own = facade.include_folder()
    limited = [] if headers.python else [facade.limited_folder()]
    foreign = [headers.torch, *([headers.python] if headers.python else [])]
    return [
        facade.TARGET_MACRO,
        *([facade.CUDA_MACRO] if cuda else []),
        "-DNDEBUG",
        f"-DTORCH_EXTENSION_NAME={module.name}",
        *(f"-I{folder}" for folder in module.include),
        *(f"-I{folder}" for folder in (*limited, own)),
        # torch's and Python's headers are not ours to warn about
        *(word for folder in foreign for word in ("-isystem", str(folder))),
        *(f"-D{name}" if value is None else f"-D{name}={value}" for name, value in module.macros.items()),
    ]


def prefix_maps(module: Module, headers: Headers) -> list[str]:
    """Options by which no folder of this machine gets into the binary."""
    return [
        f"-ffile-prefix-map={module.root}=.",
        f"-ffile-prefix-map={facade.include_folder().parent}=facade",
        f"-ffile-prefix-map={headers.torch.parent}=torch",
        *([f"-ffile-prefix-map={headers.python}=python"] if headers.python else []),
    ]


def require_stable(module: Path, calls: Sequence[str]) -> None:
    """Raise BuildError when a module calls more than the C interfaces of torch and Python."""
    foreign = stable_abi.unstable_calls(calls)
    if foreign:
        raise BuildError(
            f"{module.name} calls what is not of torch's stable ABI: {', '.join(foreign[:5])}"
            + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""),
            hint="its sources declare functions of torch themselves, or use a library of their own",
        )
