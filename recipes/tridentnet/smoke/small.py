"""A TridentNet small enough to be built and trained in seconds, and pictures of one bright rectangle."""

import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from tridentnet import add_tridentnet_config

HEIGHT, WIDTH = 96, 128
DILATIONS = [1, 2, 3]


def config(test_branch=1):
    """What the project's C4 models set, on a ResNet-50 of an eighth of the width; no weights from anywhere.

    With `test_branch` -1 all branches are used for inference, else that one.
    """
    cfg = get_cfg()
    add_tridentnet_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.BACKBONE.NAME = "build_trident_resnet_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = 50
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 16
    cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 32
    cfg.MODEL.TRIDENT.BRANCH_DILATIONS = DILATIONS
    cfg.MODEL.TRIDENT.NUM_BRANCH = len(DILATIONS)
    cfg.MODEL.TRIDENT.TRIDENT_STAGE = "res4"
    cfg.MODEL.TRIDENT.TEST_BRANCH_IDX = test_branch
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "TridentRPN"
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[24, 48]]
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 32
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = 50
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
    cfg.MODEL.ROI_HEADS.NAME = "TridentRes5ROIHeads"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16
    cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.5
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    return cfg


def model(cfg, seed=0):
    """The model of a configuration, with the same random weights for the same seed."""
    torch.manual_seed(seed)
    return build_model(cfg)


def sample(seed):
    """A picture with a rectangle, wide (class 0, red) or high (class 1, green), as training takes it."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 40, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    label = seed % 2
    width, height = ((56, 28), (28, 56))[label]
    x = int(torch.randint(4, WIDTH - width - 4, (1,), generator=generator))
    y = int(torch.randint(4, HEIGHT - height - 4, (1,), generator=generator))
    image[2 - label, y : y + height, x : x + width] = 220
    instances = Instances((HEIGHT, WIDTH))
    instances.gt_boxes = Boxes(torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32))
    instances.gt_classes = torch.tensor([label])
    return {"image": image, "height": HEIGHT, "width": WIDTH, "instances": instances}
