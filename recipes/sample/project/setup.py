"""Build skiff: `python setup.py bdist_wheel` in an environment that already holds the torch to build for.

There is deliberately no pyproject.toml: the extension must be compiled against the torch
it will run with, so the build must not be isolated from it (Detectron2 does the same).
"""

import glob
import os
import re

import torch
from setuptools import setup
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*parts):
    """Text of a file of this project."""
    with open(os.path.join(HERE, *parts), encoding="utf-8") as stream:
        return stream.read()


def version():
    """`__version__` of the package, read without importing it (it needs the extension)."""
    return re.search(r'^__version__ = "([^"]+)"$', read("skiff", "__init__.py"), re.MULTILINE).group(1)


def sources(ending):
    """Files of csrc relative to this folder, sorted so that two builds link in the same order."""
    found = glob.glob(os.path.join(HERE, "skiff", "csrc", "*" + ending))
    return sorted(os.path.relpath(path, HERE).replace(os.sep, "/") for path in found)


def extension():
    """The compiled module: with CUDA where a GPU and nvcc are, or where FORCE_CUDA=1 says so."""
    if os.environ.get("FORCE_CUDA") == "1" or (torch.cuda.is_available() and CUDA_HOME is not None):
        return CUDAExtension(
            "skiff._C", sources(".cpp") + sources(".cu"), define_macros=[("WITH_CUDA", None)]
        )
    # No -std flag: each torch release asks for the C++ standard its own headers need.
    return CppExtension("skiff._C", sources(".cpp"))


setup(
    name="skiff",
    version=version(),
    description="A small detector with compiled operators: wheelferry's sample project",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=["skiff"],
    python_requires=">=3.7",
    # torch is missing on purpose: a wheel built here fits exactly one torch release, which
    # this file cannot know. wheelferry adds the `torch==X` that it built against.
    install_requires=["numpy", "pillow"],
    ext_modules=[extension()],
    cmdclass={"build_ext": BuildExtension},
    zip_safe=False,
)
