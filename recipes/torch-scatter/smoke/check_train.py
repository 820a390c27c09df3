"""A graph network whose messages pass through the compiled ops must learn what only neighbours can tell."""

import math
import time

import torch
import torch_scatter
from harness import check, expect

NODES = 1500
DEGREE = 6  # incoming edges of a node
FEATURES = 8
WIDTH = 24
ITERATIONS = 80
WINDOW = 10  # iterations over which the first and the last loss are averaged
LEAST_ACCURACY = 0.88  # 0.95 and more were seen; half is chance


class Graph(object):
    """A random graph: edges sorted by the node they lead to, and one label for each node.

    A node's label says whether any of its neighbours has one hidden quantity well above the rest. The
    node's own features say nothing about it.
    """

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self.features = torch.randn(NODES, FEATURES, generator=generator)
        self.sources = torch.randint(0, NODES, (NODES * DEGREE,), generator=generator)
        self.targets = torch.arange(NODES).repeat_interleave(DEGREE)
        self.indptr = torch.arange(0, NODES * DEGREE + 1, DEGREE)
        hidden = self.features[:, 0] - self.features[:, 1]
        strongest = hidden[self.sources].view(NODES, DEGREE).amax(1)
        self.labels = (strongest > strongest.median()).float()


class Network(torch.nn.Module):
    """Two layers of perceptrons around one round of messages: the strongest, the mean, and an attention."""

    def __init__(self, listens):
        super(Network, self).__init__()
        self.listens = listens
        self.message = torch.nn.Sequential(
            torch.nn.Linear(FEATURES, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH)
        )
        self.weight = torch.nn.Linear(FEATURES, 1, bias=False)  # shares do not change with a bias
        self.answer = torch.nn.Sequential(
            torch.nn.Linear(FEATURES + 3 * WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 1)
        )

    def forward(self, graph):
        sent = self.message(graph.features)[graph.sources]
        strongest, _ = torch_scatter.scatter_max(sent, graph.targets, 0, dim_size=NODES)
        mean = torch_scatter.segment_csr(sent, graph.indptr, reduce="mean")
        share = torch_scatter.scatter_softmax(self.weight(graph.features)[graph.sources], graph.targets, 0)
        attended = torch_scatter.segment_coo(share * sent, graph.targets, dim_size=NODES, reduce="sum")
        heard = torch.cat([strongest, mean, attended], 1)
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


@check("messages over a graph teach what a node alone cannot know", level="train")
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
    context.value("the same without messages", without)
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    expect(on_unseen >= LEAST_ACCURACY, "accuracy on an unseen graph is only %.3f" % on_unseen)
    expect(without <= 0.65, "without messages the accuracy is %.3f: the task does not need them" % without)
    without_gradient = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    expect(not without_gradient, "no gradient for %s" % ", ".join(without_gradient))
