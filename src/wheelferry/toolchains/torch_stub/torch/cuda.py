"""A machine without a GPU: none decides what is built."""


def is_available() -> bool:
    """Whether there is a GPU."""
    return False


def device_count() -> int:
    """How many GPUs there are."""
    return 0
