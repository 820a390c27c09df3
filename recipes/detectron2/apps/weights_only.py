"""Weights from files of strangers: arrays and numbers are read, code is never run.

`pickle`, in which .pkl files and those of torch.save are written, calls whatever function a file names. Here
only what makes arrays and plain containers may be called.
"""

import codecs
import collections
import io
import pickle
import zipfile

import torch
from page.unfit import Unfit

# What numpy's arrays are made by, under its names of all times.
_ARRAYS = {
    (module, name)
    for package in ("numpy.core", "numpy._core")
    for module, name in (
        (package + ".multiarray", "_reconstruct"),
        (package + ".multiarray", "scalar"),
        (package + ".numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype")}
_TYPES = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): codecs.encode,
}
_CODE = (
    "a file of weights can call any function of this machine when it is loaded, and this one wants to call "
    "%s: it was refused"
)
_AGAIN = (
    "if you trust who made it, write it anew where it was made: "
    "torch.save({'model': model.state_dict()}, 'weights.pth')"
)


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, numbers, texts, lists and dictionaries."""

    def find_class(self, module, name):
        if (module, name) in _TYPES:
            return _TYPES[module, name]
        if (module, name) in _ARRAYS or (module.startswith("numpy.dtype") and name.endswith("DType")):
            return super().find_class(module, name)
        raise Unfit(_CODE % ("%s.%s" % (module, name)), hint=_AGAIN)


def read_weights(path):
    """What a file of weights holds, as a dictionary; raises Unfit for what is none, or would run code."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    try:
        if path.endswith(".pkl") and not zipfile.is_zipfile(path):
            with open(path, "rb") as stream:
                data = _ArraysOnly(io.BytesIO(stream.read()), encoding="latin1").load()
        else:
            data = _load_torch(path)
    except Unfit:
        raise
    except pickle.UnpicklingError as error:
        raise _refused(error, start) from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        RuntimeError,
    ) as error:
        raise Unfit("the weights cannot be read: %s" % _first_line(error), hint=_WHOLE) from None
    if not isinstance(data, dict):
        raise Unfit("the file of weights holds a %s instead of weights" % type(data).__name__)
    return data


# What reading a cut off or altered file ends in.
_BROKEN = (
    OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, RuntimeError,
)  # fmt: skip
_WHOLE = "was the file copied whole? its SHA-256 tells"


def _load_torch(path):
    """A file of torch.save; with torch before 1.13, which cannot read weights only, it is refused."""
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (1, 13):
        raise Unfit(
            "torch %s cannot read a .pth without running code that may be in it" % torch.__version__,
            hint="give the weights as .pkl (pickled numpy arrays), or use a bundle with torch 1.13 or newer",
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _refused(error, start):
    """The error for what torch or pickle would not load: code, or no weights at all."""
    text = str(error)
    for mark in ("Unsupported global: GLOBAL ", "Unsupported class "):
        if mark in text:
            return Unfit(_CODE % text.partition(mark)[2].split()[0], hint=_AGAIN)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return Unfit("the weights cannot be read: %s" % _first_line(error), hint=_WHOLE)
    return Unfit("the file holds no weights", hint=".pth of torch.save and .pkl of the model zoo can be read")


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
