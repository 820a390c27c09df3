"""Average precision of detections."""

import numpy as np
import torch

from . import ops


@torch.no_grad()
def detect(model, images, batch_size=16):
    """Detections of `images` [B, 3, H, W], one dict per image, in inference mode."""
    was_training = model.training
    model.eval()
    found = [each for part in images.split(batch_size) for each in model(part)]
    model.train(was_training)
    return found


def mean_average_precision(detections, truths, iou_threshold=0.5):
    """Mean over the classes in `truths` of the average precision, 0..1.

    `detections` and `truths` hold one dict per image, with boxes [N, 4] and labels [N], and
    scores [N] for detections.
    """
    labels = sorted({int(label) for truth in truths for label in truth["labels"]})
    each = [class_average_precision(detections, truths, label, iou_threshold) for label in labels]
    return float(np.mean(each)) if each else 0.0


def class_average_precision(detections, truths, label, iou_threshold=0.5):
    """Area under the precision-recall curve of one class, over all points of the curve."""
    scores, hits, objects = [], [], 0
    for detection, truth in zip(detections, truths):
        chosen = detection["labels"] == label
        wanted = truth["boxes"][truth["labels"] == label]
        order = torch.argsort(detection["scores"][chosen], descending=True)
        scores.extend(detection["scores"][chosen][order].tolist())
        hits.extend(match(detection["boxes"][chosen][order], wanted, iou_threshold))
        objects += len(wanted)
    ranking = np.argsort(-np.array(scores), kind="stable")
    return area_under_curve(np.array(hits, dtype=bool)[ranking], objects)


def match(boxes, truths, iou_threshold):
    """For each of `boxes`, best first, whether it hits a true box that none before it hit."""
    if len(truths) == 0:
        return [False] * len(boxes)
    free = [True] * len(truths)
    hits = []
    for row in ops.box_iou(boxes, truths):
        best = int(row.argmax())
        hit = bool(row[best] >= iou_threshold) and free[best]
        if hit:
            free[best] = False
        hits.append(hit)
    return hits


def area_under_curve(hits, objects):
    """Area from a ranking of `hits` (bool [N], best first) and the number of true objects.

    Precision is first made to fall monotonically, as PASCAL VOC does since 2010.
    """
    if objects == 0 or len(hits) == 0:
        return 0.0
    true_positives = np.cumsum(hits)
    precision = true_positives / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], true_positives / objects])
    return float(np.sum(np.diff(recall) * precision))
