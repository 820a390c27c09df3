"""Compiled searches, samples and clusters against the same ones worked out from all distances with torch."""

import torch
import torch_cluster
from harness import check, expect

OPS = (
    "cuda_version",
    "fps",
    "graclus",
    "grid",
    "knn",
    "nearest",
    "neighbor_sampler",
    "radius",
    "random_walk",
)
DTYPES = (torch.float32, torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(count, dimensions, seed=0, dtype=torch.float64):
    """Points [count, dimensions] of which no two distances are alike."""
    return torch.randn(count, dimensions, generator=generator(seed), dtype=torch.float64).to(dtype)


def distances(y, x):
    """Euclidean distance of each of `y` from each of `x`: [len(y), len(x)]."""
    return (y.unsqueeze(1) - x.unsqueeze(0)).pow(2).sum(2).sqrt()


def pairs_of(edges):
    """The pairs that an op returned as two rows, as a set."""
    expect(
        edges.dtype == torch.long and edges.dim() == 2 and edges.shape[0] == 2, "the pairs are no two rows"
    )
    found = list(zip(edges[0].tolist(), edges[1].tolist()))
    expect(len(set(found)) == len(found), "a pair is there twice")
    return set(found)


def graph(nodes=40, edges=160, seed=0):
    """A graph without loops and repeated edges, both directions of each: rows and columns, sorted."""
    some = torch.randint(0, nodes, (2, edges), generator=generator(seed))
    some = some[:, some[0] != some[1]]
    both = torch.cat([some, some.flip(0)], 1)
    both = torch.unique(both, dim=1)
    return both[0], both[1]


@check("every op is registered and compiled")
def registered(context):
    missing = [name for name in OPS if not hasattr(torch.ops.torch_cluster, name)]
    expect(not missing, "torch.ops.torch_cluster has no %s" % ", ".join(missing))
    context.value("version", torch_cluster.__version__)
    context.value("CUDA that the ops were compiled with (-1: none)", torch.ops.torch_cluster.cuda_version())


@check("knn finds the nearest of all points, in 1 to 5 dimensions")
def knn(context):
    for dtype in DTYPES:
        for dimensions in (1, 2, 3, 5):
            x, y = points(300, dimensions, 1, dtype), points(70, dimensions, 2, dtype)
            for k in (1, 4, 17):
                nearest = distances(y, x).topk(k, 1, largest=False).indices
                wanted = {(row, column) for row, line in enumerate(nearest.tolist()) for column in line}
                found = pairs_of(torch_cluster.knn(x, y, k))
                expect(
                    found == wanted, "%d neighbours in %d dimensions of %s differ" % (k, dimensions, dtype)
                )


@check("knn keeps the examples of a batch apart")
def knn_batch(context):
    x, y = points(90, 3, 3), points(60, 3, 4)
    of_x = torch.arange(3).repeat_interleave(30)
    of_y = torch.arange(3).repeat_interleave(20)
    far = distances(y, x).masked_fill(of_y.unsqueeze(1) != of_x.unsqueeze(0), float("inf"))
    nearest = far.topk(5, 1, largest=False).indices
    wanted = {(row, column) for row, line in enumerate(nearest.tolist()) for column in line}
    expect(pairs_of(torch_cluster.knn(x, y, 5, of_x, of_y)) == wanted, "neighbours of a batch differ")


@check("knn_graph leaves a point's loop to itself out, or in")
def knn_graph(context):
    x = points(120, 3, 5)
    nearest = distances(x, x).topk(7, 1, largest=False).indices.tolist()
    with_loops = {(column, row) for row, line in enumerate(nearest) for column in line}
    found = pairs_of(torch_cluster.knn_graph(x, 7, loop=True))
    expect(found == with_loops, "the graph with loops differs")
    found = pairs_of(torch_cluster.knn_graph(x, 6))
    expect(found == {pair for pair in with_loops if pair[0] != pair[1]}, "the graph without loops differs")
    turned = pairs_of(torch_cluster.knn_graph(x, 6, flow="target_to_source"))
    expect(turned == {(b, a) for a, b in found}, "the other direction is not the reverse")


@check("radius finds all points within a distance, and no more than it may")
def radius(context):
    x, y = points(250, 3, 6), points(40, 3, 7)
    near = distances(y, x) <= 0.9
    wanted = set(map(tuple, near.nonzero().tolist()))
    expect(len(wanted) > 100, "the check's own points are too far apart")
    expect(pairs_of(torch_cluster.radius(x, y, 0.9, max_num_neighbors=250)) == wanted, "the pairs differ")
    few = torch_cluster.radius(x, y, 0.9, max_num_neighbors=4)
    expect(pairs_of(few) <= wanted, "a pair lies farther apart than the radius")
    counts = torch.bincount(few[0], minlength=40)
    expect(torch.equal(counts, near.sum(1).clamp(max=4)), "the limit of neighbours is not kept")
    of_x = torch.arange(2).repeat_interleave(125)
    loops = torch_cluster.radius_graph(x, 0.7, of_x, loop=True, max_num_neighbors=250)
    same = of_x.unsqueeze(1) == of_x.unsqueeze(0)
    wanted = set(map(tuple, ((distances(x, x) <= 0.7) & same).nonzero().tolist()))
    expect(pairs_of(loops) == wanted, "the graph of a batch differs")


@check("farthest point sampling takes the farthest each time, in every example")
def fps(context):
    for dtype in DTYPES:
        cloud = points(150, 3, 8, dtype)
        batch = torch.tensor([0] * 90 + [1] * 60)
        found = torch_cluster.fps(cloud, batch, ratio=0.2, random_start=False).tolist()
        wanted = []
        for start, end in ((0, 90), (90, 150)):
            own = distances(cloud[start:end], cloud[start:end])
            chosen = [0]
            while len(chosen) < (end - start) // 5:
                chosen.append(int(own[chosen].min(0).values.argmax()))
            wanted += [start + one for one in chosen]
        expect(found == wanted, "the sample of %s differs" % dtype)


@check("grid clusters are the cells of a grid")
def grid(context):
    cloud = points(400, 3, 9)
    size = torch.tensor([0.4, 0.7, 1.1], dtype=torch.float64)
    found = torch_cluster.grid_cluster(cloud, size)
    cells = ((cloud - cloud.min(0).values) / size).floor().long()
    _, own = torch.unique(cells, dim=0, return_inverse=True)
    same = own.unsqueeze(1) == own.unsqueeze(0)
    expect(torch.equal(found.unsqueeze(1) == found.unsqueeze(0), same), "cells and clusters differ")
    context.value("cells in use", int(own.max()) + 1)


@check("nearest assigns each point to the nearest centre of its example")
def nearest(context):
    x, y = points(200, 2, 10), points(16, 2, 11)
    expect(torch.equal(torch_cluster.nearest(x, y), distances(x, y).argmin(1)), "a centre is not the nearest")


@check("graclus matches neighbours in pairs, and leaves no two neighbours alone")
def graclus(context):
    row, col = graph()
    weight = torch.rand(row.numel(), generator=generator(12))
    neighbours = set(zip(row.tolist(), col.tolist()))
    for weights in (None, weight):
        cluster = torch_cluster.graclus_cluster(row, col, weights, 40)
        groups = [(cluster == name).nonzero().flatten().tolist() for name in cluster.unique()]
        expect(max(map(len, groups)) == 2, "no group is a pair, or one is larger")
        wrong = [group for group in groups if len(group) == 2 and tuple(group) not in neighbours]
        expect(not wrong, "%s are no neighbours" % wrong[:1])
        alone = [group[0] for group in groups if len(group) == 1]
        left = [(a, b) for a in alone for b in alone if (a, b) in neighbours]
        expect(not left, "%s could be a pair" % left[:1])


@check("graclus prefers the heaviest edge")
def graclus_weights(context):
    row = torch.tensor([0, 1, 1, 2, 2, 3])
    col = torch.tensor([1, 0, 2, 1, 3, 2])
    weight = torch.tensor([9.0, 9.0, 1.0, 1.0, 9.0, 9.0])
    for _ in range(10):
        cluster = torch_cluster.graclus_cluster(row, col, weight, 4).tolist()
        expect(cluster == [0, 0, 2, 2], "the light edge was taken: %s" % cluster)


@check("random walks follow edges, all of them about as often")
def random_walk(context):
    row, col = graph()
    neighbours = set(zip(row.tolist(), col.tolist()))
    walks, edges = torch_cluster.random_walk(row, col, torch.arange(40), 12, return_edge_indices=True)
    expect(tuple(walks.shape) == (40, 13), "the walks have the shape %s" % (tuple(walks.shape),))
    expect(torch.equal(walks[:, 0], torch.arange(40)), "a walk begins elsewhere")
    degree = torch.bincount(row, minlength=40)
    for start, end, edge in zip(walks[:, :-1].flatten(), walks[:, 1:].flatten(), edges.flatten()):
        if degree[start] == 0:
            expect(int(end) == int(start), "a walk leaves a node without edges")
        else:
            expect((int(start), int(end)) in neighbours, "a step follows no edge")
            expect(int(row[edge]) == int(start) and int(col[edge]) == int(end), "an edge has another number")
    star = torch.zeros(4, dtype=torch.long), torch.arange(1, 5)
    steps = torch_cluster.random_walk(star[0], star[1], torch.zeros(8000, dtype=torch.long), 1, num_nodes=5)
    share = torch.bincount(steps[:, 1], minlength=5)[1:].double() / 8000
    context.value("largest deviation from a quarter", float((share - 0.25).abs().max()))
    expect(float((share - 0.25).abs().max()) < 0.04, "a step is not equally likely: %s" % share.tolist())


@check("walks that much prefer to return, do")
def biased_walk(context):
    row = torch.arange(10).repeat_interleave(2)
    ring = torch.arange(10)
    col = torch.stack([(ring - 1) % 10, (ring + 1) % 10], 1).sort(1).values.flatten()
    walks = torch_cluster.random_walk(row, col, torch.arange(10), 20, p=1e-6, q=1.0)
    back = float((walks[:, 2:] == walks[:, :-2]).double().mean())
    context.value("share of steps that return", back)
    expect(back > 0.98, "only %.2f of the steps return where they came from" % back)


@check("the neighbour sampler takes so many edges of each node, none twice")
def neighbor_sampler(context):
    row, _ = graph()
    degree = torch.bincount(row, minlength=40)
    rowptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    start = torch.arange(0, 40, 3)
    for size, wanted in ((3, degree.clamp(max=3)), (0.5, (degree + 1) // 2), (1.0, degree)):
        edges = torch_cluster.neighbor_sampler(start, rowptr, size)
        expect(edges.unique().numel() == edges.numel(), "an edge is there twice")
        counts = torch.bincount(row[edges], minlength=40)
        expect(torch.equal(counts[start], wanted[start]), "a sample of %s has another size" % size)
        expect(int(counts.sum()) == int(wanted[start].sum()), "an edge of another node is in the sample")
