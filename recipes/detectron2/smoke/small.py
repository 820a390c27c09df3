"""Small, quickly built variants of the model zoo's configurations, and inputs for them."""

import logging
import warnings

import torch
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances

HEIGHT, WIDTH = 96, 128  # of the images that go into the models
CLASSES = 3

# One thread: the work is too small to gain from more, and OpenMP's threads spin while they wait
# for each other, which makes everything many times slower on a machine that is busy elsewhere.
torch.set_num_threads(1)
logging.getLogger("fvcore").setLevel(logging.ERROR)
logging.getLogger("detectron2").setLevel(logging.ERROR)
# Deprecations inside third-party code are not what is being proven; failures still raise.
warnings.filterwarnings("ignore", category=UserWarning)
warnings.filterwarnings("ignore", category=FutureWarning)


def zoo_config(name):
    """Return the zoo's configuration `name` shrunk to narrow layers, for the CPU, without weights.

    Group normalisation keeps the activations of a randomly initialised network in a sane range,
    so that proposals and detections exist; with frozen batch norm they overflow the image.
    """
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(name))
    model = cfg.MODEL
    model.WEIGHTS, model.DEVICE = "", "cpu"
    model.PIXEL_STD = [57.0, 57.0, 57.0]
    model.BACKBONE.FREEZE_AT = 0
    model.RESNETS.NORM = model.FPN.NORM = "GN"
    model.RESNETS.STEM_OUT_CHANNELS = model.RESNETS.WIDTH_PER_GROUP = 32
    model.RESNETS.RES2_OUT_CHANNELS = 32
    model.FPN.OUT_CHANNELS = 32
    model.ANCHOR_GENERATOR.SIZES = [[16], [24], [32], [48], [64]]
    model.RPN.PRE_NMS_TOPK_TRAIN = model.RPN.PRE_NMS_TOPK_TEST = 100  # of every level
    model.RPN.POST_NMS_TOPK_TRAIN = model.RPN.POST_NMS_TOPK_TEST = 50
    model.ROI_HEADS.NUM_CLASSES = CLASSES
    model.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    model.ROI_BOX_HEAD.FC_DIM = 64
    model.ROI_MASK_HEAD.NUM_CONV = 1
    model.ROI_MASK_HEAD.CONV_DIM = 32
    model.ROI_KEYPOINT_HEAD.CONV_DIMS = (32, 32)
    model.SEM_SEG_HEAD.CONVS_DIM = 32
    model.SEM_SEG_HEAD.NUM_CLASSES = 6
    model.RETINANET.NUM_CLASSES = CLASSES
    model.RETINANET.NUM_CONVS = 1
    model.RETINANET.SCORE_THRESH_TEST = 0.0
    model.RETINANET.TOPK_CANDIDATES_TEST = 100
    cfg.TEST.DETECTIONS_PER_IMAGE = 10
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = HEIGHT, WIDTH
    return cfg


def seeded_model(cfg, seed=0, training=False):
    """Return the model that `cfg` describes with reproducible random weights."""
    torch.manual_seed(seed)
    model = build_model(cfg)
    model.train(training)
    return model


def random_images(count=2, seed=0):
    """Return count random uint8 images (3, HEIGHT, WIDTH) with some large-scale structure."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="nearest").to(torch.uint8)


def documented_inputs(sizes, seed=0):
    """Return the documented input format: one dict an image, asking for outputs of the given (h, w)."""
    images = random_images(len(sizes), seed)
    return [{"image": image, "height": h, "width": w} for image, (h, w) in zip(images, sizes)]


def infer(model, inputs):
    """Run the model in inference mode."""
    model.eval()
    with torch.no_grad():
        return model(inputs)


def training_inputs(count=2, seed=0):
    """Return documented training inputs with two boxes, classes and masks in every image."""
    batch = documented_inputs([(HEIGHT, WIDTH)] * count, seed)
    for entry in batch:
        boxes = torch.tensor([[10.0, 12.0, 58.0, 60.0], [60.0, 30.0, 110.0, 90.0]])
        masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist()):
            mask[y0:y1, x0 : (x0 + x1) // 2] = True
        truth = Instances((HEIGHT, WIDTH))
        truth.gt_boxes, truth.gt_classes, truth.gt_masks = Boxes(boxes), torch.tensor([0, 2]), BitMasks(masks)
        entry["instances"] = truth
    return batch
