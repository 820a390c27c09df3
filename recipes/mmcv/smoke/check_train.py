"""A deformable convolution must learn where to look: its offsets are all that can be learnt."""

import math
import time

import torch
from harness import check, expect
from mmcv import ops

SIZE = 48
MOVED = (1.6, -2.3)  # pixels down and to the right
ITERATIONS = 120
WINDOW = 10  # iterations over which the first and the last loss are averaged


def hills(seed, down=0.0, right=0.0):
    """A smooth picture [1, 1, SIZE, SIZE], read at places that are moved."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(SIZE) + down, torch.arange(SIZE) + right, indexing="ij")
    picture = torch.zeros(SIZE, SIZE)
    for a, b, phase in torch.rand(6, 3, generator=generator).tolist():
        picture = picture + torch.sin(0.35 * (2 * a - 1) * x + 0.35 * (2 * b - 1) * y + 6 * phase)
    return picture[None, None]


@check("offsets of a deformable convolution are learnt", level="train")
def train(context):
    torch.set_num_threads(1)  # more only wait for each other, most of all on a busy machine
    place = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([place], lr=0.08)
    weight, mask = torch.ones(1, 1, 1, 1), torch.ones(1, 1, SIZE, SIZE)
    losses = []
    started = time.perf_counter()
    for number in range(ITERATIONS):
        seed = number % 8
        offset = place.view(1, 2, 1, 1).expand(1, 2, SIZE, SIZE).contiguous()
        found = ops.modulated_deform_conv2d(hills(seed), offset, mask, weight)
        loss = (found - hills(seed, *MOVED))[:, :, 5:-5, 5:-5].pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses({"loss": x} for x in losses)
    first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
    context.value("first loss", first)
    context.value("last loss", last)
    context.value("learnt", "%.2f down, %.2f to the right" % tuple(place.tolist()))
    expect(math.isfinite(last) and last <= first / 10, "the loss went from %g to %g only" % (first, last))
    error = max(abs(one - other) for one, other in zip(place.tolist(), MOVED))
    expect(error < 0.2, "the offset is off by %.2f pixels" % error)
