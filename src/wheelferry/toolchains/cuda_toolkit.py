"""The CUDA toolkit of a build: the user's own, or put together from wheels in the build environment."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from wheelferry.errors import MissingError
from wheelferry.models.cuda import FIRST_ON_PYPI, Cuda, gcc_limit, parse_version
from wheelferry.progress import Progress
from wheelferry.system.process import CommandRunner

_NVCC = "nvcc.exe" if os.name == "nt" else "nvcc"


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolkit:
    """A toolkit on this machine: what CUDA_HOME is set to, and nvcc's own version text."""

    home: Path
    identity: str


def require_host_compiler(cuda: Cuda, compiler: Path, run: CommandRunner) -> None:
    """Raise MissingError when nvcc of this CUDA refuses the machine's GCC; other compilers pass."""
    limit = gcc_limit(cuda.version)
    text = run([compiler, "--version"], step=f"ask {compiler} for its version", error=MissingError).output
    if limit is None or "Free Software Foundation" not in text:
        return
    answer = run([compiler, "-dumpversion"], step=f"ask {compiler} for its version", error=MissingError)
    found = int(answer.output.strip().split(".")[0])
    if found >= limit:
        raise MissingError(
            f"CUDA {cuda.version} does not accept GCC {found} ({compiler}), only {limit - 1} and older",
            hint=f"install g++-{limit - 1} and set CXX=g++-{limit - 1} CC=gcc-{limit - 1}",
        )


def given_toolkit(cuda: Cuda, home: Path | None, run: CommandRunner, progress: Progress) -> Toolkit:
    """The toolkit in `home`, after comparing its version with the target's.

    Raises MissingError when there is none or it is of another major version; another minor version
    works (minor releases are compatible) and is said.
    """
    if home is None:
        raise MissingError(
            f"CUDA {cuda.version} is needed to compile; PyPI has compilers only from CUDA {FIRST_ON_PYPI} on",
            hint=f"install the CUDA {cuda.version} toolkit and name it with --cuda-home or CUDA_HOME; "
            f"or choose a torch built with CUDA {FIRST_ON_PYPI}, or another --backend",
        )
    found = toolkit_version(home, run)
    major = parse_version(cuda.version)[0]
    if parse_version(found)[0] != major:
        raise MissingError(
            f"the toolkit in {home} is CUDA {found}, the target needs CUDA {cuda.version}",
            hint=f"any CUDA {major} toolkit fits, {cuda.version} best; give it with --cuda-home",
        )
    if found != cuda.version:
        progress.warn(f"compiling with CUDA {found} for a torch built with CUDA {cuda.version}")
    return Toolkit(home=home, identity=_nvcc_text(home, run).splitlines()[-1])


def toolkit_version(home: Path, run: CommandRunner) -> str:
    """The CUDA version (``12.6``) of the toolkit in `home`; raises MissingError when there is none."""
    text = _nvcc_text(home, run)
    match = re.search(r"release (\d+\.\d+)", text)
    if match is None:
        raise MissingError(f"{home / 'bin' / 'nvcc'} does not say which release it is:\n{text}")
    return match[1]


def _nvcc_text(home: Path, run: CommandRunner) -> str:
    nvcc = home / "bin" / _NVCC
    return run(
        [nvcc, "--version"],
        step=f"ask {nvcc} for its version",
        error=MissingError,
        hint=f"{home} must be a CUDA toolkit: the folder that holds bin/nvcc",
    ).output.strip()


def assembled_toolkit(cuda: Cuda, environment: Path, folder: Path) -> Toolkit:
    """A toolkit in `folder` made of links into the wheels installed in `environment`.

    The wheels have all of it, but no ``lib64`` and no ``libcudart.so`` without a number, which
    compilers and linkers look for. Those for Windows lie as a toolkit does, ``lib/x64`` included.
    """
    major = parse_version(cuda.version)[0]
    on_windows = list(environment.glob(f"Lib/site-packages/nvidia/cu{major}/bin/nvcc.exe"))
    if on_windows:
        return Toolkit(home=on_windows[0].parents[1], identity=f"CUDA {cuda.version} of PyPI")
    found = list(environment.glob(f"lib/python*/site-packages/nvidia/cu{major}/bin/nvcc"))
    if not found:
        raise MissingError(
            f"the CUDA {cuda.version} wheels have no nvcc where it is expected (nvidia/cu{major}/bin)",
            hint="install that toolkit and give its folder with --cuda-home",
        )
    wheels = found[0].parents[1]
    (folder / "lib64").mkdir(parents=True)
    for name in ("bin", "include", "nvvm"):
        (folder / name).symlink_to(wheels / name)
    for library in (wheels / "lib").iterdir():
        (folder / "lib64" / library.name).symlink_to(library)
    (runtime,) = (wheels / "lib").glob("libcudart.so.*")
    (folder / "lib64" / "libcudart.so").symlink_to(runtime)
    return Toolkit(home=folder, identity=f"CUDA {cuda.version} of PyPI")
