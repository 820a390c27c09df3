"""Training shared by two processes ends as training by one does."""

import math
import socket
import time

import torch
import two_processes
from harness import Skip, check, expect

# float32 has 7 digits, and two processes add the same numbers in another order: 2e-7 were seen. What half of
# each batch leads to differs by more than 0.1.
TOLERANCE = 1e-5


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


def distance(some, others):
    """The Euclidean distance of two sets of weights."""
    return math.sqrt(sum(float((some[name] - others[name]).double().pow(2).sum()) for name in some))


@check("two processes (torch.distributed, gloo) train as one does with the whole batch", level="train")
def two_train_as_one(context):
    require_distributed()
    everything = list(range(two_processes.BATCH))
    alone = two_processes.train(everything)
    half = two_processes.train(everything[::2])
    started = time.perf_counter()
    first, second = two_processes.start()
    context.value("seconds of the two processes", round(time.perf_counter() - started, 1))
    way = distance(alone["weights"], two_processes.initial_weights())
    error = distance(alone["weights"], first["weights"]) / way
    context.value("difference of the weights, as a share of what training changed", error)
    context.value(
        "the same for one process with half of each batch", distance(alone["weights"], half["weights"]) / way
    )
    expect(distance(first["weights"], second["weights"]) == 0, "the two processes have different weights")
    expect(error <= TOLERANCE, "the weights differ by %.2g of what training changed" % error)
    for step, (one, a, b) in enumerate(zip(alone["losses"], first["losses"], second["losses"]), 1):
        difference = abs((a + b) / 2 - one) / one
        expect(difference <= TOLERANCE, "the losses of step %d differ by %.2g" % (step, difference))
    expect(alone["losses"][-1] < alone["losses"][0], "the loss does not fall: %s" % alone["losses"])
