"""The configuration of a training: the zoo's or the user's, made to fit the data and the machine."""

import os

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from keypoints import flip_pairs
from model_files import config_beside, merge_config
from page.unfit import Unfit
from predictor import choose_device

TRAIN, VAL = "own_train", "own_val"  # what the parts of the data are called
_BOXES = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
_OUTLINES = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
_KEYPOINTS = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml"
_ZOO_BATCH = 16  # pictures in a step that the zoo's learning rates are for
_TIMES = 30  # through the data
_LEAST, _MOST = 300, 20000  # iterations, where none are given
_SIGMA = 0.067  # of a keypoint that COCO does not know: the mean of its 17


def configure(options, data):
    """(configuration, its name) for this data, this batch and what the user set. Raises Unfit."""
    name = options.config or config_beside(options.weights) or default_config(data)
    cfg = get_cfg()
    merge_config(cfg, name)
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = choose_device(options.device)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.RETINANET.NUM_CLASSES = len(data.classes)
    cfg.MODEL.MASK_ON = cfg.MODEL.MASK_ON and data.has_outlines
    cfg.INPUT.MASK_FORMAT = "bitmask" if data.has_bitmaps else "polygon"
    if cfg.MODEL.KEYPOINT_ON:
        _fit_keypoints(cfg, data.keypoints, options.flip)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (TRAIN,), (VAL,)
    cfg.DATALOADER.NUM_WORKERS = 0 if os.name == "nt" or cfg.MODEL.DEVICE == "cpu" else 2
    workers = options.gpus * options.machines
    batch = options.batch or 2 * workers
    if batch % workers:
        raise Unfit(
            "--batch %d cannot be shared by %d GPUs" % (batch, workers),
            hint="--batch %d, or any other multiple of %d" % (max(1, batch // workers) * workers, workers),
        )
    # the rule of linear scaling, as upstream's own REFERENCE_WORLD_SIZE has it
    cfg.SOLVER.BASE_LR = cfg.SOLVER.BASE_LR * batch / float(cfg.SOLVER.IMS_PER_BATCH or _ZOO_BATCH)
    cfg.SOLVER.IMS_PER_BATCH = batch
    set_iterations(cfg, options.iterations or default_iterations(data, batch))
    cfg.TEST.EVAL_PERIOD = 0  # at the end
    cfg.OUTPUT_DIR = options.out
    try:
        cfg.merge_from_list(options.settings)
    except (AssertionError, KeyError, ValueError, AttributeError) as error:
        raise Unfit("the settings cannot be used: %s" % error, hint="as in SOLVER.BASE_LR 0.001") from None
    return cfg, name


def default_config(data):
    """The zoo's configuration that learns all that the objects have."""
    if data.keypoints:
        return _KEYPOINTS
    return _OUTLINES if data.has_outlines else _BOXES


def default_iterations(data, batch):
    """How many steps, where nobody says it."""
    return min(_MOST, max(_LEAST, _TIMES * data.pictures // batch))


def set_iterations(cfg, count):
    """Train for `count` steps; the learning rate rises in the first tenth, and falls twice near the end."""
    solver = cfg.SOLVER
    solver.MAX_ITER, solver.STEPS = count, tuple(sorted({count * 3 // 4, count * 11 // 12} - {0}))
    solver.WARMUP_ITERS = min(1000, count // 10)
    solver.CHECKPOINT_PERIOD = max(50, count // 20)


def _fit_keypoints(cfg, keypoints, flip):
    """Make a configuration for keypoints one for those of the data."""
    if keypoints is None:
        raise Unfit(
            "this configuration learns keypoints, and the data set has none",
            hint="choose another with --config; wheelferry data check DIR --task keypoints looks for them",
        )
    count = len(keypoints.names)
    cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = count
    of_coco = list(MetadataCatalog.get("keypoints_coco_2017_val").keypoint_names)
    if not cfg.TEST.KEYPOINT_OKS_SIGMAS and keypoints.names != of_coco:
        cfg.TEST.KEYPOINT_OKS_SIGMAS = [_SIGMA] * count
    if flip_pairs(keypoints.names, flip) is None:
        if "RANDOM_FLIP" not in cfg.INPUT:  # before v0.3 pictures are always mirrored
            raise Unfit(
                "nothing tells which keypoints change places when a picture is mirrored: %s"
                % ", ".join(keypoints.names),
                hint="say it with --flip A=B,C=D, or --flip none where each stays what it is",
            )
        cfg.INPUT.RANDOM_FLIP = "none"
