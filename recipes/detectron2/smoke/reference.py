"""Reference implementations in plain Python and numpy, independent of the code under test.

Angles follow Detectron2's convention for rotated boxes ``(x, y, width, height, degrees)``:
counter-clockwise as seen on an image whose y axis points down.
"""

import math

import numpy as np


def corners(box):
    """Return the four corners of a rotated box, in order, as (x, y) tuples."""
    x, y, width, height, degrees = [float(value) for value in box]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (
            x + cosine * u * width / 2 + sine * v * height / 2,
            y - sine * u * width / 2 + cosine * v * height / 2,
        )
        for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]


def area(polygon):
    """Return the signed area of a polygon (shoelace formula)."""
    following = polygon[1:] + polygon[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, following)) / 2


def _clip_by_edge(polygon, start, end):
    """Return the part of `polygon` on the inner (left) side of the line from `start` to `end`."""

    def side(point):
        return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])

    kept = []
    for current, following in zip(polygon, polygon[1:] + polygon[:1]):
        here, there = side(current), side(following)
        if here >= 0:
            kept.append(current)
        if here * there < 0:
            share = here / (here - there)
            kept.append(tuple(a + share * (b - a) for a, b in zip(current, following)))
    return kept


def rotated_iou(one, other):
    """Return the IoU of two rotated boxes by Sutherland-Hodgman clipping in float64."""
    subject, clip = corners(one), corners(other)
    areas = abs(area(subject)), abs(area(clip))
    for start, end in zip(clip, clip[1:] + clip[:1]):
        if not subject:
            break
        subject = _clip_by_edge(subject, start, end)
    overlap = abs(area(subject)) if len(subject) > 2 else 0.0
    union = sum(areas) - overlap
    return overlap / union if union > 0 else 0.0


def rotated_nms(boxes, scores, threshold):
    """Return the indices kept by greedy suppression, best score first."""
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(rotated_iou(boxes[index], boxes[other]) <= threshold for other in kept):
            kept.append(index)
    return kept


def bilinear(image, y, x):
    """Return the values of a C x H x W array at continuous (y, x), 0 more than a pixel outside."""
    height, width = image.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(image.shape[0])
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    below, beside = y - top, x - left
    upper = image[:, top, left] * (1 - beside) + image[:, top, right] * beside
    lower = image[:, bottom, left] * (1 - beside) + image[:, bottom, right] * beside
    return upper * (1 - below) + lower * below


def roi_align_rotated(images, rois, size, scale, samples):
    """Return rotated RoIAlign of N x C x H x W `images`, with samples x samples points in a bin.

    `rois` has rows (image index, x, y, width, height, degrees); pixel centres lie at half integers.
    """
    rows, columns = size
    pooled = np.zeros((len(rois), images.shape[1], rows, columns))
    for number, roi in enumerate(rois):
        centre_x, centre_y, width, height = [value * scale for value in roi[1:5]]
        cosine, sine = math.cos(math.radians(roi[5])), math.sin(math.radians(roi[5]))
        for row in range(rows * samples):
            for column in range(columns * samples):
                v = ((row + 0.5) / (rows * samples) - 0.5) * height
                u = ((column + 0.5) / (columns * samples) - 0.5) * width
                x, y = centre_x + u * cosine + v * sine, centre_y - u * sine + v * cosine
                value = bilinear(images[int(roi[0])], y - 0.5, x - 0.5)
                pooled[number, :, row // samples, column // samples] += value / samples**2
    return pooled
