"""Compiled ops that run on the CPU, against the same worked out with torch alone."""

import math

import mmcv
import torch
from harness import check, expect
from mmcv import ops


def generator(seed):
    return torch.Generator().manual_seed(seed)


def boxes(count, seed=0, size=60.0):
    """Boxes [count, 4] as x0, y0, x1, y1."""
    corner = size * torch.rand(count, 2, generator=generator(seed))
    return torch.cat([corner, corner + 5 + 25 * torch.rand(count, 2, generator=generator(seed + 1))], 1)


def overlaps(one, two):
    """Intersection, and union, of every pair: [one, two] each."""
    low = torch.max(one[:, None, :2], two[None, :, :2])
    high = torch.min(one[:, None, 2:], two[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (one, two)]
    return shared, areas[0][:, None] + areas[1][None] - shared


def corners(box):
    """Of a box as x, y, width, height, angle in radians: its four corners, in order."""
    x, y, width, height, angle = (float(value) for value in box)
    c, s = math.cos(angle), math.sin(angle)
    across, down = width / 2, height / 2
    half = [(-across, -down), (across, -down), (across, down), (-across, down)]
    return [(x + c * a - s * b, y + s * a + c * b) for a, b in half]


def area(polygon):
    pairs = zip(polygon, polygon[1:] + polygon[:1])
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs) / 2 if polygon else 0.0


def clipped(polygon, against):
    """What of a convex polygon lies in another one, by cutting it at each side."""
    for a, b in zip(against, against[1:] + against[:1]):

        def side(p, a=a, b=b):
            return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

        kept = []
        for p, q in zip(polygon, polygon[1:] + polygon[:1]):
            here, there = side(p), side(q)
            if here >= 0:
                kept.append(p)
            if here * there < 0:
                share = here / (here - there)
                kept.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
        polygon = kept
    return polygon


def turned(count, seed):
    """Turned boxes [count, 5]."""
    place = 40 * torch.rand(count, 2, generator=generator(seed))
    size = 8 + 20 * torch.rand(count, 2, generator=generator(seed + 1))
    angle = 6 * torch.rand(count, 1, generator=generator(seed + 2)) - 3
    return torch.cat([place, size, angle], 1)


def polygon_iou(one, two):
    shared = abs(area(clipped(one, two)))
    return shared / (abs(area(one)) + abs(area(two)) - shared)


@check("the compiled module says how it was made")
def compiled(context):
    context.value("version", mmcv.__version__)
    context.value("compiler", ops.get_compiler_version())
    context.value("CUDA that the ops were compiled with", ops.get_compiling_cuda_version())


@check("overlaps of boxes")
def bbox_overlaps(context):
    one, two = boxes(40), boxes(25, seed=5)
    shared, union = overlaps(one, two)
    error = float((ops.bbox_overlaps(one, two) - shared / union).abs().max())
    expect(error < 1e-5, "the IoU is off by %g" % error)
    share = shared / (one[:, 2:] - one[:, :2]).prod(1)[:, None]
    error = float((ops.bbox_overlaps(one, two, mode="iof") - share).abs().max())
    expect(error < 1e-5, "the share of the first is off by %g" % error)


@check("suppression keeps what the greedy rule keeps")
def nms(context):
    some = boxes(200, seed=7)
    scores = torch.rand(200, generator=generator(8))
    shared, union = overlaps(some, some)
    iou = shared / union
    for threshold in (0.3, 0.6):
        kept = []
        for number in scores.argsort(descending=True).tolist():
            if all(iou[number, other] <= threshold for other in kept):
                kept.append(number)
        found, index = ops.nms(some, scores, threshold)
        expect(index.tolist() == kept, "at %g other boxes are kept" % threshold)
        expect(torch.equal(found, torch.cat([some[kept], scores[kept, None]], 1)), "the boxes differ")


@check("soft suppression lowers scores by the overlap")
def soft_nms(context):
    some = boxes(60, seed=9)
    scores = 0.2 + 0.8 * torch.rand(60, generator=generator(10))
    shared, union = overlaps(some, some)
    iou = shared / union
    left, own = list(range(60)), scores.clone()
    kept, values = [], []
    while left:
        best = max(left, key=lambda number: float(own[number]))
        kept.append(best)
        values.append(float(own[best]))
        left.remove(best)
        for other in left:
            if iou[best, other] > 0.3:
                own[other] *= 1 - iou[best, other]
        left = [number for number in left if own[number] >= 0.05]
    found, index = ops.soft_nms(some, scores, 0.3, min_score=0.05, method="linear")
    expect(index.tolist() == kept, "other boxes are kept")
    expect(float((found[:, 4] - torch.tensor(values)).abs().max()) < 1e-5, "the scores differ")


@check("overlaps of turned boxes and of quadrilaterals")
def rotated(context):
    one, two = turned(20, 11), turned(15, 14)
    wanted = torch.tensor([[polygon_iou(corners(a), corners(b)) for b in two] for a in one])
    error = float((ops.box_iou_rotated(one, two) - wanted).abs().max())
    context.value("largest error of turned boxes", error)
    expect(error < 1e-3, "the IoU of turned boxes is off by %g" % error)
    flat = [torch.tensor([sum(corners(box), ()) for box in some]) for some in (one, two)]
    error = float((ops.box_iou_quadri(*flat) - wanted).abs().max())
    context.value("largest error of quadrilaterals", error)
    expect(error < 1e-3, "the IoU of quadrilaterals is off by %g" % error)


@check("suppression of turned boxes")
def nms_rotated(context):
    some = turned(50, 17)
    scores = torch.rand(50, generator=generator(18))
    kept = []
    for number in scores.argsort(descending=True).tolist():
        if all(polygon_iou(corners(some[number]), corners(some[other])) <= 0.3 for other in kept):
            kept.append(number)
    _, index = ops.nms_rotated(some, scores, 0.3)
    expect(index.tolist() == kept, "other boxes are kept")


def sampled(image, x, y):
    """A picture [channels, height, width] read between its pixels; their middles are at whole numbers."""
    height, width = image.shape[1:]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.floor().clamp(max=width - 2).long(), y.floor().clamp(max=height - 2).long()
    a, b = x - left, y - top
    rows = [image[:, top + down, left + right] for down in (0, 1) for right in (0, 1)]
    return rows[0] * (1 - a) * (1 - b) + rows[1] * a * (1 - b) + rows[2] * (1 - a) * b + rows[3] * a * b


@check("pooling of regions, and its gradient")
def roi_align(context):
    image = torch.randn(1, 3, 40, 50, generator=generator(19), dtype=torch.float64).requires_grad_()
    regions = torch.tensor([[0, 4.2, 6.1, 33.7, 30.4], [0, 10.0, 8.0, 20.0, 18.0]], dtype=torch.float64)
    found = ops.roi_align(image, regions, (4, 5), 0.5, 2, "avg", True)
    wanted = []
    for _, x0, y0, x1, y1 in regions.tolist():
        x0, y0, x1, y1 = (value * 0.5 - 0.5 for value in (x0, y0, x1, y1))
        across = x0 + (torch.arange(10, dtype=torch.float64) + 0.5) * (x1 - x0) / 10
        down = y0 + (torch.arange(8, dtype=torch.float64) + 0.5) * (y1 - y0) / 8
        y, x = down[:, None].expand(8, 10), across[None].expand(8, 10)
        wanted.append(sampled(image[0], x, y).view(3, 4, 2, 5, 2).mean((2, 4)))
    wanted = torch.stack(wanted)
    error = float((found - wanted).detach().abs().max())
    expect(error < 1e-9, "the values are off by %g" % error)
    weights = torch.randn(found.shape, generator=generator(20), dtype=torch.float64)
    own, plain = (torch.autograd.grad((value * weights).sum(), image)[0] for value in (found, wanted))
    error = float((own - plain).abs().max())
    context.value("largest error of the gradient", error)
    expect(error < 1e-9, "the gradient is off by %g" % error)


@check("a deformable convolution that does not deform, and one that moves by whole pixels")
def deform_conv(context):
    image = torch.randn(2, 4, 14, 17, generator=generator(21)).requires_grad_()
    weight = torch.randn(6, 4, 3, 3, generator=generator(22)).requires_grad_()
    still = torch.zeros(2, 18, 14, 17)
    mask = torch.full((2, 9, 14, 17), 0.5)
    plain = torch.nn.functional.conv2d(image, weight, padding=1)
    for name, found in (
        ("plain", ops.deform_conv2d(image, still, weight, 1, 1)),
        ("modulated", 2 * ops.modulated_deform_conv2d(image, still, mask, weight, None, 1, 1)),
    ):
        error = float((found - plain).detach().abs().max())
        expect(error < 1e-4, "the %s one is off by %g" % (name, error))
        gradients = zip(
            torch.autograd.grad(found.square().sum(), [image, weight]),
            torch.autograd.grad(plain.square().sum(), [image, weight], retain_graph=True),
        )
        worst = max(float((one - two).abs().max() / two.abs().max()) for one, two in gradients)
        context.value("largest relative error of a gradient, %s" % name, worst)
        expect(worst < 1e-4, "a gradient of the %s one is off by %g of the largest" % (name, worst))
    moved = still.clone()
    moved[:, 0::2], moved[:, 1::2] = 2, -3  # down, and to the left
    found = ops.deform_conv2d(image, moved, weight, 1, 1).detach()
    wanted = torch.nn.functional.conv2d(image.roll((-2, 3), (2, 3)), weight, padding=1).detach()
    error = float((found - wanted)[:, :, 1:-3, 4:-1].abs().max())
    expect(error < 1e-4, "moved by whole pixels it is off by %g" % error)


@check("points in boxes that stand turned on the ground")
def points_in_boxes(context):
    count = 500
    points = 10 * torch.rand(1, count, 3, generator=generator(23))
    some = torch.tensor([[5.0, 5.0, 2.0, 4.0, 3.0, 5.0, 0.6], [3.0, 7.0, 0.0, 2.0, 6.0, 9.0, -1.1]])
    found = ops.points_in_boxes_cpu(points, some[None])[0].bool()
    for number, (x, y, z, length, width, height, angle) in enumerate(some.tolist()):
        away = points[0] - torch.tensor([x, y, z])
        along = away[:, 0] * math.cos(angle) + away[:, 1] * math.sin(angle)
        across = -away[:, 0] * math.sin(angle) + away[:, 1] * math.cos(angle)
        inside = (along.abs() < length / 2) & (across.abs() < width / 2)
        inside &= (away[:, 2] >= 0) & (away[:, 2] <= height)
        expect(torch.equal(found[:, number], inside), "box %d has other points" % number)
    context.value("points in a box", int(found.any(1).sum()))


@check("points become the voxels that they lie in")
def voxels(context):
    points = 8 * torch.rand(300, 4, generator=generator(24))
    size, limits = [0.5, 1.0, 2.0], [0.0, 0.0, 0.0, 8.0, 8.0, 8.0]
    wanted = (points[:, :3] / torch.tensor(size)).floor().int().flip(1)  # z, y, x
    found = ops.voxelization(points, size, limits, -1, -1)
    expect(torch.equal(found.int(), wanted), "the places differ")
    held, places, counts = ops.voxelization(points, size, limits, 5, 400)
    expect(places.unique(dim=0).shape[0] == places.shape[0], "a voxel is there twice")
    expect(places.shape[0] == wanted.unique(dim=0).shape[0], "there are other voxels")
    there = (wanted[None] == places[:, None].int()).all(2).sum(1)
    expect(torch.equal(counts.int(), there.clamp(max=5).int()), "a voxel holds another number of points")
    expect(tuple(held.shape[1:]) == (5, 4), "a voxel has the shape %s" % (tuple(held.shape[1:]),))
