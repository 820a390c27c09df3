"""skiff: a small detector with compiled operators, wheelferry's sample project."""

# setup.py reads this line, and the compiled code carries the same number (csrc/ops.h).
__version__ = "1.0"

from . import ops
from .model import Detector

__all__ = ["Detector", "__version__", "ops"]
