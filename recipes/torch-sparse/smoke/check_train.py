"""A graph network on compiled sparse products must learn what only a node's neighbours can tell."""

import math
import time

import torch
import torch_sparse
from harness import check, expect
from torch_sparse import SparseTensor

NODES = 1200
DEGREE = 5  # entries of a row
FEATURES = 6
WIDTH = 16
ITERATIONS = 80
WINDOW = 10  # iterations over which the first and the last loss are averaged
LEAST_ACCURACY = 0.85  # half is chance


class Graph(object):
    """A random graph, and for each node whether its neighbours' weighted sum of a hidden quantity is high."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self.features = torch.randn(NODES, FEATURES, generator=generator)
        row = torch.arange(NODES).repeat_interleave(DEGREE)
        col = torch.randint(0, NODES, (NODES * DEGREE,), generator=generator)
        weights = torch.rand(NODES * DEGREE, generator=generator) + 0.5
        self.adjacency = SparseTensor(row=row, col=col, value=weights, sparse_sizes=(NODES, NODES))
        hidden = self.features[:, 0] - self.features[:, 1]
        heard = torch.zeros(NODES).index_add(0, row, weights * hidden[col])
        self.labels = (heard > heard.median()).float()


class Network(torch.nn.Module):
    """Perceptrons around one product with the graph's matrix."""

    def __init__(self, listens):
        super(Network, self).__init__()
        self.listens = listens
        self.message = torch.nn.Linear(FEATURES, WIDTH)
        self.answer = torch.nn.Sequential(
            torch.nn.Linear(FEATURES + 2 * WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 1)
        )

    def forward(self, graph):
        sent = self.message(graph.features)
        heard = [torch_sparse.matmul(graph.adjacency, sent, reduce=one) for one in ("sum", "max")]
        heard = torch.cat(heard, 1)
        if not self.listens:
            heard = torch.zeros_like(heard)
        return self.answer(torch.cat([graph.features, heard], 1)).squeeze(1)


def trained(graph, listens):
    """A trained network and its losses by iteration."""
    torch.manual_seed(0)
    network = Network(listens)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(ITERATIONS):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(graph), graph.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return network, losses


def accuracy(network, graph):
    with torch.no_grad():
        return float(((network(graph) > 0).float() == graph.labels).float().mean())


@check("sparse products over a graph teach what a node alone cannot know", level="train")
def train(context):
    torch.set_num_threads(1)  # more only wait for each other, most of all on a busy machine
    known, unseen = Graph(seed=1), Graph(seed=2)
    started = time.perf_counter()
    network, losses = trained(known, listens=True)
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses({"loss": x} for x in losses)
    first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
    deaf, _ = trained(known, listens=False)
    on_unseen, without = accuracy(network, unseen), accuracy(deaf, unseen)
    context.value("iterations", len(losses))
    context.value("first loss", first)
    context.value("last loss", last)
    context.value("accuracy on a graph not trained on", on_unseen)
    context.value("the same without the graph", without)
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    expect(on_unseen >= LEAST_ACCURACY, "accuracy on an unseen graph is only %.3f" % on_unseen)
    expect(without <= 0.65, "without the graph the accuracy is %.3f: the task does not need it" % without)
