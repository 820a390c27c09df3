"""Trainer: a plain loop with a loss history, checkpoints and metrics as JSON lines.

python -m skiff.train --out run [--resume]
"""

import argparse
import dataclasses
import json
import math
import os
import time

import numpy as np
import torch

from . import data, evaluate, visualize
from .model import Detector

WARM_UP = 20  # iterations over which the learning rate rises
GRADIENT_LIMIT = 5.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run depends on; a checkpoint carries them."""

    images: int = 48
    iterations: int = 200
    batch_size: int = 8
    learning_rate: float = 2e-3
    seed: int = 0


class Trainer:
    """Model, optimiser and history of one run.

    What an iteration draws depends on the seed and the iteration's number alone, so a
    resumed run goes on exactly as an uninterrupted one.
    """

    def __init__(self, settings, metrics_path=None):
        self.settings = settings
        self.metrics_path = metrics_path
        torch.manual_seed(settings.seed)
        self.model = Detector(len(data.CLASSES))
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.samples = data.make_dataset(settings.images, settings.seed)
        self.images, self.targets = as_tensors(self.samples)
        self.history = []

    @property
    def iteration(self):
        """Number of iterations done."""
        return len(self.history)

    def step(self):
        """One iteration; returns its losses, also appended to the history."""
        random = np.random.RandomState([self.settings.seed, self.iteration])
        chosen = random.permutation(len(self.samples))[: self.settings.batch_size]
        self.model.train()
        losses = self.model.losses(self.images[chosen], [self.targets[i] for i in chosen], random)
        total = sum(losses.values())
        self._update(total)
        record = {name: float(loss.detach()) for name, loss in losses.items()}
        record["total"] = float(total.detach())
        self.history.append(record)
        self._write_metrics([record], "a")
        return record

    def _update(self, total):
        if not math.isfinite(float(total.detach())):
            raise FloatingPointError("the loss is %s at iteration %d" % (float(total), self.iteration))
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_LIMIT)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * schedule(self.iteration, self.settings.iterations)
        self.optimizer.step()

    def run(self, until=None):
        """Go on to iteration `until` (default: the end of the settings)."""
        until = self.settings.iterations if until is None else until
        while self.iteration < until:
            self.step()

    def average_precision(self):
        """AP50, 0..1, on the images trained on."""
        return evaluate.mean_average_precision(evaluate.detect(self.model, self.images), self.targets)

    def save(self, path):
        """Write a checkpoint; `path` never holds half of one."""
        state = {
            "settings": dataclasses.asdict(self.settings),
            "history": self.history,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = str(path) + ".part"
        torch.save(state, part)
        os.replace(part, str(path))

    @classmethod
    def resume(cls, path, metrics_path=None):
        """Trainer that goes on from a checkpoint; its metrics file is written anew up to there."""
        state = torch.load(str(path), map_location="cpu")
        trainer = cls(Settings(**state["settings"]), metrics_path)
        trainer.model.load_state_dict(state["model"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer._write_metrics(state["history"], "w")
        trainer.history = state["history"]
        return trainer

    def _write_metrics(self, records, mode):
        if self.metrics_path is None:
            return
        first = 0 if mode == "w" else self.iteration - len(records)
        with open(str(self.metrics_path), mode, encoding="utf-8") as stream:
            for number, record in enumerate(records, first + 1):
                stream.write(json.dumps(dict(record, iteration=number), sort_keys=True) + "\n")


def schedule(iteration, iterations):
    """Share of the learning rate: linear rise, then a cosine down to a hundredth."""
    rise = min(1.0, (iteration + 1) / WARM_UP)
    fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, iteration / iterations))
    return rise * max(0.01, fall)


def as_tensors(samples):
    """Images float [B, 3, H, W] in 0..1 and targets, as the detector takes them."""
    pixels = np.stack([sample.image for sample in samples]).astype(np.float32) / 255
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    targets = [
        {"boxes": torch.from_numpy(sample.boxes), "labels": torch.from_numpy(sample.labels)}
        for sample in samples
    ]
    return images, targets


def main(argv=None):
    """Command line: train, evaluate, and leave checkpoint, metrics and pictures in a folder."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m skiff.train", description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder for checkpoint.pt, metrics.jsonl and pictures")
    parser.add_argument("--resume", action="store_true", help="go on from checkpoint.pt, with its settings")
    parser.add_argument("--iterations", type=int, default=defaults.iterations)
    parser.add_argument("--images", type=int, default=defaults.images, help="how many to make and train on")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)  # the network is so small that more only wait for each other
    os.makedirs(arguments.out, exist_ok=True)
    checkpoint = os.path.join(arguments.out, "checkpoint.pt")
    metrics = os.path.join(arguments.out, "metrics.jsonl")
    if arguments.resume:
        trainer = Trainer.resume(checkpoint, metrics)
    else:
        settings = dataclasses.replace(
            defaults, iterations=arguments.iterations, images=arguments.images, seed=arguments.seed
        )
        open(metrics, "w").close()  # steps append
        trainer = Trainer(settings, metrics)
    started = time.perf_counter()
    trainer.run()
    trainer.save(checkpoint)
    print("%d iterations, %.1f s" % (trainer.iteration, time.perf_counter() - started))
    print("loss %.3f -> %.3f" % (trainer.history[0]["total"], trainer.history[-1]["total"]))
    print("AP50 on the training images %.3f" % trainer.average_precision())
    visualize.draw_curve([record["total"] for record in trainer.history], "total loss").save(
        os.path.join(arguments.out, "loss.png")
    )


if __name__ == "__main__":
    main()
