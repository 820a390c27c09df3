"""What torch's headers cost a compiler, one by one, and what a precompiled one would save.

    python ci/bench/headers.py --python ENV/bin/python

ENV has torch and setuptools. Each row compiles a file that includes one header and nothing else, with the
options of torch's own build extension; the last three are `torch/extension.h` as a precompiled header.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from measure import compiled, table

HEADERS = (
    "ATen/core/Tensor.h",
    "ATen/ops/empty.h",
    "torch/library.h",
    "pybind11/pybind11.h",
    "ATen/ATen.h",
    "torch/csrc/utils/pybind.h",
    "torch/types.h",
    "torch/extension.h",
)
_ASK = """
import sysconfig
from torch.utils.cpp_extension import include_paths
print("\\n".join([*include_paths(), sysconfig.get_path("include")]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="of an environment with torch")
    arguments = parser.parse_args()
    said = subprocess.run([arguments.python, "-c", _ASK], capture_output=True, text=True, check=True).stdout
    options = ["-O3", "-g0", "-fPIC", "-std=c++20", "-DTORCH_EXTENSION_NAME=_C"]
    command: list[str | Path] = ["g++", *options, *(f"-I{folder}" for folder in said.split())]
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        source, result = Path(name) / "one.cpp", Path(name) / "one.o"
        for header in HEADERS:
            source.write_text(f"#include <{header}>\n")
            rows[header] = compiled([*command, "-c", source, "-o", result])
        whole, light = Path(name) / "whole.h", Path(name) / "light.cpp"
        whole.write_text("#include <torch/extension.h>\n")
        light.write_text("#include <torch/types.h>\n")
        rows["making it"] = compiled([*command, "-x", "c++-header", whole, "-o", f"{whole}.gch"])
        using: list[str | Path] = [*command, "-include", whole, "-c"]
        rows["torch/extension.h with it"] = compiled([*using, source, "-o", result])
        rows["torch/types.h with it"] = compiled([*using, light, "-o", result])
    table("processor seconds by header", rows, "torch/extension.h")


if __name__ == "__main__":
    main()
