"""What a model found, as the page and COCO's tools read it."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from page.predictions import Instance, encode_mask, to_json

Mask = NDArray[np.bool_]


def decode(counts: str) -> Iterator[int]:
    """COCO's compressed run lengths, read by the letter of maskApi.c."""
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            code = ord(counts[position]) - 48
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            position += 1
            shift += 5
        if code & 0x10:
            value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    yield from runs


def unpack(encoded: dict[str, object], shape: tuple[int, int]) -> Mask:
    runs = list(decode(str(encoded["counts"])))
    assert encoded["size"] == list(shape)
    assert sum(runs) == shape[0] * shape[1]
    flat = np.concatenate([np.full(run, bool(number % 2)) for number, run in enumerate(runs)])
    return flat.reshape(shape, order="F")


def drawn(*rows: str) -> Mask:
    return np.array([[sign == "#" for sign in row] for row in rows])


@pytest.mark.parametrize(
    "mask",
    [
        drawn("...", "..."),
        drawn("###", "###"),
        drawn("#..", "..."),
        drawn("...", "..#"),
        drawn(".#.", "#.#"),
        drawn("##.", "##."),
        drawn(".##.", ".##."),
        np.random.default_rng(1).random((37, 53)) > 0.5,
        np.random.default_rng(2).random((1, 400)) > 0.9,
        np.random.default_rng(3).random((400, 1)) > 0.1,
    ],
)
def test_a_mask_comes_back_from_its_run_lengths(mask: Mask) -> None:
    assert (unpack(encode_mask(mask), mask.shape) == mask).all()


def test_run_lengths_are_spelled_as_by_cocos_own_tools() -> None:
    # what pycocotools 2.0.10 makes of it: encode(np.asfortranarray(mask))["counts"]
    mask = np.zeros((100, 100), dtype=bool)
    mask[20:60, 30:35] = True
    assert encode_mask(mask) == {"size": [100, 100], "counts": SPELLED}


SPELLED = r"\n2X1l10000000`Z6"


def test_instances_are_told_in_order_and_inside_the_picture() -> None:
    found = to_json(
        [
            Instance((-3, 1, 50, 9.126), 0.25, 1),
            Instance((8, 9, 2, 3), 0.75, 0, keypoints=[(1, 2, 0.5)]),
            Instance((float("nan"), 1, 2, 3), 0.9, 0),
            Instance((1, 1, 2, 3), float("inf"), 0),
            Instance((1, 1, 2, 2), 0.5, 2, mask=drawn("#...")),
        ],
        40,
        20,
    )
    assert [(item["score"], item["label"], item["box"]) for item in found] == [
        (0.75, 0, [2, 3, 8, 9]),
        (0.5, 2, [1, 1, 2, 2]),
        (0.25, 1, [0, 1, 40, 9.13]),
    ]
    assert found[0]["keypoints"] == [[1.0, 2.0, 0.5]]
    assert found[1]["area"] == 1
