"""Checks that the zoo's architectures are built, run, train, save and load as documented."""

import os

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultPredictor
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.structures import Boxes, ImageList, Instances, RotatedBoxes
from detectron2.utils.events import EventStorage
from harness import Skip, check, expect
from small import (
    CLASSES,
    HEIGHT,
    WIDTH,
    documented_inputs,
    infer,
    random_images,
    seeded_model,
    training_inputs,
    zoo_config,
)

SIZES = [(HEIGHT, WIDTH), (150, 201)]  # requested output sizes, the second one resized
FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
MASK = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
MASK_LOSSES = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask"}


def expect_instances(instances, size, limit=10):
    """Check the documented fields of detected instances against the requested output size."""
    height, width = size
    expect(isinstance(instances, Instances), "instances is a %s" % type(instances).__name__)
    expect(tuple(instances.image_size) == size, "image_size is %s, not %s" % (instances.image_size, size))
    count = len(instances)
    expect(0 < count <= limit, "%d detections, expected 1 to %d" % (count, limit))
    boxes, scores, classes = instances.pred_boxes, instances.scores, instances.pred_classes
    expect(isinstance(boxes, Boxes), "pred_boxes is a %s" % type(boxes).__name__)
    corners = boxes.tensor
    expect(tuple(corners.shape) == (count, 4), "pred_boxes has shape %s" % (tuple(corners.shape),))
    expect(bool(torch.isfinite(corners).all()), "pred_boxes holds values that are not finite")
    inside = (corners >= 0).all() and (corners[:, 0::2] <= width).all() and (corners[:, 1::2] <= height).all()
    expect(bool(inside), "pred_boxes leave the image of %d x %d" % size)
    expect(bool((corners[:, 2:] > corners[:, :2]).all()), "pred_boxes holds empty boxes")
    expect(scores.dtype == torch.float32 and tuple(scores.shape) == (count,), "scores is no float32 vector")
    expect(bool(((scores > 0) & (scores <= 1)).all()), "scores leave (0, 1]")
    expect(
        classes.dtype == torch.int64 and tuple(classes.shape) == (count,), "pred_classes is no int64 vector"
    )
    expect(bool(((classes >= 0) & (classes < CLASSES)).all()), "pred_classes leave [0, %d)" % CLASSES)


def detect(cfg, context, seed=0):
    """Build the model, run it on two images and check what every detector returns."""
    outputs = infer(seeded_model(cfg, seed), documented_inputs(SIZES))
    expect(len(outputs) == len(SIZES), "%d outputs for %d images" % (len(outputs), len(SIZES)))
    for output, size in zip(outputs, SIZES):
        expect_instances(output["instances"], size)
    context.value("detections", sum(len(output["instances"]) for output in outputs))
    return outputs


@check("Faster R-CNN: inference in the documented format")
def faster_rcnn(context):
    outputs = detect(zoo_config(FASTER), context)
    expect(not outputs[0]["instances"].has("pred_masks"), "a box detector returns masks")
    width = outputs[1]["instances"].pred_boxes.tensor[:, 2].max()
    expect(float(width) > WIDTH, "boxes are not scaled to the requested output size")


@check("RetinaNet: inference in the documented format")
def retinanet(context):
    detect(zoo_config("COCO-Detection/retinanet_R_50_FPN_1x.yaml"), context)


@check("Mask R-CNN: inference in the documented format")
def mask_rcnn(context):
    for output, (height, width) in zip(detect(zoo_config(MASK), context), SIZES):
        masks, boxes = output["instances"].pred_masks, output["instances"].pred_boxes.tensor
        expect(masks.dtype == torch.bool, "pred_masks is %s, not bool" % masks.dtype)
        expect(
            tuple(masks.shape) == (len(boxes), height, width),
            "pred_masks has shape %s" % (tuple(masks.shape),),
        )
        expect(bool(masks.any()), "all masks are empty")
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.tolist()):
            rows, columns = [positions.float() + 0.5 for positions in mask.nonzero(as_tuple=True)]
            within = (columns > x0 - 1) & (columns < x1 + 1) & (rows > y0 - 1) & (rows < y1 + 1)
            expect(bool(within.all()), "a mask leaves its box")


@check("keypoint R-CNN: inference in the documented format")
def keypoint_rcnn(context):
    cfg = zoo_config("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    for output in detect(cfg, context):
        points, boxes = output["instances"].pred_keypoints, output["instances"].pred_boxes.tensor
        expect(
            tuple(points.shape) == (len(boxes), 17, 3), "pred_keypoints has shape %s" % (tuple(points.shape),)
        )
        expect(bool(torch.isfinite(points).all()), "pred_keypoints holds values that are not finite")
        expect(bool((points[:, :, 2] > 0).all()), "keypoint scores are not above 0")
        low, high = boxes[:, None, :2] - 2, boxes[:, None, 2:] + 2
        expect(
            bool(((points[:, :, :2] >= low) & (points[:, :, :2] <= high)).all()), "keypoints leave their box"
        )


@check("semantic FPN: inference in the documented format")
def semantic_fpn(context):
    cfg = zoo_config("Misc/semantic_R_50_FPN_1x.yaml")
    outputs = infer(seeded_model(cfg), documented_inputs(SIZES))
    for output, (height, width) in zip(outputs, SIZES):
        scores = output["sem_seg"]
        expect(tuple(scores.shape) == (6, height, width), "sem_seg has shape %s" % (tuple(scores.shape),))
        expect(bool(torch.isfinite(scores).all()), "sem_seg holds values that are not finite")
        expect(float(scores.std()) > 0, "sem_seg is constant")
    context.value("labels predicted", len(outputs[0]["sem_seg"].argmax(dim=0).unique()))


def expect_segments(segments, described, size):
    """Check a panoptic map and its list of segments against each other."""
    expect(tuple(segments.shape) == size, "panoptic_seg has shape %s" % (tuple(segments.shape),))
    present = set(segments.unique().tolist()) - {0}
    named = [entry["id"] for entry in described]
    expect(len(named) == len(set(named)), "segment ids repeat: %s" % named)
    expect(present and present <= set(named), "ids %s in the map, %s in the list" % (sorted(present), named))
    for entry in described:
        limit = CLASSES if entry["isthing"] else 6
        expect(0 <= entry["category_id"] < limit, "segment %s has an impossible category" % entry)


@check("panoptic FPN: inference in the documented format")
def panoptic_fpn(context):
    cfg = zoo_config("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml")
    combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
    combine.INSTANCES_CONFIDENCE_THRESH, combine.STUFF_AREA_LIMIT, combine.OVERLAP_THRESH = 0.0, 0, 0.9
    kinds = []
    for output, size in zip(detect(cfg, context), SIZES):
        expect(tuple(output["sem_seg"].shape) == (6,) + size, "sem_seg has another size than was asked for")
        segments, described = output["panoptic_seg"]
        expect_segments(segments, described, size)
        kinds.extend(bool(entry["isthing"]) for entry in described)
    context.value("things", kinds.count(True))
    context.value("stuff", kinds.count(False))
    expect(True in kinds and False in kinds, "the panoptic maps lack things or stuff")


@check("batching: an image gives the same result alone and in a batch")
def batch_equals_single(context):
    model = seeded_model(zoo_config(MASK))
    inputs = documented_inputs([(HEIGHT, WIDTH)] * 2, seed=3)
    together = infer(model, inputs)
    for entry, batched in zip(inputs, together):
        alone, batched = infer(model, [entry])[0]["instances"], batched["instances"]
        expect(len(alone) == len(batched), "%d detections alone, %d in a batch" % (len(alone), len(batched)))
        error = float((alone.pred_boxes.tensor - batched.pred_boxes.tensor).abs().max())
        context.value("largest difference in pixels", error)
        expect(error < 0.05, "boxes differ by %.2g pixels" % error)


def gradients_of(model, batch):
    """Return the losses of one training step; gradients are left in the model."""
    with EventStorage(0):
        losses = model(batch)
    model.zero_grad()
    sum(losses.values()).backward()
    return losses


@check("Mask R-CNN: training mode returns the documented losses and gradients")
def mask_rcnn_training(context):
    model = seeded_model(zoo_config(MASK), training=True)
    losses = gradients_of(model, training_inputs())
    expect(set(losses) == MASK_LOSSES, "losses are %s" % sorted(losses))
    for name, loss in losses.items():
        context.value(name, float(loss))
        expect(loss.dim() == 0 and bool(torch.isfinite(loss)), "%s is %s" % (name, loss))
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    broken = [
        n for n, w in model.named_parameters() if w.grad is not None and not torch.isfinite(w.grad).all()
    ]
    expect(not without, "no gradient reaches %s" % without)
    expect(not broken, "gradients that are not finite: %s" % broken)
    for part in ("backbone.bottom_up.stem", "proposal_generator", "roi_heads.mask_head"):
        total = sum(float(w.grad.abs().sum()) for n, w in model.named_parameters() if n.startswith(part))
        expect(total > 0, "the gradient of %s is zero" % part)


@check("partial execution: up to the features that enter the mask head")
def partial_execution(context):
    model = seeded_model(zoo_config(MASK))
    inputs = documented_inputs([(HEIGHT, WIDTH)])
    whole = infer(model, inputs)[0]["instances"]
    with torch.no_grad():
        images = model.preprocess_image(inputs)
        expect(isinstance(images, ImageList), "preprocess_image returns a %s" % type(images).__name__)
        features = model.backbone(images.tensor)
        proposals, losses = model.proposal_generator(images, features, None)
        found, _ = model.roi_heads(images, features, proposals)
        chosen = [features[name] for name in model.roi_heads.in_features]
        mask_features = model.roi_heads.mask_pooler(chosen, [entry.pred_boxes for entry in found])
    expect(set(features) == {"p2", "p3", "p4", "p5", "p6"}, "the backbone returns %s" % sorted(features))
    expect(not losses, "inference returns losses")
    expect(0 < len(proposals[0]) <= 50, "%d proposals" % len(proposals[0]))
    expect(
        tuple(mask_features.shape) == (len(found[0]), 32, 14, 14), "shape %s" % (tuple(mask_features.shape),)
    )
    expect(float(mask_features.std()) > 0, "the mask features are constant")
    error = float((found[0].pred_boxes.tensor - whole.pred_boxes.tensor).abs().max())
    context.value("proposals", len(proposals[0]))
    context.value("largest difference from the whole model", error)
    expect(error < 1e-3, "step by step and as a whole the boxes differ by %.2g" % error)


class StridedConvolutions(Backbone):
    """A backbone of our own: three strided convolutions, one output of stride 8."""

    def __init__(self):
        super(StridedConvolutions, self).__init__()
        layers = []
        for before, after in ((3, 16), (16, 32), (32, 32)):
            layers += [torch.nn.Conv2d(before, after, 3, stride=2, padding=1), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, image):
        return {"last": self.layers(image)}

    def output_shape(self):
        return {"last": ShapeSpec(channels=32, stride=8)}


def build_strided_convolutions(cfg, input_shape):
    """Build the backbone above in the way a configuration asks for it, by name."""
    return StridedConvolutions()


@check("a backbone of our own: registered by name and built from a configuration")
def custom_backbone(context):
    if "build_strided_convolutions" not in BACKBONE_REGISTRY:
        BACKBONE_REGISTRY.register(build_strided_convolutions)
    cfg = zoo_config(FASTER)
    cfg.MODEL.BACKBONE.NAME = "build_strided_convolutions"
    cfg.MODEL.RPN.IN_FEATURES = cfg.MODEL.ROI_HEADS.IN_FEATURES = ["last"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16, 32, 64]]
    expect(isinstance(seeded_model(cfg).backbone, StridedConvolutions), "another backbone was built")
    detect(cfg, context)


def rotated_config():
    """Return Faster R-CNN for rotated boxes, as the documentation of the rotated classes names it."""
    cfg = zoo_config(FASTER)
    model = cfg.MODEL
    model.ANCHOR_GENERATOR.NAME = "RotatedAnchorGenerator"
    model.ANCHOR_GENERATOR.ANGLES = [[-60, 0, 60]]
    model.PROPOSAL_GENERATOR.NAME = "RRPN"
    model.RPN.BBOX_REG_WEIGHTS = (1, 1, 1, 1, 1)
    model.ROI_HEADS.NAME = "RROIHeads"
    model.ROI_BOX_HEAD.POOLER_TYPE = "ROIAlignRotated"
    model.ROI_BOX_HEAD.BBOX_REG_WEIGHTS = (10, 10, 5, 5, 1)
    return cfg


@check("rotated Faster R-CNN: inference", needs=["rotated"])
def rotated_inference(context):
    outputs = infer(seeded_model(rotated_config()), documented_inputs(SIZES))
    for output in outputs:
        instances = output["instances"]
        boxes = instances.pred_boxes
        expect(isinstance(boxes, RotatedBoxes), "pred_boxes is a %s" % type(boxes).__name__)
        expect(0 < len(boxes) <= 10, "%d detections" % len(boxes))
        expect(tuple(boxes.tensor.shape) == (len(boxes), 5), "shape %s" % (tuple(boxes.tensor.shape),))
        expect(bool(torch.isfinite(boxes.tensor).all()), "rotated boxes that are not finite")
        expect(bool((boxes.tensor[:, 2:4] > 0).all()), "rotated boxes without an extent")
        angles = boxes.tensor[:, 4]
        expect(bool((angles.abs() <= 180).all()), "angles leave [-180, 180]")
        expect(float(angles.abs().max()) > 1, "no box is rotated")
    context.value("detections", sum(len(output["instances"]) for output in outputs))


@check("rotated Faster R-CNN: losses and gradients", needs=["rotated"])
def rotated_training(context):
    batch = training_inputs()
    for entry in batch:
        truth = Instances((HEIGHT, WIDTH))
        truth.gt_boxes = RotatedBoxes(
            torch.tensor([[40.0, 40.0, 40.0, 24.0, 30.0], [90.0, 60.0, 48.0, 30.0, -60.0]])
        )
        truth.gt_classes = torch.tensor([0, 2])
        entry["instances"] = truth
    losses = gradients_of(seeded_model(rotated_config(), training=True), batch)
    expect(set(losses) == MASK_LOSSES - {"loss_mask"}, "losses are %s" % sorted(losses))
    for name, loss in losses.items():
        context.value(name, float(loss))
        expect(bool(torch.isfinite(loss)), "%s is %s" % (name, loss))


def train_step(model, optimizer, seed):
    """Do one seeded training step."""
    torch.manual_seed(seed)
    model.train()
    gradients_of(model, training_inputs(1, seed))
    optimizer.step()


def momentum_optimizer(model):
    """Return an optimizer that has a state worth resuming."""
    return torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)


@check("checkpoints: saved, loaded and resumed with the optimizer's state")
def checkpoint_resume(context):
    cfg, folder = zoo_config(MASK), os.path.join(context.out, "checkpoint")
    model = seeded_model(cfg, seed=1)
    optimizer = momentum_optimizer(model)
    train_step(model, optimizer, seed=1)
    os.makedirs(folder, exist_ok=True)
    saver = DetectionCheckpointer(model, save_dir=folder, optimizer=optimizer)
    saver.save("after_one_step", iteration=1)
    context.value("megabytes", round(os.path.getsize(saver.get_checkpoint_file()) / 1e6, 1))

    other = seeded_model(cfg, seed=2)
    other_optimizer = momentum_optimizer(other)
    weights, others = model.state_dict(), other.state_dict()
    expect(
        any(not torch.equal(weights[key], others[key]) for key in weights), "the second model starts equal"
    )
    loader = DetectionCheckpointer(other, save_dir=folder, optimizer=other_optimizer)
    rest = loader.resume_or_load("", resume=True)
    expect(rest.get("iteration") == 1, "the iteration is not resumed: %s" % sorted(rest))
    expect(len(other_optimizer.state) == len(optimizer.state) > 0, "the optimizer's state is not resumed")
    for item, seed in ((model, optimizer), (other, other_optimizer)):
        train_step(item, seed, seed=3)
    weights, others = model.state_dict(), other.state_dict()
    worst = max(float((weights[key].float() - others[key].float()).abs().max()) for key in weights)
    context.value("largest difference one step after resuming", worst)
    expect(worst < 1e-6, "one step after resuming the weights differ by %.2g" % worst)


@check("DefaultPredictor: a numpy image in, the model's own answer out")
def default_predictor(context):
    cfg = zoo_config(MASK)
    torch.manual_seed(5)
    predictor = DefaultPredictor(cfg)
    image = random_images(1, seed=5)[0]
    found = predictor(image.permute(1, 2, 0).contiguous().numpy())["instances"]
    expect_instances(found, (HEIGHT, WIDTH))
    direct = infer(predictor.model, [{"image": image, "height": HEIGHT, "width": WIDTH}])[0]["instances"]
    expect(len(found) == len(direct), "%d detections, the model itself finds %d" % (len(found), len(direct)))
    error = float((found.pred_boxes.tensor - direct.pred_boxes.tensor).abs().max())
    expect(error < 1e-3, "boxes differ from the model's own by %.2g" % error)
    double = random_images(1, seed=5).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[0]
    resized = predictor(double.permute(1, 2, 0).contiguous().numpy())["instances"]
    expect_instances(resized, (2 * HEIGHT, 2 * WIDTH))
    context.value("detections", len(found))


@check("LazyConfig: a Python configuration is loaded, changed, saved and instantiated", needs=["lazyconfig"])
def lazy_config(context):
    from detectron2 import model_zoo
    from detectron2.config import LazyConfig, instantiate

    cfg = LazyConfig.load(model_zoo.get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.py"))
    cfg = LazyConfig.apply_overrides(cfg, ["model.num_classes=3", "model.test_score_thresh=0.0"])
    path = os.path.join(context.out, "lazy.yaml")
    LazyConfig.save(cfg, path)
    saved = LazyConfig.load(path)
    expect(saved.model.num_classes == CLASSES, "the change is lost on saving")
    saved.model.backbone.bottom_up.stages.norm = saved.model.backbone.bottom_up.stem.norm = "GN"
    saved.model.pixel_std = [57.0, 57.0, 57.0]
    saved.model.max_detections_per_image = 10
    torch.manual_seed(0)
    output = infer(instantiate(saved.model), documented_inputs([(HEIGHT, WIDTH)]))[0]
    expect_instances(output["instances"], (HEIGHT, WIDTH))
    context.value("detections", len(output["instances"]))


@check("Visualizer: draws boxes, labels and masks over an image", needs=["visualizer"])
def visualizer(context):
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise Skip("drawing masks needs OpenCV, which is not here (%s)" % error) from None
    from detectron2.data import MetadataCatalog
    from detectron2.utils.visualizer import Visualizer

    image = random_images(1, seed=6)[0].permute(1, 2, 0).contiguous().numpy()
    found = infer(seeded_model(zoo_config(MASK)), documented_inputs([(HEIGHT, WIDTH)], seed=6))[0][
        "instances"
    ]
    drawn = Visualizer(image, MetadataCatalog.get("smoke_visualizer"), scale=2.0)
    picture = drawn.draw_instance_predictions(found.to("cpu")).get_image()
    expect(picture.shape == (2 * HEIGHT, 2 * WIDTH, 3), "the picture has shape %s" % (picture.shape,))
    plain = image.repeat(2, axis=0).repeat(2, axis=1)
    changed = float((abs(picture.astype("float32") - plain.astype("float32")).max(axis=2) > 16).mean())
    context.value("share of pixels drawn on", changed)
    expect(changed > 0.05, "nothing was drawn")
