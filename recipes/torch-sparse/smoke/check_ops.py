"""Compiled sparse products, conversions and samples against dense ones worked out with torch alone."""

import torch
import torch_sparse
from harness import check, expect
from torch_sparse import SparseTensor

OPS = (
    "cuda_version", "ind2ptr", "ptr2ind", "non_diag_mask", "spmm_sum", "spmm_mean", "spmm_min", "spmm_max",
    "partition", "random_walk", "saint_subgraph", "sample_adj", "ego_k_hop_sample_adj", "hgt_sample",
    "neighbor_sample", "hetero_neighbor_sample", "relabel", "relabel_one_hop",
)  # fmt: skip
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def matrix(rows=30, columns=22, seed=0, dtype=torch.float64):
    """A matrix [rows, columns] of which about one entry in six is not 0, and one row is empty."""
    some = torch.rand(rows, columns, generator=generator(seed))
    values = torch.randn(rows, columns, generator=generator(seed + 1), dtype=torch.float64)
    kept = some < 0.17
    kept[3] = False
    return (values * kept).to(dtype)


def sparse(dense):
    """The same matrix as this project's, in coordinates."""
    row, col = dense.nonzero().t()
    return SparseTensor(row=row, col=col, value=dense[row, col], sparse_sizes=tuple(dense.shape))


def graph(nodes=40, seed=5):
    """The adjacency of a graph without loops, both directions of each edge."""
    some = torch.rand(nodes, nodes, generator=generator(seed)) < 0.08
    some = some | some.t()
    some.fill_diagonal_(False)
    return some.to(torch.float64)


def reduced(dense, other, reduction):
    """A product in which each row reduces what its entries that are not 0 multiply: [rows, columns]."""
    there = dense != 0
    terms = dense.unsqueeze(2) * other.unsqueeze(0)
    if reduction in ("sum", "mean"):
        total = terms.sum(1)
        return total if reduction == "sum" else total / there.sum(1, keepdim=True).clamp(min=1)
    bound = float("inf") if reduction == "min" else -float("inf")
    terms = torch.where(there.unsqueeze(2), terms, torch.full_like(terms, bound))
    best = terms.amin(1) if reduction == "min" else terms.amax(1)
    return torch.where(there.any(1, keepdim=True), best, torch.zeros_like(best))


@check("every op is registered and compiled")
def registered(context):
    missing = [name for name in OPS if not hasattr(torch.ops.torch_sparse, name)]
    expect(not missing, "torch.ops.torch_sparse has no %s" % ", ".join(missing))
    context.value("version", torch_sparse.__version__)
    context.value("CUDA that the ops were compiled with (-1: none)", torch.ops.torch_sparse.cuda_version())


@check("rows become pointers and come back")
def pointers(context):
    row = torch.tensor([0, 0, 2, 2, 2, 5])
    found = torch.ops.torch_sparse.ind2ptr(row, 7)
    expect(found.tolist() == [0, 2, 2, 5, 5, 5, 6, 6], "the pointers are %s" % found.tolist())
    expect(torch.equal(torch.ops.torch_sparse.ptr2ind(found, 6), row), "they do not come back")


@check("a product with a dense matrix, by every reduction, and its gradients")
def products(context):
    for dtype, tolerance in TOLERANCE.items():
        for reduction in ("sum", "mean", "min", "max"):
            dense = matrix(dtype=dtype).requires_grad_()
            other = torch.randn(22, 5, generator=generator(3), dtype=torch.float64).to(dtype).requires_grad_()
            weights = torch.randn(30, 5, generator=generator(4), dtype=torch.float64).to(dtype)
            found = torch_sparse.matmul(sparse(dense), other, reduce=reduction)
            wanted = reduced(dense, other, reduction)
            error = float((found - wanted).detach().abs().max())
            expect(error < tolerance, "the %s of %s is off by %g" % (reduction, dtype, error))
            own = torch.autograd.grad((found * weights).sum(), [dense, other])
            plain = torch.autograd.grad((wanted * weights).sum(), [dense, other])
            for name, one, two in zip(("values", "dense matrix"), own, plain):
                there = dense != 0 if name == "values" else torch.ones_like(two, dtype=torch.bool)
                error = float(((one - two) * there).abs().max())
                expect(error < 10 * tolerance, "%s: gradient of the %s off by %g" % (reduction, name, error))


@check("a product of two sparse matrices")
def two_sparse(context):
    one, two = matrix(20, 30, seed=7), matrix(30, 25, seed=9)
    found = torch_sparse.matmul(sparse(one), sparse(two)).to_dense()
    error = float((found - one @ two).abs().max())
    expect(error < 1e-10, "the product is off by %g" % error)


@check("transposed, sliced, added, with another diagonal: as the dense matrix is")
def rearranged(context):
    dense = matrix(25, 25, seed=11)
    own = sparse(dense)
    expect(torch.equal(own.t().to_dense(), dense.t()), "transposed it differs")
    chosen = torch.tensor([4, 0, 17, 4])
    expect(torch.equal(own[chosen].to_dense(), dense[chosen]), "chosen rows differ")
    expect(torch.equal(own[:, 3:9].to_dense(), dense[:, 3:9]), "chosen columns differ")
    without = dense.clone().fill_diagonal_(0)
    expect(torch.equal(torch_sparse.remove_diag(own).to_dense(), without), "without its diagonal it differs")
    ones = torch.ones(25, dtype=torch.float64)
    filled = torch_sparse.set_diag(own, ones).to_dense()
    expect(torch.equal(filled, dense.clone().fill_diagonal_(1)), "with another diagonal it differs")
    expect(torch.equal((own + sparse(matrix(25, 25, seed=13))).to_dense(), dense + matrix(25, 25, seed=13)),
           "a sum differs")  # fmt: skip


@check("entries that are there twice are reduced")
def coalesced(context):
    index = torch.tensor([[0, 2, 0, 1, 2], [1, 0, 1, 1, 0]])
    value = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    for reduction, wanted in (("add", [4.0, 4.0, 7.0]), ("max", [3.0, 4.0, 5.0]), ("mean", [2.0, 4.0, 3.5])):
        found, values = torch_sparse.coalesce(index, value, 3, 2, op=reduction)
        expect(found.tolist() == [[0, 1, 2], [1, 1, 0]], "the places are %s" % found.tolist())
        expect(values.tolist() == wanted, "%s gives %s" % (reduction, values.tolist()))


@check("random walks follow edges")
def walks(context):
    adjacency = graph()
    found = sparse(adjacency).random_walk(torch.arange(40), 15)
    expect(tuple(found.shape) == (40, 16) and torch.equal(found[:, 0], torch.arange(40)), "another shape")
    steps = torch.stack([found[:, :-1].flatten(), found[:, 1:].flatten()])
    alone = adjacency.sum(1) == 0
    fine = (adjacency[steps[0], steps[1]] > 0) | (alone[steps[0]] & (steps[0] == steps[1]))
    expect(bool(fine.all()), "a step follows no edge")


@check("the graph of chosen nodes has all edges between them")
def subgraph(context):
    adjacency = graph(seed=15)
    chosen = torch.tensor([3, 30, 7, 12, 25, 1, 19, 38])
    found, _ = torch_sparse.saint_subgraph(sparse(adjacency), chosen)
    expect(torch.equal(found.to_dense(), adjacency[chosen][:, chosen]), "the edges differ")


@check("sampled neighbours are neighbours, as many as asked for")
def samples(context):
    adjacency = graph(seed=17)
    chosen = torch.tensor([5, 0, 33, 12])
    for count in (-1, 2):
        found, nodes = torch_sparse.sample_adj(sparse(adjacency), chosen, count, replace=False)
        expect(torch.equal(nodes[:4], chosen), "the chosen nodes are not the first")
        expect(nodes.unique().numel() == nodes.numel(), "a node is there twice")
        there = found.to_dense() != 0
        expect(bool((there <= (adjacency[chosen][:, nodes] > 0)).all()), "an edge does not exist")
        degree = (adjacency[chosen] > 0).sum(1)
        wanted = degree if count < 0 else degree.clamp(max=count)
        expect(torch.equal(there.sum(1), wanted), "of %d neighbours there are %s" % (count, there.sum(1)))


@check("samples over several steps reach what they can, by edges that exist")
def hops(context):
    adjacency = graph(seed=19)
    colptr, row, _ = sparse(adjacency).csc()
    start = torch.tensor([2, 21])
    nodes, rows, cols, edges = torch.ops.torch_sparse.neighbor_sample(
        colptr, row, start, [-1, -1], False, True
    )
    reached = torch.zeros(40, dtype=torch.bool)
    reached[start] = True
    for _ in range(2):
        reached = reached | (adjacency[:, reached] > 0).any(1)
    expect(torch.equal(nodes.sort().values, reached.nonzero().flatten()), "other nodes are reached")
    expect(bool((adjacency[nodes[rows], nodes[cols]] > 0).all()), "an edge does not exist")
    expect(torch.equal(row[edges], nodes[rows]), "an edge has another number")


@check("nodes get numbers of their own")
def relabelled(context):
    col, own = torch.tensor([10, 3, 10, 8, 5]), torch.tensor([5, 8])
    found, nodes = torch.ops.torch_sparse.relabel(col, own)
    expect(nodes[:2].tolist() == [5, 8], "the own nodes are not the first")
    expect(torch.equal(nodes[found], col), "the numbers lead elsewhere")


@check("what was compiled without METIS says so")
def metis(context):
    try:
        sparse(graph()).partition(3)
    except RuntimeError as error:
        expect("METIS" in str(error), "it says something else: %s" % error)
    else:
        expect(False, "a graph was parted, and the wheel has no METIS")
