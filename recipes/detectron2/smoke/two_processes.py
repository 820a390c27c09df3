"""A short training and evaluation that one process does alone or two share; the processes import this file.

Detectron2's own loaders, trainer and evaluation do the work. The model is a region proposal network on an
FPN. Nothing in it looks at several images, all anchors are used (none are drawn at random), and each image's
loss is divided by the same number. So the mean over two processes with half of the images each is, but for
rounding, what one process finds for the whole batch. The ResNet below is frozen, as in fine-tuning: its fifty
layers, normalised and with random weights, enlarge a rounding of the last digit to per cents in four steps.
"""

import os
import tempfile

import numpy as np
import torch
import torch.distributed as dist
from detectron2.data import DatasetCatalog, build_detection_test_loader, build_detection_train_loader
from detectron2.engine import SimpleTrainer, launch
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm
from small import HEIGHT, WIDTH, seeded_model, training_inputs, zoo_config

DATASET = "wheelferry_two_processes"
IMAGES, BATCH, STEPS = (
    7,
    4,
    4,
)  # an odd number of images: the two processes evaluate different numbers of them
SEED = 11
ANCHORS = 4096  # more than an image has


def entries():
    """The data set: image numbers, of which `as_input` makes the pictures."""
    return [
        {"image_id": n, "file_name": "%d" % n, "height": HEIGHT, "width": WIDTH} for n in range(1, IMAGES + 1)
    ]


def as_input(entry):
    """Return the documented input for an entry of the data set, the same at every call."""
    number = entry["image_id"]
    made = training_inputs(1, seed=number)[0]
    made["image_id"] = number
    made["instances"] = made["instances"][[number % 2]]  # not the same boxes in every image
    return made


def configuration(device, batch):
    """Return the configuration of the model and of its training."""
    cfg = zoo_config("COCO-Detection/rpn_R_50_FPN_1x.yaml")
    cfg.MODEL.DEVICE = device
    cfg.MODEL.BACKBONE.FREEZE_AT, cfg.MODEL.FPN.NORM = 5, ""
    cfg.MODEL.RPN.LOSS_WEIGHT = 10.0  # else hardly anything but one bias is trained in four steps
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE, cfg.MODEL.RPN.POSITIVE_FRACTION = ANCHORS, 1.0
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (DATASET,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = batch
    return cfg


class Seen(DatasetEvaluator):
    """Collects the numbers of the images that were evaluated, of all processes."""

    def reset(self):
        self._numbers = []

    def process(self, inputs, outputs):  # noqa: ARG002 -- as it is called
        self._numbers += [entry["image_id"] for entry in inputs]

    def evaluate(self):
        gathered = comm.gather(self._numbers)
        return {"images": gathered} if comm.is_main_process() else None


def shared(model, device):
    """Return the model as processes share it, or itself where there is one process."""
    if comm.get_world_size() == 1:
        return model
    devices = [comm.get_local_rank()] if device == "cuda" else None
    return torch.nn.parallel.DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)


def new_model(cfg):
    """Return the model that every training starts from."""
    return seeded_model(cfg, SEED, training=True)


def weights_of(model):
    """Return the weights of the model by name, on the CPU."""
    return {name: weight.detach().cpu() for name, weight in model.named_parameters()}


def train(device, batch=BATCH):
    """Train and evaluate; return the losses of all steps, the weights, and the images evaluated by process.

    `batch` is the number of images a step over all processes together.
    """
    if DATASET not in DatasetCatalog.list():
        DatasetCatalog.register(DATASET, entries)
    cfg = configuration(device, batch)
    np.random.seed(SEED)  # the loaders draw the order of the images from it, the first process for all
    loader = build_detection_train_loader(cfg, mapper=as_input)
    model = new_model(cfg)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    trainer = SimpleTrainer(shared(model, device), loader, optimizer)
    trainer.train(0, STEPS)
    # on the first process the trainer records the mean over all
    history = trainer.storage.histories().get("total_loss")
    found = inference_on_dataset(model, build_detection_test_loader(cfg, DATASET, mapper=as_input), Seen())
    return {
        "losses": [value for value, _ in history.values()] if history is not None else [],
        "weights": weights_of(model),
        "images": found["images"] if found else [],
    }


def work(folder, device):
    """What each of the processes does; its result goes to `folder`."""
    if device == "cuda":
        exact_on_gpus()
    torch.save(train(device), os.path.join(folder, "process%d.pt" % comm.get_rank()))


def exact_on_gpus():
    """Full float32 and the same kernels at every call."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def _join(rank, folder):
    """One of two processes on the CPU, as `launch` would set it up for GPUs."""
    store = dist.FileStore(os.path.join(folder, "store"), 2)
    dist.init_process_group("gloo", store=store, world_size=2, rank=rank)
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(2)
    else:
        comm._LOCAL_PROCESS_GROUP = dist.new_group([0, 1])
    work(folder, "cpu")
    dist.barrier()  # none leaves while the other still needs it
    dist.destroy_process_group()


def start(device, by_launch):
    """Have two processes do the work, started by `launch` or, without it, by torch.multiprocessing.

    Returns their results.
    """
    with tempfile.TemporaryDirectory() as folder:
        if by_launch:
            launch(work, 2, dist_url="auto", args=(folder, device))
        else:
            torch.multiprocessing.spawn(_join, args=(folder,), nprocs=2)
        return [torch.load(os.path.join(folder, "process%d.pt" % rank)) for rank in (0, 1)]
