"""Trains a Detectron2 model on labelled pictures, on this machine."""

import argparse

_DESCRIPTION = """\
Train a model on your own labelled pictures, from weights that were trained before.

    wheelferry data convert parts --to coco --out parts-coco
    wheelferry train --data parts-coco --out run

DIR has annotations.json and the folder images, or the folders train and val with both, as `data convert`
makes them. RUN gets the weights, the configuration and the names of the classes, so that afterwards

    wheelferry app --weights run/model_final.pth

shows what the model finds. The same command goes on with a training that was stopped.
"""


def main(arguments):
    """Train as the options say; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", metavar="DIR", required=True, help="the data set, as COCO JSON")
    add("--out", metavar="RUN", required=True, help="folder for what comes of it")
    add(
        "--weights",
        metavar="NAME|FILE",
        help="what to start from: R-50 and the like where the bundle has them (--asset R-50), a file, here "
        "or in the bundle, or none (default: the only file of weights in the bundle with a config.yaml; "
        "else, and with --config, R-50 or R-101, as the configuration wants)",
    )
    add(
        "--config",
        metavar="NAME|FILE",
        help="a name of the model zoo or a YAML file (default: config.yaml beside the weights; else Keypoint "
        "R-CNN where objects have keypoints, Mask R-CNN where all have outlines, or Faster R-CNN)",
    )
    add(
        "--iterations",
        type=_positive,
        metavar="N",
        help="steps (default: 30 times through the data)",
    )
    add("--batch", type=_positive, metavar="N", help="pictures in a step, of all GPUs (default: 2 for each)")
    add("--device", metavar="NAME", help="cpu, cuda or cuda:1 (default: cuda where there is one)")
    add(
        "--flip",
        metavar="A=B,C=D|none",
        help="keypoints that change places when a picture is mirrored; none: each stays what it is (default: "
        "names that differ in left and right; where none do, pictures are not mirrored)",
    )
    _add_processes(parser.add_argument_group("several GPUs").add_argument)
    add("settings", metavar="KEY VALUE", nargs="*", help="of the configuration, as in SOLVER.BASE_LR 0.001")
    options = parser.parse_args(arguments)
    # here, so that --help does not wait for torch
    from page.unfit import Unfit
    from training import tell, train

    try:
        return train(options)
    except Unfit as error:
        tell(error)
        return error.exit_code


def _add_processes(add):
    add("--gpus", type=_positive, default=1, metavar="N", help="how many of this machine (default: 1)")
    add("--machines", type=_positive, default=1, metavar="N", help="machines that train together")
    add("--rank", type=int, metavar="N", help="which of them this is; 0, the first, saves and measures")
    add(
        "--dist-url",
        metavar="tcp://HOST:PORT",
        help="where the machines meet: an address of the first with a free port, the same on all",
    )


def _positive(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError("%r is no number of 1 or more" % text)
    return number
