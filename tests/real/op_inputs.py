"""The inputs of op_outputs.py: numbers from a seed, made once and read on every machine.

All numbers are kept as float64 and turned into the type that a case wants. What random numbers seldom are is
here on purpose: equal and touching boxes, sizes of zero and below, NaN, infinities, angles of many turns,
boxes far from the origin.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_COCO = "coco"
IMAGE = 320  # width and height of the images of the data sets


def make_inputs(path: Path, seed: int) -> None:
    """Write the file of inputs for `seed`."""
    random = np.random.RandomState(seed)
    arrays = {**_boxes(random), **_scores(random), **_pooling(random)}
    arrays[_COCO] = np.array(json.dumps(_datasets(random)))
    with path.open("wb") as file:  # savez would add .npz to a name
        np.savez_compressed(file, **arrays)


def read_inputs(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays by name, and the COCO data sets by name."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays.pop(_COCO)))


def _random_boxes(random: Any, count: int, spread: float, largest: float = 40.0) -> Any:
    """Rotated boxes (x, y, width, height, degrees)."""
    low = np.array([-spread / 4, -spread / 4, 1.0, 1.0, -400.0])
    high = np.array([spread, spread, largest, largest, 400.0])
    return low + random.random_sample((count, 5)) * (high - low)


def _boxes(random: Any) -> dict[str, Any]:
    some = _random_boxes(random, 120, 100.0)
    # whole numbers and eighths of a turn: equal boxes, shared edges, corners on edges
    grid = np.stack(
        [
            random.randint(0, 6, 60) * 4.0,
            random.randint(0, 6, 60) * 4.0,
            random.randint(1, 4, 60) * 4.0,
            random.randint(1, 4, 60) * 4.0,
            random.randint(-8, 9, 60) * 45.0,
        ],
        axis=1,
    )
    far = _random_boxes(random, 40, 60.0)
    far[:, :2] += 1e5
    turned = some[:40].copy()
    turned[:, 4] *= 10.0 ** random.randint(1, 7, 40)  # up to a million turns
    apart = _random_boxes(random, 64, 1.0, largest=8.0)
    apart[:, :2] = np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(64, 2) * 20.0
    return {
        "boxes none": np.zeros((0, 5)),
        "boxes one": some[:1],
        "boxes few": _random_boxes(random, 7, 30.0),
        "boxes some": some,
        "boxes dense": _random_boxes(random, 300, 40.0),
        "boxes thousands": _random_boxes(random, 3000, 300.0),
        "boxes spread": _random_boxes(random, 4000, 700.0),
        "boxes grid": grid,
        "boxes far": far,
        "boxes turned": turned,
        "boxes apart": apart,
        "boxes broken": _broken(some[0]),
    }


def _broken(box: Any) -> Any:
    """A box with each of its five numbers replaced by what it should not be."""
    numbers = [np.nan, np.inf, -np.inf, 0.0, -0.0, -5.0, 1e-20, 1e-44, 1e30, -1e30]
    rows = []
    for column in range(5):
        for number in numbers:
            row = box.copy()
            row[column] = number
            # no angle is far from a number of turns: what a sine is there differs between C libraries
            if column < 4 or abs(number) < 1e20 or not np.isfinite(number):
                rows.append(row)
    both = box.copy()
    both[2:4] = -7.0  # the area is positive
    return np.array([*rows, both, np.zeros(5), np.full(5, np.nan), np.full(5, np.inf)])


def _scores(random: Any) -> dict[str, Any]:
    """No two are equal, in float32 neither: where they are, the order of a sort is torch's own affair."""
    return {
        f"scores {count}": (random.permutation(count) + 0.5) / count
        for count in (0, 1, 7, 40, 60, 64, 120, 300, 3000, 4000)
    }


def _pooling(random: Any) -> dict[str, Any]:
    images, height, width, rois = 2, 17, 23, 24
    placed = _random_boxes(random, rois, 28.0, largest=18.0)
    placed[-1] = [500.0, 500.0, 9.0, 7.0, 30.0]  # outside
    placed[-2, 2:4] = 0.0
    placed[-3, 2] = 0.0
    placed[-4, 4] = 0.0
    placed[-5] = [0.0, 0.0, 1e-3, 1e-3, 90.0]
    return {
        "images": random.normal(size=(images, 3, height, width)),
        "rois none": np.zeros((0, 6)),
        "rois": np.concatenate([random.randint(0, images, (rois, 1)), placed], axis=1),
        "gradient 3x4": random.normal(size=(rois, 3, 3, 4)),
        "gradient 1x1": random.normal(size=(rois, 3, 1, 1)),
        "offsets": random.normal(size=(1, 18, 9, 11)),
        "weights": random.normal(size=(5, 3, 3, 3)),
        "small images": random.normal(size=(1, 3, 9, 11)),
        "pyramid": random.normal(size=(2, 4, 32, 32)),
    }


# ----------------------------------------------------------------------- COCO data sets, as plain values


def _datasets(random: Any) -> dict[str, Any]:
    crowded = _dataset(random, images=14, labels=4, crowds=0.3)
    return {
        "plain": _dataset(random, images=20, labels=3, crowds=0.0),
        "crowds": crowded,
        "many categories": _dataset(random, images=10, labels=80, crowds=0.1),
        "one image": _dataset(random, images=1, labels=1, crowds=0.0),
        "crowds alone": _dataset(random, images=6, labels=2, crowds=1.0),
        "no detections": {**crowded, "found": []},
        "no ground truth": {**crowded, "truth": []},
        "nothing": {**crowded, "truth": [], "found": []},
        "no images": {"images": [], "labels": [1, 2], "truth": [], "found": []},
        "crowded image": _dataset(random, images=2, labels=1, crowds=0.05, most=90),
    }


def _dataset(random: Any, *, images: int, labels: int, crowds: float, most: int = 9) -> dict[str, Any]:
    """Ground truth and detections near it, each with a box, a mask and key points."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for _ in range(random.randint(0, most + 1)):
            size = random.uniform(4, 140, 2)  # from what COCO calls small to large
            box = [*(random.uniform(0, 1, 2) * (IMAGE - size)), *size]
            label = int(random.randint(1, labels + 1))
            crowd = int(random.random_sample() < crowds)
            truth.append(_annotation(random, image, label, box, id=len(truth) + 1, iscrowd=crowd))
            for _ in range(random.randint(0, 3)):
                moved = np.clip(np.array(box) + random.normal(0, 0.07 * size.mean(), 4), 1, IMAGE - 1)
                near = label if random.random_sample() < 0.9 else 1 + label % labels
                # two decimals: equal scores, whose order is that of the list
                score = round(float(random.random_sample()), 2)
                found.append(_annotation(random, image, near, moved.tolist(), score=score))
    return {
        "images": list(range(1, images + 1)),
        "labels": list(range(1, labels + 1)),
        "truth": truth,
        "found": found,
    }


def _annotation(random: Any, image: int, label: int, box: list[float], **more: Any) -> dict[str, Any]:
    x, y, width, height = (float(number) for number in box)
    points = random.uniform(0, 1, (17, 2)) * [width, height] + [x, y]
    seen = random.randint(0, 3, 17) if "id" in more else np.full(17, 2)
    corners = [[x, y], [x + width, y], [x + width * 0.8, y + height], [x + width * 0.1, y + height * 0.9]]
    return {
        "image_id": image,
        "category_id": label,
        "bbox": [x, y, width, height],
        "area": width * height,
        "segmentation": [[min(float(number), IMAGE) for corner in corners for number in corner]],
        "keypoints": [
            number for (a, b), s in zip(points.tolist(), seen.tolist()) for number in (a, b, int(s))
        ],
        "num_keypoints": int((seen > 0).sum()),
        **more,
    }
