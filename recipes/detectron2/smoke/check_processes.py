"""Training and evaluation shared by two processes end as those of one process do."""

import contextlib
import math
import os
import socket
import time

import torch
import two_processes
from check_cuda import require_gpu
from harness import Skip, check, expect

# float32 has 7 digits, and two processes add the same numbers in another order: less than 1e-6 was seen. What
# half of each batch leads to differs by 0.02.
TOLERANCE = 1e-5
# On GPUs other kernels serve a batch of another size, which add in orders of their own.
TOLERANCE_OF_GPUS = 1e-3


def require_distributed():
    """Leave the check, with the reason, where two processes cannot find each other."""
    if not torch.distributed.is_available():
        raise Skip("not tried: this torch was built without torch.distributed")
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            socket.create_connection(listener.getsockname(), timeout=10).close()
    except OSError as error:
        raise Skip(
            "not tried: gloo needs an interface, and the loopback device is down (%s)" % error
        ) from None


@contextlib.contextmanager
def gpus_hidden():
    """Processes that are started meanwhile see no GPU, for which `launch` would take NCCL."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def distance(some, others):
    """The Euclidean distance of two sets of weights."""
    return math.sqrt(sum(float((some[name] - others[name]).double().pow(2).sum()) for name in some))


def compare(context, device, by_launch, tolerance):
    """Train in one process, in one with half of each batch, and in two; check what comes out."""
    alone, half = two_processes.train(device), two_processes.train(device, two_processes.BATCH // 2)
    started = time.time()
    first, second = two_processes.start(device, by_launch)
    context.value("seconds of the two processes", round(time.time() - started, 1))
    own = "torch.multiprocessing: this release's launch demands GPUs"
    context.value("started by", "detectron2.engine.launch" if by_launch else own)

    start = two_processes.weights_of(two_processes.new_model(two_processes.configuration(device, 1)))
    way = distance(alone["weights"], start)
    error = distance(alone["weights"], first["weights"]) / way
    other = distance(alone["weights"], half["weights"]) / way
    context.value("difference of the weights, as a share of what training changed", error)
    context.value("the same for one process with half of each batch", other)
    expect(distance(first["weights"], second["weights"]) == 0, "the two processes have different weights")
    expect(error <= tolerance, "the weights differ by %.2g of what training changed" % error)
    expect(other > 100 * tolerance, "half of each batch leads to nearly the same weights: nothing is proven")

    expect(len(alone["losses"]) == two_processes.STEPS, "the losses recorded: %s" % alone["losses"])
    expect(len(first["losses"]) == two_processes.STEPS, "the losses recorded: %s" % first["losses"])
    worst = max(abs(one - two) / one for one, two in zip(alone["losses"], first["losses"]))
    context.value("largest difference of a loss, as a share of it", worst)
    expect(worst <= tolerance, "a loss differs by %.2g of its value" % worst)
    expect(alone["losses"][-1] < alone["losses"][0], "the loss does not fall: %s" % alone["losses"])

    everything = list(range(1, two_processes.IMAGES + 1))
    expect(alone["images"] == [everything], "one process evaluated the images %s" % alone["images"])
    shares = first["images"]
    expect(len(shares) == 2 and all(shares), "evaluated by the processes: %s" % shares)
    expect(sorted(shares[0] + shares[1]) == everything, "evaluated by the processes: %s" % shares)


@check("two processes (gloo, on the CPU) train and evaluate as one does with the whole batch", level="train")
def two_on_cpu(context):
    require_distributed()
    with gpus_hidden():
        compare(context, "cpu", "launch_on_cpu" in context.features, TOLERANCE)


@check("two processes (NCCL, a GPU each) train and evaluate as one does with the whole batch", level="train")
def two_on_gpus(context):
    if torch.cuda.device_count() < 2:
        raise Skip("not tried: it needs two GPUs, and this machine shows %d" % torch.cuda.device_count())
    require_distributed()
    require_gpu()
    two_processes.exact_on_gpus()
    compare(context, "cuda", True, TOLERANCE_OF_GPUS)
