"""Calls Detectron2's CUDA operators with stand-ins for torch and the CUDA runtime: what do they launch?

``python cuda_launches.py MODULE FOLDER RECORD``: MODULE is _C.pyd or _C.abi3.so, FOLDER holds the stand-ins
for this system and kernels.txt. Every image, kernel and launch becomes a line of RECORD. It needs the
standard library alone.
"""

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch_without_numbers as torch

FLOAT, DOUBLE, HALF = (torch.DTYPES.index(name) for name in ("float32", "float64", "float16"))
NAMES = ("torch_cpu.dll", "torch_cuda.dll", "cudart64_13.dll")
LINUX_NAMES = ("libtorch_cpu.so", "libtorch_cuda.so", "libcudart.so.13")


def load(module: str, folder: str, record: str) -> ModuleType:
    """The module, with the stand-ins already in the process: then it finds them by their names."""
    torch.reserve()
    names = NAMES if os.name == "nt" else LINUX_NAMES
    cpu, cuda, runtime = (ctypes.CDLL(str(Path(folder, name)), ctypes.RTLD_GLOBAL) for name in names)
    runtime.recorder_begin(os.fsencode(record), bytes(Path(folder, "kernels.txt")))
    torch.fill(cpu, torch.TORCH_CPU)
    torch.fill(cuda, torch.TORCH_CUDA)
    torch.install()
    loader = importlib.machinery.ExtensionFileLoader("_C", module)
    spec = importlib.machinery.ModuleSpec("_C", loader, origin=module)
    found = importlib.util.module_from_spec(spec)
    loader.exec_module(found)
    return found


def tensor(dtype: int, *sizes: int) -> torch.Tensor:
    return torch.Tensor(sizes, dtype)


def rotated(dtype: int) -> None:
    """The operators on rotated boxes."""
    for boxes in (1, 64, 65, 1000):
        torch.call("nms_rotated", tensor(dtype, boxes, 5), tensor(dtype, boxes), 0.3)
    for images, rois in ((1, 1), (2, 300)):
        features, places = tensor(dtype, images, 16, 50, 37), tensor(dtype, rois, 6)
        torch.call("roi_align_rotated_forward", features, places, 0.25, 7, 5, 2)
        gradient = tensor(dtype, rois, 16, 7, 5)
        torch.call("roi_align_rotated_backward", gradient, places, 0.25, 7, 5, images, 16, 50, 37, 0)


def deformable(module: ModuleType, dtype: int) -> None:
    """Deformable convolution, both kinds, there and back."""
    images, channels, size, kernel, groups = 4, 8, 11, 3, 2
    image = tensor(dtype, images, channels, size, size)
    weight = tensor(dtype, 6, channels // groups, kernel, kernel)
    offset = tensor(dtype, images, 2 * kernel * kernel, size, size)
    output = tensor(dtype, images, 6, size, size)
    columns, ones = tensor(dtype, 0), tensor(dtype, 0)
    shape = (3, 3, 1, 1, 1, 1, 1, 1, groups, 1)
    module.deform_conv_forward(image, weight, offset, output, columns, ones, *shape, images)
    gradient = tensor(dtype, images, 6, size, size)
    of_image, of_offset = tensor(dtype, *image.sizes), tensor(dtype, *offset.sizes)
    module.deform_conv_backward_input(
        image, offset, gradient, of_image, of_offset, weight, columns, *shape, images
    )
    of_weight = tensor(dtype, *weight.sizes)
    module.deform_conv_backward_filter(image, offset, gradient, of_weight, columns, ones, *shape, 0.5, images)
    mask, bias = tensor(dtype, images, kernel * kernel, size, size), tensor(dtype, 6)
    parts = (3, 3, 1, 1, 1, 1, 1, 1, groups, 1, True)
    module.modulated_deform_conv_forward(image, weight, bias, ones, offset, mask, output, columns, *parts)
    module.modulated_deform_conv_backward(
        *(image, weight, bias, ones, offset, mask, columns, of_image, of_weight, tensor(dtype, 6), of_offset),
        *(tensor(dtype, *mask.sizes), gradient, *parts),
    )


def main(module: str, folder: str, record: str) -> None:
    found = load(module, folder, record)
    assert found.has_cuda(), "the module was built without CUDA"
    print(found.get_compiler_version(), "CUDA", found.get_cuda_version())
    torch.call("box_iou_rotated", tensor(FLOAT, 100, 5), tensor(FLOAT, 33, 5))
    for dtype in (FLOAT, DOUBLE):
        rotated(dtype)
    for dtype in (FLOAT, DOUBLE, HALF):
        deformable(found, dtype)
    sys.stdout.flush()
    os._exit(0)  # the module's last words would go to a Python that is gone


if __name__ == "__main__":
    main(*sys.argv[1:])
