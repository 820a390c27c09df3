"""torch's stable ABI: from which release on it serves, which functions it is, and how a wheel on it is named.

A module that is compiled on it (docs/facade.md) serves every torch from `FIRST_TORCH` on, instead of one.
"""

import json
import re
from collections.abc import Iterable

from packaging.version import Version

from wheelferry.models.cuda import parse_version

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

# The last part of the local version: ``0.6+pt2.13.0.stable`` was compiled with the headers of torch 2.13.0,
# ``0.6+pt2.13.0cu130.stable`` for GPUs too, with CUDA 13.0.
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


def cuda_of(stamp: bytes | None) -> str | None:
    """The CUDA (``13.0``) that the GPU code of a wheel on the stable ABI is compiled with; None for none."""
    if stamp is None or not is_stable(stamp):
        return None
    try:
        return str(json.loads(stamp)["cuda"]["version"])
    except (KeyError, TypeError):
        return None


def cuda_obstacle(made_with: str | None, wanted: str | None) -> str | None:
    """Why code for GPUs compiled with one CUDA does not go with a torch that was built with another; or None.

    The module calls the CUDA runtime that comes with torch. One of the same major version has all that an
    older one has, and nothing else is promised (CUDA C++ Best Practices Guide, "CUDA Compatibility").
    """
    if made_with is None or wanted is None:
        if made_with == wanted:
            return None
        return f"it has code for {_named(made_with)}, and what is wanted is {_named(wanted)}"
    if parse_version(made_with)[0] != parse_version(wanted)[0]:
        return f"it is compiled for CUDA {made_with}, and CUDA {wanted} has another runtime"
    if parse_version(made_with) > parse_version(wanted):
        return f"it is compiled with CUDA {made_with}, newer than CUDA {wanted}"
    return None


def _named(cuda: str | None) -> str:
    return f"CUDA {cuda}" if cuda else "the CPU alone"


def unstable_calls(names: Iterable[str]) -> list[str]:
    """Those of the functions that a module leaves to torch and Python which are of neither's C interface."""
    return sorted(
        name for name in set(names) if not _OF_TORCH.fullmatch(name) and not _OF_PYTHON.fullmatch(name)
    )
