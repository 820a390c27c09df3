"""Run by ops.py in an environment with a project: calls its operators, prints seconds a call as JSON."""

import json
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import torch

Work = Mapping[str, Callable[[], object]]


def random_boxes(count: int, generator: torch.Generator, sides: int) -> torch.Tensor:
    """Boxes in 1000 x 1000 pixels: x, y, width, height, degrees (5), or their corners (4)."""
    unit = torch.rand(count, 5, generator=generator)
    low, high = torch.tensor([0, 0, 10, 10, -180.0]), torch.tensor([1000, 1000, 120, 120, 180.0])
    boxes = low + unit * (high - low)
    return boxes if sides == 5 else torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:4]], dim=1)


def of_detectron2() -> Work:
    """Rotated boxes, RoIAlign, and COCOeval's fast path."""
    from detectron2 import _C
    from detectron2.layers import ROIAlignRotated, nms_rotated
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    generator = torch.Generator().manual_seed(0)
    boxes, scores = random_boxes(3000, generator, 5), torch.rand(3000, generator=generator)
    one = boxes[:1]
    features = torch.rand(1, 64, 100, 100, generator=generator, requires_grad=True)
    rois = torch.cat([torch.zeros(256, 1), boxes[:256]], dim=1)
    pool = ROIAlignRotated((7, 7), 0.1, 2)
    pooled = pool(features, rois)
    weights = torch.rand(pooled.shape, generator=generator)
    images = detections(_C, generator)
    thresholds = [[0.0, 1e10]], 100, [0.5 + 0.05 * step for step in range(10)]
    return {
        "box_iou_rotated, 1 x 1 (a call's own cost)": lambda: pairwise_iou_rotated(one, one),
        "box_iou_rotated, 3000 x 300": lambda: pairwise_iou_rotated(boxes, boxes[:300]),
        "nms_rotated, 3000 boxes": lambda: nms_rotated(boxes, scores, 0.5),
        "roi_align_rotated, 256 boxes, 64 channels": lambda: pool(features, rois),
        "the same, backward": lambda: torch.autograd.grad(pooled, features, weights, retain_graph=True),
        "COCOevalEvaluateImages, 500 images": lambda: _C.COCOevalEvaluateImages(*thresholds, *images),
    }


def detections(module: Any, generator: torch.Generator) -> tuple[object, object, object]:
    """IoUs [image][category], ground truth and detections as the fast path takes them."""
    ious, truth, found = [], [], []
    for image in range(500):
        table = torch.rand(40, 10, generator=generator, dtype=torch.float64)
        order = torch.rand(40, generator=generator).sort(descending=True).values
        ious.append([table.tolist()])
        truth.append([[instance(module, image * 100 + i, 0.0) for i in range(10)]])
        found.append([[instance(module, image * 100 + i, float(order[i])) for i in range(40)]])
    return ious, truth, found


def instance(module: Any, number: int, score: float) -> object:
    """One annotation of 100 square pixels."""
    return module.InstanceAnnotation(number + 1, score, 100.0, False, False)


def of_skiff() -> Work:
    """The operators of the sample project."""
    from skiff import ops

    generator = torch.Generator().manual_seed(0)
    boxes, scores = random_boxes(3000, generator, 4), torch.rand(3000, generator=generator)
    one = boxes[:1]
    features = torch.rand(1, 64, 100, 100, generator=generator, requires_grad=True)
    rois = torch.cat([torch.zeros(256, 1), boxes[:256]], dim=1)
    pooled = ops.roi_align(features, rois, 0.1, (7, 7))
    weights = torch.rand(pooled.shape, generator=generator)
    return {
        "box_iou, 1 x 1 (a call's own cost)": lambda: ops.box_iou(one, one),
        "box_iou, 3000 x 3000": lambda: ops.box_iou(boxes, boxes),
        "nms, 3000 boxes": lambda: ops.nms(boxes, scores, 0.5),
        "roi_align, 256 boxes, 64 channels": lambda: ops.roi_align(features, rois, 0.1, (7, 7)),
        "the same, backward": lambda: torch.autograd.grad(pooled, features, weights, retain_graph=True),
    }


def seconds(call: Callable[[], object]) -> float:
    """The fastest of as many calls as fit in a second, of three at least; short ones a hundred at a time."""
    call()
    started = time.perf_counter()
    call()
    often = 100 if time.perf_counter() - started < 1e-3 else 1
    fastest, end, runs = float("inf"), time.perf_counter() + 1, 0
    while runs < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        for _ in range(often):
            call()
        fastest = min(fastest, (time.perf_counter() - started) / often)
        runs += 1
    return fastest


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    work = of_detectron2() if find_spec("detectron2") else of_skiff()
    print(json.dumps({name: seconds(call) for name, call in work.items()}))


if __name__ == "__main__":
    main()
