"""A two-stage, anchor-free detector small enough to train on two CPU cores in seconds.

The first stage marks object centres on a stride-8 map and predicts a box at each, the
second classifies and refines the boxes from features pooled with the compiled roi_align.
"""

import torch
from torch import nn
from torch.nn import functional

from . import boxes as geometry
from . import losses, ops

CENTRE_STRIDE = 8
REGION_STRIDE = 4
POOLED = (6, 6)
MOST_CENTRES = 20  # candidates per image that reach the second stage
LEAST_OBJECTNESS = 0.05
NMS_IOU = 0.5
JITTERS = 4  # proposals per true box in training
JITTER = 0.12  # their standard deviation, in box sizes


def block(inputs, outputs, stride=1):
    """3x3 convolution, normalised over groups: small batches make batch statistics noisy."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(4, outputs),
        nn.ReLU(inplace=True),
    )


class Backbone(nn.Module):
    """Images [B, 3, H, W] -> features [B, C, H/4, W/4] and [B, C, H/8, W/8]."""

    def __init__(self, channels):
        super().__init__()
        self.to_4 = nn.Sequential(block(3, 16, stride=2), block(16, 24, stride=2))
        self.to_8 = nn.Sequential(block(24, 32, stride=2), block(32, 32))
        self.to_16 = nn.Sequential(block(32, 48, stride=2), block(48, 48))
        self.side_4 = nn.Conv2d(24, channels, 1)
        self.side_8 = nn.Conv2d(32, channels, 1)
        self.side_16 = nn.Conv2d(48, channels, 1)

    def forward(self, images):
        fine = self.to_4(images)
        middle = self.to_8(fine)
        coarse = self.side_16(self.to_16(middle))
        middle = self.side_8(middle) + functional.interpolate(coarse, scale_factor=2.0)
        fine = self.side_4(fine) + functional.interpolate(middle, scale_factor=2.0)
        return fine, middle


class CentreHead(nn.Module):
    """Features [B, C, h, w] -> centre logits [B, h * w] and box sides in pixels [B, h * w, 4]."""

    def __init__(self, channels):
        super().__init__()
        self.shared = block(channels, channels)
        self.predict = nn.Conv2d(channels, 5, 1)
        # Start from "hardly any cell is a centre", so that empty cells do not swamp the loss.
        nn.init.constant_(self.predict.bias[:1], -3.0)

    def forward(self, features):
        values = self.predict(self.shared(features)).flatten(2).transpose(1, 2)
        # Bounded: exp() of an early, wild value would overflow.
        sides = torch.exp(values[..., 1:].clamp(-3, 3)) * CENTRE_STRIDE * 2
        return values[..., 0], sides


class RegionHead(nn.Module):
    """Features [B, C, h, w] and rois [K, 5] -> class logits [K, classes], deltas [K, 4]."""

    def __init__(self, channels, classes):
        super().__init__()
        self.reduce = block(channels, channels)
        self.hidden = nn.Linear(channels * POOLED[0] * POOLED[1], 64)
        self.classify = nn.Linear(64, classes)
        self.refine = nn.Linear(64, 4)

    def forward(self, features, rois):
        pooled = ops.roi_align(self.reduce(features), rois, 1.0 / REGION_STRIDE, POOLED)
        hidden = functional.relu(self.hidden(pooled.flatten(1)))
        return self.classify(hidden), self.refine(hidden)


class Detector(nn.Module):
    """`losses` for training, call for inference.

    Images are float [B, 3, H, W] in 0..1, H and W multiples of 16. Targets are one dict
    per image with `boxes` float [N, 4] and `labels` int64 [N].
    """

    def __init__(self, classes, channels=32):
        super().__init__()
        self.backbone = Backbone(channels)
        self.centres = CentreHead(channels)
        self.regions = RegionHead(channels, classes)

    def losses(self, images, targets, random):
        """Dict of scalar losses; `random` is a numpy RandomState for the proposals' jitter."""
        fine, middle = self.backbone((images - 0.5) / 0.25)
        logits, sides = self.centres(middle)
        points = geometry.cell_centres(middle.shape[2], middle.shape[3], CENTRE_STRIDE)
        heat, box = _centre_losses(points, logits, sides, targets)
        proposals, labels, wanted = _jittered(targets, random)
        region_logits, deltas = self.regions(fine, geometry.as_rois(proposals))
        label, refinement = losses.region_losses(region_logits, deltas, labels, wanted)
        return {"centre": heat, "box": box, "label": label, "refinement": refinement}

    @torch.no_grad()
    def forward(self, images):
        """One dict per image: boxes [N, 4], scores [N] in 0..1 falling, labels int64 [N]."""
        fine, middle = self.backbone((images - 0.5) / 0.25)
        logits, sides = self.centres(middle)
        points = geometry.cell_centres(middle.shape[2], middle.shape[3], CENTRE_STRIDE)
        extent = images.shape[2:]
        found = [_candidates(points, *each, extent) for each in zip(torch.sigmoid(logits), sides)]
        rois = geometry.as_rois([boxes for boxes, _ in found])
        region_logits, deltas = self.regions(fine, rois)
        counts = [len(boxes) for boxes, _ in found]
        return [
            _second_stage(*each, extent)
            for each in zip(found, region_logits.softmax(1).split(counts), deltas.split(counts))
        ]


def _centre_losses(points, logits, sides, targets):
    """Losses of the first stage over a batch: centre map and boxes."""
    goals = [losses.location_targets(points, target["boxes"], CENTRE_STRIDE) for target in targets]
    heat = torch.stack([goal[0] for goal in goals])
    positive = torch.stack([goal[1] for goal in goals])
    wanted = torch.cat([goal[2] for goal in goals])
    return losses.heat_loss(logits, heat), losses.sides_loss(sides[positive], wanted)


def _jittered(targets, random):
    """Proposals per image near the true boxes, all their labels [K], and deltas [K, 4] to the truth."""
    truths = [target["boxes"].repeat(JITTERS, 1) for target in targets]
    labels = torch.cat([target["labels"].repeat(JITTERS) for target in targets])
    proposals = []
    for truth in truths:
        noise = torch.from_numpy(random.normal(0, JITTER, size=(len(truth), 4))).to(truth)
        proposals.append(geometry.jitter(truth, noise))
    return proposals, labels, geometry.encode(torch.cat(proposals), torch.cat(truths))


def _candidates(points, chances, sides, extent):
    """Boxes [K, 4] and objectness [K] of the likeliest centres of one image, after NMS."""
    scores, cells = chances.topk(min(MOST_CENTRES, len(chances)))
    cells = cells[scores > LEAST_OBJECTNESS]
    boxes = geometry.clip(geometry.from_sides(points[cells], sides[cells]), *extent)
    kept = ops.nms(boxes, chances[cells], NMS_IOU)
    return boxes[kept], chances[cells][kept]


def _second_stage(candidates, chances, deltas, extent):
    """Detections of one image from its candidates, class chances [K, classes] and deltas [K, 4]."""
    boxes, objectness = candidates
    boxes = geometry.clip(geometry.decode(boxes, deltas), *extent)
    best, labels = chances.max(1)
    scores = objectness * best
    kept = ops.nms_per_class(boxes, scores, labels, NMS_IOU)
    return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}
