"""Cases of the rotated boxes: their IoU and their non-maximum suppression."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

torch: Any = importlib.import_module("torch")

# Names with functions of no arguments; Any, because mypy takes no lambda with defaults for one.
Cases = Iterator["tuple[str, Any]"]

# Types that the operators do not take, or one of them does.
TYPES = ("float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool", "complex64")


def entries(name: str) -> Iterator[tuple[str, Any]]:
    """The operator in torch.ops, and as a function of the module where the release has one (v0.6)."""
    module: Any = importlib.import_module("detectron2._C")
    if hasattr(torch.ops.detectron2, name):
        yield f"ops.{name}", getattr(torch.ops.detectron2, name)
    if hasattr(module, name):
        yield f"_C.{name}", getattr(module, name)


def tensor(array: Any, dtype: str = "float32") -> Any:
    """A tensor of the numbers, in memory of its own."""
    return torch.tensor(array, dtype=torch.float64).to(getattr(torch, dtype), copy=True)


def roomy(array: Any, *shape: int, dtype: str = "float32") -> Any:
    """A contiguous tensor of a shape that the operator does not expect, with more numbers behind it.

    The operators do not look at the last dimension, in no build: what they read past the end of a row is
    memory of the same tensor here, and the same on each machine.
    """
    count = 1
    for size in shape:
        count *= size
    whole = tensor(array, dtype).reshape(-1)
    assert len(whole) >= count + 64
    return whole[:count].view(*shape)


def layouts(t: Any) -> Iterator[tuple[str, Any]]:
    """The same numbers, laid out in memory in other ways; `t` has at least two dimensions."""
    wide = torch.full((*t.shape[:-1], t.shape[-1] + 3), -7.0, dtype=t.dtype)
    wide[..., 1:-2] = t
    yield "columns of a wider one", wide[..., 1:-2]
    doubled = torch.full((2 * len(t), *t.shape[1:]), -7.0, dtype=t.dtype)
    doubled[1::2] = t
    yield "every other row", doubled[1::2]
    yield "transposed", t.transpose(0, -1).contiguous().transpose(0, -1)
    yield "behind others in memory", torch.cat([torch.zeros_like(t), t])[len(t) :]
    yield "a parameter", torch.nn.Parameter(t)
    yield "of no leaf", t.clone().requires_grad_() * 1
    yield "lazily negated", torch._neg_view(-t)
    yield "a subclass", t.as_subclass(type("Own", (torch.Tensor,), {}))


def cases(arrays: dict[str, Any]) -> Cases:
    boxes = {name[6:]: array for name, array in arrays.items() if name.startswith("boxes ")}
    scores = {int(name[7:]): array for name, array in arrays.items() if name.startswith("scores ")}
    for where, operator in entries("box_iou_rotated"):
        yield from _iou(where, operator, boxes)
        yield from _iou_refused(where, operator, boxes)
    for where, operator in entries("nms_rotated"):
        yield from _nms(where, operator, boxes, scores)
        yield from _nms_refused(where, operator, boxes, scores)
    yield from _python_layer(boxes, scores)
    yield from _schemas()


def _iou(where: str, iou: Any, boxes: dict[str, Any]) -> Cases:
    def of(one: str, other: str) -> Callable[[], Any]:
        return lambda: iou(tensor(boxes[one]), tensor(boxes[other]))

    small = ("none", "one", "few", "some")
    pairs = [(one, other) for one in small for other in small]
    pairs += [(kind, kind) for kind in ("dense", "grid", "far", "turned", "broken")]
    pairs += [("broken", "some"), ("some", "broken"), ("turned", "some"), ("far", "some")]
    pairs += [("thousands", "few"), ("few", "thousands"), ("thousands", "some")]
    for one, other in pairs:
        yield f"{where}: {one} x {other}", of(one, other)

    some, few = tensor(boxes["some"]), tensor(boxes["few"])
    for layout, t in layouts(some):
        yield f"{where}: first {layout}", lambda t=t: iou(t, few)
        yield f"{where}: second {layout}", lambda t=t: iou(few, t)
    yield f"{where}: one expanded", lambda: iou(few[:1].expand(9, 5), few)
    yield f"{where}: one number expanded", lambda: iou(few[0, 2].expand(3, 5), few)
    yield f"{where}: the same tensor twice", lambda: iou(some, some)
    yield f"{where}: six columns", lambda: iou(roomy(boxes["some"], 20, 6), few)
    yield f"{where}: three columns", lambda: iou(roomy(boxes["some"], 20, 3), few)
    yield f"{where}: one dimension", lambda: iou(roomy(boxes["some"], 5), few)
    yield f"{where}: three dimensions", lambda: iou(roomy(boxes["some"], 4, 3, 5), few)
    yield f"{where}: no numbers, no look at the type", lambda: iou(some[:0].double(), few.double())
    yield f"{where}: nothing of a device without memory", lambda: iou(some[:0].to("meta"), few).device.type
    yield f"{where}: no_grad", lambda: _within(torch.no_grad(), iou, some, few)
    yield f"{where}: inference_mode", lambda: _within(torch.inference_mode(), iou, some, few).clone()
    yield f"{where}: autocast", lambda: _within(torch.autocast("cpu", torch.bfloat16), iou, some, few)


def _within(context: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    with context:
        return function(*arguments)


def _iou_refused(where: str, iou: Any, boxes: dict[str, Any]) -> Cases:
    some, few = tensor(boxes["some"]), tensor(boxes["few"])
    for dtype in TYPES:
        yield f"{where}: {dtype}", lambda d=dtype: iou(tensor(boxes["few"], d), tensor(boxes["few"], d))
        yield f"{where}: float32 and {dtype}", lambda d=dtype: iou(few, tensor(boxes["few"], d))
        yield f"{where}: {dtype} and float32", lambda d=dtype: iou(tensor(boxes["few"], d), few)
    yield f"{where}: no dimension", lambda: iou(some[0, 0], few)
    yield f"{where}: second no dimension", lambda: iou(few, some[0, 0])
    yield f"{where}: a device without memory", lambda: iou(some.to("meta"), few)
    yield f"{where}: two of a device without memory", lambda: iou(some.to("meta"), few.to("meta"))
    yield f"{where}: sparse", lambda: iou(some.to_sparse(), few)
    yield f"{where}: quantized", lambda: iou(torch.quantize_per_tensor(some, 0.1, 0, torch.qint32), few)
    yield from _wrong_arguments(where, iou, [few, few])


def _wrong_arguments(where: str, function: Callable[..., Any], right: list[Any]) -> Cases:
    yield f"{where}: no arguments", lambda: function()
    yield f"{where}: an argument too few", lambda: function(*right[:-1])
    yield f"{where}: an argument too many", lambda: function(*right, right[-1])
    yield f"{where}: an unknown keyword", lambda: function(*right, unknown=1)
    for number in range(len(right)):
        for wrong in (None, "x", [1.0], {}, object(), right[0].numpy(), 1j):
            given = [*right[:number], wrong, *right[number + 1 :]]
            kind = "None" if wrong is None else type(wrong).__name__
            yield f"{where}: argument {number} is {kind}", lambda given=given: function(*given)


def _nms(where: str, nms: Any, boxes: dict[str, Any], scores: dict[int, Any]) -> Cases:
    def of(kind: str, threshold: float, dtype: str) -> Callable[[], Any]:
        return lambda: nms(tensor(boxes[kind], dtype), tensor(scores[len(boxes[kind])], dtype), threshold)

    for dtype in ("float32", "float64"):
        for kind in ("none", "one", "few", "some", "dense", "grid", "far", "turned"):
            for threshold in (0.0, 0.3, 0.5001, 0.7, 1.0):
                yield f"{where}: {kind}, {dtype}, {threshold}", of(kind, threshold, dtype)
        yield f"{where}: thousands, {dtype}", of("thousands", 0.3, dtype)
        for threshold in (-1.0, 2.0, 1, True, float("nan"), float("inf"), -float("inf")):
            yield f"{where}: some, {dtype}, {threshold!r}", of("some", threshold, dtype)
        broken, ranks = tensor(boxes["broken"], dtype), tensor(scores[120], dtype)
        yield f"{where}: broken, {dtype}", lambda b=broken, r=ranks: nms(b, r[: len(b)], 0.5)
    yield f"{where}: spread", of("spread", 0.3, "float32")
    some, ranks = tensor(boxes["some"]), tensor(scores[120])
    for layout, t in layouts(some):
        yield f"{where}: boxes {layout}", lambda t=t: nms(t, ranks, 0.3)
    for layout, t in layouts(ranks[:, None]):
        yield f"{where}: scores {layout}", lambda t=t: nms(some, t[:, 0], 0.3)
    yield f"{where}: scores of two dimensions", lambda: nms(some, ranks[:, None], 0.3)
    yield f"{where}: a score without dimension", lambda: nms(some[:1], ranks[0], 0.3)
    yield f"{where}: three columns", lambda: nms(roomy(boxes["some"], 20, 3), ranks[:20], 0.3)
    yield f"{where}: none, but scores", lambda: nms(some[:0], ranks, 0.3)
    yield f"{where}: scores infinite and NaN", lambda: nms(some, _with_limits(ranks), 0.3)
    # their order is torch's own affair; being apart from one another, all of them are kept
    tied = torch.ones(64)
    yield f"{where}: equal scores, as a set", lambda: nms(tensor(boxes["apart"]), tied, 0.3).sort()[0]
    yield f"{where}: no_grad", lambda: _within(torch.no_grad(), nms, some, ranks, 0.3)
    yield f"{where}: inference_mode", lambda: _within(torch.inference_mode(), nms, some, ranks, 0.3).clone()


def _with_limits(ranks: Any) -> Any:
    ranks = ranks.clone()
    ranks[3], ranks[4], ranks[5] = float("inf"), -float("inf"), float("nan")
    return ranks


def _nms_refused(where: str, nms: Any, boxes: dict[str, Any], scores: dict[int, Any]) -> Cases:
    few, ranks = tensor(boxes["few"]), tensor(scores[7])
    for dtype in TYPES[1:]:
        yield f"{where}: {dtype}", lambda d=dtype: nms(tensor(boxes["few"], d), tensor(scores[7], d), 0.3)
        yield f"{where}: none, {dtype}", lambda d=dtype: nms(few[:0].to(getattr(torch, d)), ranks[:0], 0.3)
    yield f"{where}: float32 and float64", lambda: nms(few, ranks.double(), 0.3)
    yield f"{where}: float64 and float32", lambda: nms(few.double(), ranks, 0.3)
    yield f"{where}: a device without memory", lambda: nms(few.to("meta"), ranks.to("meta"), 0.3)
    yield f"{where}: boxes of a device without memory", lambda: nms(few.to("meta"), ranks, 0.3)
    yield f"{where}: scores of a device without memory", lambda: nms(few, ranks.to("meta"), 0.3)
    yield f"{where}: a box without dimension", lambda: nms(few[0, 0], ranks[0], 0.3)
    yield f"{where}: sparse", lambda: nms(few.to_sparse(), ranks, 0.3)
    yield from _wrong_arguments(where, nms, [few, ranks, 0.3])
    yield f"{where}: threshold a tensor", lambda: nms(few, ranks, torch.tensor(0.3))
    yield f"{where}: threshold a tensor of two", lambda: nms(few, ranks, torch.tensor([0.3, 0.3]))


def _python_layer(boxes: dict[str, Any], scores: dict[int, Any]) -> Cases:
    """What Detectron2's Python makes of the operators."""
    layers: Any = importlib.import_module("detectron2.layers")
    structures: Any = importlib.import_module("detectron2.structures")
    rotated: Any = importlib.import_module("detectron2.layers.rotated_boxes")
    some, few, ranks = tensor(boxes["some"]), tensor(boxes["few"]), tensor(scores[120])
    classes = torch.arange(120) % 5
    yield "pairwise_iou_rotated", lambda: rotated.pairwise_iou_rotated(some, few)
    rotated_boxes = structures.RotatedBoxes
    yield (
        "structures.pairwise_iou_rotated",
        lambda: structures.rotated_boxes.pairwise_iou(rotated_boxes(some), rotated_boxes(few)),
    )
    yield "layers.nms_rotated", lambda: layers.nms_rotated(some, ranks, 0.3)
    for dtype in ("float32", "float16"):
        yield (
            f"layers.batched_nms_rotated: {dtype}",
            lambda d=dtype: layers.batched_nms_rotated(tensor(boxes["some"], d), ranks, classes, 0.3),
        )
    yield (
        "layers.batched_nms_rotated: thousands",
        lambda: layers.batched_nms_rotated(
            tensor(boxes["thousands"]), tensor(scores[3000]), torch.arange(3000) % 80, 0.5
        ),
    )
    yield "layers.batched_nms_rotated: none", lambda: layers.batched_nms_rotated(
        some[:0], ranks[:0], classes[:0], 0.3
    )  # fmt: skip
    yield "layers.batched_nms_rotated: four columns", lambda: layers.batched_nms_rotated(
        some[:, :4], ranks, classes, 0.3
    )  # fmt: skip
    nms = torch.ops.detectron2.nms_rotated
    yield "ops.nms_rotated: traced", lambda: torch.jit.trace(_traceable, (some, ranks))(some, ranks)
    yield "ops.nms_rotated: scripted", lambda: torch.jit.script(_traceable)(some, ranks)
    yield "ops.nms_rotated: vmap", lambda: torch.func.vmap(nms, (0, None, None))(
        torch.stack([tensor(boxes["apart"])] * 2), tensor(scores[64]), 0.3
    )  # fmt: skip
    if hasattr(torch.ops.detectron2, "box_iou_rotated"):
        iou = torch.ops.detectron2.box_iou_rotated
        both = torch.stack([few, -few])
        yield "ops.box_iou_rotated: vmap", lambda: torch.func.vmap(iou, (0, None))(both, few)
        yield "ops.box_iou_rotated: fake tensors", lambda: _fake(iou)


def _traceable(boxes, scores):  # type: ignore[no-untyped-def]  # TorchScript takes Any as no tensor
    return torch.ops.detectron2.nms_rotated(boxes, scores, 0.3)


def _fake(iou: Any) -> Any:
    subclasses: Any = importlib.import_module("torch._subclasses.fake_tensor")
    with subclasses.FakeTensorMode():
        return tuple(iou(torch.rand(3, 5), torch.rand(4, 5)).shape)


def _schemas() -> Cases:
    module: Any = importlib.import_module("detectron2._C")
    names = ("nms_rotated", "box_iou_rotated", "roi_align_rotated_forward", "roi_align_rotated_backward")
    for name in names:
        yield f"schema of {name}", lambda n=name: str(getattr(torch.ops.detectron2, n).default._schema)
    yield "names of the module", lambda: sorted(name for name in dir(module) if not name.startswith("__"))
    yield "get_cuda_version", lambda: module.get_cuda_version()
    yield "has_cuda", lambda: module.has_cuda()
    yield "the compiler is named", lambda: bool(module.get_compiler_version())
    yield "get_cuda_version: an argument too many", lambda: module.get_cuda_version(1)
