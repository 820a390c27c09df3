"""A training run on a synthetic data set: losses fall, objects are found, results are reproduced."""

import contextlib
import json
import logging
import math
import os
import random
import shutil
import time

import numpy as np
import synthetic
import torch
from curves import draw_losses, loss_history
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import DefaultPredictor, DefaultTrainer
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, DatasetEvaluators
from detectron2.modeling import build_model
from detectron2.structures import Boxes, pairwise_iou
from harness import check, expect
from PIL import Image
from small import infer, zoo_config

IMAGES, BATCH = 24, 2
FIRST, LAST = 10, 20  # iterations whose mean losses are compared
SHORT_FALL = 0.8  # what may be left of the loss after so few; 0.5 to 0.6 was seen
DATASET = "wheelferry_shapes"


class ShapeRecall(DatasetEvaluator):
    """An evaluator of our own: share of the shapes found with the right class and IoU >= 0.5."""

    def __init__(self, dataset):
        self._truth = {entry["image_id"]: entry["annotations"] for entry in DatasetCatalog.get(dataset)}
        self.reset()

    def reset(self):
        self._found, self._total = 0, 0

    def process(self, inputs, outputs):
        for entry, output in zip(inputs, outputs):
            self._count(self._truth[entry["image_id"]], output["instances"].to("cpu"))

    def _count(self, annotations, instances):
        corners = [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in annotations)]
        overlaps = pairwise_iou(Boxes(torch.tensor(corners, dtype=torch.float32)), instances.pred_boxes)
        for entry, row in zip(annotations, overlaps):
            right = (
                (row >= 0.5) & (instances.pred_classes == entry["category_id"]) & (instances.scores >= 0.3)
            )
            self._total, self._found = self._total + 1, self._found + int(right.any())

    def evaluate(self):
        return {"shapes": {"recall": 100.0 * self._found / self._total}}


def iterations(features, emulated=False):
    """How many steps: before v0.1.2 a ResNet-50 learns instead of a ResNet-18, in more and cheaper ones.

    On an emulated processor one takes half a minute: as many as show that the losses fall.
    """
    if emulated:
        return FIRST + LAST
    return 140 if "resnet18" in features else 170


def optimizer(parameters, rate):
    """Adam, in one pass over the parameters where torch has that for the CPU (2.4)."""
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4):
        return torch.optim.Adam(parameters, lr=rate, fused=True)
    return torch.optim.Adam(parameters, lr=rate)


def trainer_type(features):
    """Return a DefaultTrainer with COCO's evaluator and our own; releases name the tasks differently."""

    class Trainer(DefaultTrainer):
        @classmethod
        def build_optimizer(cls, cfg, model):
            return optimizer(model.parameters(), cfg.SOLVER.BASE_LR)

        @classmethod
        def build_evaluator(cls, cfg, dataset_name):
            tasks = ("bbox", "segm") if "evaluator_tasks" in features else cfg
            folder = os.path.join(cfg.OUTPUT_DIR, "inference")
            coco = COCOEvaluator(dataset_name, tasks, False, output_dir=folder)
            return DatasetEvaluators([coco, ShapeRecall(dataset_name)])

    return Trainer


def training_config(folder, features, seed=0, emulated=False):
    """Return the configuration of the run: a small Mask R-CNN that learns from scratch in a minute."""
    cfg = zoo_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
    model = cfg.MODEL
    if "resnet18" in features:
        model.RESNETS.DEPTH = 18
        model.RESNETS.STEM_OUT_CHANNELS = model.RESNETS.RES2_OUT_CHANNELS = 64
    model.RESNETS.NORM = model.FPN.NORM = "BN"
    model.FPN.OUT_CHANNELS = 64
    model.RPN.IN_FEATURES, model.ROI_HEADS.IN_FEATURES = ["p3"], ["p2"]
    model.ANCHOR_GENERATOR.SIZES = [[24, 40]]
    model.RPN.BATCH_SIZE_PER_IMAGE = 64
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 32
    model.ROI_HEADS.SCORE_THRESH_TEST = 0.05
    if emulated:  # after so few steps it is sure of nothing
        model.ROI_HEADS.SCORE_THRESH_TEST, cfg.TEST.DETECTIONS_PER_IMAGE = 0.0, 10
    model.ROI_BOX_HEAD.FC_DIM = 128
    model.ROI_MASK_HEAD.CONV_DIM = 64
    model.ROI_HEADS.NUM_CLASSES = len(synthetic.CLASSES)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (DATASET,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (synthetic.HEIGHT,), synthetic.WIDTH
    cfg.DATALOADER.NUM_WORKERS = 0
    count = iterations(features, emulated)
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER = BATCH, count
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.WARMUP_FACTOR = 0.001, 10, 0.1
    cfg.SOLVER.STEPS = (int(count * 0.75),)
    cfg.SOLVER.CHECKPOINT_PERIOD = count
    cfg.SEED = seed
    cfg.OUTPUT_DIR = folder
    return cfg


@contextlib.contextmanager
def logged_to(path):
    """Send Detectron2's log and everything printed (pycocotools prints) to the file at `path`."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        with contextlib.redirect_stdout(handler.stream):
            yield
    finally:
        for logger, (level, propagate) in zip(loggers, before):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        handler.close()


def expect_falling_losses(context, losses, count):
    """Check that all losses are finite and that the total falls, in a whole run to a half; report both."""
    expected = {"total_loss", "loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}
    expect(set(losses) == expected, "recorded losses: %s" % sorted(losses))
    for name, values in losses.items():
        expect(len(values) == count, "%s was recorded %d times" % (name, len(values)))
        expect(all(map(math.isfinite, values)), "%s is not finite everywhere" % name)
    total = losses["total_loss"]
    first, last = sum(total[:FIRST]) / FIRST, sum(total[-LAST:]) / LAST
    context.value("total loss, mean of the first %d iterations" % FIRST, round(first, 4))
    context.value("total loss, mean of the last %d iterations" % LAST, round(last, 4))
    most = first * (SHORT_FALL if context.emulated else 0.5)
    expect(last <= most, "the total loss fell only from %.3f to %.3f" % (first, last))


def expect_metrics(context, storage):
    """Report what the two evaluators put into the event storage; check it after a whole run."""
    figures = {}
    for name in ("bbox/AP50", "bbox/AP", "segm/AP50", "segm/AP", "shapes/recall"):
        figures[name] = storage.history(name).latest()
        context.value(name, round(figures[name], 2))
    if context.emulated:
        context.value("not asked", "how much it finds: emulated, it makes %d steps" % (FIRST + LAST))
        return
    expect(figures["bbox/AP50"] >= 50, "box AP50 on the training images is %.1f" % figures["bbox/AP50"])
    expect(figures["segm/AP50"] >= 30, "mask AP50 on the training images is %.1f" % figures["segm/AP50"])
    expect(figures["shapes/recall"] >= 50, "only %.1f %% of the shapes were found" % figures["shapes/recall"])


def expect_metrics_file(folder, count):
    """Check that metrics.json holds one JSON object a line, up to the last iteration."""
    with open(os.path.join(folder, "metrics.json"), encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    steps = [line["iteration"] for line in lines if "total_loss" in line]
    expect(steps and steps[-1] == count - 1, "metrics.json ends at iteration %s" % (steps[-1:] or "none"))
    expect(any("bbox/AP50" in line for line in lines), "metrics.json lacks the evaluation")


def expect_tensorboard(folder, count):
    """Check that the TensorBoard event file holds finite total losses."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder)
    events.Reload()
    points = events.Scalars("total_loss")  # KeyError when the file or the scalar is missing
    expect(len(points) >= count // 20, "TensorBoard holds %d total losses" % len(points))
    expect(
        all(math.isfinite(point.value) for point in points), "TensorBoard holds losses that are not finite"
    )
    expect(points[-1].value < points[0].value, "TensorBoard's losses do not fall")


def expect_same_after_reload(cfg, model, images):
    """Check that model_final.pth, loaded into a new model, predicts what the trained model predicts."""
    torch.manual_seed(1234)
    other = build_model(cfg)
    inputs = [{"image": torch.as_tensor(image.transpose(2, 0, 1).copy())} for image in images]
    fresh = infer(other, inputs)
    DetectionCheckpointer(other).load(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    differs = False
    for before, trained, loaded in zip(fresh, infer(model, inputs), infer(other, inputs)):
        trained, loaded = trained["instances"], loaded["instances"]
        expect(len(trained) > 0, "the trained model finds nothing")
        expect(len(trained) == len(loaded), "%d detections, %d after reloading" % (len(trained), len(loaded)))
        error = float((trained.pred_boxes.tensor - loaded.pred_boxes.tensor).abs().max())
        expect(error < 1e-3, "boxes differ by %.2g pixels after reloading" % error)
        expect(bool((trained.pred_masks == loaded.pred_masks).all()), "masks differ after reloading")
        untrained = before["instances"].pred_boxes.tensor
        same = len(untrained) == len(trained) and bool((untrained == trained.pred_boxes.tensor).all())
        differs = differs or not same
    expect(differs, "the model predicted the same before the weights were loaded")


def draw_instances(image, instances, scale=3):
    """Return the RGB image enlarged, with boxes, masks, classes and scores drawn over it."""
    from PIL import ImageDraw

    picture = image.astype(np.float64)
    for mask in instances.pred_masks.numpy():
        picture[mask] = 0.5 * picture[mask] + 0.5 * np.array([255.0, 230.0, 40.0])
    height, width = image.shape[:2]
    canvas = Image.fromarray(picture.astype(np.uint8)).resize((scale * width, scale * height))
    draw = ImageDraw.Draw(canvas)
    for box, score, label in zip(instances.pred_boxes.tensor, instances.scores, instances.pred_classes):
        corners = [scale * float(value) for value in box]
        draw.rectangle(corners, outline=(255, 255, 255))
        text = "%s %.2f" % (synthetic.CLASSES[int(label)], float(score))
        draw.text((corners[0] + 3, corners[1] + 2), text, fill=(0, 0, 0))
    return canvas


def draw_predictions(path, cfg, images):
    """Save a picture of what the reloaded model finds in `images` (BGR arrays); return the count."""
    cfg = cfg.clone()
    cfg.MODEL.WEIGHTS = os.path.join(cfg.OUTPUT_DIR, "model_final.pth")
    predictor, tiles, count = DefaultPredictor(cfg), [], 0
    for image in images:
        found = predictor(image)["instances"].to("cpu")
        found = found[found.scores >= 0.5]
        tiles.append(draw_instances(image[:, :, ::-1], found))
        count += len(found)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (2 * width + 6, (len(tiles) + 1) // 2 * (height + 6) - 6), (255, 255, 255))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % 2 * (width + 6), number // 2 * (height + 6)))
    sheet.save(path)
    return count


def register(folder):
    """Write and register the data set; return its images as BGR arrays."""
    path = synthetic.write(folder, IMAGES)
    register_coco_instances(DATASET, {}, path, folder)
    entries = DatasetCatalog.get(DATASET)
    expect(len(entries) == IMAGES, "the registered data set has %d images" % len(entries))
    return [np.asarray(Image.open(entry["file_name"]))[:, :, ::-1].copy() for entry in entries]


@check(
    "Mask R-CNN learns a synthetic data set: DefaultTrainer, COCOEvaluator, TensorBoard, reload",
    level="train",
)
def mask_rcnn_learns(context):
    seed = int(context.settings.get("train_seed", 0))
    for function in (random.seed, np.random.seed, torch.manual_seed):
        function(seed)
    folder = os.path.join(context.out, "training")
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run's files must not satisfy the checks
    os.makedirs(folder)
    log = os.path.join(context.out, "training.log")
    started = time.time()
    with logged_to(log):
        images = register(os.path.join(context.out, "dataset"))
        cfg = training_config(folder, context.features, seed, context.emulated)
        trainer = trainer_type(context.features)(cfg)
        trainer.resume_or_load(resume=False)
        trainer.train()
    count = cfg.SOLVER.MAX_ITER
    context.value("iterations", count)
    context.value("seconds", round(time.time() - started, 1))
    context.file(log, "Detectron2's own log of the run")

    losses = loss_history(trainer.storage)
    curves = os.path.join(context.out, "losses.png")
    draw_losses(curves, losses)
    context.file(curves, "Losses of a small Mask R-CNN on synthetic shapes")
    expect_falling_losses(context, losses, count)
    expect_metrics(context, trainer.storage)
    expect_metrics_file(folder, count)
    expect_tensorboard(folder, count)
    expect_same_after_reload(cfg, trainer.model, images[:4])

    drawn = os.path.join(context.out, "predictions.png")
    context.value("objects drawn", draw_predictions(drawn, cfg, images[:4]))
    context.file(drawn, "What the trained and reloaded model finds: boxes, masks, classes and scores")
    expect(
        context.emulated or context.values["objects drawn"] > 0,
        "the reloaded model finds nothing in the pictures",
    )
