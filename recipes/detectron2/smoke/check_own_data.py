"""The user's own data: fine-tuned, or only evaluated, within the time that may be spent."""

import argparse
import contextlib
import os
import shutil
import time

import torch
from configuring import TRAIN, VAL, set_iterations
from curves import draw_losses, loss_history
from detectron2.engine import HookBase
from detectron2.engine.train_loop import TrainerBase
from harness import Unusable, check, expect
from labelled import keep_some, open_labelled
from measuring import call_as_model, measure
from own_pictures import draw_predictions
from page.pictures import read_picture
from page.unfit import Unfit
from predictor import load
from trainer import TimeUp, Trainer, as_figures, names_of_figures
from training import begin, prepare, quiet_output, register

_TRIED = 3  # steps, and pictures, that are timed; the first is not counted
_TO_MEASURE = 0.3  # of the time, at most
_SLACK = 0.9  # of the time that is planned: the machine may become slower


@check("what the model is worth on your data", level="data")
def own_data(context):
    """Fine-tune or evaluate, with figures, a curve and pictures; Unusable for what does not go together."""
    folder = os.path.join(context.out, "own")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        with _all_threads():
            (_evaluate if context.own.evaluate_only else _fine_tune)(context, folder)
    except Unfit as error:
        raise Unusable("%s; %s" % (error, error.hint) if error.hint else str(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # weights of any size, which `train` is there to make


def _fine_tune(context, folder):
    end = time.monotonic() + context.own.seconds
    prepared = prepare(_options(context.own, folder))
    cfg, data = prepared.cfg, prepared.data
    context.own.will_measure(names_of_figures(cfg, data.classes))
    register(TRAIN, data)
    step, look = _rehearse(prepared)
    count, pictures = _share(end - time.monotonic(), step, look, prepared)
    set_iterations(cfg, count)
    cfg.SOLVER.CHECKPOINT_PERIOD = count + 1  # the last one is enough
    keep_some(data, pictures, folder)
    register(VAL, data)
    trainer = begin(prepared)
    trainer.deadline = end - pictures * look
    started = time.monotonic()
    with quiet_output(folder):
        results = _train(trainer, cfg)
    context.value("iterations", trainer.iter if trainer.iter < count else count)
    context.value("pictures trained with", data.pictures)
    context.value("seconds of training and measuring", round(time.monotonic() - started, 1))
    losses = loss_history(trainer.storage)
    expect(losses["total_loss"], "no iteration was recorded")
    curve = os.path.join(context.out, "own-losses.png")
    draw_losses(curve, losses)
    context.file(curve, "Losses of the training on your data")
    weights = os.path.join(folder, "model_final.pth")
    _report(context, results, load(_options(context.own, folder, weights=weights, config=None)), data)
    log = os.path.join(context.out, "own-training.log")
    shutil.copyfile(os.path.join(folder, "log.txt"), log)
    context.file(log, "Detectron2's log of the training on your data")


def _evaluate(context, folder):
    model = load(_options(context.own, folder))
    data = open_labelled(context.own.data, folder, whole=True)
    call_as_model(model, data, folder)
    context.own.will_measure(names_of_figures(model.cfg, model.names))
    seconds = _seconds_a_picture(model, data.val[1])
    count = int(context.own.seconds * _SLACK / seconds)
    if count < 1:
        raise Unfit(_TOO_SHORT % (context.own.seconds, "one picture", seconds), hint=_LONGER)
    keep_some(data, count, folder)
    started = time.monotonic()
    results = measure(model, data, folder)
    context.value("seconds of measuring", round(time.monotonic() - started, 1))
    _report(context, results, model, data)


_TOO_SHORT = "the time of %g s is too short for %s, which takes %.1f s here"
_LONGER = "give more time, as in --budget 10m"


def _options(own, folder, **others):
    """What `train` and `app` take from their command lines."""
    given = {
        "data": own.data, "out": folder, "weights": own.weights, "config": own.config, "iterations": None,
        "batch": None, "device": None, "flip": None, "settings": [], "gpus": 1, "machines": 1, "names": None,
        "seconds": own.seconds,
    }  # fmt: skip
    return argparse.Namespace(**dict(given, **others))


def _rehearse(prepared):
    """(seconds of a step, seconds to measure one picture) of this model on this machine."""
    trainer = begin(prepared)
    watch = _Watch()
    trainer._hooks = [watch]  # nothing is saved or measured
    with quiet_output(prepared.options.out):
        TrainerBase.train(trainer, 0, _TRIED)
        model = trainer.model.eval()
        times = []
        for number, inputs in enumerate(Trainer.build_test_loader(prepared.cfg, TRAIN)):
            started = time.monotonic()
            with torch.no_grad():
                model(inputs)
            times.append(time.monotonic() - started)
            if number + 1 == _TRIED:
                break
    return min(watch.times[1:] or watch.times), min(times)


class _Watch(HookBase):
    """Notes the seconds of each step."""

    def before_train(self):
        self.times = []

    def before_step(self):
        self._started = time.monotonic()

    def after_step(self):
        self.times.append(time.monotonic() - self._started)


def _share(seconds, step, look, prepared):
    """(iterations, pictures to measure with) for which the seconds are enough; Unfit where they are not."""
    seconds *= _SLACK
    pictures = max(1, min(prepared.data.measured, int(seconds * _TO_MEASURE / look)))
    count = min(prepared.cfg.SOLVER.MAX_ITER, int((seconds - pictures * look) / step))
    if count < 1:
        raise Unfit(_TOO_SHORT % (prepared.options.seconds, "one iteration", step), hint=_LONGER)
    return count, pictures


def _train(trainer, cfg):
    """Train to the end, or as long as there is time; returns what the evaluation gave."""
    try:
        trainer.train()
    except TimeUp:
        trainer.checkpointer.save("model_final")
        return Trainer.test(cfg, trainer.model)
    return trainer._last_eval_results


def _report(context, results, model, data):
    """The figures, and pictures of what the model finds."""
    figures = as_figures(results)
    for name in sorted(figures):
        context.value(name, round(figures[name], 2))
    context.value("pictures measured with", data.measured)
    context.own.measured(figures)
    drawn = os.path.join(context.out, "own-predictions.png")
    context.value("things drawn", draw_predictions(drawn, model, data.val))
    context.file(drawn, "What the model finds in your pictures; what is labelled is framed in white")


def _seconds_a_picture(model, images):
    names = sorted(os.listdir(images))[:_TRIED]
    times = []
    for name in names:
        pixels = read_picture(os.path.join(images, name)).pixels
        started = time.monotonic()
        model.predict(pixels)
        times.append(time.monotonic() - started)
    return min(times)


@contextlib.contextmanager
def _all_threads():
    """With the threads that torch takes where nobody chooses: the other checks are too small for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
