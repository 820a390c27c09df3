"""TridentNet's parts against the same worked out in another way."""

import torch
from detectron2.config import get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.structures import Boxes, Instances
from harness import check, expect
from tridentnet import add_tridentnet_config
from tridentnet.trident_conv import TridentConv
from tridentnet.trident_rcnn import merge_branch_instances

DILATIONS = (1, 2, 3)


def conv(test_branch=-1):
    """A layer with its own random weights, the same each time."""
    torch.manual_seed(3)
    return TridentConv(
        4,
        6,
        3,
        paddings=list(DILATIONS),
        dilations=list(DILATIONS),
        num_branch=3,
        test_branch_idx=test_branch,
    ).double()


def spread(weight, dilation):
    """The kernel that, without dilation, does what `weight` does with it: zeros between its numbers."""
    size = (weight.shape[2] - 1) * dilation + 1
    wide = weight.new_zeros(weight.shape[0], weight.shape[1], size, size)
    wide[:, :, ::dilation, ::dilation] = weight
    return wide


@check("the project's settings and models are known to Detectron2")
def known(context):
    cfg = get_cfg()
    add_tridentnet_config(cfg)
    expect(cfg.MODEL.TRIDENT.NUM_BRANCH == len(cfg.MODEL.TRIDENT.BRANCH_DILATIONS), "branches do not add up")
    for registry, name in (
        (BACKBONE_REGISTRY, "build_trident_resnet_backbone"),
        (PROPOSAL_GENERATOR_REGISTRY, "TridentRPN"),
        (ROI_HEADS_REGISTRY, "TridentRes5ROIHeads"),
        (ROI_HEADS_REGISTRY, "TridentStandardROIHeads"),
    ):
        expect(name in registry, "%s is not registered" % name)


@check("each branch convolves with the same weights, spread by its own dilation")
def branches(context):
    layer = conv().train()
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(2, 4, 13, 17, generator=generator, dtype=torch.float64) for _ in DILATIONS]
    found = layer(inputs)
    expect(len(found) == 3, "%d branches" % len(found))
    worst = 0.0
    for value, given, dilation in zip(found, inputs, DILATIONS):
        wanted = torch.nn.functional.conv2d(given, spread(layer.weight, dilation), padding=dilation)
        worst = max(worst, float((value - wanted).detach().abs().max()))
    context.value("largest error", worst)
    expect(worst < 1e-12, "off by %g" % worst)
    sum(value.sum() for value in found).backward()
    ones = torch.zeros_like(layer.weight).requires_grad_()
    sum(
        torch.nn.functional.conv2d(given, spread(ones, d), padding=d).sum()
        for given, d in zip(inputs, DILATIONS)
    ).backward()
    error = float((layer.weight.grad - ones.grad).abs().max())
    expect(error < 1e-9, "the gradient of the shared weights is off by %g" % error)


@check("for inference one branch is enough, and it is the one that was chosen")
def one_branch(context):
    given = torch.randn(1, 4, 9, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for chosen, dilation in enumerate(DILATIONS):
        layer = conv(chosen).eval()
        found = layer([given])
        wanted = torch.nn.functional.conv2d(given, spread(layer.weight, dilation), padding=dilation)
        expect(len(found) == 1, "%d outputs" % len(found))
        expect(float((found[0] - wanted).abs().max()) < 1e-12, "branch %d is another one" % chosen)


def overlap(one, other):
    """IoU of two boxes, given as lists."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def detections(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(count, 2, generator=generator)
    found = Instances((100, 100))
    found.pred_boxes = Boxes(
        torch.cat([corner, corner + 10 + 30 * torch.rand(count, 2, generator=generator)], 1)
    )
    found.scores = torch.rand(count, generator=generator)
    found.pred_classes = torch.randint(0, 2, (count,), generator=generator)
    return found


@check("what three branches find in two pictures is merged, without doubles")
def merged(context):
    rows = [detections(20, seed) for seed in range(6)]  # by branch, then by picture
    results = merge_branch_instances(rows, 3, 0.5, 15)
    expect(len(results) == 2, "%d results for two pictures" % len(results))
    for picture, result in enumerate(results):
        pool = [
            (float(score), box, int(label))
            for one in (rows[picture], rows[picture + 2], rows[picture + 4])
            for score, box, label in zip(one.scores, one.pred_boxes.tensor.tolist(), one.pred_classes)
        ]
        kept = []
        for score, box, label in sorted(pool, reverse=True):
            if all(label != other[2] or overlap(box, other[1]) <= 0.5 for other in kept):
                kept.append((score, box, label))
        wanted = [round(score, 6) for score, _, _ in kept[:15]]
        found = [round(float(score), 6) for score in result.scores]
        expect(found == wanted, "picture %d: %s instead of %s" % (picture, found, wanted))
    context.value("kept", ", ".join(str(len(result)) for result in results))
