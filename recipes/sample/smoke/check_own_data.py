"""The user's own pictures of shapes: the detector learns them, or is only measured on them."""

import json
import os
import time

import numpy as np
import torch
from harness import Unusable, check
from PIL import Image
from skiff import data, evaluate, visualize, weights
from skiff.model import Detector
from skiff.train import Settings, Trainer, as_tensors

MOST_ITERATIONS = 80
GREY = 128
FIGURES = ["bbox/AP50", *("bbox/AP50-%s" % name for name in data.CLASSES)]


@check("the detector on your data", level="data")
def own_data(context):
    torch.set_num_threads(1)  # the network is so small that more only wait for each other
    own = context.own
    end = time.monotonic() + own.seconds
    own.will_measure(FIGURES)
    if own.config is not None:
        raise Unusable("--config %s: this detector has no configurations" % own.config)
    learnt, seen = read_parts(own.data)
    state = read_state(own.weights)
    if own.evaluate_only:
        model, seen = Detector(len(data.CLASSES)), seen if learnt is seen else learnt + seen
        load(model, state)
    else:
        trainer = train(learnt, state, end)
        model = trainer.model
        context.value("iterations", trainer.iteration)
        curve = os.path.join(context.out, "own-loss.png")
        visualize.draw_curve([record["total"] for record in trainer.history], "total loss").save(curve)
        context.file(curve, "Loss on your data")
    report(context, model, seen)


def read_parts(folder):
    """Samples to learn from and to measure with; the same list where the data has one part."""
    parts = [os.path.join(folder, name) for name in ("train", "val")]
    if all(os.path.isfile(os.path.join(part, "annotations.json")) for part in parts):
        return [read_samples(part) for part in parts]
    samples = read_samples(folder)
    return samples, samples


def read_samples(folder):
    """The pictures of a COCO data set, as large as the detector wants them."""
    with open(os.path.join(folder, "annotations.json"), encoding="utf-8") as stream:
        document = json.load(stream)
    names = {one["id"]: one["name"] for one in document["categories"]}
    strange = sorted(set(names.values()) - set(data.CLASSES))
    if strange:
        raise Unusable("%s is no class of this detector: it knows %s" % (strange[0], ", ".join(data.CLASSES)))
    boxes = {one["id"]: [] for one in document["images"]}
    for one in document["annotations"]:
        left, top, width, height = one["bbox"]
        label = data.CLASSES.index(names[one["category_id"]])
        boxes[one["image_id"]].append((left, top, left + width, top + height, label))
    images = [
        (os.path.join(folder, "images", one["file_name"]), boxes[one["id"]]) for one in document["images"]
    ]
    return [read_sample(path, found) for path, found in images]


def read_sample(path, found):
    """A picture with its longer side as long as those that the detector knows, on grey; boxes likewise."""
    with Image.open(path) as image:
        scale = data.SIZE / float(max(image.size))
        small = image.convert("RGB").resize([max(1, round(side * scale)) for side in image.size])
    canvas = Image.new("RGB", (data.SIZE, data.SIZE), (GREY, GREY, GREY))
    canvas.paste(small)
    rows = np.array(found, dtype=np.float32).reshape(-1, 5)
    return data.Sample(np.asarray(canvas), rows[:, :4] * scale, rows[:, 4].astype(np.int64))


def read_state(path):
    """The arrays of a file of weights, by the layers' names; no code of it is run."""
    try:
        with np.load(path or weights.path(), allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Unusable("the weights cannot be read: %s" % str(error).splitlines()[0]) from None


def load(model, state):
    """Put the weights in; Unusable, with the layers, for those of another model."""
    wanted = model.state_dict()
    wrong = ["%s is not in the file" % name for name in wanted if name not in state]
    wrong += [
        "%s has the shape %s instead of %s" % (name, tuple(state[name].shape), tuple(wanted[name].shape))
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if wrong:
        told = "these are weights of another model: %d of its %d layers do not fit, as %s"
        raise Unusable(told % (len(wrong), len(wanted), wrong[0]))
    model.load_state_dict({name: state[name] for name in wanted})


def train(samples, state, end):
    """A trainer that learnt the samples as long as there was time; the first step tells how many fit."""
    started = time.monotonic()
    trial = prepared(samples, state, 1)
    trial.run()
    step = time.monotonic() - started
    count = min(MOST_ITERATIONS, int((end - time.monotonic()) / step))
    if count < 1:
        raise Unusable("the time is too short for one iteration, which takes %.1f s here (--budget)" % step)
    trainer = prepared(samples, state, count)
    while trainer.iteration < count and time.monotonic() < end:
        trainer.step()
    return trainer


def prepared(samples, state, count):
    """A trainer of the weights for these samples."""
    trainer = Trainer(Settings(images=1, iterations=count, learning_rate=5e-4))
    load(trainer.model, state)
    trainer.samples = samples
    trainer.images, trainer.targets = as_tensors(samples)
    return trainer


def report(context, model, samples):
    """Figures in per cent, and some pictures."""
    images, targets = as_tensors(samples)
    found = evaluate.detect(model, images)
    figures = {"bbox/AP50": 100 * evaluate.mean_average_precision(found, targets)}
    for label, name in enumerate(data.CLASSES):
        if any((target["labels"] == label).any() for target in targets):
            one = evaluate.class_average_precision(found, targets, label, 0.5)
            figures["bbox/AP50-%s" % name] = 100 * one
    for name in sorted(figures):
        context.value(name, round(figures[name], 2))
    context.own.measured(figures)
    pictures = [
        visualize.draw_detections(sample.image, detection, truth)
        for sample, detection, truth in list(zip(samples, found, targets))[:3]
    ]
    path = os.path.join(context.out, "own-detections.png")
    visualize.side_by_side(pictures).save(path)
    context.file(path, "What the detector finds in your pictures; labels in white")
