"""Several processes that train together, one for each GPU, started by upstream's `launch`."""

import re
import sys

import torch
from detectron2.engine import launch
from page.unfit import NotHere, Unfit

_ADDRESS = re.compile(r"^tcp://[^/\s]+:\d{1,5}$")


def check_processes(gpus, machines, rank, dist_url, device):
    """Raise Unfit for numbers that do not go together, NotHere for GPUs that are not here."""
    if machines > 1:
        if rank is None or not 0 <= rank < machines:
            raise Unfit(
                "which of the %d machines is this?" % machines,
                hint="--rank 0 on the first, up to --rank %d on the last" % (machines - 1),
            )
        if not dist_url or not _ADDRESS.match(dist_url):
            raise Unfit(
                "where do the machines meet? --dist-url %s is no address with a port" % (dist_url or ""),
                hint="the same on all of them, of the first: --dist-url tcp://192.168.0.10:29500",
            )
    elif rank:
        raise Unfit("--rank %d says which of several machines this is" % rank, hint="give --machines too")
    if gpus * machines == 1:
        return
    if device not in (None, "cuda"):
        raise Unfit("--device %s is one device, and %d should be used" % (device, gpus), hint="leave it away")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < gpus:
        raise NotHere(
            "--gpus %d: torch finds %s here" % (gpus, _gpus(count)),
            hint="--gpus %d" % count
            if count
            else "without --gpus it trains on the processor; wheelferry probe, or nvidia-smi, tells of GPUs",
        )
    if not torch.distributed.is_available() or not torch.distributed.is_nccl_available():
        raise NotHere(
            "several GPUs need NCCL, which this torch lacks (it is for Linux alone)", hint="--gpus 1"
        )


def _gpus(count):
    return {0: "no GPU", 1: "one GPU"}.get(count, "%d GPUs" % count)


def launch_training(work, gpus, machines, rank, dist_url, arguments):
    """Call `work(*arguments)` in each of `gpus` processes here, which train with those of other machines.

    `work` is a function of a module, and returns an exit status; so does this. `rank` is the number of this
    machine, from 0, and `dist_url` where the first process listens (None: any port of this machine, for one
    machine). A single process is this one.
    """
    if gpus * machines == 1:
        return work(*arguments)
    ended = getattr(torch.multiprocessing, "ProcessExitedException", ())
    try:
        launch(
            _end_with_status,
            gpus,
            num_machines=machines,
            machine_rank=rank or 0,
            dist_url=dist_url or "auto",
            args=(work, arguments),
        )
    except ended as error:
        return error.exit_code
    except KeyboardInterrupt:  # the processes hear of it too, and the first saves
        for process in torch.multiprocessing.active_children():
            process.join()
        return 130
    return 0


def _end_with_status(work, arguments):
    """In one of several processes: what it returns becomes the process's status."""
    status = work(*arguments)
    if status:
        sys.exit(status)
