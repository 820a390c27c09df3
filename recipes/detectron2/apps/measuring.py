"""What a model is worth on labelled pictures: COCO's figures, without a training."""

import json
import os

from configuring import VAL
from detectron2.data import build_detection_test_loader
from detectron2.evaluation import inference_on_dataset
from labelled import write_document
from page.unfit import Unfit
from trainer import coco_evaluator
from training import quiet_output, register


def call_as_model(model, data, out):
    """Give the objects of the part to measure with the numbers that the model has for their classes.

    `model` is a `predictor.Model`, `data` a `labelled.Labelled`, which is changed; the part is written anew
    to the folder `out`. Raises Unfit where the model has no class called so.
    """
    names = list(model.names) if model.is_named else list(data.classes)
    if len(names) != len(model.names):
        raise Unfit(
            "the model has %d classes without names, and the data %d" % (len(model.names), len(names)),
            hint="put classes.txt beside the weights: the names of its classes, one a line, in their order",
        )
    unknown = [name for name in data.classes if name not in names]
    if unknown:
        raise Unfit(
            "the model has no class called %s; it has %s" % (unknown[0], ", ".join(names)),
            hint="call the categories of the data so; or train, which makes a model for these",
        )
    if model.cfg.MODEL.KEYPOINT_ON and data.keypoints is None:
        raise Unfit("the model finds keypoints, and the data set has none")
    model.names = names
    path, images = data.val
    with open(path, encoding="utf-8") as stream:
        document = json.load(stream)
    number = {name: place for place, name in enumerate(names, 1)}
    ids = {one["id"]: number[str(one["name"])] for one in document["categories"]}
    objects = [dict(one, category_id=ids[one["category_id"]]) for one in document["annotations"]]
    categories = [{"id": number[name], "name": name} for name in names]
    place = os.path.join(out, "data_as_model.json")
    write_document(place, dict(document, annotations=objects, categories=categories))
    data.classes, data.val = names, (place, images)


def measure(model, data, out):
    """The results of COCO's evaluation, by task; the data's classes are the model's. Files go to `out`."""
    cfg = model.cfg.clone()
    cfg.DATASETS.TEST = (VAL,)
    cfg.DATALOADER.NUM_WORKERS = 0
    register(VAL, data)
    with quiet_output(out):
        loader = build_detection_test_loader(cfg, VAL)
        return inference_on_dataset(model.network, loader, coco_evaluator(cfg, VAL, out))
