"""The operators without compiled code: the same results, from torch's own operators.

Functions and arguments are those of the compiled module; they take CPU tensors, and are slower.
"""

import torch

from . import __version__


def version():
    """Version of this code."""
    return __version__


def cuda_version():
    """There is no CUDA in it."""
    return 0


def nms(boxes, scores, iou_threshold):
    """Indices int64 [K] of the boxes [N, 4] that greedy suppression keeps, best score first."""
    _check_table(boxes, "boxes", 4)
    _check_same_type(boxes, scores)
    _require(
        scores.dim() == 1 and len(scores) == len(boxes), "scores must have the shape [N] of as many boxes"
    )
    _require(0 <= iou_threshold <= 1, "iou_threshold must lie in 0..1, not %s" % iou_threshold)
    # NaN last, and equal scores in their order
    ranked = sorted(range(len(scores)), key=lambda i: (bool(scores[i].isnan()), -float(scores[i])))
    covers = _overlaps(boxes, boxes) > iou_threshold
    kept = []
    for candidate in ranked:
        if not bool(covers[kept, candidate].any()):
            kept.append(candidate)
    return torch.tensor(kept, dtype=torch.int64)


def box_iou(a, b):
    """IoU [N, M] of boxes `a` [N, 4] with boxes `b` [M, 4]."""
    _check_table(a, "a", 4)
    _check_table(b, "b", 4)
    _check_same_type(a, b)
    return _overlaps(a, b)


def roi_align(features, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio):
    """Pool `rois` [K, 5] from `features` [B, C, H, W] -> [K, C, pooled_height, pooled_width]."""
    _check_maps(features, "features", rois, spatial_scale, sampling_ratio)
    _require(pooled_height > 0 and pooled_width > 0, "the output size must be positive")
    batch, channels, height, width = features.shape
    result = features.new_zeros(len(rois), channels, pooled_height, pooled_width)
    for k, (image, x1, y1, x2, y2) in enumerate(_regions(rois, batch)):
        rows = _averages(y1, y2, spatial_scale, pooled_height, height, sampling_ratio, features)
        columns = _averages(x1, x2, spatial_scale, pooled_width, width, sampling_ratio, features)
        result[k] = rows @ features[image] @ columns.t()
    return result


def roi_align_backward(grad, rois, spatial_scale, batch, height, width, sampling_ratio):
    """Gradient [batch, C, height, width] of `roi_align` for its features."""
    _check_maps(grad, "grad", rois, spatial_scale, sampling_ratio)
    _require(len(grad) == len(rois), "grad must have one entry per roi")
    _require(batch >= 0 and height > 0 and width > 0, "the shape of the features must be positive")
    result = grad.new_zeros(batch, grad.shape[1], height, width)
    for k, (image, x1, y1, x2, y2) in enumerate(_regions(rois, batch)):
        rows = _averages(y1, y2, spatial_scale, grad.shape[2], height, sampling_ratio, grad)
        columns = _averages(x1, x2, spatial_scale, grad.shape[3], width, sampling_ratio, grad)
        result[image] += rows.t() @ grad[k] @ columns
    return result


def _overlaps(a, b):
    low, high = torch.max(a[:, None, :2], b[None, :, :2]), torch.min(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (a, b))
    both = area_a[:, None] + area_b[None, :] - common
    return torch.where(both > 0, common / both, torch.zeros_like(both))


def _averages(start, end, scale, bins, cells, sampling_ratio, like):
    """Weights [bins, cells] with which each bin of one axis averages the cells of that axis.

    A sample lies between two cells; its weights are zero more than one cell outside, and up to there the
    border value is repeated. Bilinear weights are products of those of the axes.
    """
    size = (end - start) * scale / bins
    samples = sampling_ratio or max(1, int(-(-size // 1)))
    position = start * scale - 0.5 + (torch.arange(bins * samples, dtype=like.dtype) + 0.5) * (size / samples)
    inside = (position >= -1) & (position <= cells)
    position = position.clamp(0, cells - 1)
    tents = 1 - (position[:, None] - torch.arange(cells, dtype=like.dtype)[None, :]).abs()
    weights = tents.clamp(min=0) * inside[:, None].to(like.dtype)
    return weights.reshape(bins, samples, cells).mean(dim=1)


def _regions(rois, batch):
    """Image, x1, y1, x2, y2 of each roi as numbers, once they make sense."""
    for roi in rois.tolist():
        _require(all(abs(value) < 1e7 for value in roi), "rois must be finite and below 1e7")
        image, x1, y1, x2, y2 = roi
        _require(0 <= image < batch, "rois name image %s of a batch of %d" % (image, batch))
        _require(x2 >= x1 and y2 >= y1, "rois must have x2 >= x1 and y2 >= y1")
        yield int(image), x1, y1, x2, y2


def _check_maps(maps, name, rois, spatial_scale, sampling_ratio):
    _check_floating(maps, name)
    _require(maps.dim() == 4, "%s must have four dimensions, not %d" % (name, maps.dim()))
    _require(maps.shape[2] > 0 and maps.shape[3] > 0, "%s must have a height and a width" % name)
    _check_table(rois, "rois", 5)
    _check_same_type(maps, rois)
    _require(spatial_scale > 0, "spatial_scale must be positive, not %s" % spatial_scale)
    _require(sampling_ratio >= 0, "sampling_ratio must not be negative")


def _check_table(tensor, name, columns):
    _check_floating(tensor, name)
    fits = tensor.dim() == 2 and tensor.shape[1] == columns
    _require(fits, "%s must have the shape [N, %d]" % (name, columns))


def _check_floating(tensor, name):
    _require(tensor.device.type == "cpu", "%s must be on the CPU" % name)
    _require(tensor.dtype in (torch.float32, torch.float64), "%s must be float32 or float64" % name)


def _check_same_type(a, b):
    _require(a.dtype == b.dtype, "arguments must have the same dtype")


def _require(condition, message):
    if not condition:
        raise RuntimeError(message)
