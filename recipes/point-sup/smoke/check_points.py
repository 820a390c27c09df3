"""Labelled points on their way from an annotation to the loss, against the same worked out by hand."""

import math
import os
import tempfile

import torch
from detectron2.config import get_cfg
from detectron2.data import transforms
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from harness import check, expect
from point_sup import (
    MaskRCNNConvUpsamplePointSupHead,
    PointSupDatasetMapper,
    add_point_sup_config,
    get_point_coords_from_point_annotation,
)
from point_sup.detection_utils import transform_instance_annotations
from small import HEIGHT, POINTS, WIDTH, described


@check("the project's settings and heads are known to Detectron2")
def known(context):
    cfg = get_cfg()
    add_point_sup_config(cfg)
    expect(cfg.INPUT.POINT_SUP is False and cfg.INPUT.SAMPLE_POINTS == 0, "other defaults")
    for name in ("MaskRCNNConvUpsamplePointSupHead", "ImplicitPointRendPointSupHead"):
        expect(name in ROI_MASK_HEAD_REGISTRY, "%s is not registered" % name)


def mapped(augmentations, sample_points=0):
    """An annotated picture, and what the mapper makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        given = described(folder, 3)
        mapper = PointSupDatasetMapper(
            is_train=True, augmentations=augmentations, image_format="BGR", sample_points=sample_points
        )
        return given["annotations"][0], mapper(given)


@check("points follow their picture when it is enlarged and mirrored")
def points_follow(context):
    annotation, result = mapped(
        [transforms.Resize((2 * HEIGHT, 3 * WIDTH)), transforms.HFlipTransform(3 * WIDTH)]
    )
    expect(tuple(result["image"].shape) == (3, 2 * HEIGHT, 3 * WIDTH), "the picture has another size")
    instances = result["instances"]
    found = instances.gt_point_coords[0]
    # the middles of pixels, which an annotation counts by their corners
    middles = torch.tensor(annotation["point_coords"], dtype=found.dtype) + 0.5
    wanted = torch.stack([3 * WIDTH - 3 * middles[:, 0], 2 * middles[:, 1]], 1)
    worst = float((found - wanted).abs().max())
    context.value("largest error in pixels", worst)
    expect(worst < 1e-4, "points are off by %g" % worst)
    labels = torch.tensor(annotation["point_labels"], dtype=instances.gt_point_labels.dtype)
    expect(torch.equal(instances.gt_point_labels[0], labels), "labels have changed")
    x0, y0, x1, y1 = annotation["bbox"]
    box = torch.tensor([[3.0 * (WIDTH - x1), 2.0 * y0, 3.0 * (WIDTH - x0), 2.0 * y1]])
    expect(torch.allclose(instances.gt_boxes.tensor, box), "the box is another one")


@check("as many points are taken as are asked for, and only labelled ones")
def sampled(context):
    annotation, result = mapped([], sample_points=POINTS // 4)
    taken = result["instances"].gt_point_coords[0]
    expect(len(taken) == POINTS // 4, "%d points" % len(taken))
    labels = {tuple(p): label for p, label in zip(annotation["point_coords"], annotation["point_labels"])}
    for point, label in zip(taken, result["instances"].gt_point_labels[0]):
        place = tuple(math.floor(float(value)) for value in point)
        expect(labels.get(place) == int(label), "%s was not annotated so" % (place,))


@check("a point that leaves the picture has no label any more")
def outside(context):
    annotation = {
        "bbox": [0.0, 0.0, 20.0, 20.0],
        "bbox_mode": 0,
        "category_id": 0,
        "point_coords": torch.tensor([[5.0, 5.0], [15.0, 5.0]], dtype=torch.float64).numpy(),
        "point_labels": [1, 0],
    }
    cropped = transform_instance_annotations(
        annotation, transforms.TransformList([transforms.CropTransform(0, 0, 10, 10)]), (10, 10)
    )
    expect(list(cropped["point_labels"]) == [1, -1], "labels are %s" % list(cropped["point_labels"]))


def labelled(boxes, points, labels):
    instances = Instances((HEIGHT, WIDTH))
    instances.proposal_boxes = Boxes(torch.tensor(boxes))
    instances.gt_classes = torch.zeros(len(boxes), dtype=torch.long)
    instances.gt_point_coords = torch.tensor(points)
    instances.gt_point_labels = torch.tensor(labels)
    return instances


@check("points are counted in parts of a proposal, and those beside it are left out")
def in_parts(context):
    one = labelled(
        [[10.0, 20.0, 50.0, 40.0], [0.0, 0.0, 10.0, 10.0]],
        [[[30.0, 25.0], [50.0, 40.0], [51.0, 30.0]], [[5.0, 1.0], [2.5, 7.5], [5.0, -1.0]]],
        [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]],
    )
    nothing = labelled([], [], [])
    coords, labels = get_point_coords_from_point_annotation([nothing, one])
    wanted = torch.tensor([[[0.5, 0.25], [1.0, 1.0], [1.025, 0.5]], [[0.5, 0.1], [0.25, 0.75], [0.5, -0.1]]])
    expect(torch.allclose(coords, wanted), "the places are %s" % coords.tolist())
    expect(labels.tolist() == [[1, 0, -1], [0, 1, -1]], "the labels are %s" % labels.tolist())


def bilinear(plane, x, y):
    """The value of a plane of numbers at a place between the middles of its cells, zero beside it."""
    total = 0.0
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < len(plane) and 0 <= column < len(plane[0]):
                share = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
                total += share * plane[row][column]
    return total


@check("the loss of a mask is that of its values at the points")
def loss(context):
    torch.manual_seed(5)
    head = MaskRCNNConvUpsamplePointSupHead(
        ShapeSpec(channels=8, width=7, height=7), num_classes=2, conv_dims=[8, 8]
    ).train()
    instances = labelled(
        [[10.0, 20.0, 50.0, 40.0], [0.0, 0.0, 10.0, 10.0]],
        [[[30.0, 25.0], [12.0, 39.0], [60.0, 30.0]], [[5.0, 1.0], [2.5, 7.5], [9.9, 9.9]]],
        [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]],
    )
    instances.gt_classes = torch.tensor([1, 0])
    features = torch.randn(2, 8, 7, 7)
    with EventStorage():
        found = head(features, [instances])["loss_mask"]
    planes = head.layers(features).detach()
    side = planes.shape[2]
    wanted, counted = 0.0, 0
    for number in range(2):
        x0, y0, x1, y1 = instances.proposal_boxes.tensor[number].tolist()
        plane = planes[number, int(instances.gt_classes[number])].tolist()
        for (x, y), label in zip(instances.gt_point_coords[number], instances.gt_point_labels[number]):
            across, down = (float(x) - x0) / (x1 - x0), (float(y) - y0) / (y1 - y0)
            counted += 1
            if not (0 <= across <= 1 and 0 <= down <= 1):
                continue  # it counts in the mean, with no loss
            value = bilinear(plane, across * side, down * side)
            wanted += math.log1p(math.exp(-value if label else value))
    error = abs(float(found) - wanted / counted)
    context.value("loss", float(found))
    expect(error < 1e-5, "the loss is %g instead of %g" % (float(found), wanted / counted))
    found.backward()
    grad = head.predictor.weight.grad
    expect(grad is not None and bool(grad.any()), "no gradient reaches the head")


@check("the suite's own pictures are read as they were written")
def pictures(context):
    annotation, result = mapped([])
    expect(os.path.basename(result["file_name"]) == "3.png", "another file")
    x, y = (int(value) for value in annotation["point_coords"][0])
    inside = bool(annotation["point_labels"][0])
    expect((int(result["image"][:, y, x].max()) > 200) == inside, "the picture and its points do not agree")
