"""Cases of pooling rotated regions, forward and backward, and of deformable convolution.

The operators believe what they are told: with the number of an image that is not there, a place that is NaN,
or sizes of the input that are not the input's, each build reads and writes where it should not. So no case
has them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from op_rotated import TYPES, Cases, entries, layouts, roomy, tensor

torch: Any = importlib.import_module("torch")

# What a direct call of the operators takes: scale, height, width, samples.
SETTINGS = [
    (1.0, 3, 4, 2),
    (1.0, 1, 1, 0),
    (0.5, 3, 4, 0),
    (0.25, 7, 7, 1),
    (2.0, 3, 4, 3),
    (0.0, 3, 4, 2),
    (0.0, 3, 4, 0),
    (1.0, 3, 4, -1),
    (1.0 / 3.0, 2, 5, 2),
]


def cases(arrays: dict[str, Any]) -> Cases:
    for where, operator in entries("roi_align_rotated_forward"):
        yield from _forward(where, operator, arrays)
        yield from _forward_refused(where, operator, arrays)
    for where, operator in entries("roi_align_rotated_backward"):
        yield from _backward(where, operator, arrays)
        yield from _backward_refused(where, operator, arrays)
    yield from _autograd(arrays)
    yield from _deformable(arrays)


def _forward(where: str, pool: Any, arrays: dict[str, Any]) -> Cases:
    for dtype in ("float32", "float64", "float16"):
        images, rois = tensor(arrays["images"], dtype), tensor(arrays["rois"], dtype)
        for settings in SETTINGS:
            yield f"{where}: {dtype}, {settings}", lambda i=images, r=rois, s=settings: pool(i, r, *s)
        yield f"{where}: {dtype}, none", lambda i=images, r=rois: pool(i, r[:0], 1.0, 3, 4, 2)
    images, rois = tensor(arrays["images"]), tensor(arrays["rois"])
    usual = (0.5, 3, 4, 2)
    for layout, t in layouts(images):
        yield f"{where}: images {layout}", lambda t=t: pool(t, rois, *usual)
    for layout, t in layouts(rois):
        yield f"{where}: rois {layout}", lambda t=t: pool(images, t, *usual)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    yield f"{where}: channels last", lambda: pool(channels_last, rois, *usual)
    yield f"{where}: images expanded", lambda: pool(images[:1].expand(2, -1, -1, -1), rois, *usual)
    yield f"{where}: five dimensions", lambda: pool(images[..., None], rois, *usual)
    yield f"{where}: five columns", lambda: pool(images, roomy(abs(arrays["rois"]) % 2, 6, 5), *usual)
    yield f"{where}: seven columns", lambda: pool(images, _seven(rois), *usual)
    yield f"{where}: no channels", lambda: pool(images[:, :0], rois, *usual)
    yield f"{where}: no height", lambda: pool(images, rois, 1.0, 0, 4, 2)
    yield f"{where}: none of no images", lambda: pool(images[:0], rois[:0], *usual)
    yield f"{where}: height beyond 32 bits", lambda: pool(images, rois, 1.0, 2**32 + 3, 4, 2)
    yield f"{where}: an image of one pixel", lambda: pool(images[:, :, :1, :1], rois, *usual)
    yield f"{where}: no_grad", lambda: _without_gradient(pool, images, rois, *usual)


def _seven(rois: Any) -> Any:
    """Rows that begin in the wrong place, at what can be a row all the same."""
    return rois.abs()[:12].reshape(-1).clamp(max=1.0)[:70].view(10, 7)


def _without_gradient(function: Callable[..., Any], *arguments: Any) -> Any:
    with torch.no_grad():
        return function(*arguments)


def _wrong(where: str, function: Callable[..., Any], right: list[Any]) -> Cases:
    yield f"{where}: no arguments", lambda: function()
    yield f"{where}: an argument too few", lambda: function(*right[:-1])
    yield f"{where}: an argument too many", lambda: function(*right, 1)
    for number in range(len(right)):
        for wrong in (None, "x", 2.5, [1], 1j, float("nan")):
            if isinstance(right[number], float) and isinstance(wrong, float):
                continue
            given = [*right[:number], wrong, *right[number + 1 :]]
            yield f"{where}: argument {number} is {wrong!r}", lambda given=given: function(*given)


def _forward_refused(where: str, pool: Any, arrays: dict[str, Any]) -> Cases:
    images, rois = tensor(arrays["images"]), tensor(arrays["rois"])
    usual = (0.5, 3, 4, 2)
    for dtype in TYPES:
        other = getattr(torch, dtype)
        yield f"{where}: float32 and {dtype}", lambda d=other: pool(images, rois.to(d), *usual)
        yield f"{where}: {dtype} and float32", lambda d=other: pool(images.to(d), rois, *usual)
    for dtype in TYPES[2:]:
        other = getattr(torch, dtype)
        yield f"{where}: {dtype}", lambda d=other: pool(images.to(d), rois.to(d), *usual)
        yield f"{where}: none, {dtype}", lambda d=other: pool(images.to(d), rois[:0].to(d), *usual)
    for column, number in ((3, -1.0), (4, -1.0), (3, float("nan")), (4, float("nan"))):
        broken = rois.clone()
        broken[5, column] = number
        yield f"{where}: column {column} is {number}", lambda b=broken: pool(images, b, *usual)
    yield f"{where}: a scale below zero", lambda: pool(images, rois, -1.0, 3, 4, 2)
    yield f"{where}: a scale of NaN", lambda: pool(images, rois, float("nan"), 3, 4, 2)
    for dims in range(4):
        t = images[(0,) * (4 - dims)]
        yield f"{where}: images of {dims} dimensions", lambda t=t: pool(t, rois, *usual)
    yield f"{where}: rois without dimension", lambda: pool(images, rois[0, 0], *usual)
    yield f"{where}: height below zero", lambda: pool(images, rois, 1.0, -3, 4, 2)
    yield f"{where}: both below zero", lambda: pool(images, rois, 1.0, -3, -4, 2)
    yield f"{where}: more than there is memory", lambda: pool(images, rois, 1.0, 2**30, 2**30, 2)
    yield f"{where}: more than can be counted", lambda: pool(images, rois, 1.0, 2**31 - 1, 2**31 - 1, 2)
    yield f"{where}: height of 80 bits", lambda: pool(images, rois, 1.0, 2**80, 4, 2)
    yield f"{where}: a device without memory", lambda: pool(images.to("meta"), rois.to("meta"), *usual)
    yield f"{where}: rois of a device without memory", lambda: pool(images, rois.to("meta"), *usual)
    yield f"{where}: sparse", lambda: pool(images.to_sparse(), rois, *usual)
    yield from _wrong(where, pool, [images, rois, 0.5, 3, 4, 2])


def _backward(where: str, back: Any, arrays: dict[str, Any]) -> Cases:
    for dtype in ("float32", "float64", "float16"):
        rois = tensor(arrays["rois"], dtype)
        for scale, height, width, samples in SETTINGS:
            if (height, width) not in ((3, 4), (1, 1)):
                continue
            gradient = tensor(arrays[f"gradient {height}x{width}"], dtype)
            rest = (scale, height, width, 2, 3, 17, 23, samples)
            yield f"{where}: {dtype}, {rest}", lambda g=gradient, r=rois, rest=rest: back(g, r, *rest)
        yield f"{where}: {dtype}, none", lambda r=rois: back(r[:0, :, None, None], r[:0], *_REST)
    gradient, rois = tensor(arrays["gradient 3x4"]), tensor(arrays["rois"])
    for layout, t in layouts(gradient):
        yield f"{where}: gradient {layout}", lambda t=t: back(t, rois, *_REST)
    for layout, t in layouts(rois):
        yield f"{where}: rois {layout}", lambda t=t: back(gradient, t, *_REST)
    number = gradient[:1, :1, :1, :1]
    yield f"{where}: gradient expanded", lambda: back(number.expand(24, 3, 3, 4), rois, *_REST)
    channels_last = gradient.contiguous(memory_format=torch.channels_last)
    yield f"{where}: channels last", lambda: back(channels_last, rois, *_REST)


_REST = (0.5, 3, 4, 2, 3, 17, 23, 2)


def _backward_refused(where: str, back: Any, arrays: dict[str, Any]) -> Cases:
    gradient, rois = tensor(arrays["gradient 3x4"]), tensor(arrays["rois"])
    for dtype in TYPES:
        other = getattr(torch, dtype)
        yield f"{where}: float32 and {dtype}", lambda d=other: back(gradient, rois.to(d), *_REST)
    for dtype in TYPES[2:]:
        other = getattr(torch, dtype)
        yield f"{where}: {dtype}", lambda d=other: back(gradient.to(d), rois.to(d), *_REST)
    for dims in range(4):
        t = gradient[(0,) * (4 - dims)]
        yield f"{where}: gradient of {dims} dimensions", lambda t=t: back(t, rois, *_REST)
    yield f"{where}: fewer than no images", lambda: back(gradient, rois, 0.5, 3, 4, -2, 3, 17, 23, 2)
    yield f"{where}: a size below zero", lambda: back(gradient, -rois, *_REST)
    yield f"{where}: a device without memory", lambda: back(gradient.to("meta"), rois.to("meta"), *_REST)
    yield f"{where}: sparse", lambda: back(gradient.to_sparse(), rois, *_REST)
    yield from _wrong(where, back, [gradient, rois, 0.5, 3, 4, 2, 3, 17, 23, 2])


def _autograd(arrays: dict[str, Any]) -> Cases:
    layers: Any = importlib.import_module("detectron2.layers")
    align = layers.ROIAlignRotated

    def through(size: Any, scale: float, samples: int, dtype: str, weight: Any) -> Any:
        images = tensor(arrays["images"], dtype).requires_grad_()
        pooled = align(size, scale, samples)(images, tensor(arrays["rois"], dtype))
        loss = pooled.sum() if weight is None else (pooled * tensor(weight, dtype)).sum()
        loss.backward()
        return pooled, images.grad

    for dtype in ("float32", "float64", "float16"):
        for samples in (0, 2):
            name = f"ROIAlignRotated: {dtype}, {samples} samples"
            weight = arrays["gradient 3x4"]
            yield (
                f"{name}, weighted",
                lambda d=dtype, s=samples, w=weight: through((3, 4), 0.5, s, d, w),
            )
            yield f"{name}, summed", lambda d=dtype, s=samples: through((3, 4), 0.5, s, d, None)
            yield f"{name}, an int as size", lambda d=dtype, s=samples: through(3, 0.5, s, d, None)
    images, rois = tensor(arrays["images"], "float64"), tensor(arrays["rois"], "float64")
    pool = align((2, 2), 0.5, 2)
    yield "ROIAlignRotated: gradcheck", lambda: torch.autograd.gradcheck(
        pool, (images[:, :1].clone().requires_grad_(), rois[:8])
    )  # fmt: skip
    yield "ROIAlignRotated: bfloat16", lambda: through((3, 4), 0.5, 2, "bfloat16", None)
    yield "ROIAlignRotated: a gradient of a gradient", lambda: _twice(pool, images, rois)
    yield "ROIAlignRotated: five columns", lambda: pool(images, rois[:, :5])
    yield "ROIAlignRotated: backward after an error", lambda: _after_an_error(pool, images, rois)
    yield "ROIAlignRotated: no_grad", lambda: _without_gradient(pool, images.clone().requires_grad_(), rois)
    yield "ROIPooler of rotated boxes", lambda: _pooler(arrays)


def _twice(pool: Any, images: Any, rois: Any) -> Any:
    images = images.clone().requires_grad_()
    (first,) = torch.autograd.grad(pool(images, rois).pow(2).sum(), images, create_graph=True)
    return torch.autograd.grad(first.sum(), images)


def _after_an_error(pool: Any, images: Any, rois: Any) -> Any:
    """An exception inside backward leaves autograd as it was."""
    images = images.clone().requires_grad_()
    pooled = pool(images, rois)
    said = []
    for gradient in (pooled.float()[0], torch.zeros(1), pooled.to("meta")):
        try:
            torch.autograd.backward(pooled, gradient, retain_graph=True)
        except Exception as error:  # any: that it is one is the point
            said.append(type(error).__name__)
    pooled.sum().backward()
    return said, images.grad


def _pooler(arrays: dict[str, Any]) -> Any:
    poolers: Any = importlib.import_module("detectron2.modeling.poolers")
    structures: Any = importlib.import_module("detectron2.structures")
    finest = tensor(arrays["pyramid"]).requires_grad_()
    pooler = poolers.ROIPooler(5, (0.25, 0.125), 0, "ROIAlignRotated", canonical_box_size=32)
    boxes = [structures.RotatedBoxes(tensor(arrays[f"boxes {kind}"])) for kind in ("some", "few")]
    pooled = pooler([finest, torch.nn.functional.avg_pool2d(finest, 2)], boxes)
    pooled.pow(2).mean().backward()
    return pooled, finest.grad


def _deformable(arrays: dict[str, Any]) -> Cases:
    """The operators are for CUDA: each must say so. The layer on the CPU is torchvision's."""
    module: Any = importlib.import_module("detectron2._C")
    layers: Any = importlib.import_module("detectron2.layers")
    t = tensor(arrays["small images"])
    shapes = {
        "deform_conv_forward": [*[t] * 6, *[1] * 11],
        "deform_conv_backward_input": [*[t] * 7, *[1] * 11],
        "deform_conv_backward_filter": [*[t] * 6, *[1] * 10, 1.0, 1],
        "modulated_deform_conv_forward": [*[t] * 8, *[1] * 10, True],
        "modulated_deform_conv_backward": [*[t] * 13, *[1] * 10, True],
    }
    for name, right in shapes.items():
        function = getattr(module, name)
        yield f"{name}: on the CPU", lambda f=function, r=right: f(*r)
        yield f"{name}: no memory", lambda f=function, r=right: f(*(x.to("meta") if x is t else x for x in r))
        for number in (0, len(right) - 1):
            for wrong in (None, "x", 2.5, 2**40):
                given = [*right[:number], wrong, *right[number + 1 :]]
                yield f"{name}: argument {number} is {wrong!r}", lambda f=function, g=given: f(*g)
        yield f"{name}: an argument too few", lambda f=function, r=right: f(*r[:-1])
        yield f"{name}: an argument too many", lambda f=function, r=right: f(*r, 1)
    yield "DeformConv", lambda: _convolved(layers.DeformConv, arrays)
    yield "DeformConv: two groups", lambda: _convolved(layers.DeformConv, arrays, deformable_groups=2)
    yield "ModulatedDeformConv", lambda: layers.ModulatedDeformConv(3, 5, 3)(t, t, t)


def _convolved(layer: Any, arrays: dict[str, Any], **options: Any) -> Any:
    made = layer(3, 5, kernel_size=3, padding=1, **options)
    made.weight.data.copy_(tensor(arrays["weights"]))
    pooled = made(tensor(arrays["small images"]).requires_grad_(), tensor(arrays["offsets"]))
    try:
        pooled.sum().backward()
    except NotImplementedError as error:  # said by Detectron2's Python
        return pooled, str(error)
    return pooled, made.weight.grad
