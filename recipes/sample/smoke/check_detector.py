"""The detector, its evaluation and its trainer, in a few untrained iterations."""

import json
import os

import numpy as np
import torch
from harness import Skip, check, expect
from skiff import data, evaluate, ops, weights
from skiff.model import Detector
from skiff.train import Settings, Trainer, as_tensors

# The network is so small that more threads only wait for each other, most of all on a busy machine.
torch.set_num_threads(1)

QUICK = Settings(images=8, iterations=6, batch_size=4, seed=7)


def some_images():
    """Images [4, 3, 96, 96] and their targets."""
    return as_tensors(data.make_dataset(4, seed=11))


@check("images are repeatable, and boxes frame what is drawn")
def images(context):
    first, again = data.make_dataset(6, seed=5), data.make_dataset(6, seed=5)
    for one, other in zip(first, again):
        expect(np.array_equal(one.image, other.image), "the same seed drew another image")
        for box in one.boxes.astype(int):
            patch = one.image[box[1] : box[3], box[0] : box[2]].reshape(-1, 3)
            _, counts = np.unique(patch, axis=0, return_counts=True)
            expect(counts.max() > 0.3 * len(patch), "a box of %s frames no flat colour" % box)
    expect(sum(len(sample.boxes) for sample in first) >= 6, "there are hardly any objects")


@check("detections are boxes in the image, falling scores and known labels")
def output(context):
    torch.manual_seed(0)
    model = Detector(len(data.CLASSES)).eval()
    # Untrained, no centre would be likely enough to become a detection.
    torch.nn.init.constant_(model.centres.predict.bias[:1], 0.0)
    pictures, _ = some_images()
    found = model(pictures)
    expect(len(found) == len(pictures), "%d results for %d images" % (len(found), len(pictures)))
    context.value("detections", sum(len(each["boxes"]) for each in found))
    for each in found:
        boxes, scores, labels = each["boxes"], each["scores"], each["labels"]
        count = len(scores)
        expect(count > 0, "an image has no detection")
        expect(tuple(boxes.shape) == (count, 4) and tuple(labels.shape) == (count,), "lengths differ")
        expect(bool(((boxes >= 0) & (boxes <= data.SIZE)).all()), "a box leaves the image")
        expect(bool((scores[:-1] >= scores[1:]).all()), "scores do not fall")
        expect(bool(((scores > 0) & (scores <= 1)).all()), "a score is not in 0..1")
        expect(labels.dtype == torch.int64 and set(labels.tolist()) <= {0, 1, 2}, "labels are %s" % labels)
        for label in range(len(data.CLASSES)):
            overlaps = ops.box_iou(boxes[labels == label], boxes[labels == label]).fill_diagonal_(0)
            expect(not bool((overlaps > 0.5).any()), "detections of one class overlap")


@check("an image without candidates gives no detections")
def output_empty(context):
    model = Detector(len(data.CLASSES)).eval()
    torch.nn.init.constant_(model.centres.predict.bias[:1], -50.0)
    (found,) = model(torch.zeros(1, 3, 64, 96))
    expect(tuple(found["boxes"].shape) == (0, 4), "boxes have the shape %s" % (tuple(found["boxes"].shape),))
    expect(len(found["scores"]) == 0 and len(found["labels"]) == 0, "scores or labels are left")


@check("losses are finite and reach every parameter")
def gradients(context):
    torch.manual_seed(0)
    model = Detector(len(data.CLASSES))
    losses = model.losses(*some_images(), random=np.random.RandomState(0))
    for name, loss in losses.items():
        context.value(name, float(loss.detach()))
        expect(bool(torch.isfinite(loss)) and float(loss.detach()) > 0, "%s loss is %s" % (name, loss))
    sum(losses.values()).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    expect(not without, "no gradient for %s" % ", ".join(without))


@check("the second stage's gradient passes through the compiled RoIAlign")
def second_stage(context):
    torch.manual_seed(0)
    model = Detector(len(data.CLASSES))
    losses = model.losses(*some_images(), random=np.random.RandomState(0))
    losses["label"].backward()
    norm = float(model.backbone.to_4[0][0].weight.grad.norm())
    context.value("gradient at the first convolution", norm)
    expect(np.isfinite(norm) and norm > 1e-6, "the gradient's norm is %g" % norm)


@check("an image without objects trains too")
def no_objects(context):
    torch.manual_seed(0)
    model = Detector(len(data.CLASSES))
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model.losses(torch.rand(1, 3, 96, 96), [empty], np.random.RandomState(0))
    sum(losses.values()).backward()
    expect(all(bool(torch.isfinite(loss)) for loss in losses.values()), "losses are %s" % losses)


@check("a resumed run equals one that was not interrupted")
def resume(context):
    through = Trainer(QUICK)
    through.run()
    metrics = os.path.join(context.out, "resume.jsonl")
    path = os.path.join(context.out, "resume.pt")
    open(metrics, "w").close()
    first = Trainer(QUICK, metrics)
    first.run(until=3)
    first.save(path)
    first.step()  # goes beyond the checkpoint; the resumed run must not see it
    second = Trainer.resume(path, metrics)
    expect(second.iteration == 3, "the checkpoint is of iteration %d" % second.iteration)
    second.run()
    os.remove(path)
    expect(second.history == through.history, "the losses differ")
    for name, value in through.model.state_dict().items():
        expect(torch.equal(value, second.model.state_dict()[name]), "%s differs" % name)
    with open(metrics, encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    numbers = [line["iteration"] for line in lines]
    expect(numbers == [1, 2, 3, 4, 5, 6], "the metrics file holds iterations %s" % numbers)
    expect([line["total"] for line in lines] == [each["total"] for each in through.history], "metrics differ")


@check("a saved and loaded model detects the same")
def checkpoint(context):
    trainer = Trainer(QUICK)
    torch.nn.init.constant_(trainer.model.centres.predict.bias[:1], 0.0)
    path = os.path.join(context.out, "model.pt")
    trainer.save(path)
    loaded = Trainer.resume(path)
    os.remove(path)
    pairs = list(zip(*(evaluate.detect(each.model, each.images) for each in (trainer, loaded))))
    expect(sum(len(one["boxes"]) for one, _ in pairs) > 0, "there is nothing to compare")
    for one, other in pairs:
        for key in one:
            expect(torch.equal(one[key], other[key]), "%s differ" % key)


@check("the pretrained detector finds shapes that it was not trained on")
def pretrained(context):
    if not os.path.isfile(weights.path()):
        expect("SKIFF_CACHE" not in os.environ, "SKIFF_CACHE is set, but there is no %s" % weights.path())
        raise Skip("no weights here: SKIFF_CACHE is not set, and there are none in ~/.cache/skiff")
    images, targets = as_tensors(data.make_dataset(24, seed=1000))
    precision = evaluate.mean_average_precision(evaluate.detect(weights.load(), images), targets)
    context.value("AP50 on images not trained on", precision)
    expect(precision > 0.9, "AP50 is %.3f" % precision)


@check("training takes the loss down in a few steps")
def few_steps(context):
    trainer = Trainer(Settings(images=4, iterations=12, batch_size=4, seed=3))
    trainer.run()
    first, last = trainer.history[0]["total"], trainer.history[-1]["total"]
    context.value("first loss", first)
    context.value("last loss", last)
    expect(last < 0.9 * first, "the loss went from %g to %g" % (first, last))


def detection(boxes, scores, labels):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "scores": torch.tensor(scores, dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


@check("average precision of rankings worked out by hand")
def average_precision(context):
    square, apart = [0, 0, 10, 10], [20, 20, 30, 30]
    near, off = [0, 0, 10, 9], [0, 0, 10, 4]  # IoU 0.9 and 0.4 with the square
    truth = detection([square, apart], [1, 1], [0, 0])
    cases = [
        ("both found", [square, apart], [0.9, 0.8], 1.0),
        ("one of two", [square], [0.9], 0.5),
        ("too small an overlap first", [off, square, apart], [0.9, 0.8, 0.7], 2 / 3),
        ("found twice", [square, near, apart], [0.9, 0.8, 0.7], 0.5 + 0.5 * 2 / 3),
        ("found twice, worse first", [square, near, apart], [0.8, 0.9, 0.7], 0.5 + 0.5 * 2 / 3),
        ("nothing found", [], [], 0.0),
    ]
    for name, boxes, scores, wanted in cases:
        result = evaluate.mean_average_precision([detection(boxes, scores, [0] * len(boxes))], [truth])
        expect(abs(result - wanted) < 1e-9, "%s: %g instead of %g" % (name, result, wanted))
    two = detection([square, apart], [1, 1], [0, 1])
    halves = evaluate.mean_average_precision([detection([square, apart], [0.9, 0.8], [0, 0])], [two])
    expect(abs(halves - 0.5) < 1e-9, "one class of two found gives %g instead of 0.5" % halves)
    images = [detection([square], [0.5], [0]), detection([apart], [0.9], [0])]
    split = evaluate.mean_average_precision(images, [truth, detection([], [], [])])
    expect(abs(split - 0.25) < 1e-9, "a false alarm on another image gives %g instead of 0.25" % split)
