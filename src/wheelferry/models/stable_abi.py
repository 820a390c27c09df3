"""torch's stable ABI: from which release on it serves, which functions it is, and how a wheel on it is named.

A module that is compiled on it (docs/facade.md) serves every torch from `FIRST_TORCH` on, instead of one.
"""

import json
import re
from collections.abc import Iterable

from packaging.version import Version

# The first release whose stable ABI has all that the facade needs: torch_call_dispatcher,
# torch_get_mutable_data_ptr and torch_library_impl came with it (torch/csrc/stable/c/shim.h).
FIRST_TORCH = Version("2.10")

# What such a wheel demands. PyTorch promises that what it has now stays for two years at least
# (docs.pytorch.org/docs/stable/notes/libtorch_stable_abi.html), so there is no upper end.
REQUIREMENT = f"torch>={FIRST_TORCH}"

# The CPython from whose limited API on a module serves all later ones, as a tag has it: the oldest that torch
# of that release has wheels for.
FIRST_PYTHON = "cp310"
ABI_TAG = f"{FIRST_PYTHON}-abi3"

# The last part of the local version: ``0.6+pt2.13.0.stable`` was compiled with the headers of torch 2.13.0.
SUFFIX = "stable"

# shim.h of torch's inductor and of torch/csrc/stable: C functions, no C++ name.
_OF_TORCH = re.compile(r"(?:aoti_torch|torch)_\w+")
_OF_PYTHON = re.compile(r"_?Py\w+")


def serves(torch: Version) -> bool:
    """Whether a module on the stable ABI runs with that torch release."""
    return torch.release[:2] >= FIRST_TORCH.release[:2]


def is_stable(stamp: bytes | None) -> bool:
    """Whether a wheel's stamp says that its modules are on the stable ABI that is meant here."""
    try:
        return stamp is not None and json.loads(stamp)["stable_abi"] == str(FIRST_TORCH)
    except (ValueError, KeyError, TypeError):
        return False


def unstable_calls(names: Iterable[str]) -> list[str]:
    """Those of the functions that a module leaves to torch and Python which are of neither's C interface."""
    return sorted(
        name for name in set(names) if not _OF_TORCH.fullmatch(name) and not _OF_PYTHON.fullmatch(name)
    )
