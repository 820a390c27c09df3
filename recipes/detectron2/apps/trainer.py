"""Upstream's trainer, measured as COCO does, with a line of progress for people."""

import inspect
import math
import os
import sys
import time

from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import COCOEvaluator
from detectron2.utils import comm

_SAY_EVERY = 10  # seconds
_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


class Trainer(DefaultTrainer):
    """Upstream's trainer; `deadline` is the moment of `time.monotonic` at which it stops, if not before."""

    deadline = math.inf

    @property
    def measured(self):
        """The figures of the last measurement by task; none where it found nothing."""
        results = getattr(self, "_last_eval_results", None) or {}
        return {task: figures for task, figures in results.items() if figures.get("AP50", -1) >= 0}

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        """COCO's evaluation, with the arguments of this release."""
        return coco_evaluator(cfg, dataset_name, output_folder or os.path.join(cfg.OUTPUT_DIR, "inference"))

    def build_hooks(self):
        """Upstream's hooks, and ours."""
        return [*super().build_hooks(), Progress()]


def coco_evaluator(cfg, dataset_name, folder):
    """COCO's evaluation of a data set, with the arguments of this release; it leaves files in `folder`."""
    known = inspect.signature(COCOEvaluator.__init__).parameters
    if "tasks" not in known:
        return COCOEvaluator(dataset_name, cfg, False, folder)
    sigmas = {"kpt_oks_sigmas": cfg.TEST.KEYPOINT_OKS_SIGMAS} if "kpt_oks_sigmas" in known else {}
    return COCOEvaluator(dataset_name, output_dir=folder, **sigmas)


def names_of_figures(cfg, classes):
    """What the evaluation measures of a model: names such as bbox/AP50, and bbox/AP-dent for a class."""
    tasks = ["bbox"]
    if cfg.MODEL.MASK_ON:
        tasks.append("segm")
    if cfg.MODEL.KEYPOINT_ON:
        tasks.append("keypoints")
    names = ["%s/%s" % (task, figure) for task in tasks for figure in _FIGURES]
    if "keypoints" in tasks:  # COCO has no small ones with keypoints
        names.remove("keypoints/APs")
    each = classes if len(classes) > 1 else []
    return names + ["%s/AP-%s" % (task, name) for task in tasks for name in each]


def as_figures(results):
    """What an evaluation of data with objects gave, by those names, without what could not be measured."""
    found = {}
    for task, figures in results.items():
        if math.isfinite(figures.get("AP", 0.0)):
            found.update({"%s/%s" % (task, name): float(value) for name, value in figures.items()})
        else:  # upstream's word for a model that finds nothing at all
            found.update({"%s/%s" % (task, name): 0.0 for name in ("AP", "AP50", "AP75")})
    return {name: value for name, value in found.items() if math.isfinite(value) and value >= 0}


class TimeUp(Exception):
    """The time that a training may take is over."""


class Progress(HookBase):
    """Says now and then how far the training is, and what time it will take; and ends it at its deadline."""

    def before_train(self):
        """Note when it begins."""
        self._started = self._said = time.monotonic()

    def after_step(self):
        """Say it, every few seconds and at the end."""
        now, done, total = time.monotonic(), self.trainer.iter + 1, self.trainer.max_iter
        if now > self.trainer.deadline and done < total:
            raise TimeUp
        if now - self._said < _SAY_EVERY and done < total:
            return
        self._said = now
        left = (now - self._started) / max(1, done - self.trainer.start_iter) * (total - done)
        loss = self.trainer.storage.history("total_loss").median(20)
        say("iteration %d of %d, loss %.3f, %s left" % (done, total, loss, duration(left)))


def duration(seconds):
    """A time as people say it."""
    if seconds < 90:
        return "%d seconds" % round(seconds)
    return "%d minutes" % round(seconds / 60) if seconds < 5400 else "%.1f hours" % (seconds / 3600)


def say(text):
    """A line for whoever watches; of several processes the first speaks."""
    if comm.is_main_process():
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
