"""Checks of the compiled operators against values computed another way."""

import contextlib
import inspect
import io
import math

import numpy as np
import torch
from harness import Skip, check, expect
from reference import roi_align_rotated, rotated_iou, rotated_nms

torch.set_num_threads(1)  # see small.py


def random_boxes(count, generator, spread=40.0):
    """Return count rotated boxes (x, y, width, height, degrees) as a float64 tensor."""
    unit = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    low = torch.tensor([0.0, 0.0, 4.0, 4.0, -180.0], dtype=torch.float64)
    high = torch.tensor([spread, spread, 30.0, 30.0, 180.0], dtype=torch.float64)
    return low + unit * (high - low)


def largest_difference(one, other):
    """Return the largest absolute difference of two equally shaped arrays or tensors."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    expect(one.shape == other.shape, "shapes differ: %s and %s" % (one.shape, other.shape))
    return float(np.abs(one - other).max()) if one.size else 0.0


def as_compared(boxes, features):
    """Return a list of rotated boxes as the release's IoU sees them.

    v0.1 and v0.1.1 turn boxes clockwise in IoU and NMS, against their own documentation.
    """
    turn = 1 if "counter_clockwise_iou" in features else -1
    return [[x, y, width, height, turn * degrees] for x, y, width, height, degrees in boxes.tolist()]


def seeded(seed=0):
    """Return a torch random generator with a fixed seed."""
    return torch.Generator().manual_seed(seed)


@check("compiled extension: loads and names its compiler", needs=["ops"])
def extension_loads(context):
    from detectron2 import _C

    context.value("compiler", _C.get_compiler_version())
    context.value("cuda", _C.get_cuda_version())
    expect(_C.get_compiler_version(), "the extension does not name its compiler")


@check("rotated IoU: cases with a closed form", needs=["rotated"])
def rotated_iou_closed_form(context):
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    # A square of side 2 and itself turned by 45 degrees meet in a regular octagon of inradius 1.
    octagon = 8 * (math.sqrt(2) - 1)
    square = [10.0, 10.0, 2.0, 2.0, 0.0]
    cases = [
        ("identical", square, 1.0),
        ("turned by 90 degrees", [10.0, 10.0, 2.0, 2.0, 90.0], 1.0),
        ("turned by 45 degrees", [10.0, 10.0, 2.0, 2.0, 45.0], octagon / (8 - octagon)),
        ("shifted by half", [11.0, 10.0, 2.0, 2.0, 0.0], 1.0 / 3.0),
        ("contained", [10.0, 10.0, 1.0, 1.0, 30.0], 0.25),
        ("disjoint", [20.0, 10.0, 2.0, 2.0, 45.0], 0.0),
    ]
    found = pairwise_iou_rotated(torch.tensor([square]), torch.tensor([box for _, box, _ in cases]))[0]
    errors = [abs(float(value) - truth) for value, (_, _, truth) in zip(found, cases)]
    context.value("largest error", max(errors))
    for error, (name, _, truth) in zip(errors, cases):
        expect(error < 1e-5, "%s: IoU should be %.6f and is off by %.2g" % (name, truth, error))


@check("rotated IoU: 60 x 40 random boxes against polygon clipping", needs=["rotated"])
def rotated_iou_random(context):
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    generator = seeded(1)
    # Rounded to float32 first, so that the reference sees the numbers that the operator sees.
    ones, others = random_boxes(60, generator).float(), random_boxes(40, generator).float()
    found = pairwise_iou_rotated(ones, others)
    columns = as_compared(others, context.features)
    truth = [[rotated_iou(one, other) for other in columns] for one in as_compared(ones, context.features)]
    error = largest_difference(found, truth)
    context.value("largest error", error)
    context.value("overlapping pairs", int((found > 0.05).sum()))
    expect(int((found > 0.05).sum()) > 100, "too few overlapping pairs to mean anything")
    expect(error < 1e-5, "IoU is off by %.2g" % error)


# Pairs with edges on one line or corners that meet. Each was wrong, by 0.06 to 3, in some release as
# upstream wrote it, on the CPU or a GPU (docs/rotated-iou.md).
TOUCHING = [
    ((20, 136, 8, 32, 10), (20, 136, 8, 8, 10)),
    ((100, 32, 40, 24, -135), (92, 40, 32, 24, 45)),
    ((96, 128, 24, 16, -60), (76, 136, 32, 32, -120)),
    ((84, 108, 24, 24, 60), (96, 104, 24, 8, -60)),
    ((12, 16, 8, 40, -45), (-4.97056293, 32.970562, 24, 8, 45)),
    ((0, 8, 32, 40, 135), (5.65685415, 2.34314585, 32, 24, 315)),
    ((12, 24, 32, 48, -45), (8, 20, 48, 24, -135)),
    ((64, 68, 48, 8, 125.340614), (64, 68, 8, 48, 215.340607)),
    ((60, 8, 8, 8, 79.3000031), (60, 8, 8, 8, 349.299988)),
    ((0.5, 0.5, 0.001, 0.001, 30), (0.5, 0.5, 0.001, 0.001, 30)),
]


def touching_boxes(generator, count=1500):
    """Return TOUCHING and `count` more pairs of its kind as two float32 tensors of boxes, row by row."""
    draw = torch.randint(0, 1 << 20, (count, 10), generator=generator).tolist()
    ones, others = [list(one) for one, _ in TOUCHING], [list(other) for _, other in TOUCHING]
    for x, y, width, height, angle, broad, high, turn, along, down in draw:
        one = [4 * (x % 24), 4 * (y % 24), 8 * (1 + width % 6), 8 * (1 + height % 6), angle % 3600 / 10 - 180]
        other = [0, 0, 8 * (1 + broad % 6), 8 * (1 + high % 6), one[4] + 90 * (turn % 4)]
        # the other's centre lies where, at the same angle, edges or corners meet
        u = (along % 3 - 1) * (one[2] + (along // 3 % 3 - 1) * other[2]) / 2
        v = (down % 3 - 1) * (one[3] + (down // 3 % 3 - 1) * other[3]) / 2
        cosine, sine = math.cos(math.radians(one[4])), math.sin(math.radians(one[4]))
        other[:2] = [one[0] + cosine * u + sine * v, one[1] - sine * u + cosine * v]
        ones.append(one)
        others.append(other)
    return torch.tensor(ones, dtype=torch.float32), torch.tensor(others, dtype=torch.float32)


def expect_exact(context, iou, device="cpu"):
    """Check `iou(ones, others)` of touching boxes on `device`, pair by pair, against polygon clipping."""
    ones, others = touching_boxes(seeded(11))
    found = [
        float(iou(one.to(device), other.to(device))[0, 0])
        for one, other in zip(ones.split(1), others.split(1))
    ]
    pairs = zip(as_compared(ones, context.features), as_compared(others, context.features))
    truth = [rotated_iou(one, other) for one, other in pairs]
    errors = [abs(value - exact) for value, exact in zip(found, truth)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    context.value("pairs", len(errors))
    context.value("largest error", errors[worst])
    wrong = sum(error > 1e-3 for error in errors)
    expect(
        not wrong,
        "%d of %d pairs are wrong; %s and %s give %.4f, exactly %.4f. Upstream's arithmetic does so where "
        "edges lie on one line; the recipe's substitutions mend it"
        % (wrong, len(errors), ones[worst].tolist(), others[worst].tolist(), found[worst], truth[worst]),
    )


@check("rotated IoU: boxes whose edges or corners meet, against polygon clipping", needs=["rotated"])
def rotated_iou_touching(context):
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    expect_exact(context, pairwise_iou_rotated)


@check("rotated NMS: against a greedy reference", needs=["rotated"])
def rotated_nms_greedy(context):
    from detectron2.layers import nms_rotated

    generator = seeded(2)
    boxes = random_boxes(80, generator, spread=8.0).float()
    scores = torch.rand(80, generator=generator)
    for threshold in (0.2, 0.4, 0.6):
        kept = nms_rotated(boxes, scores, threshold).tolist()
        truth = rotated_nms(as_compared(boxes, context.features), scores.tolist(), threshold)
        context.value("kept at %.1f" % threshold, "%d of 80" % len(kept))
        expect(0 < len(truth) < 80, "the threshold %.1f suppresses nothing or everything" % threshold)
        expect(kept == truth, "at %.1f kept %s instead of %s" % (threshold, kept, truth))


@check("rotated NMS by class: classes do not suppress each other", needs=["rotated"])
def rotated_nms_by_class(context):
    from detectron2.layers import batched_nms_rotated

    generator = seeded(3)
    boxes = random_boxes(60, generator, spread=20.0).float()
    scores, classes = torch.rand(60, generator=generator), torch.arange(60) % 3
    kept = batched_nms_rotated(boxes, scores, classes, 0.3).tolist()
    truth = []
    for label in range(3):
        members = [i for i in range(60) if i % 3 == label]
        chosen = rotated_nms(as_compared(boxes[members], context.features), scores[members].tolist(), 0.3)
        truth.extend(members[i] for i in chosen)
    truth.sort(key=lambda i: -float(scores[i]))
    context.value("kept", "%d of 60" % len(kept))
    expect(kept == truth, "kept %s instead of %s" % (kept, truth))


def pooling_case():
    """Return images (2, 3, 14, 18), rotated RoIs, output size, scale and samples, all float64."""
    generator = seeded(4)
    images = torch.rand(2, 3, 14, 18, generator=generator, dtype=torch.float64)
    rois = torch.tensor(
        [
            [0, 18.0, 14.0, 12.0, 8.0, 0.0],
            [1, 17.0, 13.0, 16.0, 10.0, 30.0],
            [0, 20.0, 10.0, 9.0, 14.0, -75.0],
            [1, 2.0, 3.0, 14.0, 12.0, 120.0],  # partly outside
            [0, 70.0, 70.0, 6.0, 6.0, 45.0],  # wholly outside
        ],
        dtype=torch.float64,
    )
    return images, rois, (3, 4), 0.5, 2


@check("rotated RoIAlign forward: against bilinear sampling in numpy", needs=["rotated"])
def roi_align_rotated_forward(context):
    from detectron2.layers import ROIAlignRotated

    images, rois, size, scale, samples = pooling_case()
    pool = ROIAlignRotated(size, scale, samples)
    truth = roi_align_rotated(images.numpy(), rois.numpy(), size, scale, samples)
    double = largest_difference(pool(images, rois), truth)
    single = largest_difference(pool(images.float(), rois.float()), truth)
    context.value("largest error float64", double)
    context.value("largest error float32", single)
    expect(double < 1e-9, "float64 result is off by %.2g" % double)
    expect(single < 1e-4, "float32 result is off by %.2g" % single)
    expect(not (pool(images, rois)[4] != 0).any(), "a RoI outside the image is not pooled to zero")


@check("rotated RoIAlign backward: against finite differences", needs=["rotated"])
def roi_align_rotated_backward(context):
    from detectron2.layers import ROIAlignRotated

    images, rois, size, scale, samples = pooling_case()
    images = images[:, :1].clone().requires_grad_()
    pool = ROIAlignRotated(size, scale, samples)
    weights = torch.rand(len(rois), 1, size[0], size[1], generator=seeded(5), dtype=torch.float64)
    (pool(images, rois) * weights).sum().backward()

    flat = images.detach().clone().view(-1)
    truth, step = torch.zeros_like(flat), 1e-3
    for index in range(len(flat)):
        values = []
        for sign in (1, -1):
            moved = flat.clone()
            moved[index] += sign * step
            values.append(float((pool(moved.view_as(images), rois) * weights).sum()))
        truth[index] = (values[0] - values[1]) / (2 * step)
    error = largest_difference(images.grad.view(-1), truth)
    context.value("largest error", error)
    expect(float(truth.abs().max()) > 0.1, "the gradient is too small to mean anything")
    expect(error < 1e-8, "gradient is off by %.2g" % error)


@check("rotated RoIAlign at angle 0: equal to torchvision's RoIAlign", needs=["rotated"])
def roi_align_unrotated(context):
    from detectron2.layers import ROIAlignRotated
    from torchvision.ops import roi_align

    if "aligned" not in inspect.signature(roi_align).parameters:
        raise Skip("this torchvision has no RoIAlign with aligned pixel centres")
    images, rois, size, scale, samples = pooling_case()
    rois = rois[:4].clone()
    rois[:, 5] = 0
    upright = torch.cat(
        [rois[:, :1], rois[:, 1:3] - rois[:, 3:5] / 2, rois[:, 1:3] + rois[:, 3:5] / 2], dim=1
    )
    truth = roi_align(images, upright, size, scale, samples, aligned=True)
    error = largest_difference(ROIAlignRotated(size, scale, samples)(images, rois), truth)
    context.value("largest error", error)
    expect(error < 1e-9, "off by %.2g" % error)


@check("compiled operators: empty inputs", needs=["rotated"])
def empty_inputs(context):
    from detectron2.layers import ROIAlignRotated, batched_nms_rotated, nms_rotated
    from detectron2.layers.rotated_boxes import pairwise_iou_rotated

    none, some = torch.zeros(0, 5), torch.tensor([[5.0, 5.0, 4.0, 2.0, 10.0]])
    for one, other in ((none, some), (some, none), (none, none)):
        shape = tuple(pairwise_iou_rotated(one, other).shape)
        expect(
            shape == (len(one), len(other)),
            "IoU of %d and %d boxes has shape %s" % (len(one), len(other), shape),
        )
    expect(len(nms_rotated(none, torch.zeros(0), 0.5)) == 0, "NMS of nothing kept something")
    kept = batched_nms_rotated(none, torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5)
    expect(len(kept) == 0, "NMS by class of nothing kept something")

    images = torch.rand(1, 2, 8, 8, requires_grad=True)
    pooled = ROIAlignRotated((3, 3), 1.0, 2)(images, torch.zeros(0, 6))
    expect(tuple(pooled.shape) == (0, 2, 3, 3), "pooling no RoI gives shape %s" % (tuple(pooled.shape),))
    pooled.sum().backward()
    expect(not (images.grad != 0).any(), "pooling no RoI has a gradient")


@check("deformable convolution on the CPU: against shifted ordinary convolutions", needs=["deform_conv_cpu"])
def deform_conv_cpu(context):
    from detectron2.layers import DeformConv

    torch.manual_seed(6)
    layer = DeformConv(3, 5, kernel_size=3, padding=1)
    image = torch.rand(1, 3, 9, 11)
    shape, errors = (1, 18, 9, 11), []
    with torch.no_grad():
        ordinary = torch.nn.functional.conv2d(image, layer.weight, padding=1)
        errors.append(largest_difference(layer(image, torch.zeros(shape)), ordinary))
        down_by_two = torch.zeros(shape)
        down_by_two[:, 0::2] = 2.0  # offsets are (y, x) pairs, one for each kernel position
        shifted = torch.nn.functional.pad(image, (0, 0, 0, 2))[:, :, 2:]
        truth = torch.nn.functional.conv2d(shifted, layer.weight, padding=1)
        # The first row differs: an offset can reach back into what the shift has cut off.
        errors.append(largest_difference(layer(image, down_by_two)[:, :, 1:], truth[:, :, 1:]))
    context.value("largest error", max(errors))
    expect(max(errors) < 1e-5, "off by %.2g" % max(errors))


def synthetic_detections(seed, images=12, per_image=7):
    """Return COCO-style ground truth and scored detections with near hits, misses and false alarms."""
    random = np.random.RandomState(seed)
    truth, found = [], []
    for image in range(1, images + 1):
        for _ in range(per_image):
            x, y, width, height = random.uniform(0, 300), random.uniform(0, 300), *random.uniform(8, 150, 2)
            label, crowd = int(random.randint(1, 4)), int(random.rand() < 0.1)
            truth.append(annotation(len(truth) + 1, image, label, [x, y, width, height], iscrowd=crowd))
            for _ in range(random.randint(0, 3)):
                moved = (np.array([x, y, width, height]) + random.normal(0, 0.08 * width, 4)).clip(1).tolist()
                near = label if random.rand() < 0.9 else 1 + label % 3
                # Two decimals, so that equal scores occur and the order of ties matters.
                found.append(annotation(None, image, near, moved, score=round(float(random.rand()), 2)))
    return truth, found


def annotation(identifier, image, label, box, **more):
    """Return one COCO annotation, or detection when `identifier` is None."""
    entry = {"image_id": image, "category_id": label, "bbox": [float(value) for value in box]}
    if identifier is not None:
        entry.update(id=identifier, area=float(box[2] * box[3]))
    entry.update(more)
    return entry


def coco_index(truth):
    """Return a pycocotools COCO object over synthetic annotations, without reading a file."""
    from pycocotools.coco import COCO

    index = COCO()
    images = sorted({entry["image_id"] for entry in truth})
    index.dataset = {
        "info": {},
        "images": [{"id": number, "width": 512, "height": 512} for number in images],
        "categories": [{"id": label, "name": "class %d" % label} for label in (1, 2, 3)],
        "annotations": truth,
    }
    index.createIndex()
    return index


def coco_statistics(evaluator_type, truth, found, by_class=True):
    """Return the 12 COCO figures and the precision array that an evaluator class computes."""
    with contextlib.redirect_stdout(io.StringIO()):
        index = coco_index(truth)
        evaluator = evaluator_type(index, index.loadRes([dict(entry) for entry in found]), "bbox")
        evaluator.params.useCats = int(by_class)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return np.asarray(evaluator.stats), np.asarray(evaluator.eval["precision"])


@check("COCO evaluation: the compiled fast path equals pycocotools", needs=["cocoeval"])
def coco_fast_path(context):
    from detectron2.evaluation.fast_eval_api import COCOeval_opt
    from pycocotools.cocoeval import COCOeval

    worst = 0.0
    for seed in (0, 1):
        truth, found = synthetic_detections(seed)
        for by_class in (True, False):
            slow, slow_precision = coco_statistics(COCOeval, truth, found, by_class)
            fast, fast_precision = coco_statistics(COCOeval_opt, truth, found, by_class)
            worst = max(
                worst, largest_difference(fast, slow), largest_difference(fast_precision, slow_precision)
            )
            expect(0.05 < slow[0] < 0.95, "the synthetic AP %.3f is too extreme to mean anything" % slow[0])
    context.value("AP of the last case", slow[0])
    context.value("largest difference", worst)
    expect(worst < 1e-10, "the fast path differs by %.2g" % worst)


@check("COCO evaluation: perfect and absent detections score 1 and 0", needs=["cocoeval"])
def coco_extremes(context):
    from detectron2.evaluation.fast_eval_api import COCOeval_opt

    truth, _ = synthetic_detections(2)
    truth = [dict(entry, iscrowd=0) for entry in truth]
    perfect = [annotation(None, e["image_id"], e["category_id"], e["bbox"], score=0.9) for e in truth]
    elsewhere = [dict(entry, bbox=[480.0, 480.0, 5.0, 5.0]) for entry in perfect]
    context.value("AP perfect", coco_statistics(COCOeval_opt, truth, perfect)[0][0])
    context.value("AP elsewhere", coco_statistics(COCOeval_opt, truth, elsewhere)[0][0])
    expect(abs(context.values["AP perfect"] - 1) < 1e-9, "perfect detections do not score 1")
    expect(context.values["AP elsewhere"] == 0, "misplaced detections do not score 0")
