"""A small DensePose model: it predicts, its losses are what they should be, and it learns."""

import math
import os
import time

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from harness import check, expect
from small import BOX, HEIGHT, PARTS, WIDTH, annotation, config, model, sample

ITERATIONS = 24
WINDOW = 5  # iterations over which the first and the last loss are averaged


def predicted(network, boxes):
    """What the model says of given boxes of the sample's picture: its output for each."""
    images = network.preprocess_image([sample()])
    features = network.backbone(images.tensor)
    instances = Instances((HEIGHT, WIDTH))
    instances.pred_boxes = Boxes(torch.tensor(boxes))
    instances.pred_classes = torch.zeros(len(boxes), dtype=torch.long)
    (found,) = network.roi_heads.forward_with_given_boxes(features, [instances])
    return found.pred_densepose


def at_points(network):
    """What the model says at the annotated points: the part that it chose, and u and v of the right one."""
    found = predicted(network, [BOX])
    body = annotation()
    place = torch.tensor([body["dp_x"], body["dp_y"]]).t().view(1, 1, -1, 2) / 128 - 1

    def taken(values):
        return torch.nn.functional.grid_sample(values, place, align_corners=False)[0, :, 0]

    parts = torch.tensor(body["dp_I"]).long()
    u, v = (taken(values).gather(0, parts[None])[0] for values in (found.u, found.v))
    return taken(found.fine_segm)[1:].argmax(0) + 1 == parts, torch.stack([u, v])


@check("a model predicts parts and coordinates for the boxes that it is given")
def predicts(context):
    network = model(config()).eval()
    with torch.no_grad():
        found = predicted(network, [BOX, [10.0, 10.0, 50.0, 60.0]])
        again = predicted(network, [BOX])
    for name, channels in (("coarse_segm", 2), ("fine_segm", PARTS), ("u", PARTS), ("v", PARTS)):
        values = getattr(found, name)
        expect(tuple(values.shape[:2]) == (2, channels), "%s has the shape %s" % (name, tuple(values.shape)))
        expect(bool(values.isfinite().all()), "%s holds values that are not finite" % name)
        error = float((values[:1] - getattr(again, name)).abs().max() / values.abs().max())
        expect(error < 1e-4, "%s of a box depends on the other boxes" % name)
    context.value("size of a prediction", "%d x %d" % tuple(found.u.shape[2:]))


@check("a model takes a picture from end to end")
def inference(context):
    network = model(config()).eval()
    with torch.no_grad():
        (result,) = network([{"image": sample()["image"], "height": HEIGHT, "width": WIDTH}])
    instances = result["instances"]
    expect(instances.has("pred_densepose") or len(instances) == 0, "no DensePose in the result")
    context.value("instances that random weights find", len(instances))


@check("the losses of the head are there, and their gradients reach all of it")
def losses(context):
    network = model(config()).train()
    with EventStorage():  # the model counts what it sees there
        found = network([sample()])
    wanted = ("loss_densepose_I", "loss_densepose_S", "loss_densepose_U", "loss_densepose_V")
    missing = [name for name in wanted if name not in found]
    expect(not missing, "there is no %s" % ", ".join(missing))
    expect(all(bool(value.isfinite()) for value in found.values()), "a loss is not finite")
    sum(found[name] for name in wanted).backward()
    heads = [(n, p) for n, p in network.named_parameters() if "densepose" in n and p.requires_grad]
    without = [name for name, parameter in heads if parameter.grad is None or not parameter.grad.any()]
    expect(heads and not without, "no gradient for %s" % ", ".join(without))


@check("a model learns where the points of a body lie", level="train")
def train(context):
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    network = model(config()).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    rows = []
    started = time.perf_counter()
    for _ in range(ITERATIONS):
        with EventStorage():
            found = network([sample()])
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
        rows.append({name: float(value.detach()) for name, value in found.items()})
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses(rows)
    own = [sum(value for name, value in row.items() if "densepose" in name) for row in rows]
    first, last = sum(own[:WINDOW]) / WINDOW, sum(own[-WINDOW:]) / WINDOW
    with torch.no_grad():
        right, uv = at_points(network.eval())
    wanted = torch.tensor([annotation()["dp_U"], annotation()["dp_V"]])
    context.value("first loss of DensePose", first)
    context.value("last loss of DensePose", last)
    context.value("points with the right part", float(right.float().mean()))
    context.value("mean error of u and v", float((uv - wanted).abs().mean()))
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    expect(float(right.float().mean()) >= 0.8, "too few points have the right part")
