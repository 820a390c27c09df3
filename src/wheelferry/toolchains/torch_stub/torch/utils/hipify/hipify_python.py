"""The name that a setup.py imports to translate CUDA sources for ROCm."""

from typing import Any, NoReturn


def hipify(*_arguments: Any, **_options: Any) -> NoReturn:
    """Raise: nothing is built for ROCm."""
    raise SystemExit("nothing is built for ROCm")
