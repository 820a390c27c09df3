"""What torch can compute with besides the CPU: nothing, so that no such device decides what is built."""

from types import SimpleNamespace


def _no() -> bool:
    return False


mps = SimpleNamespace(is_available=_no, is_built=_no)
cudnn = SimpleNamespace(is_available=_no, version=lambda: None)
