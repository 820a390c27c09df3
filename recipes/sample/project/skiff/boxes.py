"""Box arithmetic of the detector, in plain torch so that gradients flow through it.

Boxes are x1, y1, x2, y2 in pixels, always [N, 4] or [..., 4].
"""

import math

import torch

# A refinement cannot change a side by more than this factor, which keeps exp() finite.
MOST_GROWTH = 4.0


def cell_centres(height, width, stride):
    """Pixel coordinates x, y [height * width, 2] of the centres of a feature map's cells."""
    y = (torch.arange(height, dtype=torch.float32) + 0.5) * stride
    x = (torch.arange(width, dtype=torch.float32) + 0.5) * stride
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)


def from_sides(points, sides):
    """Boxes from points [..., 2] and distances to the left, top, right and bottom [..., 4]."""
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], dim=-1)


def centres_and_sizes(boxes):
    """Centres [N, 2] and widths and heights [N, 2]."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def encode(boxes, targets):
    """Shift (in box sizes) and log growth [N, 4] that turn `boxes` into `targets`."""
    centre, size = centres_and_sizes(boxes)
    target_centre, target_size = centres_and_sizes(targets)
    return torch.cat([(target_centre - centre) / size, torch.log(target_size / size)], dim=1)


def decode(boxes, deltas):
    """Apply what `encode` returns: the refined boxes [N, 4]."""
    centre, size = centres_and_sizes(boxes)
    limit = math.log(MOST_GROWTH)
    centre = centre + deltas[:, :2] * size
    half = size * torch.exp(deltas[:, 2:].clamp(-limit, limit)) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def clip(boxes, height, width):
    """Boxes cut off at the edges of an image of `height` and `width` pixels."""
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def jitter(boxes, noise):
    """Boxes moved and scaled by `noise` [N, 4], in box sizes: proposals near the truth."""
    return decode(boxes, noise)


def as_rois(boxes_per_image):
    """One [K, 5] table of image index and box from a list of [N, 4]."""
    rows = [
        torch.cat([boxes.new_full((len(boxes), 1), index), boxes], dim=1)
        for index, boxes in enumerate(boxes_per_image)
    ]
    return torch.cat(rows)
