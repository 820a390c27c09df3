"""Weights from files of strangers: arrays and numbers are read, code is never run.

`pickle`, in which .pkl files and those of torch.save are written, calls whatever function a file names. Here
only what makes arrays and plain containers may be called.
"""

import codecs
import collections
import pickle
import re
import types

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


def _no_bytes():
    """What old pickles write for an empty array's bytes; with an argument it would fill the memory."""
    return b""


_TYPES = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): codecs.encode,
    ("__builtin__", "bytes"): _no_bytes,
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
        start = stream.read(2)
    # a zip archive of torch.save, or pickles of any kind
    if start != b"PK" and start[:1] not in _PICKLES:
        raise Unfit("the file holds no weights", hint=_FORMATS)
    try:
        data = _load_arrays(path) if path.endswith(".pkl") and start != b"PK" else _load_torch(path)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)|Unsupported class (\S+)", str(error))
        if named is None:
            raise Unfit("the weights cannot be read: %s" % _last_part(error), hint=_WHOLE) from None
        raise Unfit(_CODE % (named.group(1) or named.group(2)), hint=_AGAIN) from None
    except _BROKEN as error:
        raise Unfit("the weights cannot be read: %s" % _last_part(error), hint=_WHOLE) from None
    if not isinstance(data, dict):
        raise Unfit("the file of weights holds a %s instead of weights" % type(data).__name__, hint=_FORMATS)
    return data


_PICKLES = (b"\x80", b"(", b"}", b"c")
_FORMATS = ".pth as torch.save writes them, and .pkl as the model zoo has them, can be read"
# What reading a cut off or altered file ends in.
_BROKEN = (
    OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, RuntimeError,
    MemoryError, OverflowError,
)  # fmt: skip
_WHOLE = "was the file copied whole? its SHA-256 tells"


def as_checkpoint(data, path):
    """What was read, as Detectron2's checkpointer has it; the oldest weights of the zoo have other names."""
    if "model" in data:
        return dict(data)
    if not path.endswith(".pkl"):
        return {"model": data}
    blobs = data.get("blobs", data)
    kept = {name: value for name, value in blobs.items() if not name.endswith("_momentum")}
    return {"model": kept, "__author__": "Caffe2", "matching_heuristics": True}


class _TensorsOnly(_ArraysOnly):
    """Reads tensors too, as torch.save writes them."""

    def find_class(self, module, name):
        is_storage = module in ("torch", "torch.storage") and name.endswith("Storage")
        if is_storage or (module == "torch._utils" and name in _TENSORS):
            return pickle.Unpickler.find_class(self, module, name)
        return super().find_class(module, name)


_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


def _load_torch(path):
    import torch

    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version >= (1, 13):
        return torch.load(path, map_location="cpu", weights_only=True)
    # those cannot read weights only, but let somebody else look up what a file names
    reader = types.SimpleNamespace(__name__="weights_only", Unpickler=_TensorsOnly, load=_load_tensors)
    return torch.load(path, map_location="cpu", pickle_module=reader)


def _load_tensors(file, **options):
    return _TensorsOnly(file, **options).load()


def _load_arrays(path):
    with open(path, "rb") as stream:
        # numpy's arrays of Python 2, as the zoo has them, are texts in that encoding
        return _ArraysOnly(stream, encoding="latin1").load()


def _last_part(error):
    """What an error says, without torch's advice to load the file in spite of it."""
    parts = [part.strip() for part in str(error).split("\n\n") if part.strip()]
    text = parts[1] if len(parts) > 1 and parts[0].startswith("Weights only") else "".join(parts[:1])
    return text.splitlines()[0].split(". ")[0][:200] if text else type(error).__name__
