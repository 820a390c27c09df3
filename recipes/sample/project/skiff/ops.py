"""Python side of the operators: the compiled ones, or plain.py in a wheel that was packed without them.

All take CPU tensors of float32 or float64; `box_iou` takes tensors on a GPU too where it was
compiled for CUDA. Boxes are x1, y1, x2, y2 in pixels. Arguments that do not fit raise RuntimeError.
"""

from importlib.util import find_spec

# torch must be imported before the extension, which finds torch's libraries through it.
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# a compiled module that is there but does not load is a fault, and raises
if find_spec("skiff._C"):
    from . import _C as kernels
else:
    from . import plain as kernels


def version():
    """Version of the compiled code."""
    return kernels.version()


def cuda_version():
    """CUDA that the operators were compiled with (13000 for 13.0), 0 without CUDA."""
    return kernels.cuda_version()


def nms(boxes, scores, iou_threshold):
    """Indices int64 [K] of the boxes [N, 4] that greedy suppression keeps, best score first."""
    return kernels.nms(boxes, scores, float(iou_threshold))


def nms_per_class(boxes, scores, labels, iou_threshold):
    """As `nms`, but boxes [N, 4] suppress each other only when their labels [N] agree."""
    if boxes.numel() == 0:
        return nms(boxes, scores, iou_threshold)
    # Shift each class to a place of its own, where boxes of other classes cannot overlap it.
    span = boxes.max() - boxes.min() + 1
    return nms(boxes + (labels.to(boxes) * span)[:, None], scores, iou_threshold)


def box_iou(a, b):
    """IoU [N, M] of boxes `a` [N, 4] with boxes `b` [M, 4]."""
    return kernels.box_iou(a, b)


def roi_align(features, rois, spatial_scale, output_size, sampling_ratio=2):
    """Pool `rois` [K, 5] (image index, box) from `features` [B, C, H, W] -> [K, C, h, w].

    `output_size` is (h, w); `spatial_scale` turns pixels into feature cells (1/stride);
    `sampling_ratio` is the number of samples per bin and axis, 0 for one per cell.
    Differentiable once, for `features` only.
    """
    return _RoiAlign.apply(features, rois, float(spatial_scale), tuple(output_size), int(sampling_ratio))


class _RoiAlign(Function):
    @staticmethod
    def forward(ctx, features, rois, spatial_scale, output_size, sampling_ratio):
        ctx.save_for_backward(rois)
        ctx.geometry = (spatial_scale, features.shape, sampling_ratio)
        return kernels.roi_align(
            features, rois, spatial_scale, output_size[0], output_size[1], sampling_ratio
        )

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (rois,) = ctx.saved_tensors
        scale, (batch, _, height, width), sampling_ratio = ctx.geometry
        features_grad = kernels.roi_align_backward(grad, rois, scale, batch, height, width, sampling_ratio)
        return features_grad, None, None, None, None
