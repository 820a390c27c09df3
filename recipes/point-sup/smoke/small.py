"""A Mask R-CNN that learns masks from points, small enough for seconds, and pictures of a bright diamond."""

import os

import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.projects.point_rend import add_pointrend_config
from detectron2.structures import BoxMode
from PIL import Image
from point_sup import PointSupDatasetMapper, add_point_sup_config

HEIGHT, WIDTH = 96, 128
RADIUS = 28
POINTS = 200


def config():
    """What the project's Mask R-CNN sets, on ResNet-18, without weights from anywhere."""
    cfg = get_cfg()
    add_pointrend_config(cfg)
    add_point_sup_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.NORM = "GN"  # the same in training and afterwards, however few the pictures
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 32
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = 50
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 64
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsamplePointSupHead"
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 1
    cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 32
    cfg.MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION = 14
    cfg.INPUT.POINT_SUP = True
    cfg.INPUT.MIN_SIZE_TRAIN = (HEIGHT,)
    cfg.INPUT.MIN_SIZE_TEST = HEIGHT
    cfg.INPUT.RANDOM_FLIP = "none"
    return cfg


def implicit_config():
    """What the project's second model sets: an implicit PointRend that learns from points."""
    cfg = config()
    cfg.MODEL.ROI_MASK_HEAD.NAME = "ImplicitPointRendPointSupHead"
    cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE = ""
    cfg.MODEL.ROI_MASK_HEAD.IN_FEATURES = ["p2"]
    cfg.MODEL.ROI_MASK_HEAD.FC_DIM = 32
    cfg.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    cfg.MODEL.POINT_HEAD.NAME = "ImplicitPointHead"
    cfg.MODEL.POINT_HEAD.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    cfg.MODEL.POINT_HEAD.FC_DIM = 16
    cfg.MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS = 14 * 14
    cfg.MODEL.POINT_HEAD.SUBDIVISION_STEPS = 2
    return cfg


def model(cfg, seed=0):
    """The model of a configuration, with the same random weights for the same seed."""
    torch.manual_seed(seed)
    return build_model(cfg)


def middle(seed):
    """The middle of a picture's diamond, x before y."""
    generator = torch.Generator().manual_seed(seed)
    x = int(torch.randint(RADIUS + 2, WIDTH - RADIUS - 2, (1,), generator=generator))
    y = int(torch.randint(RADIUS + 2, HEIGHT - RADIUS - 2, (1,), generator=generator))
    return x, y


def mask(seed):
    """Which pixels the diamond covers: bool [HEIGHT, WIDTH]."""
    x, y = middle(seed)
    rows = torch.arange(HEIGHT).view(-1, 1) + 0.5 - y
    columns = torch.arange(WIDTH).view(1, -1) + 0.5 - x
    return rows.abs() + columns.abs() <= RADIUS


def described(folder, seed):
    """A picture of noise and a diamond, written into `folder`, with labelled points, as a data set has it."""
    generator = torch.Generator().manual_seed(1000 + seed)
    covered, (x, y) = mask(seed), middle(seed)
    image = torch.randint(0, 40, (HEIGHT, WIDTH, 3), generator=generator, dtype=torch.uint8)
    image[covered] = torch.tensor([[220, 60], [60, 220], [60, 60]], dtype=torch.uint8)[:, seed % 2]
    path = os.path.join(folder, "%d.png" % seed)
    Image.fromarray(image.numpy()).save(path)
    corner = torch.tensor([x - RADIUS, y - RADIUS])
    points = corner + torch.randint(0, 2 * RADIUS, (POINTS, 2), generator=generator)
    annotation = {
        "bbox": [x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": seed % 2,
        "point_coords": points.tolist(),
        "point_labels": covered[points[:, 1], points[:, 0]].int().tolist(),
    }
    return {"file_name": path, "height": HEIGHT, "width": WIDTH, "annotations": [annotation]}


def samples(folder, count, cfg):
    """Pictures as the project's mapper hands them to a model that trains."""
    mapper = PointSupDatasetMapper(cfg, is_train=True)
    return [mapper(described(folder, seed)) for seed in range(count)]
