"""Cases of many calls: in threads, in a row, and with exceptions; and whether memory is kept each time."""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from op_rotated import Cases, entries, tensor

torch: Any = importlib.import_module("torch")

# A tensor that is not freed costs some 200 bytes besides its numbers, a kept exception more.
LEAST_LEAK = 100


def cases(arrays: dict[str, Any]) -> Cases:
    calls = dict(_calls(arrays))
    for name, function in calls.items():
        yield f"threads: {name}", lambda f=function: _in_threads(f)
    yield "threads: all at once", lambda: _all_at_once(calls)
    kept: list[Any] = []
    # what is free already, inside the process, would hide a leak
    filling = [torch.empty(number % 200) for number in range(50000)]
    yield "memory: what is kept is seen", lambda: _grows(lambda: kept.append(torch.empty(1)))
    for name, function in calls.items():
        yield f"memory: {name}", lambda f=function: _grows(f)
    del filling


def _calls(arrays: dict[str, Any]) -> Any:
    """Functions that work and functions that fail, which come to the same each time."""
    module: Any = importlib.import_module("detectron2._C")
    boxes, scores = tensor(arrays["boxes few"]), tensor(arrays["scores 7"])
    images, rois = tensor(arrays["images"])[:, :, :5, :5], tensor(arrays["rois"])[:2]
    gradient = tensor(arrays["gradient 1x1"])[:2]
    forward, backward = (1.0, 1, 1, 1), (1.0, 1, 1, 2, 3, 5, 5, 1)
    for where, iou in entries("box_iou_rotated"):
        yield where, lambda f=iou: f(boxes, boxes)
        yield f"{where} of the wrong type", _failing(iou, boxes.double(), boxes)
        yield f"{where} of the wrong argument", _failing(iou, boxes, None)
    for where, nms in entries("nms_rotated"):
        yield where, lambda f=nms: f(boxes, scores, 0.3)
        yield f"{where} of the wrong type", _failing(nms, boxes.int(), scores.int(), 0.3)
        yield f"{where} of two types", _failing(nms, boxes, scores.double(), 0.3)
    for where, pool in entries("roi_align_rotated_forward"):
        yield where, lambda f=pool: f(images, rois, *forward)
        yield f"{where} of few dimensions", _failing(pool, images[0], rois, *forward)
        yield f"{where} of no size", _failing(pool, images, -rois, *forward)
    for where, back in entries("roi_align_rotated_backward"):
        yield where, lambda f=back: f(gradient, rois, *backward)
    layers: Any = importlib.import_module("detectron2.layers")
    pool = layers.ROIAlignRotated((1, 1), 1.0, 1)
    yield "ROIAlignRotated and back", lambda: _there_and_back(pool, images, rois)
    deform = module.deform_conv_forward
    yield "deform_conv_forward", _failing(deform, *[boxes] * 6, *[1] * 11)
    instance, evaluate = module.InstanceAnnotation, module.COCOevalEvaluateImages
    yield "InstanceAnnotation", lambda: type(instance(1, 0.5, 1.0, False, False)).__name__
    yield "InstanceAnnotation of None", _failing(instance, None, 0.5, 1.0, False, False)
    truth = [[[instance(1, 0.5, 1.0, False, False)]]]
    yield "COCOevalEvaluateImages", lambda: len(evaluate([[0, 1e5]], 9, [0.5], [[[[0.7]]]], truth, truth))


def _failing(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    def said() -> Any:
        try:
            function(*arguments)
        except Exception as error:  # any: op_rotated and op_pooling tell which
            return [type(error).__name__]
        return ["nothing raised"]

    return said


def _there_and_back(pool: Any, images: Any, rois: Any) -> Any:
    images = images.clone().requires_grad_()
    pool(images, rois).sum().backward()
    return images.grad


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    return bool(one == other)


def _in_threads(function: Callable[[], Any], threads: int = 8, times: int = 100) -> Any:
    """How many of the calls from several threads come to something other than one alone."""
    alone = function()
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(function) for _ in range(threads * times)]
        return sum(not _same(alone, future.result()) for future in futures)


def _all_at_once(calls: dict[str, Callable[[], Any]]) -> Any:
    alone = {name: function() for name, function in calls.items()}
    with ThreadPoolExecutor(12) as pool:
        futures = [(name, pool.submit(function)) for _ in range(60) for name, function in calls.items()]
        return sum(not _same(alone[name], future.result()) for name, future in futures)


def _grows(function: Callable[[], Any], times: int = 5000) -> bool:
    """Whether the process grows by LEAST_LEAK bytes or more with each call.

    As many calls are measured three times: memory that is taken once, by a pool for instance, is no leak.
    """
    growths = []
    for _ in range(times // 5):
        function()
    for _ in range(3):
        gc.collect()
        before = memory()
        for _ in range(times):
            function()
        gc.collect()
        growths.append((memory() - before) / times)
    return min(growths) >= LEAST_LEAK


def memory() -> int:
    """Bytes of memory that are this process's own."""
    if sys.platform == "win32":
        return _windows_memory()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096


def _windows_memory() -> int:
    windows: Any = ctypes
    names = ("peak", "working", *("quota" + letter for letter in "abcd"), "page file", "peak page file")
    fields: Any = [("size", ctypes.c_uint32), ("faults", ctypes.c_uint32)]
    fields += [(name, ctypes.c_size_t) for name in names]
    counters_type: Any = type("Counters", (ctypes.Structure,), {"_fields_": fields})
    counters = counters_type(size=ctypes.sizeof(counters_type))
    kernel = windows.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    ask = kernel.K32GetProcessMemoryInfo
    ask.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
    assert ask(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size)
    return int(counters.working)
