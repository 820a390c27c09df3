"""A whole training run: must learn to find and name the shapes it was shown."""

import json
import math
import os
import time

import numpy as np
import torch
from harness import check, expect
from skiff import data, evaluate, visualize
from skiff.train import Settings, Trainer, as_tensors

WINDOW = 10  # iterations over which the first and the last loss are averaged
LEAST_AP50 = 0.5


def mean_total(records):
    return float(np.mean([record["total"] for record in records]))


def report_curve(context, history):
    path = os.path.join(context.out, "loss.png")
    visualize.draw_curve([record["total"] for record in history], "total loss by iteration").save(path)
    context.file(path, "Loss curve")


def report_pictures(context, trainer, found, count=3):
    """Detections over the first images; true boxes are white."""
    pictures = [
        visualize.draw_detections(sample.image, detection, truth)
        for sample, detection, truth in list(zip(trainer.samples, found, trainer.targets))[:count]
    ]
    path = os.path.join(context.out, "detections.png")
    visualize.side_by_side(pictures).save(path)
    context.file(path, "Detections over training images, true boxes in white")


def unseen_precision(trainer, count=48):
    images, targets = as_tensors(data.make_dataset(count, trainer.settings.seed + 1))
    return evaluate.mean_average_precision(evaluate.detect(trainer.model, images), targets)


def read_metrics(path):
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@check("training halves the loss and finds the shapes", level="train")
def train(context):
    torch.set_num_threads(1)  # more only wait for each other, most of all on a busy machine
    metrics = os.path.join(context.out, "metrics.jsonl")
    open(metrics, "w").close()
    trainer = Trainer(Settings(**context.settings.get("train", {})), metrics)
    started = time.perf_counter()
    trainer.run()
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.value("iterations", trainer.iteration)
    context.file(metrics, "Losses by iteration, as JSON lines")
    report_curve(context, trainer.history)
    first, last = mean_total(trainer.history[:WINDOW]), mean_total(trainer.history[-WINDOW:])
    context.value("first loss", first)
    context.value("last loss", last)
    found = evaluate.detect(trainer.model, trainer.images)
    report_pictures(context, trainer, found)
    precision = evaluate.mean_average_precision(found, trainer.targets)
    context.value("AP50", precision)
    context.value("AP50 on images not trained on", unseen_precision(trainer))
    expect(read_metrics(metrics)[-1]["iteration"] == trainer.iteration, "the metrics file is not complete")
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    expect(precision >= LEAST_AP50, "AP50 on the training images is %.3f, below %g" % (precision, LEAST_AP50))
