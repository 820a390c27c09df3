"""Training targets and losses of both stages."""

import torch
from torch.nn import functional

# Cells nearer to an object's centre than this share of its size predict its box.
POSITIVE_RADIUS = 0.2
# Width of the bump around a centre in the objectness target, as a share of the object's size.
BUMP_WIDTH = 0.16


def location_targets(points, boxes, stride):
    """What each cell should say about the `boxes` [N, 4] of its image; points [P, 2].

    Returns `heat` [P] (1 at the cell nearest to a centre, falling off around it), and
    `positive` [P] and `sides` [P, 4]: which cells predict a box, and its distances.
    """
    if len(boxes) == 0:
        nowhere = torch.zeros(len(points), dtype=torch.bool)
        return points.new_zeros(len(points)), nowhere, points.new_zeros(0, 4)
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    offset = (points[:, None] - centre) / size  # [P, N, 2], in object sizes
    heat = torch.exp(-(offset**2).sum(2) / (2 * BUMP_WIDTH**2))
    nearest_cell = ((points[:, None] - centre) ** 2).sum(2).argmin(0)
    heat[nearest_cell, torch.arange(len(boxes))] = 1.0
    heat, owner = heat.max(1)
    own_offset = offset[torch.arange(len(points)), owner]
    positive = (own_offset.abs().max(1).values < POSITIVE_RADIUS) | (heat == 1.0)
    own_box = boxes[owner[positive]]
    sides = torch.cat([points[positive] - own_box[:, :2], own_box[:, 2:] - points[positive]], dim=1)
    # The nearest cell's centre may lie outside a box thinner than the stride.
    return heat, positive, sides.clamp(min=stride / 8)


def heat_loss(logits, heat):
    """Penalty-reduced focal loss (CenterNet) of logits and targets [...], per object."""
    centre = (heat == 1.0).to(logits)
    chance = torch.sigmoid(logits)
    hit = (1 - chance) ** 2 * functional.logsigmoid(logits) * centre
    miss = (1 - heat) ** 4 * chance**2 * functional.logsigmoid(-logits) * (1 - centre)
    return -(hit + miss).sum() / centre.sum().clamp(min=1)


def sides_loss(predicted, wanted):
    """Mean of 1 - IoU of boxes around one point, given as distances [N, 4] to their sides."""
    if len(wanted) == 0:
        return predicted.sum()
    common = torch.minimum(predicted, wanted)
    intersection = (common[:, 0] + common[:, 2]) * (common[:, 1] + common[:, 3])
    union = _area(predicted) + _area(wanted) - intersection
    return (1 - intersection / union).mean()


def _area(sides):
    return (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])


def region_losses(logits, deltas, labels, wanted):
    """Cross entropy of logits [K, classes] and distance of deltas [K, 4] from `wanted`."""
    if len(labels) == 0:
        return logits.sum(), deltas.sum()
    distance = functional.smooth_l1_loss(deltas, wanted, reduction="none").sum(1).mean()
    # Deltas are shares of a box, hence small numbers: ten brings them level with the rest.
    return functional.cross_entropy(logits, labels), 10 * distance
