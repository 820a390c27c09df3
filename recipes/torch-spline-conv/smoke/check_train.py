"""A spline convolution must learn what only the direction of a neighbour tells."""

import math
import time

import torch
import torch_spline_conv
from harness import check, expect

NODES = 400
KERNEL = 5
ITERATIONS = 150
WINDOW = 10  # iterations over which the first and the last loss are averaged


def ring(seed):
    """A ring: values of its nodes, edges from both neighbours, their directions, and what is to be learnt.

    A neighbour before a node has a direction below a half, one behind it above; wanted is their difference.
    """
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(NODES, 1, generator=generator)
    own = torch.arange(NODES)
    before, behind = (own - 1) % NODES, (own + 1) % NODES
    edges = torch.stack([torch.cat([own, own]), torch.cat([before, behind])])
    directions = 0.4 * torch.rand(2 * NODES, 1, generator=generator)
    directions[NODES:] += 0.6
    return values, edges, directions, values[behind] - values[before]


class Network(torch.nn.Module):
    """One convolution whose kernel depends on the direction, or does not."""

    def __init__(self, looks):
        super(Network, self).__init__()
        self.looks = looks
        self.weight = torch.nn.Parameter(0.1 * torch.randn(KERNEL, 1, 1))

    def forward(self, values, edges, directions):
        seen = directions if self.looks else torch.full_like(directions, 0.5)
        size, is_open = torch.tensor([KERNEL]), torch.ones(1, dtype=torch.uint8)
        return torch_spline_conv.spline_conv(values, edges, seen, self.weight, size, is_open, 1, False)


def trained(looks):
    """A trained network and its losses by iteration."""
    torch.manual_seed(0)
    network = Network(looks)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    values, edges, directions, wanted = ring(seed=1)
    losses = []
    for _ in range(ITERATIONS):
        loss = (network(values, edges, directions) - wanted).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return network, losses


def error_on_unseen(network):
    values, edges, directions, wanted = ring(seed=2)
    with torch.no_grad():
        return float((network(values, edges, directions) - wanted).pow(2).mean())


@check("directions over a ring teach what values alone cannot", level="train")
def train(context):
    started = time.perf_counter()
    network, losses = trained(looks=True)
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses({"loss": x} for x in losses)
    first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
    blind, _ = trained(looks=False)
    seen, unseen = error_on_unseen(network), error_on_unseen(blind)
    context.value("first loss", first)
    context.value("last loss", last)
    context.value("squared error on a ring not trained on", seen)
    context.value("the same without directions", unseen)
    expect(math.isfinite(last) and last <= first / 4, "the loss went from %g to %g only" % (first, last))
    expect(seen <= 0.4, "the squared error on an unseen ring is %.3f" % seen)
    expect(unseen >= 1.5, "without directions the error is %.3f: the task does not need them" % unseen)
