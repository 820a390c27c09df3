"""A small model that is shown points only: it predicts, its losses reach it, and it learns masks."""

import math
import tempfile
import time

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from harness import check, expect
from small import HEIGHT, WIDTH, config, implicit_config, mask, model, samples

ITERATIONS = 60
PICTURES = 2
WINDOW = 5  # iterations over which the first and the last loss are averaged


def masks_of(network, one, boxes, classes):
    """The masks that a model predicts in given boxes: probabilities [count, 1, side, side]."""
    with torch.no_grad():
        features = network.backbone(network.preprocess_image([one]).tensor)
        given = Instances((HEIGHT, WIDTH))
        given.pred_boxes = Boxes(boxes)
        given.pred_classes = classes
        (found,) = network.roi_heads.forward_with_given_boxes(features, [given])
    return found.pred_masks


@check("both models of the project take a picture from end to end")
def inference(context):
    with tempfile.TemporaryDirectory() as folder:
        (one,) = samples(folder, 1, config())
    for name, cfg in (("Mask R-CNN", config()), ("implicit PointRend", implicit_config())):
        network = model(cfg).eval()
        with torch.no_grad():
            (result,) = network([{"image": one["image"], "height": HEIGHT, "width": WIDTH}])
        context.value("instances of random weights, %s" % name, len(result["instances"]))
        expect(result["instances"].has("pred_masks"), "%s predicts no masks" % name)
        boxes = torch.tensor([[10.0, 10.0, 60.0, 70.0], [30.0, 20.0, 50.0, 40.0]])
        found = masks_of(network, one, boxes, torch.tensor([0, 1]))
        expect(len(found) == 2 and bool(found.isfinite().all()), "%s: masks are not finite" % name)
        again = masks_of(network, one, boxes[:1], torch.tensor([0]))
        error = float((found[:1] - again).abs().max())
        expect(error < 1e-4, "%s: the mask of a box depends on the other boxes" % name)


@check("the losses of both models are there, and their gradients reach the mask heads")
def losses(context):
    for cfg, wanted in ((config(), "loss_mask"), (implicit_config(), "loss_mask_point")):
        network = model(cfg).train()
        with tempfile.TemporaryDirectory() as folder, EventStorage():
            found = network(samples(folder, 2, cfg))
        expect(wanted in found, "there is no %s in %s" % (wanted, ", ".join(found)))
        expect(all(bool(value.isfinite()) for value in found.values()), "a loss is not finite")
        found[wanted].backward()
        heads = [(n, p) for n, p in network.named_parameters() if "mask_head" in n and p.requires_grad]
        without = [name for name, parameter in heads if parameter.grad is None or not parameter.grad.any()]
        expect(heads and not without, "no gradient for %s" % ", ".join(without))
        context.value(wanted, float(found[wanted].detach()))


@check("a model that sees points alone learns whole masks", level="train")
def train(context):
    torch.set_num_threads(1)  # for so small a model several would mostly wait for one another
    cfg = config()
    network = model(cfg).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    with tempfile.TemporaryDirectory() as folder:
        pictures = samples(folder, PICTURES, cfg)
    rows, started = [], time.perf_counter()
    for _ in range(ITERATIONS):
        with EventStorage():
            found = network(pictures)
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
        rows.append({name: float(value.detach()) for name, value in found.items()})
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses(rows)
    own = [row["loss_mask"] for row in rows]
    first, last = sum(own[:WINDOW]) / WINDOW, sum(own[-WINDOW:]) / WINDOW
    context.value("first loss of the masks", first)
    context.value("last loss of the masks", last)
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    network.eval()
    for seed, one in enumerate(pictures):
        box = one["instances"].gt_boxes.tensor
        (found,) = masks_of(network, one, box, one["instances"].gt_classes)
        x0, y0, x1, y1 = (int(value) for value in box[0])
        grown = torch.nn.functional.interpolate(found[None], (y1 - y0, x1 - x0), mode="bilinear")[0, 0] > 0.5
        right = float((grown == mask(seed)[y0:y1, x0:x1]).float().mean())
        context.value("pixels of the box that are right, picture %d" % seed, round(right, 3))
        expect(right >= 0.85, "picture %d: %.2f of the pixels are right" % (seed, right))
