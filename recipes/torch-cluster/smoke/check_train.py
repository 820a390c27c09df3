"""A network on the neighbours that the compiled search finds must learn what a point alone cannot tell."""

import math
import time

import torch
import torch_cluster
from harness import check, expect

CLOUDS = 60
POINTS = 24
NEIGHBOURS = 4
WIDTH = 16
ITERATIONS = 60
WINDOW = 10  # iterations over which the first and the last loss are averaged
LEAST_ACCURACY = 0.9  # 0.97 and more were seen; half is chance


def clouds(seed):
    """Clouds of points [CLOUDS * POINTS, 2], the cloud of each, and whether a cloud's points come in pairs.

    All points are spread alike; only the distance of a point's nearest neighbour tells.
    """
    generator = torch.Generator().manual_seed(seed)
    paired = torch.arange(CLOUDS) % 2
    first = torch.rand(CLOUDS, POINTS // 2, 2, generator=generator)
    near = first + 0.02 * torch.randn(first.shape, generator=generator)
    other = torch.rand(first.shape, generator=generator)
    second = torch.where(paired.view(-1, 1, 1) == 1, near, other)
    batch = torch.arange(CLOUDS).repeat_interleave(POINTS)
    return torch.cat([first, second], 1).reshape(-1, 2), batch, paired.float()


class Network(torch.nn.Module):
    """Each point hears how far its neighbours are; a cloud is the mean of a sample of its points."""

    def __init__(self):
        super(Network, self).__init__()
        self.message = torch.nn.Sequential(
            torch.nn.Linear(1, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH)
        )
        self.answer = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 1)
        )

    def forward(self, cloud, batch):
        sources, targets = torch_cluster.knn_graph(cloud, NEIGHBOURS, batch)
        far = (cloud[sources] - cloud[targets]).pow(2).sum(1, keepdim=True).sqrt()
        sent = self.message(far * 10)
        heard = torch.full((len(cloud), WIDTH), -1e3).scatter_reduce(
            0, targets.unsqueeze(1).expand_as(sent), sent, "amax"
        )
        kept = torch_cluster.fps(cloud, batch, ratio=0.5, random_start=False)
        sums = torch.zeros(CLOUDS, WIDTH).index_add(0, batch[kept], heard[kept])
        return self.answer(sums / (POINTS // 2)).squeeze(1)


def accuracy(network, sample):
    cloud, batch, labels = sample
    with torch.no_grad():
        return float(((network(cloud, batch) > 0).float() == labels).float().mean())


@check("neighbours found in clouds of points teach what kind of cloud it is", level="train")
def train(context):
    torch.set_num_threads(1)  # more only wait for each other, most of all on a busy machine
    torch.manual_seed(0)
    known, unseen = clouds(seed=1), clouds(seed=2)
    network = Network()
    before = accuracy(network, unseen)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    started = time.perf_counter()
    for _ in range(ITERATIONS):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(*known[:2]), known[2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    context.value("seconds", round(time.perf_counter() - started, 1))
    context.losses({"loss": x} for x in losses)
    first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
    after = accuracy(network, unseen)
    context.value("iterations", len(losses))
    context.value("first loss", first)
    context.value("last loss", last)
    context.value("accuracy on clouds not trained on, before", before)
    context.value("accuracy on clouds not trained on", after)
    expect(math.isfinite(last) and last <= first / 2, "the loss went from %g to %g only" % (first, last))
    expect(after >= LEAST_ACCURACY, "accuracy on unseen clouds is only %.3f" % after)
