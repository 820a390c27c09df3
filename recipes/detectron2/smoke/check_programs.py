"""Checks of programs that use the library's parts one by one, as people write them for their own work."""

import json
import math
import os

import numpy as np
import synthetic
import torch
from check_models import FASTER, MASK, SIZES, expect_instances
from detectron2.checkpoint import DetectionCheckpointer, PeriodicCheckpointer
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.structures import BoxMode
from detectron2.utils.events import CommonMetricPrinter, EventStorage, JSONWriter
from harness import check, expect
from small import CLASSES, documented_inputs, infer, seeded_model, zoo_config

PICTURES = 4
STEPS, WARM_UP = 6, 3


def entry_of(folder, number, random):
    """Draw a picture; return its entry in the format of data sets."""
    shapes = synthetic.place(random)
    path = os.path.join(folder, "function%d.png" % number)
    synthetic.picture(shapes, random).save(path)
    annotations = [
        {
            "bbox": list(map(float, box)),
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": kind,
            "segmentation": [[float(value) for point in synthetic.outline(kind, box) for value in point]],
            "iscrowd": 0,
        }
        for kind, box in shapes
    ]
    size = {"height": synthetic.HEIGHT, "width": synthetic.WIDTH}
    return dict(size, file_name=path, image_id=number, annotations=annotations)


def register(folder, name):
    """Register a data set that a function makes; return its entries and a list that grows with every call."""
    random = np.random.RandomState(7)
    entries, calls = [entry_of(folder, number, random) for number in range(1, PICTURES + 1)], []

    def made():
        calls.append(len(calls))
        return [dict(entry) for entry in entries]

    DatasetCatalog.register(name, made)
    MetadataCatalog.get(name).set(thing_classes=list(synthetic.CLASSES))
    return entries, calls


def configuration(name, dataset):
    """Return a small configuration of the zoo that reads the registered data set."""
    cfg = zoo_config(name)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (dataset,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (synthetic.HEIGHT,), synthetic.WIDTH
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


@check("a data set that a function makes: registered, described and loaded for training")
def registered_function(context):
    name = "wheelferry_by_a_function"
    entries, calls = register(context.out, name)
    expect(not calls, "the function is called before anyone asks for the data set")
    expect(DatasetCatalog.get(name) == entries, "the catalog returns other entries")
    expect(MetadataCatalog.get(name).thing_classes == list(synthetic.CLASSES), "the classes' names are lost")
    truths = {entry["image_id"]: entry["annotations"] for entry in entries}
    loader = iter(build_detection_train_loader(configuration(MASK, name)))
    batches = [next(loader) for _ in range(PICTURES // 2)]
    numbers = sorted(entry["image_id"] for batch in batches for entry in batch)
    expect(numbers == sorted(truths), "the first pass over the data has the images %s" % numbers)
    for entry in (entry for batch in batches for entry in batch):
        truth, instances = truths[entry["image_id"]], entry["instances"]
        size = (synthetic.HEIGHT, synthetic.WIDTH)
        expect(
            tuple(entry["image"].shape) == (3,) + size,
            "an image has shape %s" % (tuple(entry["image"].shape),),
        )
        expect(tuple(instances.image_size) == size, "instances of size %s" % (instances.image_size,))
        kinds = sorted(annotation["category_id"] for annotation in truth)
        expect(sorted(instances.gt_classes.tolist()) == kinds, "classes %s" % instances.gt_classes.tolist())
        # the loader mirrors some of the pictures, which leaves the sizes of their boxes
        areas = sorted(
            (x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (annotation["bbox"] for annotation in truth)
        )
        error = max(abs(a - b) for a, b in zip(areas, sorted(instances.gt_boxes.area().tolist())))
        expect(error < 1, "the areas of the boxes differ by %g" % error)
        expect(len(instances.gt_masks) == len(kinds), "%d masks" % len(instances.gt_masks))
    context.value("objects", sum(map(len, truths.values())))


class Counter(DatasetEvaluator):
    """Counts images and the objects found in them, by class."""

    def reset(self):
        self._images, self._objects = 0, [0] * CLASSES

    def process(self, inputs, outputs):  # noqa: ARG002 -- as it is called
        for output in outputs:
            self._images += 1
            for label in output["instances"].pred_classes.tolist():
                self._objects[label] += 1

    def evaluate(self):
        return {"images": self._images, "objects": list(self._objects)}


@check("an evaluator of our own: counts what inference_on_dataset finds")
def counting_evaluator(context):
    name = "wheelferry_counted"
    register(context.out, name)
    cfg = configuration(FASTER, name)
    model = seeded_model(cfg, training=True)
    counted = inference_on_dataset(model, build_detection_test_loader(cfg, name), Counter())
    expect(model.training, "the model is not put back into training mode")
    expected = [0] * CLASSES
    for batch in build_detection_test_loader(cfg, name):
        for output in infer(model, batch):
            for label in output["instances"].pred_classes.tolist():
                expected[label] += 1
    context.value("objects", sum(counted["objects"]))
    expect(counted["images"] == PICTURES, "%d images were counted" % counted["images"])
    expect(sum(expected) > 0, "the model finds nothing")
    expect(counted["objects"] == expected, "counted %s, found %s" % (counted["objects"], expected))


@check("part by part: backbone, proposals, heads and postprocessing give what the model gives")
def parts_equal_model(context):
    model = seeded_model(zoo_config(MASK), seed=4)
    inputs = documented_inputs(SIZES, seed=4)
    whole = infer(model, inputs)
    with torch.no_grad():
        images = model.preprocess_image(inputs)
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features)
        found, _ = model.roi_heads(images, features, proposals)
    for part, output, (height, width) in zip(found, whole, SIZES):
        part = detector_postprocess(part, height, width)
        expect_instances(part, (height, width))
        other = output["instances"]
        expect(len(part) == len(other), "%d detections, the model has %d" % (len(part), len(other)))
        error = float((part.pred_boxes.tensor - other.pred_boxes.tensor).abs().max())
        expect(error < 1e-3, "the boxes differ by %.2g pixels" % error)
        expect(bool((part.pred_classes == other.pred_classes).all()), "the classes differ")
        share = float((part.pred_masks != other.pred_masks).float().mean())
        expect(tuple(part.pred_masks.shape[1:]) == (height, width), "the masks have another size")
        expect(share < 1e-3, "%.2g of the masks' pixels differ" % share)
    context.value("detections", sum(map(len, found)))


def train_by_hand(cfg, model, folder):
    """A training loop of our own: one step an iteration, figures to the storage and from there to writers."""
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    saver = DetectionCheckpointer(model, folder, optimizer=optimizer, scheduler=scheduler)
    periodic = PeriodicCheckpointer(saver, STEPS // 2, max_iter=STEPS)
    writers = [CommonMetricPrinter(STEPS), JSONWriter(os.path.join(folder, "by_hand.json"))]
    batch = next(
        iter(build_detection_train_loader(cfg))
    )  # the same at every step, so that the loss must fall
    rates = []
    with EventStorage(0) as storage:
        for iteration in range(STEPS):
            losses = model(batch)
            total = sum(losses.values())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
            # the first releases write medians of whatever is not said to need no smoothing
            storage.put_scalars(total_loss=float(total.detach()), lr=rates[-1], smoothing_hint=False)
            scheduler.step()
            for writer in writers:
                writer.write()
            periodic.step(iteration)
            storage.step()
    for writer in writers:
        writer.close()
    return storage, rates


@check("a training loop of our own: optimizer, schedule, event storage, writers and checkpoints")
def training_loop(context):
    register(context.out, "wheelferry_by_hand")
    folder = os.path.join(context.out, "by_hand")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))  # an earlier run's, to which the writer would add
    cfg = configuration("COCO-Detection/rpn_R_50_FPN_1x.yaml", "wheelferry_by_hand")
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 0.02, STEPS, ()
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.WARMUP_FACTOR = WARM_UP, 0.1
    model = seeded_model(cfg, training=True)
    storage, rates = train_by_hand(cfg, model, folder)

    values = [value for value, _ in storage.history("total_loss").values()]
    context.value("first loss", values[0])
    context.value("last loss", values[-1])
    expect(len(values) == STEPS and all(map(math.isfinite, values)), "the losses recorded: %s" % values)
    expect(values[-1] < values[0], "the loss goes from %g to %g" % (values[0], values[-1]))
    expected = [0.02 * min(1.0, 0.1 + 0.9 * step / WARM_UP) for step in range(STEPS)]
    expect(np.allclose(rates, expected), "the learning rates are %s" % rates)
    with open(os.path.join(folder, "by_hand.json"), encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    expect([line["iteration"] for line in lines] == list(range(STEPS)), "the writer's lines: %s" % lines)
    expect(np.allclose([line["total_loss"] for line in lines], values), "the writer has other losses")

    other = seeded_model(cfg, seed=1)
    DetectionCheckpointer(other).load(os.path.join(folder, "model_final.pth"))
    weights, loaded = model.state_dict(), other.state_dict()
    expect(
        all(torch.equal(weights[name], loaded[name]) for name in weights), "the checkpoint has other weights"
    )
