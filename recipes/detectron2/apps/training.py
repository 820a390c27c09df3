"""One training: configured for the data, begun from weights or where it was stopped, measured at the end."""

import contextlib
import inspect
import json
import logging
import os
import signal
import sys
import time

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import COCOEvaluator
from detectron2.utils.logger import setup_logger
from labelled import open_labelled
from model_files import find_start, hush, merge_config
from page.unfit import Unfit
from predictor import choose_device
from weights_only import as_checkpoint, read_weights

_BOXES = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
_OUTLINES = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
_ZOO_BATCH = 16  # pictures in a step that the zoo's learning rates are for
_TIMES = 30  # through the data
_LEAST, _MOST = 300, 20000  # iterations, where none are given
_SAY_EVERY = 10  # seconds
_SETTINGS = "training.json"
_TRAIN, _VAL = "own_train", "own_val"


def train(options):
    """Train as the command line says; returns the exit status. Raises Unfit for what cannot be."""
    hush()
    os.makedirs(options.out, exist_ok=True)
    data = open_labelled(options.data, options.out)
    cfg, name = _configure(options, data)
    resuming = _check_folder(options, data, name)
    for dataset, (annotations, images) in ((_TRAIN, data.train), (_VAL, data.val)):
        register_coco_instances(dataset, {}, annotations, images)
        # set before the file is read: a warning of pycocotools would come for each
        MetadataCatalog.get(dataset).thing_classes = data.classes
    _write_surroundings(cfg, data, options.out)
    for logger in ("detectron2", "fvcore"):
        setup_logger(os.path.join(options.out, "log.txt"), name=logger)
        _quiet_console(logging.getLogger(logger))
    _say("%d pictures to train with, %d to measure with; classes: %s"
         % (data.pictures, data.measured, ", ".join(data.classes)))  # fmt: skip
    trainer = _Trainer(cfg)
    if resuming:
        trainer.resume_or_load(resume=True)
        _say("going on at iteration %d" % trainer.start_iter)
    else:
        _load(trainer, options, name)
    return _run(trainer, cfg, options)


def _configure(options, data):
    """(configuration, its name) for this data, this batch and what the user set."""
    name = options.config or (_OUTLINES if data.has_outlines else _BOXES)
    cfg = get_cfg()
    merge_config(cfg, name)
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = choose_device(options.device)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.RETINANET.NUM_CLASSES = len(data.classes)
    cfg.MODEL.MASK_ON = cfg.MODEL.MASK_ON and data.has_outlines
    cfg.INPUT.MASK_FORMAT = "bitmask" if data.has_bitmaps else "polygon"
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (_TRAIN,), (_VAL,)
    cfg.DATALOADER.NUM_WORKERS = 0 if os.name == "nt" or cfg.MODEL.DEVICE == "cpu" else 2
    count = options.iterations or min(_MOST, max(_LEAST, _TIMES * data.pictures // options.batch))
    solver = cfg.SOLVER
    # the rule of linear scaling, as upstream's own REFERENCE_WORLD_SIZE has it
    solver.BASE_LR = solver.BASE_LR * options.batch / float(solver.IMS_PER_BATCH or _ZOO_BATCH)
    solver.IMS_PER_BATCH = options.batch
    solver.MAX_ITER, solver.STEPS = count, tuple(sorted({count * 3 // 4, count * 11 // 12} - {0}))
    solver.WARMUP_ITERS = min(1000, count // 10)
    solver.CHECKPOINT_PERIOD = max(50, count // 20)
    cfg.TEST.EVAL_PERIOD = 0  # at the end
    cfg.OUTPUT_DIR = options.out
    try:
        cfg.merge_from_list(options.settings)
    except (AssertionError, KeyError, ValueError, AttributeError) as error:
        raise Unfit("the settings cannot be used: %s" % error, hint="as in SOLVER.BASE_LR 0.001") from None
    return cfg, name


def _check_folder(options, data, name):
    """Whether a training was begun in the folder; raises Unfit when it was one of something else."""
    settings = {"data": os.path.abspath(options.data), "config": name, "classes": data.classes}
    path = os.path.join(options.out, _SETTINGS)
    if os.path.isfile(os.path.join(options.out, "last_checkpoint")):
        before = _read_settings(path)
        differing = [key for key in settings if before.get(key) != settings[key]]
        if differing:
            raise Unfit(
                "%s holds a training with another %s" % (options.out, " and ".join(differing)),
                hint="choose another --out, or remove that folder",
            )
        return True
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(settings, stream, indent=1)
    return False


def _read_settings(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return {}


def _write_surroundings(cfg, data, folder):
    """What the page looks for beside the weights."""
    shown = cfg.clone()
    shown.MODEL.DEVICE = "cpu"
    for name, text in (("config.yaml", shown.dump()), ("classes.txt", "\n".join(data.classes) + "\n")):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            stream.write(text)


def _load(trainer, options, name):
    """Begin from weights, as far as they fit; says what is new."""
    path = find_start(options.weights, name)
    if path is None:
        _say("no weights: every layer begins by chance, which takes many pictures and much time")
        return
    seen = trainer.checkpointer._load_model(as_checkpoint(read_weights(path), path))
    total = len(trainer.model.state_dict())
    fresh = len(set(seen.missing_keys) | {one[0] for one in seen.incorrect_shapes}) if seen else 0
    if fresh > total * 0.7:
        raise Unfit(
            "these are weights of another model: %d of its %d layers do not fit, as %s"
            % (fresh, total, (list(seen.missing_keys) + [one[0] for one in seen.incorrect_shapes])[0]),
            hint="give the configuration that belongs to them (--config)",
        )
    _say("from %s: %d of %d layers are trained already" % (os.path.basename(path), total - fresh, total))


def _run(trainer, cfg, options):
    """Train to the end, or until somebody ends it; returns the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # COCO's evaluation prints its tables
        with open(os.path.join(options.out, "log.txt"), "a", encoding="utf-8") as log:
            with contextlib.redirect_stdout(log):
                trainer.train()
    except KeyboardInterrupt:
        trainer.checkpointer.save("model_%07d" % trainer.iter, iteration=trainer.iter)
        _say("\nstopped at iteration %d of %d, which is saved; the same command goes on"
             % (trainer.iter + 1, cfg.SOLVER.MAX_ITER))  # fmt: skip
        return 130
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        smaller = "smaller pictures: INPUT.MIN_SIZE_TRAIN '(480,)' INPUT.MAX_SIZE_TRAIN 800"
        raise Unfit(
            "the memory of %s is too small" % cfg.MODEL.DEVICE,
            hint="--batch %d, or %s" % (options.batch // 2, smaller) if options.batch > 1 else smaller,
        ) from None
    _say("")
    for task, figures in trainer.measured.items():
        _say("%s: AP50 %.1f, AP %.1f" % (_TASKS.get(task, task), figures["AP50"], figures["AP"]))
    _say("look at it: wheelferry app --weights %s" % os.path.join(options.out, "model_final.pth"))
    return 0


_TASKS = {"bbox": "boxes", "segm": "outlines"}


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


class _Trainer(DefaultTrainer):
    """Upstream's trainer, measured as COCO does, with a line of progress for people."""

    @property
    def measured(self):
        """The figures of the last measurement by task; none where it found nothing."""
        results = getattr(self, "_last_eval_results", None) or {}
        return {task: figures for task, figures in results.items() if figures.get("AP50", -1) >= 0}

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        """COCO's evaluation, with the arguments of this release."""
        folder = output_folder or os.path.join(cfg.OUTPUT_DIR, "inference")
        if "tasks" in inspect.signature(COCOEvaluator.__init__).parameters:
            return COCOEvaluator(dataset_name, output_dir=folder)
        return COCOEvaluator(dataset_name, cfg, False, folder)

    def build_hooks(self):
        """Upstream's hooks, and ours."""
        return [*super().build_hooks(), _Progress()]


class _Progress(HookBase):
    """Says now and then how far the training is, and what time it will take."""

    def before_train(self):
        """Note when it begins."""
        self._started = self._said = time.monotonic()

    def after_step(self):
        """Say it, every few seconds and at the end."""
        now, done, total = time.monotonic(), self.trainer.iter + 1, self.trainer.max_iter
        if now - self._said < _SAY_EVERY and done < total:
            return
        self._said = now
        left = (now - self._started) / max(1, done - self.trainer.start_iter) * (total - done)
        loss = self.trainer.storage.history("total_loss").median(20)
        _say("iteration %d of %d, loss %.3f, %s left" % (done, total, loss, _duration(left)))


def _duration(seconds):
    if seconds < 90:
        return "%d seconds" % round(seconds)
    return "%d minutes" % round(seconds / 60) if seconds < 5400 else "%.1f hours" % (seconds / 3600)


def _quiet_console(logger):
    """Leave upstream's log to its file."""
    for handler in list(logger.handlers):
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            if getattr(handler, "stream", None) in (sys.stdout, sys.stderr):
                logger.removeHandler(handler)


def _say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
