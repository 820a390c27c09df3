"""Compiled operators against references that are computed in another way, in numpy."""

import math

import numpy as np
import skiff
import torch
from harness import Skip, check, expect
from skiff import ops

TYPES = {"float32": torch.float32, "float64": torch.float64}
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


def random_boxes(random, count):
    """Boxes [count, 4] in float64, many of which overlap."""
    corner = random.uniform(0, 20, size=(count, 2))
    return np.concatenate([corner, corner + random.uniform(2, 16, size=(count, 2))], axis=1)


def strided(tensor):
    """The same values in a tensor that is not contiguous in any dimension."""
    doubled = tensor
    for dimension in range(tensor.dim()):
        doubled = doubled.repeat_interleave(2, dimension)
    return doubled[tuple(slice(None, None, 2) for _ in range(tensor.dim()))]


def refuses(function, *arguments):
    """Whether the call raises RuntimeError."""
    try:
        function(*arguments)
    except RuntimeError:
        return True
    return False


def largest_error(tensor, reference):
    expect(
        tuple(tensor.shape) == reference.shape,
        "shape is %s instead of %s" % (tuple(tensor.shape), reference.shape),
    )
    error = float(np.abs(tensor.double().numpy() - reference).max())
    expect(math.isfinite(error), "the result holds values that are not finite")
    return error


@check("compiled code and package carry the same version")
def version(context):
    context.value("version", ops.version())
    expect(ops.version() == skiff.__version__, "%s is not %s" % (ops.version(), skiff.__version__))


# ---------------------------------------------------------------------------- box_iou


def reference_iou(a, b):
    """IoU by counting the cells of the grid that all the boxes' edges span."""
    xs = np.unique(np.concatenate([a[[0, 2]], b[[0, 2]]]))
    ys = np.unique(np.concatenate([a[[1, 3]], b[[1, 3]]]))
    areas = np.outer(np.diff(ys), np.diff(xs))
    inside_a, inside_b = (
        np.outer((ys[:-1] >= box[1]) & (ys[1:] <= box[3]), (xs[:-1] >= box[0]) & (xs[1:] <= box[2]))
        for box in (a, b)
    )
    return areas[inside_a & inside_b].sum() / areas[inside_a | inside_b].sum()


@check("IoU of boxes equals counted area")
def box_iou(context):
    random = np.random.RandomState(1)
    a, b = random_boxes(random, 20), random_boxes(random, 15)
    reference = np.array([[reference_iou(row, column) for column in b] for row in a])
    expect(0 in reference and reference.max() > 0.5, "the boxes do not exercise the operator")
    for name, dtype in TYPES.items():
        first, second = torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype)
        for result in (ops.box_iou(first, second), ops.box_iou(strided(first), strided(second))):
            error = largest_error(result, reference)
            context.value("largest error, " + name, error)
            expect(error < TOLERANCE[name], "IoU is off by %g in %s" % (error, name))


@check("IoU of no boxes and of empty boxes")
def box_iou_empty(context):
    none, point = torch.zeros(0, 4), torch.tensor([[3.0, 3.0, 3.0, 3.0]])
    expect(tuple(ops.box_iou(none, point).shape) == (0, 1), "no boxes with one should give [0, 1]")
    expect(tuple(ops.box_iou(point, none).shape) == (1, 0), "one box with none should give [1, 0]")
    expect(float(ops.box_iou(point, point)) == 0.0, "an empty box should overlap nothing, not even itself")


# -------------------------------------------------------------------------------- nms


def reference_nms(boxes, scores, threshold):
    """Strike out whatever the best remaining box covers, until nothing remains."""
    remaining = sorted(range(len(boxes)), key=lambda index: -scores[index])
    kept = []
    while remaining:
        best = remaining[0]
        kept.append(best)
        remaining = [i for i in remaining[1:] if reference_iou(boxes[best], boxes[i]) <= threshold]
    return kept


@check("NMS keeps what a plain greedy search keeps")
def nms(context):
    random = np.random.RandomState(2)
    near_copies = random_boxes(random, 20) + random.uniform(0, 1, size=(3, 20, 4))
    boxes, scores = near_copies.reshape(60, 4), random.permutation(60) / 60.0
    kept = []
    for threshold in (0.0, 0.2, 0.5, 0.8, 1.0):
        reference = reference_nms(boxes, scores, threshold)
        kept.append(len(reference))
        for dtype in TYPES.values():
            box, score = torch.tensor(boxes, dtype=dtype), torch.tensor(scores, dtype=dtype)
            for result in (ops.nms(box, score, threshold), ops.nms(strided(box), strided(score), threshold)):
                expect(result.tolist() == reference, "at IoU %g NMS keeps other boxes" % threshold)
    context.value("kept of 60", ", ".join(map(str, kept)))
    expect(kept == sorted(set(kept)) and kept[-1] == 60, "the boxes do not exercise the operator")


@check("NMS at its edges: no boxes, equal boxes, IoU equal to the threshold, NaN scores")
def nms_edges(context):
    none = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    expect(tuple(none.shape) == (0,) and none.dtype == torch.int64, "no boxes should give int64 [0]")
    same = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).repeat(3, 1)
    expect(ops.nms(same, torch.full((3,), 0.5), 0.5).tolist() == [0], "of equal boxes the first should stay")
    halves = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])  # IoU exactly 1/2
    scores = torch.tensor([0.5, 0.9])
    expect(ops.nms(halves, scores, 0.5).tolist() == [1, 0], "IoU equal to the threshold should stay")
    expect(ops.nms(halves, scores, 0.49).tolist() == [1], "IoU above the threshold should go")
    unknown = torch.tensor([float("nan"), 0.1])
    expect(ops.nms(halves, unknown, 1.0).tolist() == [1, 0], "NaN scores should come last")


@check("NMS per class leaves other classes alone")
def nms_per_class(context):
    # The last one would hide behind the first if classes were shifted by less than all boxes' span.
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [0, 1, 9, 9], [-9, -9, 0, 0]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1])
    kept = ops.nms_per_class(boxes, scores, labels, 0.5).tolist()
    expect(kept == [0, 1, 3], "kept %s" % kept)


# -------------------------------------------------------------------------- roi_align


def reference_value(plane, y, x):
    """Bilinear interpolation at a point, as a sum of tent functions over the whole plane."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    tent_y = np.maximum(0, 1 - np.abs(np.arange(height) - y))
    tent_x = np.maximum(0, 1 - np.abs(np.arange(width) - x))
    return float(tent_y @ plane @ tent_x)


def reference_roi_align(features, rois, scale, pooled, ratio):
    """Mean of sampled values per bin, features [B, C, H, W] and rois [K, 5] in numpy."""
    result = np.zeros((len(rois), features.shape[1]) + tuple(pooled))
    for k, (image, x1, y1, x2, y2) in enumerate(rois):
        bin_y, bin_x = (y2 - y1) * scale / pooled[0], (x2 - x1) * scale / pooled[1]
        rows, columns = ratio or max(1, math.ceil(bin_y)), ratio or max(1, math.ceil(bin_x))
        for channel, i, j in np.ndindex(*result.shape[1:]):
            values = [
                reference_value(
                    features[int(image), channel],
                    y1 * scale - 0.5 + (i + (row + 0.5) / rows) * bin_y,
                    x1 * scale - 0.5 + (j + (column + 0.5) / columns) * bin_x,
                )
                for row in range(rows)
                for column in range(columns)
            ]
            result[k, channel, i, j] = np.mean(values)
    return result


def roi_problem():
    """Features [2, 3, 9, 7], rois [5, 5] inside, across the edges and wholly outside, and the scale."""
    features = np.random.RandomState(3).normal(size=(2, 3, 9, 7))
    rois = [
        [0, 1.3, 2.1, 9.7, 14.2],
        [1, 0.0, 0.0, 14.0, 18.0],
        [1, -5.2, 3.3, 4.1, 25.0],
        [0, 40.0, 40.0, 50.0, 50.0],
        [0, 6.0, 6.0, 6.0, 6.0],
    ]
    return features, np.array(rois), 0.5


@check("RoIAlign equals sampled interpolation")
def roi_align(context):
    features, rois, scale = roi_problem()
    for pooled, ratio in (((3, 2), 2), ((2, 4), 0), ((1, 1), 3)):
        reference = reference_roi_align(features, rois, scale, pooled, ratio)
        for name, dtype in TYPES.items():
            maps, regions = torch.tensor(features, dtype=dtype), torch.tensor(rois, dtype=dtype)
            for result in (
                ops.roi_align(maps, regions, scale, pooled, ratio),
                ops.roi_align(strided(maps), strided(regions), scale, pooled, ratio),
            ):
                error = largest_error(result, reference)
                context.value("largest error, %s" % name, error)
                expect(error < TOLERANCE[name], "off by %g at %s, %d, %s" % (error, pooled, ratio, name))


@check("RoIAlign backward equals finite differences")
def roi_align_backward(context):
    features, rois, scale = roi_problem()
    maps = torch.tensor(features, requires_grad=True)
    regions, pooled = torch.tensor(rois), (3, 2)
    weights = torch.tensor(np.random.RandomState(4).normal(size=(len(rois), 3) + pooled))
    (ops.roi_align(maps, regions, scale, pooled, 2) * strided(weights)).sum().backward()

    def score(values):
        return float((ops.roi_align(torch.tensor(values), regions, scale, pooled, 2) * weights).sum())

    step, difference = 1e-4, np.zeros_like(features)
    for index in np.ndindex(*features.shape):
        up, down = features.copy(), features.copy()
        up[index] += step
        down[index] -= step
        difference[index] = (score(up) - score(down)) / (2 * step)
    error = largest_error(maps.grad, difference)
    context.value("largest gradient", float(np.abs(difference).max()))
    context.value("largest error", error)
    expect(np.abs(difference).max() > 0.1, "the problem does not exercise the operator")
    expect(error < 1e-8, "gradient is off by %g" % error)


@check("RoIAlign of no regions, forward and backward")
def roi_align_empty(context):
    maps = torch.ones(1, 2, 4, 4, requires_grad=True)
    result = ops.roi_align(maps, torch.zeros(0, 5), 1.0, (2, 2), 2)
    expect(tuple(result.shape) == (0, 2, 2, 2), "shape is %s" % (tuple(result.shape),))
    result.sum().backward()
    expect(tuple(maps.grad.shape) == (1, 2, 4, 4) and not maps.grad.any(), "the gradient should be zero")


# -------------------------------------------------------------------------- all of them


@check("operators refuse what does not fit")
def refusals(context):
    boxes, scores, maps = torch.zeros(2, 4), torch.zeros(2), torch.zeros(1, 1, 4, 4)
    rois = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
    no_such_image = [[1.0, 0, 0, 2, 2], [-1.0, 0, 0, 2, 2]]
    no_such_box = [[0, 0, 0, float("nan"), 2], [0, 0, 0, 1e9, 2], [0, 2, 0, 1, 2]]
    calls = [
        (ops.box_iou, torch.zeros(2, 3), boxes),
        (ops.box_iou, boxes, torch.zeros(4)),
        (ops.box_iou, boxes.long(), boxes.long()),
        (ops.box_iou, boxes, boxes.double()),
        (ops.nms, torch.zeros(2, 5), scores, 0.5),
        (ops.nms, boxes, torch.zeros(3), 0.5),
        (ops.nms, boxes, torch.zeros(2, 1), 0.5),
        (ops.nms, boxes, scores.double(), 0.5),
        (ops.nms, boxes.half(), scores.half(), 0.5),
        (ops.nms, boxes, scores, 1.5),
        (ops.nms, boxes, scores, float("nan")),
        (ops.roi_align, maps[0], rois, 1.0, (2, 2)),
        (ops.roi_align, maps, rois[:, :4], 1.0, (2, 2)),
        (ops.roi_align, maps, rois.double(), 1.0, (2, 2)),
        (ops.roi_align, maps, rois, 0.0, (2, 2)),
        (ops.roi_align, maps, rois, 1.0, (0, 2)),
        (ops.roi_align, maps, rois, 1.0, (2, 2), -1),
        (ops.roi_align, torch.zeros(1, 1, 0, 4), rois, 1.0, (2, 2)),
        (ops.kernels.roi_align_backward, torch.zeros(2, 1, 2, 2), rois, 1.0, 1, 4, 4, 2),
        (ops.kernels.roi_align_backward, torch.zeros(1, 1, 2, 2), rois, 1.0, 0, 4, 4, 2),
    ]
    calls += [(ops.roi_align, maps, torch.tensor([roi]), 1.0, (2, 2)) for roi in no_such_image + no_such_box]
    context.value("wrong calls", len(calls))
    for number, (function, *arguments) in enumerate(calls):
        accepted = "wrong call %d, of %s, was accepted" % (number, function.__name__)
        expect(refuses(function, *arguments), accepted)


@check("torch.ops.skiff reaches the same operators", needs=["ops"])
def registered(context):
    random = np.random.RandomState(5)
    boxes, scores = torch.tensor(random_boxes(random, 30)), torch.tensor(random.uniform(size=30))
    features, rois, scale = roi_problem()
    maps, regions = torch.tensor(features), torch.tensor(rois)
    grad = torch.ones(len(rois), 3, 2, 2, dtype=torch.float64)
    library = torch.ops.skiff
    pairs = {
        "nms": (library.nms(boxes, scores, 0.5), ops.kernels.nms(boxes, scores, 0.5)),
        "box_iou": (library.box_iou(boxes, boxes), ops.kernels.box_iou(boxes, boxes)),
        "roi_align": (
            library.roi_align(maps, regions, scale, 2, 2, 2),
            ops.kernels.roi_align(maps, regions, scale, 2, 2, 2),
        ),
        "roi_align_backward": (
            library.roi_align_backward(grad, regions, scale, 2, 9, 7, 2),
            ops.kernels.roi_align_backward(grad, regions, scale, 2, 9, 7, 2),
        ),
    }
    for name, (one, other) in pairs.items():
        expect(torch.equal(one, other), "torch.ops.skiff.%s differs from skiff._C.%s" % (name, name))


@check("the wheel has CUDA operators when, and only when, it was built to have them")
def cuda_as_built(context):
    context.value("CUDA", ops.cuda_version())
    cuda = context.build.get("cuda")
    stated = cuda["version"] if cuda else "none"
    major, minor = ops.cuda_version() // 1000, ops.cuda_version() % 1000 // 10
    compiled = "%d.%d" % (major, minor) if ops.cuda_version() else "none"
    expect(compiled == stated, "compiled with CUDA %s, the wheel says %s" % (compiled, stated))


@check("box_iou on a GPU equals box_iou on the CPU")
def cuda_equals_cpu(context):
    if not ops.cuda_version():
        raise Skip("the wheel was built without CUDA")
    if not torch.cuda.is_available():
        raise Skip("no CUDA device is visible here")
    random = np.random.RandomState(6)
    for name, dtype in TYPES.items():
        a = torch.tensor(random_boxes(random, 300), dtype=dtype)
        b = torch.tensor(random_boxes(random, 70), dtype=dtype)
        error = largest_error(
            ops.box_iou(strided(a).cuda(), b.cuda()).cpu(), ops.box_iou(a, b).double().numpy()
        )
        context.value("largest error, " + name, error)
        expect(error <= TOLERANCE[name], "IoU differs by %g" % error)
    expect(tuple(ops.box_iou(a[:0].cuda(), b.cuda()).shape) == (0, 70), "no rows must give no rows")
