"""The names that a setup.py imports from torch; asked to compile, they say that this is no torch."""

from typing import Any, NoReturn

from setuptools.command.build_ext import build_ext

CUDA_HOME = None
ROCM_HOME = None


class BuildExtension(build_ext):
    """Builds a project that has no extension, and no other."""

    @classmethod
    def with_options(cls, **_options: Any) -> type["BuildExtension"]:
        """As in torch, where the options concern compilers."""
        return cls

    def build_extensions(self) -> None:
        """Raise for any extension: nothing here can compile one."""
        if self.extensions:
            _refuse()


def CppExtension(*_arguments: Any, **_options: Any) -> NoReturn:
    """Raise: nothing here can compile an extension."""
    _refuse()


CUDAExtension = CppExtension


def _refuse() -> NoReturn:
    raise SystemExit(
        "this build was asked to leave out compiled ops (--without-ops), but setup.py still has extensions; "
        "the recipe's substitutions with without_ops = true should remove them"
    )
