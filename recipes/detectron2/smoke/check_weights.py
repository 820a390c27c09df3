"""Checks that weights which travelled are found without a network, at the addresses that the zoo uses."""

import glob
import os
import pickle

import torch
from detectron2 import model_zoo
from detectron2.config import get_cfg
from harness import Skip, check, expect

ADDRESS = "detectron2://"
FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"


def cached(*steps):
    """Path of a file or a pattern below the cache, at the place of its URL's path."""
    root = os.environ.get("FVCORE_CACHE")
    if not root:
        raise Skip("FVCORE_CACHE is not set: no weights travelled")
    expect(os.path.isdir(root), "FVCORE_CACHE names %s, which is no folder" % root)
    return os.path.join(root, "detectron2", *steps)


def arrays_of(path):
    """The named arrays in a pickle of the zoo, whichever of its three forms it has."""
    with open(path, "rb") as stream:
        content = pickle.load(stream, encoding="latin1")
    return content.get("model", content.get("blobs", content))


@check("ImageNet weights: the zoo's R-50 configuration starts from them")
def imagenet_weights(context):
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(FASTER))
    expect(cfg.MODEL.WEIGHTS.startswith(ADDRESS), "the configuration starts from %s" % cfg.MODEL.WEIGHTS)
    path = cached(*cfg.MODEL.WEIGHTS[len(ADDRESS) :].split("/"))
    if not os.path.isfile(path):
        raise Skip("%s did not travel: bundle it with --asset R-50" % cfg.MODEL.WEIGHTS)
    stems = [value for value in arrays_of(path).values() if getattr(value, "shape", ()) == (64, 3, 7, 7)]
    expect(len(stems) == 1, "the file holds %d first convolutions" % len(stems))
    backbone = model_zoo.get(FASTER).backbone.bottom_up.to("cpu")
    loaded = backbone.stem.conv1.weight.detach()
    expect(torch.equal(loaded, torch.as_tensor(stems[0])), "the first convolution has not the file's weights")
    state = backbone.state_dict()
    # frozen batch norm that nothing was loaded into multiplies by one
    idle = [name for name in state if name.endswith("norm.weight") and bool((state[name] == 1).all())]
    expect(not idle, "nothing was loaded into %s" % idle)
    expect(all(bool(torch.isfinite(value).all()) for value in state.values()), "weights are not finite")
    context.value("norms loaded", sum(name.endswith("norm.weight") for name in state))


@check("trained models: model_zoo.get(..., trained=True) loads those that travelled")
def trained_models(context):
    files = sorted(glob.glob(cached("*", "*", "*", "model_final_*.pkl")))
    if not files:
        raise Skip("no trained model travelled: bundle one with --asset detectron2://…/model_final_….pkl")
    for path in files:
        group, name = path.split(os.sep)[-4:-2]
        state = model_zoo.get("%s/%s.yaml" % (group, name), trained=True).to("cpu").state_dict()
        arrays = arrays_of(path)
        shared = [key for key in state if key in arrays]
        expect(shared, "%s: no weight of the model is in the file" % name)
        other = [key for key in shared if not torch.equal(state[key], torch.as_tensor(arrays[key]))]
        expect(not other, "%s: %d of %d weights are not the file's" % (name, len(other), len(shared)))
        context.value(name, len(shared))
