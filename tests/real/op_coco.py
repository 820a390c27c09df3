"""Cases of the fast COCO evaluation: two functions and two classes, directly and through COCOeval_opt."""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import Any

import numpy as np

from op_inputs import IMAGE
from op_rotated import Cases


def cases(datasets: dict[str, Any]) -> Cases:
    for name, dataset in datasets.items():
        for kind in ("bbox", "segm", "keypoints"):
            # without classes pycocotools computes no similarity of key points, and what is compiled reads it
            for by_class in (True,) if kind == "keypoints" else (True, False):
                told = f"COCO {kind}: {name}{'' if by_class else ', without classes'}"
                yield told, lambda d=dataset, k=kind, b=by_class: _evaluated(d, k, b)
                # pycocotools has no answer where there is nothing to evaluate
                if dataset["images"]:
                    yield (
                        f"{told}, as pycocotools has it",
                        lambda d=dataset, k=kind, b=by_class: _difference(d, k, b),
                    )
    yield "COCO bbox: other thresholds", lambda: _evaluated(datasets["crowds"], "bbox", True, **_OTHERS)
    yield (
        "COCO bbox: other thresholds, as pycocotools has it",
        lambda: _difference(datasets["crowds"], "bbox", True, **_OTHERS),
    )
    yield from _direct()
    yield from _refused()


_OTHERS: dict[str, Any] = {
    "iouThrs": np.array([0.0, 0.3, 1.0]),
    "recThrs": np.array([0.0, 0.5, 1.0]),
    "maxDets": [1, 3, 7],
    "areaRng": [[0, 1e10], [0, 400], [400, 1e10], [5, 5]],
    "areaRngLbl": ["all", "small", "large", "none"],
}


def _index(dataset: dict[str, Any], annotations: list[dict[str, Any]]) -> Any:
    """A pycocotools COCO of the annotations, without a file."""
    coco: Any = importlib.import_module("pycocotools.coco")
    index = coco.COCO()
    index.dataset = {
        "info": {},
        "images": [{"id": number, "width": IMAGE, "height": IMAGE} for number in dataset["images"]],
        "categories": [{"id": label, "name": f"class {label}"} for label in dataset["labels"]],
        "annotations": [dict(annotation) for annotation in annotations],
    }
    index.createIndex()
    return index


def _run(
    evaluator_type: Any, dataset: dict[str, Any], kind: str, by_class: bool, settings: dict[str, Any]
) -> Any:
    """Precision, recall and scores of every setting, and the figures that are summarised from them."""
    numbered = [{**found, "id": number, "iscrowd": 0} for number, found in enumerate(dataset["found"], 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = evaluator_type(_index(dataset, dataset["truth"]), _index(dataset, numbered), kind)
        evaluator.params.useCats = int(by_class)
        for name, value in settings.items():
            setattr(evaluator.params, name, value)
        evaluator.evaluate()
        evaluator.accumulate()
        if not settings:
            evaluator.summarize()
    names = ("precision", "recall", "scores")
    return {
        **{name: np.asarray(evaluator.eval[name]) for name in names},
        "counts": list(evaluator.eval["counts"]),
        "stats": np.asarray(evaluator.stats),
    }


def _evaluated(dataset: dict[str, Any], kind: str, by_class: bool, **settings: Any) -> Any:
    fast: Any = importlib.import_module("detectron2.evaluation.fast_eval_api")
    return _run(fast.COCOeval_opt, dataset, kind, by_class, settings)


def _difference(dataset: dict[str, Any], kind: str, by_class: bool, **settings: Any) -> Any:
    """How far what was compiled is from pycocotools on this machine; it should be nothing at all."""
    slow: Any = importlib.import_module("pycocotools.cocoeval")
    one = _evaluated(dataset, kind, by_class, **settings)
    other = _run(slow.COCOeval, dataset, kind, by_class, settings)
    assert one["counts"] == other["counts"]
    arrays = [name for name in one if name != "counts" and np.size(one[name])]
    return {name: float(np.abs(one[name] - other[name]).max()) for name in arrays}


class _Params:
    """As much of pycocotools' Params as the compiled function reads."""

    def __init__(self, **others: Any) -> None:
        self.recThrs = np.array([0.0, 0.5, 1.0])
        self.maxDets = [1, 10]
        self.iouThrs = np.array([0.5, 0.75])
        self.useCats = 1
        self.catIds = [1]
        self.areaRng = [[0, 1e10]]
        self.imgIds = [1]
        self.__dict__.update(others)


def _direct() -> Cases:
    module: Any = importlib.import_module("detectron2._C")
    instance = module.InstanceAnnotation
    evaluate, accumulate = module.COCOevalEvaluateImages, module.COCOevalAccumulate

    def accumulated(truth: list[Any], found: list[Any], ious: Any, **others: Any) -> Any:
        params = _Params(**others)
        evaluations = evaluate(params.areaRng, 10, params.iouThrs, [[ious]], [[truth]], [[found]])
        told = accumulate(params, evaluations)
        assert told.pop("params") is params
        assert all(type(evaluation) is module.ImageEvaluation for evaluation in evaluations)
        names = ("counts", "precision", "recall", "scores")
        return {**{name: told[name] for name in names}, "keys": sorted(told)}

    one, other = instance(1, 0.0, 40.0, False, False), instance(2, 0.9, 30.0, False, False)
    yield "COCO direct: a match", lambda: accumulated([one], [other], [[0.8]])
    yield "COCO direct: no match", lambda: accumulated([one], [other], [[0.1]])
    yield "COCO direct: a NaN as IoU", lambda: accumulated([one], [other], [[float("nan")]])
    yield "COCO direct: no truth", lambda: accumulated([], [other], [[]])
    yield "COCO direct: nothing found", lambda: accumulated([one], [], [])
    yield "COCO direct: a NaN as score", lambda: accumulated(
        [one], [instance(2, float("nan"), 30.0, False, False), other], [[0.8], [0.9]]
    )  # fmt: skip
    yield "COCO direct: the largest id", lambda: accumulated(
        [instance(2**64 - 1, 0.0, 40.0, False, False)], [other], [[0.8]]
    )  # fmt: skip
    yield "COCO direct: an array as IoU", lambda: accumulated([one], [other], np.array([[0.8]]))
    yield "COCO direct: single precision as IoU", lambda: accumulated(
        [one], [other], np.array([[0.8]], dtype=np.float32)
    )  # fmt: skip
    yield "COCO direct: ignored", lambda: accumulated(
        [instance(1, 0.0, 40.0, True, True)], [other, other], [[0.8], [0.7]]
    )  # fmt: skip
    yield "COCO direct: no recall thresholds", lambda: accumulated([one], [other], [[0.8]], recThrs=[])
    yield "COCO direct: no IoU thresholds", lambda: accumulated([one], [other], [[0.8]], iouThrs=[])
    yield "COCO direct: the class has a name", lambda: [instance.__module__, instance.__qualname__]


_NOT_ALWAYS_TAKEN: list[Any] = [None, "x", -1, 2.5, 2**64, [], True]
_NOT_ALWAYS_TAKEN += [np.int64(3), np.float32(0.5), np.bool_(True)]


def _refused() -> Cases:
    module: Any = importlib.import_module("detectron2._C")
    instance, evaluate, accumulate = (
        module.InstanceAnnotation,
        module.COCOevalEvaluateImages,
        module.COCOevalAccumulate,
    )
    right: list[Any] = [1, 0.5, 40.0, False, False]
    for number in range(5):
        for value in _NOT_ALWAYS_TAKEN:
            given = [*right[:number], value, *right[number + 1 :]]
            told = f"{type(value).__name__} {value!r}"
            yield (
                f"InstanceAnnotation: argument {number} is {told}",
                lambda g=given: type(instance(*g)).__name__,
            )
    yield "InstanceAnnotation: no arguments", lambda: instance()
    yield "InstanceAnnotation: an argument too many", lambda: instance(*right, 1)
    yield "InstanceAnnotation: an attribute", lambda: instance(*right).score
    yield "ImageEvaluation", lambda: type(module.ImageEvaluation()).__name__
    yield "ImageEvaluation: an argument too many", lambda: module.ImageEvaluation(1)
    area: Any = [[0, 1e10]]
    empty: Any = [[[]]]
    wrong: dict[str, list[Any]] = {
        "no arguments": [],
        "None": [None, 10, [0.5], empty, empty, empty],
        "an area of three": [[[0, 1, 2]], 10, [0.5], empty, empty, empty],
        "an area of none": [[[]], 10, [0.5], empty, empty, empty],
        "a text as area": ["all", 10, [0.5], empty, empty, empty],
        "a fraction as count": [area, 10.5, [0.5], empty, empty, empty],
        "a count beyond 32 bits": [area, 2**40, [0.5], empty, empty, empty],
        "a number as thresholds": [area, 10, 0.5, empty, empty, empty],
        "a text as IoU": [area, 10, [0.5], [["x"]], empty, empty],
        "numbers as instances": [area, 10, [0.5], empty, [[[1]]], [[[1]]]],
        "None as an instance": [area, 10, [0.5], empty, [[[None]]], empty],
    }
    for name, given in wrong.items():
        yield f"COCOevalEvaluateImages: {name}", lambda g=given: len(evaluate(*g))
    yield "COCOevalAccumulate: no arguments", lambda: accumulate()
    yield "COCOevalAccumulate: None", lambda: accumulate(None, [])
    yield "COCOevalAccumulate: None as evaluations", lambda: accumulate(_Params(), None)
    yield "COCOevalAccumulate: numbers as evaluations", lambda: accumulate(_Params(), [1, 2])
    wrongs: list[tuple[str, Any]] = [("recThrs", ["x"]), ("recThrs", None), ("maxDets", 3)]
    for name, value in [*wrongs, ("useCats", "x"), ("imgIds", None)]:
        yield (
            f"COCOevalAccumulate: {name} is {value!r}",
            lambda n=name, v=value: accumulate(_Params(**{n: v}), [module.ImageEvaluation()]),
        )
    yield "COCOevalAccumulate: params lack something", lambda: accumulate(object(), [])
