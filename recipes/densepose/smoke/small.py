"""A DensePose model small enough to be built and trained in seconds, and a person-less picture for it."""

import torch
from densepose import DensePoseDataRelative, DensePoseList, add_densepose_config
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances

HEIGHT, WIDTH = 96, 128
BOX = [24.0, 16.0, 104.0, 80.0]
POINTS = 80
PARTS = 25  # 24 charts and the background


def config():
    """A Mask R-CNN's settings with DensePose's head, on ResNet-18, without weights from anywhere."""
    cfg = get_cfg()
    add_densepose_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DENSEPOSE_ON = True
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.NORM = "BN"
    cfg.MODEL.FPN.OUT_CHANNELS = 64
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 32
    cfg.MODEL.ROI_HEADS.NAME = "DensePoseROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 64
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    head = cfg.MODEL.ROI_DENSEPOSE_HEAD
    head.NAME = "DensePoseV1ConvXHead"
    head.POOLER_TYPE = "ROIAlign"
    head.POOLER_RESOLUTION = 14
    head.NUM_COARSE_SEGM_CHANNELS = 2
    head.CONV_HEAD_DIM = 64
    head.NUM_STACKED_CONVS = 2
    head.HEATMAP_SIZE = 56
    head.DECODER_CONV_DIMS = 32
    head.DECODER_NUM_CLASSES = 64  # what the head takes: as many as FPN gives
    return cfg


def model(cfg, seed=0):
    """The model of a configuration, with the same random weights for the same seed."""
    torch.manual_seed(seed)
    return build_model(cfg)


def picture(seed=1):
    """Noise with a bright ramp where the box is: uint8 [3, HEIGHT, WIDTH]."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 40, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    x0, y0, x1, y1 = map(int, BOX)
    image[0, y0:y1, x0:x1] += torch.linspace(60, 200, x1 - x0).to(torch.uint8)
    image[1, y0:y1, x0:x1] += torch.linspace(60, 200, y1 - y0).to(torch.uint8).unsqueeze(1)
    return image


def annotation(seed=2):
    """One annotated body that fills its box: part 1 left, part 2 right; u and v are the place."""
    generator = torch.Generator().manual_seed(seed)
    x = 255 * torch.rand(POINTS, generator=generator)
    y = 255 * torch.rand(POINTS, generator=generator)
    left = x < 128
    return {
        "dp_x": x.tolist(),
        "dp_y": y.tolist(),
        "dp_I": torch.where(left, torch.ones(POINTS), torch.full((POINTS,), 2.0)).tolist(),
        "dp_U": (x % 128 / 128).tolist(),
        "dp_V": (y / 256).tolist(),
        "dp_masks": torch.ones(256, 256),
    }


def sample(seed=1):
    """One picture with its annotated box, as the model takes it for training."""
    instances = Instances((HEIGHT, WIDTH))
    boxes = Boxes(torch.tensor([BOX]))
    instances.gt_boxes = boxes
    instances.gt_classes = torch.zeros(1, dtype=torch.long)
    mask = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    x0, y0, x1, y1 = map(int, BOX)
    mask[0, y0:y1, x0:x1] = True
    instances.gt_masks = BitMasks(mask)
    body = DensePoseDataRelative(annotation())
    instances.gt_densepose = DensePoseList([body], boxes.tensor, (HEIGHT, WIDTH))
    return {"image": picture(seed), "height": HEIGHT, "width": WIDTH, "instances": instances}
