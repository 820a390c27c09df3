"""Weights of a trained detector: looked for in the folder that SKIFF_CACHE names, else in ~/.cache/skiff.

python -m skiff.weights run/checkpoint.pt detector.npz    # keeps of a training run what detecting needs
"""

import argparse
import os

import numpy as np
import torch

from . import data
from .model import Detector

NAME = "detector.npz"


def path():
    """Where `load` looks for the weights."""
    folder = os.environ.get("SKIFF_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "skiff")
    return os.path.join(folder, NAME)


def load(source=None):
    """The trained detector, in inference mode; FileNotFoundError when its weights are not there."""
    with np.load(source or path(), allow_pickle=False) as arrays:
        state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    model = Detector(len(data.CLASSES))
    model.load_state_dict(state)
    return model.eval()


def save(state, destination):
    """Write a detector's state as half floats: half the size, and boxes hardly move."""
    np.savez_compressed(
        destination, **{name: value.numpy().astype(np.float16) for name, value in state.items()}
    )


def main(argv=None):
    """Command line: the weights in a checkpoint of skiff.train, as a file for `load`."""
    parser = argparse.ArgumentParser(prog="python -m skiff.weights", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="checkpoint.pt of a training run")
    parser.add_argument("out", help="file to write, as in detector.npz")
    arguments = parser.parse_args(argv)
    save(torch.load(arguments.checkpoint, map_location="cpu")["model"], arguments.out)


if __name__ == "__main__":
    main()
