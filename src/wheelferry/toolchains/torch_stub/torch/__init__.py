"""Stands in for torch while a project is packed without its compiled ops; it computes nothing."""

from . import _C, backends, cuda, version
from .version import __version__ as __version__

__all__ = ["_C", "__version__", "backends", "compiled_with_cxx11_abi", "cuda", "version"]


def compiled_with_cxx11_abi() -> bool:
    """Which standard library's ABI torch has."""
    return _C._GLIBCXX_USE_CXX11_ABI
