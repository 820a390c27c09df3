"""Spline bases and convolutions against B-splines built up from their definition with torch alone."""

import torch
import torch_spline_conv
from harness import check, expect

OPS = ("cuda_version", "spline_basis", "spline_weighting")
# Of float32, sums in another order differ; float64 leaves no such excuse.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
# sizes of the kernel in each dimension, whether the spline is open there
KERNELS = (((5,), (1,)), ((4,), (0,)), ((4, 5), (1, 0)), ((5, 4, 6), (0, 1, 1)))


def random(*shape, **options):
    """Values between 0 and 1, the same for the same seed."""
    generator = torch.Generator().manual_seed(options.get("seed", 0))
    values = torch.rand(shape, generator=generator, dtype=torch.float64)
    return values.to(options.get("dtype", torch.float64))


def b_spline(at, degree):
    """The cardinal B-spline that is not 0 between 0 and degree + 1, by the recursion that defines it."""
    if degree == 0:
        return ((at >= 0) & (at < 1)).to(at.dtype)
    rising = at * b_spline(at, degree - 1)
    falling = (degree + 1 - at) * b_spline(at - 1, degree - 1)
    return (rising + falling) / degree


def along(pseudo, size, is_open, degree):
    """What each cell of a kernel in one dimension has of each edge: [edges, size]."""
    place = pseudo * (size - degree * is_open)
    cell = place.floor()
    shares = torch.zeros(len(pseudo), size, dtype=pseudo.dtype)
    for step in range(degree + 1):
        number = (cell.long() + step) % size
        share = b_spline(place - cell + degree - step, degree)
        shares = shares.scatter_add(1, number.unsqueeze(1), share.unsqueeze(1))
    return shares


def reference(pseudo, sizes, is_open, degree):
    """The share that each cell of the kernel has of each edge: [edges, cells]."""
    shares = torch.ones(len(pseudo), 1, dtype=pseudo.dtype)
    for dimension, (size, way) in enumerate(zip(sizes, is_open)):
        own = along(pseudo[:, dimension], size, way, degree)
        shares = (own.unsqueeze(2) * shares.unsqueeze(1)).flatten(1)  # the first dimension runs fastest
    return shares


def dense(basis, index, cells):
    """What the op returned, as one share for each cell."""
    return torch.zeros(len(basis), cells, dtype=basis.dtype).scatter_add(1, index, basis)


def count(sizes):
    cells = 1
    for size in sizes:
        cells *= size
    return cells


def basis_of(pseudo, sizes, is_open, degree):
    return torch_spline_conv.spline_basis(
        pseudo, torch.tensor(sizes), torch.tensor(is_open, dtype=torch.uint8), degree
    )


def gradients(outputs, inputs):
    """Of a sum of outputs that weighs each of them differently."""
    weights = random(*outputs.shape, seed=9, dtype=outputs.dtype)
    return torch.autograd.grad((outputs * weights).sum(), inputs)


@check("every op is registered and compiled")
def registered(context):
    missing = [name for name in OPS if not hasattr(torch.ops.torch_spline_conv, name)]
    expect(not missing, "torch.ops.torch_spline_conv has no %s" % ", ".join(missing))
    context.value("version", torch_spline_conv.__version__)
    version = torch.ops.torch_spline_conv.cuda_version()
    context.value("CUDA that the ops were compiled with (-1: none)", version)


@check("bases of degree 1 to 3, open and closed, in up to three dimensions")
def bases(context):
    for dtype, tolerance in TOLERANCE.items():
        worst = 0.0
        for sizes, is_open in KERNELS:
            for degree in (1, 2, 3):
                pseudo = random(50, len(sizes), dtype=dtype, seed=degree)
                basis, index = basis_of(pseudo, sizes, is_open, degree)
                expect(tuple(basis.shape) == (50, (degree + 1) ** len(sizes)), "another number of cells")
                wanted = reference(pseudo, sizes, is_open, degree)
                error = float((dense(basis, index, count(sizes)) - wanted).abs().max())
                expect(error < tolerance, "degree %d of %s is off by %g" % (degree, sizes, error))
                worst = max(worst, error)
        context.value("largest error in %s" % str(dtype).replace("torch.", ""), worst)


@check("the shares of an edge add up to one")
def whole(context):
    for sizes, is_open in KERNELS:
        for degree in (1, 2, 3):
            basis, _ = basis_of(random(40, len(sizes), seed=4), sizes, is_open, degree)
            error = float((basis.sum(1) - 1).abs().max())
            expect(error < 1e-12, "degree %d of %s adds up to something else" % (degree, sizes))


@check("the gradient of a basis")
def basis_gradient(context):
    worst = 0.0
    for sizes, is_open in KERNELS:
        for degree in (1, 2, 3):
            pseudo = random(30, len(sizes), seed=5).requires_grad_()
            basis, index = basis_of(pseudo, sizes, is_open, degree)
            (found,) = gradients(dense(basis, index, count(sizes)), [pseudo])
            (wanted,) = gradients(reference(pseudo, sizes, is_open, degree), [pseudo])
            worst = max(worst, float((found - wanted).abs().max()))
    context.value("largest error", worst)
    expect(worst < 1e-9, "the gradient is off by %g" % worst)


@check("weighting, and its gradients")
def weighting(context):
    sizes, is_open, degree = (4, 5), (1, 0), 2
    pseudo = random(40, 2, seed=6).requires_grad_()
    x = random(40, 3, seed=7).requires_grad_()
    weight = random(20, 3, 6, seed=8).requires_grad_()
    basis, index = basis_of(pseudo, sizes, is_open, degree)
    found = torch_spline_conv.spline_weighting(x, weight, basis, index)
    wanted = torch.einsum("ei,ek,kio->eo", x, reference(pseudo, sizes, is_open, degree), weight)
    expect(float((found - wanted).detach().abs().max()) < 1e-10, "the result is off")
    pairs = zip(gradients(found, [x, weight, pseudo]), gradients(wanted, [x, weight, pseudo]))
    for name, (own, other) in zip(("x", "weight", "pseudo"), pairs):
        error = float((own - other).abs().max())
        context.value("largest error of the gradient of %s" % name, error)
        expect(error < 1e-9, "the gradient of %s is off by %g" % (name, error))


@check("a convolution over a graph, with and without what it can have beside")
def convolution(context):
    nodes, edges = 25, 90
    generator = torch.Generator().manual_seed(10)
    index = torch.randint(0, nodes, (2, edges), generator=generator)
    sizes, is_open = (5, 4), (1, 1)
    x, pseudo = random(nodes, 3, seed=11), random(edges, 2, seed=12)
    weight, root, bias = random(20, 3, 7, seed=13), random(3, 7, seed=14), random(7, seed=15)
    kernel, way = torch.tensor(sizes), torch.tensor(is_open, dtype=torch.uint8)
    sent = torch.einsum("ei,ek,kio->eo", x[index[1]], reference(pseudo, sizes, is_open, 1), weight)
    sums = torch.zeros(nodes, 7, dtype=x.dtype).index_add(0, index[0], sent)
    degree = torch.bincount(index[0], minlength=nodes).clamp(min=1).unsqueeze(1)
    plain = torch_spline_conv.spline_conv(x, index, pseudo, weight, kernel, way, 1, False)
    expect(float((plain - sums).abs().max()) < 1e-10, "the sum is off")
    full = torch_spline_conv.spline_conv(x, index, pseudo, weight, kernel, way, 1, True, root, bias)
    expect(float((full - (sums / degree + x @ root + bias)).abs().max()) < 1e-10, "the mean is off")
