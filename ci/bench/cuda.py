"""What GPU code for several architectures costs: compiled for each, or for the oldest and assembled for all.

    python ci/bench/cuda.py --python ENV/bin/python [FILE.cu]

ENV has torch for CUDA 13 and NVIDIA's compiler: `pip install torch==2.11.0 'nvidia-cuda-nvcc==13.0.*'
'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-cccl==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-nvvm==13.0.*'`.
Without FILE it is the sample's own kernel. Architectures are those of torch, options those of a build.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from measure import compiled, table

from wheelferry.models.cuda import from_flags, from_oldest

SAMPLE = Path(__file__).parents[2] / "recipes" / "sample" / "project" / "skiff" / "csrc" / "box_iou_cuda.cu"
_ASK = """
import sysconfig, torch
from torch.utils.cpp_extension import include_paths
print(torch._C._cuda_getArchFlags())
print("\\n".join([*include_paths(), sysconfig.get_path("include"), sysconfig.get_path("purelib")]))
"""


def for_each(architectures: tuple[str, ...]) -> list[str]:
    """The options by which nvcc compiles for each of these."""
    numbers = [name.replace(".", "") for name in architectures]
    return [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", required=True, help="of an environment with torch and nvcc")
    parser.add_argument("source", nargs="?", type=Path, default=SAMPLE, metavar="FILE.cu")
    arguments = parser.parse_args()
    asked = subprocess.run([arguments.python, "-c", _ASK], capture_output=True, text=True, check=True).stdout
    flags, *folders, packages = asked.splitlines()
    toolkit = Path(packages) / "nvidia" / "cu13"
    include = [*folders, str(toolkit / "include"), str(toolkit / "include" / "cccl")]
    command: list[str | Path] = [toolkit / "bin" / "nvcc", *(f"-I{folder}" for folder in include)]
    command += ["-O3", "-std=c++20", "--expt-relaxed-constexpr", "-Xcompiler", "-fPIC", "-DWITH_CUDA"]
    architectures = from_flags(flags)
    oldest, newer = from_oldest(architectures)
    with tempfile.TemporaryDirectory() as name:
        command += ["-c", arguments.source, "-o", Path(name) / "one.o"]
        rows = {
            f"{len(architectures)} architectures, each for itself": compiled(
                [*command, *for_each(architectures)]
            ),
            f"{len(architectures)} architectures from the oldest": compiled(
                [*command, *for_each(oldest), *newer]
            ),
            "one architecture": compiled([*command, *for_each(architectures[-1:])]),
        }
    table(f"processor seconds of {arguments.source.name}", rows, next(iter(rows)))


if __name__ == "__main__":
    main()
