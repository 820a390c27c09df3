"""Which files make the model: weights, configuration and names, as given or as they lie side by side."""

import glob
import hashlib
import json
import logging
import os
import sys
import warnings

import yaml
from detectron2 import model_zoo
from detectron2.config import get_cfg
from page.unfit import Unfit

_WEIGHTS = (".pth", ".pkl", ".pt")


def carried_files():
    """The folder of the files that were given with `bundle --asset FILE`."""
    return os.path.join(sys.prefix, "assets", "files")


def carried_weights():
    """The files of weights among them."""
    found = sorted(glob.glob(os.path.join(glob.escape(carried_files()), "*")))
    return [path for path in found if path.lower().endswith(_WEIGHTS)]


def here_or_carried(given):
    """The file that is named, else the one of that name in the bundle, else the name as it is."""
    carried = os.path.join(carried_files(), given)
    return carried if os.path.isfile(carried) and not os.path.isfile(given) else given


def find_weights(given, config):
    """The file of weights: the one given, that of the zoo's `config`, or the only one in the bundle."""
    found = carried_weights()
    names = ", ".join(map(os.path.basename, found))
    if given:
        path = here_or_carried(given)
        if not os.path.isfile(path):
            hint = "the bundle carries %s" % names if found else None
            raise Unfit("--weights %s is no file" % given, hint=hint)
        return path
    if config and not os.path.isfile(here_or_carried(config)):
        return _of_zoo(config)
    if len(found) == 1:
        return found[0]
    raise Unfit(
        "the bundle carries several weights: %s" % names
        if found
        else "which weights? The bundle carries none",
        hint="name the file with --weights FILE, or where the bundle is made add --asset FILE",
    )


def _of_zoo(config):
    """Weights of the zoo, where fvcore looks for what it downloaded; nothing is downloaded here."""
    try:
        url = model_zoo.get_checkpoint_url(config)
    except (RuntimeError, KeyError):
        raise Unfit(
            "the model zoo has no weights for %s" % config, hint="name a file with --weights FILE"
        ) from None
    cache = os.environ.get("FVCORE_CACHE") or os.path.expanduser("~/.torch/fvcore_cache")
    path = os.path.join(cache, *url.partition("://")[2].split("/")[1:])
    if os.path.isfile(path):
        return path
    address = url.replace("https://dl.fbaipublicfiles.com/detectron2/", "detectron2://")
    raise Unfit(
        "the weights of %s are not on this machine" % config,
        hint="where the bundle is made, add --asset %s; or name a file with --weights FILE" % address,
    )


def read_config(given, weights):
    """(configuration, its name): the zoo's or the file's that is given, else the one beside the weights."""
    name = given or config_beside(weights)
    if not name:
        raise Unfit(
            "there is no config.yaml beside the weights",
            hint="name the configuration with --config NAME|FILE",
        )
    cfg = get_cfg()
    merge_config(cfg, name)
    return cfg, os.path.basename(name) if os.path.isfile(name) else name


def config_beside(weights):
    """The configuration that lies beside a file of weights; None where there is none."""
    if not weights:
        return None
    weights = here_or_carried(weights)
    if not os.path.isfile(weights):
        return None
    folder = os.path.dirname(os.path.abspath(weights))
    beside = [os.path.join(folder, "config.yaml"), os.path.splitext(weights)[0] + ".yaml"]
    return next((path for path in beside if os.path.isfile(path)), None)


def merge_config(cfg, name):
    """Put a configuration, of the zoo or of a file, into `cfg`; raises Unfit for what is none."""
    path = here_or_carried(name)
    path = path if os.path.isfile(path) else _zoo_file(name)
    if path.endswith(".py"):
        raise Unfit(
            "%s is a program, and would be run" % name,
            hint="give a YAML file: the config.yaml that a training writes, or a name of the model zoo",
        )
    try:
        cfg.merge_from_file(path, allow_unsafe=False)
    except yaml.YAMLError as error:
        raise Unfit("%s is no YAML that can be read: %s" % (name, str(error).splitlines()[0])) from None
    except (KeyError, ValueError, TypeError, AttributeError, AssertionError, OSError) as error:
        raise Unfit("the configuration %s does not fit this Detectron2: %s" % (name, error)) from None


def find_start(given, config):
    """Weights to begin a training with: the file or the name that is given, else those of ImageNet.

    None where there are none, or ``none`` is asked for.
    """
    if given == "none":
        return None
    if given and (os.path.isfile(here_or_carried(given)) or os.path.splitext(given)[1] in _WEIGHTS):
        return find_weights(given, None)
    cache = os.environ.get("FVCORE_CACHE") or os.path.expanduser("~/.torch/fvcore_cache")
    there = glob.glob(os.path.join(cache, "**", "ImageNetPretrained", "**", "*.pkl"), recursive=True)
    by_name = {os.path.splitext(os.path.basename(path))[0]: path for path in there}
    if given:
        if given not in by_name:
            known = ", ".join(sorted(by_name)) or "none"
            raise Unfit(
                "the bundle has no weights called %s (it has %s)" % (given, known),
                hint="where it is made, add --asset %s; or name a file" % given,
            )
        return by_name[given]
    wanted = "R-101" if "R_101" in config else "R-50"
    return by_name.get(wanted)


def default_start():
    """The weights that a training begins with where nobody names any, nor a configuration.

    The only file of weights in the bundle that has its configuration beside it; None where there is no such.
    """
    found = carried_weights()
    return found[0] if len(found) == 1 and config_beside(found[0]) else None


def _zoo_file(name):
    try:
        return model_zoo.get_config_file(name)
    except (RuntimeError, AttributeError):
        raise Unfit(
            "--config %s is neither a file nor a name of the model zoo" % name,
            hint="as in COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
        ) from None


def read_names(given, weights):
    """The names of the classes that are given, or lie beside the weights; None where there are none."""
    beside = os.path.join(os.path.dirname(os.path.abspath(weights)), "classes.txt")
    if not given:
        if not os.path.isfile(beside):
            return None
        given = beside
    if not os.path.isfile(given):
        if "," not in given and os.path.splitext(given)[1] in (".txt", ".json", ".names"):
            raise Unfit("--names %s is no file" % given)
        return [name.strip() for name in given.split(",") if name.strip()]
    try:
        with open(given, encoding="utf-8-sig") as stream:
            text = stream.read()
        if given.lower().endswith(".json"):
            categories = json.loads(text)["categories"]
            return [str(one["name"]) for one in sorted(categories, key=lambda one: one["id"])]
    except (OSError, ValueError, KeyError, TypeError):
        raise Unfit("--names %s: there are no names in it that can be read" % given) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def hush():
    """Leave out what newer torch says of Detectron2's sources, which nobody who reads it here can change."""
    warnings.filterwarnings("ignore", message="torch.meshgrid", category=UserWarning)
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)


def sha256_of(path):
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
