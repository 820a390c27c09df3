"""A Detectron2 model as the page wants it: its names, what it is, and what it finds in pixels."""

import contextlib
import logging
import math
import os
import platform

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import MetadataCatalog, transforms
from detectron2.modeling import build_model
from keypoints import read_keypoints
from model_files import find_weights, hush, read_config, read_names, sha256_of
from page.predictions import Instance
from page.unfit import Unfit
from weights_only import as_checkpoint, read_weights

_FIRST = 10  # layers that are named; the rest is counted
# What a checkpoint need not have: the model itself sets it from the configuration.
_OWN = ("pixel_mean", "pixel_std", "anchor_generator.cell_anchors")


class Model(object):
    """The model on its device; weights, and what the page wants to know of it, come to it one by one."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.network = build_model(cfg).eval()
        shortest = [cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MIN_SIZE_TEST]
        self._resize = transforms.ResizeShortestEdge(shortest, cfg.INPUT.MAX_SIZE_TEST)
        metadata = _metadata(cfg)
        self.names = []
        self.is_named = False
        self.facts = []
        self.keypoint_names = list(getattr(metadata, "keypoint_names", ())) if cfg.MODEL.KEYPOINT_ON else []
        rules = getattr(metadata, "keypoint_connection_rules", ()) if self.keypoint_names else ()
        number = {name: index for index, name in enumerate(self.keypoint_names)}
        self.skeleton = [(number[one], number[other]) for one, other, _ in rules]

    def take_keypoints(self, keypoints):
        """Call the keypoints as the data did that the model was trained with (None: nothing is known)."""
        if keypoints and len(keypoints.names) == self.cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS:
            self.keypoint_names, self.skeleton = keypoints.names, keypoints.skeleton

    def load(self, checkpoint):
        """Put the weights in; returns what they leave over. Raises Unfit for those of another model."""
        holder = DetectionCheckpointer(self.network)
        with _quiet():
            seen = holder._load_model(checkpoint)
        if seen is None:  # fvcore before 0.1.2
            return []
        wrong = unfitting(seen)
        if wrong:
            raise layers_of_another(wrong, len(self.network.state_dict()))
        return list(seen.unexpected_keys)

    @torch.no_grad()
    def predict(self, pixels):
        """The instances in RGB pixels, uint8 [H, W, 3]."""
        height, width = pixels.shape[:2]
        image = pixels[:, :, ::-1] if self.cfg.INPUT.FORMAT == "BGR" else pixels
        image = self._resize.get_transform(image).apply_image(image)
        tensor = torch.as_tensor(image.astype("float32").transpose(2, 0, 1).copy())
        try:
            found = self.network([{"image": tensor, "height": height, "width": width}])[0]
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            raise Unfit(
                "the memory of the device is too small for it",
                hint="start the program with --device cpu, or make the picture smaller",
            ) from None
        if "instances" not in found:
            raise Unfit("this model finds no single things: it has no instances")
        return _instances(found["instances"].to("cpu"))


def unfitting(seen):
    """What does not fit, a line each: layers of another shape, and those that the file does not have.

    `seen` is what the checkpointer says of the weights that it loaded.
    """
    missing = [name for name in seen.missing_keys if not name.startswith(_OWN)]
    shapes = {name: (tuple(given), tuple(wanted)) for name, given, wanted in seen.incorrect_shapes}
    lines = ["%s has the shape %s instead of %s" % (name, *pair) for name, pair in shapes.items()]
    return lines + ["%s is not in the file" % name for name in missing if name not in shapes]


def layers_of_another(wrong, total):
    """The error for weights of which the layers `wrong`, a line each, do not fit a model of `total`."""
    more = "" if len(wrong) <= _FIRST else "\n  and %d more" % (len(wrong) - _FIRST)
    return Unfit(
        "these are weights of another model: %d of its %d layers do not fit:\n  %s%s"
        % (len(wrong), total, "\n  ".join(wrong[:_FIRST]), more),
        hint="give the configuration that they were trained with (--config)",
    )


@contextlib.contextmanager
def _quiet():
    """Without the log's own tables of what does not fit: it is told in our words."""
    loggers = [logging.getLogger(name) for name in ("fvcore", "detectron2")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before):
            logger.setLevel(level)
            logger.propagate = propagate


def _instances(found):
    """The page's instances from Detectron2's."""
    has = found.has
    boxes = found.pred_boxes.tensor
    corners = [None] * len(found)
    if boxes.shape[1:] == (5,):
        corners = [_corners(*box) for box in boxes.tolist()]
        edges = [_enclosing(points) for points in corners]
    else:
        edges = boxes.tolist()
    masks = found.pred_masks.numpy() if has("pred_masks") else [None] * len(found)
    points = found.pred_keypoints.tolist() if has("pred_keypoints") else [None] * len(found)
    scores, labels = found.scores.tolist(), found.pred_classes.tolist()
    return [
        Instance(box, score, label, mask=mask, keypoints=keypoints, corners=outline)
        for box, score, label, mask, keypoints, outline in zip(edges, scores, labels, masks, points, corners)
    ]


def _corners(x, y, width, height, degrees):
    """The corners of a rotated box: its angle counts against the clock."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    half = [(sx * width / 2, sy * height / 2) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return [(x + dx * cosine + dy * sine, y - dx * sine + dy * cosine) for dx, dy in half]


def _enclosing(points):
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return [min(xs), min(ys), max(xs), max(ys)]


def load(options):
    """The model that the options describe; raises Unfit for what cannot be one."""
    hush()
    weights = find_weights(options.weights, options.config)
    cfg, name = read_config(options.config, weights)
    cfg.MODEL.WEIGHTS = ""  # of the backbone, to train from: it would be looked for on the network
    cfg.MODEL.DEVICE = choose_device(options.device)
    checkpoint = as_checkpoint(read_weights(weights), weights)
    try:
        model = Model(cfg)
    except (KeyError, AttributeError, AssertionError, ValueError) as error:
        raise Unfit("this Detectron2 cannot build the model of %s: %s" % (name, error)) from None
    over = model.load(checkpoint)
    model.names = _names(cfg, read_names(options.names, weights))
    model.is_named = model.names != _numbered(len(model.names))
    if cfg.MODEL.KEYPOINT_ON:
        model.take_keypoints(read_keypoints(weights))
    model.facts = [
        ("Weights", os.path.basename(weights)),
        ("Weights' SHA-256", sha256_of(weights)),
        ("Configuration", name),
        ("Device", _describe(cfg.MODEL.DEVICE)),
    ]
    if over:
        model.facts.insert(2, ("Not used", "%d layers of the file, as %s" % (len(over), over[0])))
    return model


def choose_device(given):
    """The device: what is given, else the GPU where there is one; Unfit for one that is not there."""
    if given is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=given)
    except (RuntimeError, AssertionError) as error:
        raise Unfit("--device %s cannot be used: %s" % (given, str(error).splitlines()[0])) from None
    return given


def _describe(device):
    if device.startswith("cuda"):
        return "GPU: %s" % torch.cuda.get_device_name(torch.device(device))
    return "CPU: %s, %d threads" % (platform.machine(), torch.get_num_threads())


def _classes(cfg):
    """The number of the model's classes."""
    if cfg.MODEL.META_ARCHITECTURE == "RetinaNet":
        return cfg.MODEL.RETINANET.NUM_CLASSES
    return cfg.MODEL.ROI_HEADS.NUM_CLASSES


def _metadata(cfg):
    """What Detectron2 knows of the data set that the configuration names; empty where it knows none."""
    name = (list(cfg.DATASETS.TEST) + list(cfg.DATASETS.TRAIN) + ["__none"])[0]
    return MetadataCatalog.get(name)


def _names(cfg, given):
    """A name for each class; raises Unfit when there are more or fewer than the model has classes."""
    count = _classes(cfg)
    if given is None:
        known = list(getattr(_metadata(cfg), "thing_classes", ()))
        return known if len(known) == count else _numbered(count)
    if len(given) != count:
        raise Unfit(
            "there are %d names, and the model has %d classes" % (len(given), count),
            hint="give a name for each, in the order of the training",
        )
    return given


def _numbered(count):
    """Names for classes that nobody named."""
    return ["class %d" % number for number in range(1, count + 1)]
