"""One training: configured for the data, begun from weights or where it was stopped, measured at the end."""

import contextlib
import json
import logging
import os
import signal
import sys

from configuring import TRAIN, VAL, configure
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from keypoints import flip_pairs, write_keypoints
from labelled import open_labelled
from launching import check_processes, launch_training
from model_files import default_start, find_start, hush
from page.unfit import Unfit
from predictor import layers_of_another, unfitting
from trainer import Trainer, say
from weights_only import as_checkpoint, read_weights

_SETTINGS = "training.json"
_MOST_NEW = 0.5  # of the layers: with more, the weights are those of another model
_TASKS = {"bbox": "boxes", "segm": "outlines", "keypoints": "keypoints"}


class Prepared(object):
    """A training that can begin: its options, data, configuration with its name, and whether it goes on."""

    def __init__(self, options, data, cfg, name, resuming):
        self.options = options
        self.data = data
        self.cfg = cfg
        self.name = name
        self.resuming = resuming


def train(options):
    """Train as the command line says; returns the exit status. Raises Unfit for what cannot be."""
    check_processes(options.gpus, options.machines, options.rank, options.dist_url, options.device)
    prepared = prepare(options)
    data = prepared.data
    say("%d pictures to train with, %d to measure with; classes: %s"
        % (data.pictures, data.measured, ", ".join(data.classes)))  # fmt: skip
    _say_of_keypoints(prepared)
    where = options.gpus, options.machines, options.rank, options.dist_url
    return launch_training(run, *where, arguments=(prepared,))


def prepare(options):
    """All that a training needs, in its folder; raises Unfit for what cannot be trained."""
    hush()
    os.makedirs(options.out, exist_ok=True)
    data = open_labelled(options.data, options.out)
    if not options.weights and not options.config:
        options.weights = default_start()
    cfg, name = configure(options, data)
    resuming = _check_folder(options, data, name)
    _write_surroundings(cfg, data, options.out)
    return Prepared(options, data, cfg, name, resuming)


def run(prepared):
    """Train to the end, or until somebody ends it, in one of the processes; returns the exit status."""
    try:
        for part in (TRAIN, VAL):
            register(part, prepared.data, prepared.options.flip)
        return _run(begin(prepared), prepared)
    except Unfit as error:
        if comm.get_world_size() == 1:
            raise
        tell(error)  # an exception would come out of the other process as a traceback
        return error.exit_code


def begin(prepared):
    """The trainer, with its weights, that will go on or begin anew; its data is registered."""
    for logger in ("detectron2", "fvcore"):
        setup_logger(
            os.path.join(prepared.options.out, "log.txt"), distributed_rank=comm.get_rank(), name=logger
        )
        _quiet_console(logging.getLogger(logger))
    try:
        trainer = Trainer(prepared.cfg)
    except (KeyError, AttributeError, AssertionError, ValueError) as error:
        raise Unfit(
            "this Detectron2 cannot build the training of %s: %s" % (prepared.name, error),
            hint="change the configuration, or the settings after the options",
        ) from None
    # where machines have folders of their own, the first one's counts
    if comm.all_gather(prepared.resuming)[0]:
        trainer.resume_or_load(resume=True)
        _say_where(trainer.start_iter, trainer.max_iter)
    else:
        _load(trainer, prepared)
    return trainer


def _say_where(start, end):
    if start < end:
        say("going on at iteration %d" % start)
    else:
        say("trained to the end, %d iterations; to go on: --iterations %d" % (start, 2 * start))


def register(name, data, flip=None):
    """Make a part of the data known to upstream: TRAIN or VAL."""
    annotations, images = data.train if name == TRAIN else data.val
    register_coco_instances(name, {}, annotations, images)
    metadata = MetadataCatalog.get(name)
    # set before the file is read: a warning of pycocotools would come for each
    metadata.thing_classes = data.classes
    if data.keypoints:
        metadata.keypoint_names = data.keypoints.names
        metadata.keypoint_flip_map = flip_pairs(data.keypoints.names, flip) or []


def _say_of_keypoints(prepared):
    if not prepared.cfg.MODEL.KEYPOINT_ON:
        return
    names = prepared.data.keypoints.names
    pairs = flip_pairs(names, prepared.options.flip)
    told = ", ".join("%s and %s" % pair for pair in pairs or ())
    if pairs is None:
        told = "pictures are not mirrored, for nothing tells which change places then (--flip A=B,C=D)"
    elif told:
        told = "in mirrored pictures these change places: " + told
    else:
        told = "each stays what it is in mirrored pictures"
    say("keypoints: %s; %s" % (", ".join(names), told))


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
    if cfg.MODEL.KEYPOINT_ON:
        write_keypoints(data.keypoints, folder)


def _load(trainer, prepared):
    """Begin from weights, as far as they fit; says what is new."""
    path = find_start(prepared.options.weights, prepared.name)
    if path is None:
        say("no weights: every layer begins by chance, which takes many pictures and much time")
        return
    seen = trainer.checkpointer._load_model(as_checkpoint(read_weights(path), path))
    total = len(trainer.model.state_dict())
    fresh = unfitting(seen) if seen else []
    if len(fresh) > total * _MOST_NEW:
        raise layers_of_another(fresh, total)
    say("from %s: %d of %d layers are trained already" % (os.path.basename(path), total - len(fresh), total))


def _run(trainer, prepared):
    """Train and say what came of it; returns the exit status."""
    options, cfg = prepared.options, prepared.cfg
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with quiet_output(options.out):
            trainer.train()
    except KeyboardInterrupt:
        if comm.is_main_process():
            trainer.checkpointer.save("model_%07d" % trainer.iter, iteration=trainer.iter)
        say("\nstopped at iteration %d of %d, which is saved; the same command goes on"
            % (trainer.iter + 1, cfg.SOLVER.MAX_ITER))  # fmt: skip
        return 130
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        raise too_small(cfg) from None
    say("")
    if not trainer.measured:
        say("nothing is found yet in the pictures to measure with: train longer (--iterations)")
    for task, figures in trainer.measured.items():
        say("%s: AP50 %.1f, AP %.1f" % (_TASKS.get(task, task), figures["AP50"], figures["AP"]))
    say("look at it: wheelferry app --weights %s" % os.path.join(options.out, "model_final.pth"))
    return 0


def too_small(cfg):
    """The error for a device whose memory does not hold a step."""
    smaller = "smaller pictures: INPUT.MIN_SIZE_TRAIN '(480,)' INPUT.MAX_SIZE_TRAIN 800"
    batch = cfg.SOLVER.IMS_PER_BATCH
    return Unfit(
        "the memory of %s is too small" % cfg.MODEL.DEVICE,
        hint="--batch %d, or %s" % (batch // 2, smaller) if batch > 1 else smaller,
    )


@contextlib.contextmanager
def quiet_output(folder):
    """What is printed goes to the log: COCO's evaluation prints its tables."""
    with open(os.path.join(folder, "log.txt"), "a", encoding="utf-8") as log:
        with contextlib.redirect_stdout(log):
            yield


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


def _quiet_console(logger):
    """Leave upstream's log to its file."""
    for handler in list(logger.handlers):
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            if getattr(handler, "stream", None) in (sys.stdout, sys.stderr):
                logger.removeHandler(handler)


def tell(error):
    """Say what was unfit, and what to do."""
    say("error: %s" % error)
    if error.hint:
        say("  -> %s" % error.hint)
