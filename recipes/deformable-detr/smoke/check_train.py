"""Deformable attention must learn where to look."""

import math
import time

import torch
from check_ops import attention, gpu
from harness import check, expect

SIDE = 16
ITERATIONS = 200
WINDOW = 10  # iterations over which the first and the last loss are averaged
AWAY = (0.15, -0.1)  # from a query's own place to what it is to read, x before y, in parts of the map


def smooth_maps(count, generator):
    """Maps [count, 1, SIDE, SIDE] of a few waves each, so that a slope leads to what is looked for."""
    coarse = torch.randn(count, 1, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)


def at(maps, places):
    """What lies in each map at places [queries, 2]: [count, queries]."""
    grid = (places * 2 - 1).view(1, 1, -1, 2).expand(len(maps), -1, -1, -1)
    return torch.nn.functional.grid_sample(maps, grid, align_corners=False)[:, 0, 0]


def looked_up(maps, places):
    """The same by the op: one level, one head, one channel, one point."""
    values = maps.flatten(2).transpose(1, 2).unsqueeze(2).contiguous()
    where = places.view(1, -1, 1, 1, 1, 2).expand(len(maps), -1, -1, -1, -1, -1).contiguous()
    weights = torch.ones(where.shape[:-1], device=maps.device)
    return attention(values, where, weights, levels=((SIDE, SIDE),)).squeeze(2)


@check("by its gradients a query finds how far from its own place it has to look", level="train")
def train(context):
    device = gpu()
    generator = torch.Generator().manual_seed(0)
    queries = (0.25 + 0.5 * torch.rand(40, 2, generator=generator)).to(device)
    offset = torch.nn.Parameter(torch.zeros(2, device=device))
    optimizer = torch.optim.Adam([offset], lr=0.01)
    target, losses, started = torch.tensor(AWAY, device=device), [], time.perf_counter()
    for _ in range(ITERATIONS):
        maps = smooth_maps(8, generator).to(device)
        loss = (looked_up(maps, queries + offset) - at(maps, queries + target)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses({"loss": x} for x in losses)
    first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
    missed = float((offset.detach() - target).abs().max())
    context.value("first loss", first)
    context.value("last loss", last)
    context.value("missed by, in parts of the map", missed)
    expect(math.isfinite(last) and last <= first / 20, "the loss went from %g to %g only" % (first, last))
    expect(missed <= 0.02, "it looks %.3f of the map beside what it was shown" % missed)
