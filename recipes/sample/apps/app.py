"""Shows in a browser what the sample's detector finds in pictures of shapes."""

import hashlib
import os

from page.command import run
from page.unfit import Unfit

_DESCRIPTION = """\
Show in a browser what the detector finds in pictures: rectangles, ellipses and triangles.

The page is on this machine alone and needs no network.
"""
_LONGEST = 96  # pixels of the longer side: the size of the pictures that the detector was trained on
_STEP = 16  # width and height must be multiples of it
_GREY = 0.5


class Model(object):
    """The detector with its weights, as the page wants a model."""

    skeleton = ()
    keypoint_names = ()

    def __init__(self, path):
        from skiff import data, weights

        self._detector = weights.load(path)
        self.names = list(data.CLASSES)
        self.facts = [
            ("Weights", os.path.basename(path)),
            ("Weights' SHA-256", _sha256(path)),
            ("Device", "CPU"),
        ]

    def predict(self, pixels):
        """The instances in RGB pixels, uint8 [H, W, 3]."""
        import numpy as np
        import torch
        from page.predictions import Instance
        from PIL import Image

        height, width = pixels.shape[:2]
        scale = _LONGEST / float(max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = np.asarray(Image.fromarray(pixels).resize(size, Image.BILINEAR), dtype=np.float32) / 255
        padded = [-(-side // _STEP) * _STEP for side in small.shape[:2]]
        image = np.full((padded[0], padded[1], 3), _GREY, dtype=np.float32)
        image[: small.shape[0], : small.shape[1]] = small
        found = self._detector(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])[0]
        return [
            Instance([value / scale for value in box], score, label)
            for box, score, label in zip(
                found["boxes"].tolist(), found["scores"].tolist(), found["labels"].tolist()
            )
        ]


def main(arguments):
    """Serve the page; returns the exit status."""
    return run(arguments, _DESCRIPTION, _add_options, _load, versions=("skiff", "torch", "numpy", "Pillow"))


def _add_options(parser):
    parser.add_argument("--weights", metavar="FILE", help="weights of the detector (default: the bundle's)")


def _load(options):
    from skiff import weights

    path = options.weights or weights.path()
    try:
        return Model(path)
    except FileNotFoundError:
        raise Unfit("%s is not there" % path, hint="name the weights with --weights FILE") from None
    except (OSError, ValueError) as error:
        raise Unfit("%s holds no weights that can be read: %s" % (path, error)) from None
    except (KeyError, RuntimeError, TypeError) as error:
        raise Unfit("%s holds the weights of another model: %s" % (path, error)) from None


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
