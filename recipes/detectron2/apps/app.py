"""Shows in a browser what a Detectron2 model finds in pictures."""

from page.command import run

_DESCRIPTION = """\
Show in a browser what a Detectron2 model finds in pictures.

The page is on this machine alone and needs no network. After a training, its folder is enough:

    wheelferry app --weights RUN/model_final.pth

takes the configuration from RUN/config.yaml. Weights and a configuration that the bundle carries are found
without any option; a model of the zoo is named with --config, as in
COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml.
"""


def main(arguments):
    """Serve the page; returns the exit status."""
    versions = ("detectron2", "torch", "torchvision", "numpy", "Pillow")
    return run(arguments, _DESCRIPTION, _add_options, _load, versions)


def _add_options(parser):
    add = parser.add_argument_group("the model").add_argument
    add("--weights", metavar="FILE", help="its weights, .pth or .pkl (default: those of the bundle)")
    add(
        "--config",
        metavar="NAME|FILE",
        help="its configuration: a name of the model zoo, or a YAML file (default: config.yaml beside "
        "the weights)",
    )
    add(
        "--names",
        metavar="FILE|A,B,C",
        help="names of its classes, in their order: with commas, or a file with one a line, or a COCO JSON "
        "(default: classes.txt beside the weights, or those of the configuration's data set)",
    )
    add("--device", metavar="NAME", help="cpu, cuda or cuda:1 (default: cuda where there is one)")


def _load(options):
    from predictor import load

    return load(options)
