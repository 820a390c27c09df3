"""Stands in for torch while a project is packed without its compiled ops; it computes nothing."""

from . import cuda, version
from .version import __version__ as __version__

__all__ = ["__version__", "cuda", "version"]
