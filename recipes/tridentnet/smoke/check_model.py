"""A small TridentNet: its branches agree with its fast form, its losses reach all of it, and it learns."""

import math
import time

import torch
from detectron2.structures import Boxes, pairwise_iou
from detectron2.utils.events import EventStorage
from harness import check, expect
from small import DILATIONS, HEIGHT, WIDTH, config, model, sample

ITERATIONS = 60
PICTURES = 2
WINDOW = 5  # iterations over which the first and the last loss are averaged


def found_in(network, one):
    """The instances that a model finds in a sample's picture."""
    with torch.no_grad():
        (result,) = network([{"image": one["image"], "height": HEIGHT, "width": WIDTH}])
    return result["instances"]


@check("the features of the fast form are those of its branch among all")
def fast_form(context):
    every, fast = model(config(-1)).eval(), model(config(1)).eval()
    fast.load_state_dict(every.state_dict())
    with torch.no_grad():
        images = every.preprocess_image([sample(0), sample(1)])
        (all_of_them,) = every.backbone(images.tensor).values()
        (alone,) = fast.backbone(images.tensor).values()
    expect(len(all_of_them) == 2 * len(DILATIONS), "%d maps for two pictures" % len(all_of_them))
    scale = float(alone.abs().max())
    error = float((all_of_them[2:4] - alone).abs().max()) / scale
    context.value("largest error", error)
    expect(error < 1e-4, "the second branch differs by %g" % error)
    other = float((all_of_them[:2] - alone).abs().max()) / scale
    expect(other > 1e-2, "the first branch is the same as the second")


@check("a model takes a picture from end to end, in either form")
def inference(context):
    for branch in (-1, 1):
        instances = found_in(model(config(branch)).eval(), sample(0))
        expect(bool(instances.scores.isfinite().all()), "a score is not finite")
        expect(bool(instances.pred_boxes.tensor.isfinite().all()), "a box is not finite")
        context.value("instances of random weights, branch %d" % branch, len(instances))


@check("the losses are there, and their gradients reach the weights that the branches share")
def losses(context):
    network = model(config()).train()
    with EventStorage():  # the model counts what it sees there
        found = network([sample(0)])
    wanted = ("loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc")
    missing = [name for name in wanted if name not in found]
    expect(not missing, "there is no %s" % ", ".join(missing))
    expect(all(bool(value.isfinite()) for value in found.values()), "a loss is not finite")
    sum(found.values()).backward()
    shared = [(n, p) for n, p in network.named_parameters() if "res4" in n and "conv2.weight" in n]
    without = [name for name, parameter in shared if parameter.grad is None or not parameter.grad.any()]
    expect(shared and not without, "no gradient for %s" % ", ".join(without))
    context.value("layers with branches", len(shared))


@check("a model learns to find rectangles, and to tell the wide from the high", level="train")
def train(context):
    torch.set_num_threads(1)  # for so small a model several would mostly wait for one another
    network = model(config()).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    pictures = [sample(seed) for seed in range(PICTURES)]
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
    totals = [sum(row.values()) for row in rows]
    first, last = sum(totals[:WINDOW]) / WINDOW, sum(totals[-WINDOW:]) / WINDOW
    context.value("first loss", first)
    context.value("last loss", last)
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    network.eval()
    for number, one in enumerate(pictures):
        instances = found_in(network, one)
        expect(len(instances) > 0, "nothing is found in picture %d" % number)
        best = int(instances.scores.argmax())
        box = Boxes(instances.pred_boxes.tensor[best : best + 1])
        iou = float(pairwise_iou(box, one["instances"].gt_boxes))
        context.value("IoU in picture %d" % number, round(iou, 3))
        expect(iou >= 0.5, "the best box of picture %d overlaps by %.2f only" % (number, iou))
        right = int(instances.pred_classes[best]) == int(one["instances"].gt_classes)
        expect(right, "the best box of picture %d has the wrong class" % number)
