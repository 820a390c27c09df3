"""What a .cu file costs to compile with torch's own headers, and with the facade: processor seconds of nvcc.

    python ci/bench/cuda_headers.py --python ENV/bin/python FILE.cu...

ENV as for cuda.py. The two ways take turns, file by file, with the options of a build for sm_90.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from measure import Run, compiled, table

from wheelferry.toolchains import nvcc
from wheelferry.toolchains.modules import Headers, Module

_ASK = """
import sysconfig
from torch.utils.cpp_extension import include_paths
print("\\n".join([*include_paths(), sysconfig.get_path("include"), sysconfig.get_path("purelib")]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", required=True, help="of an environment with torch and nvcc")
    parser.add_argument("sources", nargs="+", type=Path, metavar="FILE.cu")
    arguments = parser.parse_args()
    asked = subprocess.run([arguments.python, "-c", _ASK], capture_output=True, text=True, check=True).stdout
    *folders, packages = asked.splitlines()
    home = Path(packages) / "nvidia" / "cu13"
    compiler = nvcc.Nvcc(home=home, host_compiler=Path("g++"), images=nvcc.image_options(["9.0"]))
    headers = Headers(torch=Path(packages) / "torch" / "include")
    ways: dict[str, list[Run]] = {"torch's headers": [], "facade": []}
    with tempfile.TemporaryDirectory() as name:
        for source in arguments.sources:
            own = [source.parent, source.parent.parent]
            module = Module(
                name="_C",
                sources=[source],
                root=source.parent,
                include=[*own, home / "include"],
                macros={"WITH_CUDA": None},
            )
            by_facade = nvcc.compile_command(compiler, module, headers, ["-fPIC"], source)
            ordinary = [*by_facade[:3], *(f"-I{folder}" for folder in (*own, *folders)), "-DWITH_CUDA"]
            ordinary += ["-O3", "-std=c++20", "--expt-relaxed-constexpr", *compiler.images]
            ordinary += ["-Xcompiler", "-fPIC", "-c", source]
            commands = zip(ways, (ordinary, by_facade), strict=True)
            runs = {way: compiled([*command, "-o", Path(name) / "one.o"]) for way, command in commands}
            table(source.name, runs, "torch's headers")
            for way, run in runs.items():
                ways[way].append(run)
    total = {
        way: Run(sum(r.seconds for r in runs), max(r.peak_mb for r in runs)) for way, runs in ways.items()
    }
    table("all", total, "torch's headers")


if __name__ == "__main__":
    main()
