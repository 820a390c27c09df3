"""Checks of the CUDA operators: there when the wheel was built to have them, equal to those of the CPU."""

import torch
from check_ops import expect_exact, largest_difference, pooling_case, random_boxes, seeded
from harness import Skip, check, expect

TOLERANCE = 1e-4  # float32, summed in another order


def require_gpu():
    """Leave the check, with the reason, where the CUDA operators cannot be run."""
    from detectron2 import _C

    if "not available" in _C.get_cuda_version():
        raise Skip("the extension was built without CUDA")
    if not torch.cuda.is_available():
        raise Skip("no CUDA device is visible here")


def agree(context, name, on_cpu, on_gpu):
    """Record and bound the largest difference between two results."""
    error = largest_difference(on_gpu.detach().cpu(), on_cpu.detach())
    scale = max(1.0, float(on_cpu.detach().abs().max())) if on_cpu.numel() else 1.0
    context.value(name, error)
    expect(error <= TOLERANCE * scale, "%s differs by %.2g" % (name, error))


def with_gradients(function, *inputs):
    """Return function(*inputs) and the gradients of the sum of its squares for the floating inputs."""
    leaves = [value.detach().clone().requires_grad_() for value in inputs]
    output = function(*leaves)
    output.pow(2).sum().backward()
    return [output] + [leaf.grad for leaf in leaves]


@check("CUDA operators: compiled in when, and only when, the wheel was built to have them", needs=["ops"])
def cuda_as_built(context):
    from detectron2 import _C

    found = _C.get_cuda_version()
    context.value("CUDA", found)
    cuda = context.build.get("cuda")
    stated = cuda["version"] if cuda else "not available"
    # the first releases leave the word out
    compiled = found.replace("CUDA ", "")
    expect(compiled == stated, "the wheel says CUDA %s, its operators %s" % (stated, found))


@check("CUDA operators: rotated IoU and NMS equal those of the CPU", needs=["ops", "rotated"])
def cuda_rotated_boxes(context):
    from detectron2.layers import nms_rotated
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    require_gpu()
    generator = seeded(7)
    for count in (0, 1, 200, 3000):
        boxes = random_boxes(count, generator, spread=10.0 * max(1, count) ** 0.5).float()
        scores = torch.rand(count, generator=generator)
        some = boxes[:300]
        agree(
            context,
            "IoU of %d" % count,
            pairwise_iou_rotated(boxes, some),
            pairwise_iou_rotated(boxes.cuda(), some.cuda()),
        )
        kept = nms_rotated(boxes, scores, 0.5).tolist()
        expect(
            kept == nms_rotated(boxes.cuda(), scores.cuda(), 0.5).tolist(), "NMS of %d boxes differs" % count
        )
        context.value("kept of %d" % count, len(kept))


@check("CUDA operators: rotated IoU of boxes that meet, against polygon clipping", needs=["ops", "rotated"])
def cuda_rotated_iou_touching(context):
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    require_gpu()
    expect_exact(context, pairwise_iou_rotated, "cuda")


@check(
    "CUDA operators: rotated RoIAlign, forward and backward, equals that of the CPU", needs=["ops", "rotated"]
)
def cuda_roi_align_rotated(context):
    from detectron2.layers import ROIAlignRotated

    require_gpu()
    images, rois, size, scale, samples = pooling_case()
    pool = ROIAlignRotated(size, scale, samples)
    on_cpu = with_gradients(lambda features: pool(features, rois.float()), images.float())
    on_gpu = with_gradients(lambda features: pool(features, rois.float().cuda()), images.float().cuda())
    for name, one, other in zip(("output", "gradient"), on_cpu, on_gpu):
        agree(context, name, one, other)


@check("CUDA operators: RoIAlign, forward and backward, equals that of the CPU", needs=["ops"])
def cuda_roi_align(context):
    from detectron2.layers import ROIAlign

    require_gpu()
    generator = seeded(8)
    images = torch.rand(2, 3, 20, 24, generator=generator)
    corners = torch.rand(40, 2, generator=generator) * 60
    sizes = 4 + torch.rand(40, 2, generator=generator) * 40
    indices = (torch.arange(40) % 2).float()[:, None]
    rois = torch.cat([indices, corners, corners + sizes], dim=1)
    pool = ROIAlign((5, 4), 0.25, 2, aligned=True)
    on_cpu = with_gradients(lambda features: pool(features, rois), images)
    on_gpu = with_gradients(lambda features: pool(features, rois.cuda()), images.cuda())
    for name, one, other in zip(("output", "gradient"), on_cpu, on_gpu):
        agree(context, name, one, other)


@check(
    "CUDA operators: deformable convolution, plain and modulated, equals torchvision's on the CPU",
    needs=["ops"],
)
def cuda_deform_conv(context):
    from detectron2.layers.deform_conv import deform_conv, modulated_deform_conv
    from torchvision.ops import deform_conv2d

    require_gpu()
    generator = seeded(9)
    images = torch.rand(2, 4, 11, 9, generator=generator)
    offset = torch.randn(2, 2 * 9, 11, 9, generator=generator)
    weight = torch.randn(6, 4, 3, 3, generator=generator)
    names = ("output", "image gradient", "offset gradient", "weight gradient", "mask gradient")
    on_cpu = with_gradients(lambda x, o, w: deform_conv2d(x, o, w, padding=1), images, offset, weight)
    on_gpu = with_gradients(
        lambda x, o, w: deform_conv(x, o, w, 1, 1, 1, 1, 1), images.cuda(), offset.cuda(), weight.cuda()
    )
    for name, one, other in zip(names, on_cpu, on_gpu):
        agree(context, "plain, " + name, one, other)

    mask = torch.rand(2, 9, 11, 9, generator=generator)
    on_cpu = with_gradients(
        lambda x, o, w, m: deform_conv2d(x, o, w, padding=1, mask=m), images, offset, weight, mask
    )
    on_gpu = with_gradients(
        lambda x, o, w, m: modulated_deform_conv(x, o, m, w, None, 1, 1, 1, 1, 1),
        images.cuda(),
        offset.cuda(),
        weight.cuda(),
        mask.cuda(),
    )
    for name, one, other in zip(names, on_cpu, on_gpu):
        agree(context, "modulated, " + name, one, other)
