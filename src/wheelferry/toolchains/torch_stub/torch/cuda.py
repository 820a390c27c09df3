"""A machine without a GPU: none decides what is built."""

from typing import NoReturn


def is_available() -> bool:
    """Whether there is a GPU."""
    return False


def device_count() -> int:
    """How many GPUs there are."""
    return 0


def get_device_capability(_device: object = None) -> NoReturn:
    """Raise, as torch does without a GPU."""
    raise RuntimeError("there is no GPU here: what is compiled must be chosen by TORCH_CUDA_ARCH_LIST")
