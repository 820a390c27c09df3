"""Extension modules of Python that run one instruction when they are loaded."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

# An extension module whose start needs an instruction: AVX2's addition of integers, say.
SOURCE = """
#include <Python.h>
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, "%(name)s", 0, -1, 0 };
PyMODINIT_FUNC PyInit_%(name)s(void) {
    __asm__ volatile("%(instruction)s");
    return PyModule_Create(&definition);
}
"""


def extension(name: str, instruction: str, folder: Path) -> bytes:
    """A compiled module that does nothing but run an instruction."""
    compiler = shutil.which("gcc") or shutil.which("g++")
    headers = sysconfig.get_paths()["include"]
    if compiler is None or not Path(headers, "Python.h").is_file():
        pytest.skip("no C compiler, or no headers of Python")
    source, made = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(SOURCE % {"name": name, "instruction": instruction.replace("%%", "%")})
    subprocess.run([compiler, "-shared", "-fPIC", f"-I{headers}", "-o", made, source], check=True)
    return made.read_bytes()
