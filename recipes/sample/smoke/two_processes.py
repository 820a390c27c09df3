"""A short training of the detector that one process does alone or two share; the processes import this file.

The loss of a batch is the mean over its images, each of which is looked at by itself. So the mean over two
processes with half of the images each is, but for rounding, what one process finds for the whole batch.
"""

import os
import tempfile

import numpy as np
import torch
from skiff import data
from skiff.model import Detector
from skiff.train import as_tensors

BATCH, STEPS = 4, 4
SEED = 3


class MeanLoss(torch.nn.Module):
    """The detector's losses summed, as a mean over images: what DistributedDataParallel can wrap."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, images, targets, seeds):
        totals = [
            sum(self.detector.losses(image[None], [target], np.random.RandomState(seed)).values())
            for image, target, seed in zip(images, targets, seeds)
        ]
        return sum(totals) / len(totals)


def _new_model():
    torch.manual_seed(SEED)
    return MeanLoss(Detector(len(data.CLASSES)))


def _weights(model):
    return {name: weight.detach() for name, weight in model.named_parameters()}


def initial_weights():
    """The weights that every training starts from."""
    return _weights(_new_model())


def train(chosen, shared=lambda model: model):
    """Train on the images `chosen` of each step's batch; return the losses of the steps, and the weights.

    `shared` makes of the model one that processes share.
    """
    torch.set_num_threads(1)
    images, targets = as_tensors(data.make_dataset(BATCH, SEED))
    plain = _new_model()
    model = shared(plain)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9)
    losses = []
    for step in range(STEPS):
        loss = model(images[chosen], [targets[i] for i in chosen], [[SEED, step, i] for i in chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return {"losses": losses, "weights": _weights(plain)}


def _work(rank, folder):
    """What each of two processes does; its result goes to `folder`."""
    import torch.distributed as dist

    store = dist.FileStore(os.path.join(folder, "store"), 2)
    dist.init_process_group("gloo", store=store, world_size=2, rank=rank)
    half = list(range(rank, BATCH, 2))
    torch.save(train(half, torch.nn.parallel.DistributedDataParallel), _result(folder, rank))
    dist.barrier()  # none leaves while the other still needs it
    dist.destroy_process_group()


def start():
    """Have two processes train together, each on half of the batch; return their results."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_work, args=(folder,), nprocs=2)
        return [torch.load(_result(folder, rank)) for rank in (0, 1)]


def _result(folder, rank):
    return os.path.join(folder, "process%d.pt" % rank)
