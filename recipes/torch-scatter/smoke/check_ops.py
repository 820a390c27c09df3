"""Compiled reductions against the same ones worked out group by group with torch alone."""

import math

import torch
import torch_scatter
from harness import check, expect

REDUCTIONS = ("sum", "mean", "mul", "min", "max")
SEGMENT_REDUCTIONS = ("sum", "mean", "min", "max")
# Of float32, sums in another order differ; float64 leaves no such excuse.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
OPS = (
    "cuda_version",
    "scatter_sum", "scatter_mul", "scatter_mean", "scatter_min", "scatter_max",
    "segment_sum_csr", "segment_mean_csr", "segment_min_csr", "segment_max_csr", "gather_csr",
    "segment_sum_coo", "segment_mean_coo", "segment_min_coo", "segment_max_coo", "gather_coo",
)  # fmt: skip


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random(*shape, **options):
    """Normal values of the given shape, the same for the same seed."""
    seed = options.pop("seed", 0)
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(
        options.get("dtype", torch.float64)
    )


def random_groups(count, groups, seed=0):
    """Group numbers [count] below `groups`, of which the last but one stays empty."""
    numbers = torch.randint(0, groups, (count,), generator=generator(seed))
    return torch.where(numbers == groups - 2, torch.full_like(numbers, groups - 1), numbers)


def reduced(values, dim, reduction):
    """One group's values reduced over `dim`; what an empty group gives is the library's own choice."""
    if reduction == "mul":
        return values.prod(dim)
    if values.shape[dim] == 0 or reduction == "sum":
        return values.sum(dim)
    if reduction == "mean":
        return values.mean(dim)
    return values.amin(dim) if reduction == "min" else values.amax(dim)


def reference(source, index, dim, groups, reduction):
    """Every group on its own, stacked along `dim`; `index` has one dimension."""
    parts = [source.index_select(dim, (index == group).nonzero().flatten()) for group in range(groups)]
    return torch.stack([reduced(part, dim, reduction) for part in parts], dim)


def strided(tensor):
    """The same values in a tensor that is not contiguous in any dimension."""
    doubled = tensor
    for dimension in range(tensor.dim()):
        doubled = doubled.repeat_interleave(2, dimension)
    return doubled[tuple(slice(None, None, 2) for _ in range(tensor.dim()))]


def largest_error(result, wanted):
    expect(
        tuple(result.shape) == tuple(wanted.shape),
        "the shape is %s instead of %s" % (tuple(result.shape), tuple(wanted.shape)),
    )
    error = float((result.double() - wanted.double()).abs().max()) if wanted.numel() else 0.0
    expect(math.isfinite(error), "the result holds values that are not finite")
    return error


def refuses(function, *arguments, **options):
    """Whether the call raises RuntimeError."""
    try:
        function(*arguments, **options)
    except RuntimeError:
        return True
    return False


def indptr_of(index, groups):
    """Where each group of a sorted index begins, and the end of the last: [groups + 1]."""
    counts = torch.bincount(index, minlength=groups)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


@check("every op is registered and compiled")
def registered(context):
    missing = [name for name in OPS if not hasattr(torch.ops.torch_scatter, name)]
    expect(not missing, "torch.ops.torch_scatter has no %s" % ", ".join(missing))
    context.value("version", torch_scatter.__version__)
    context.value("CUDA that the ops were compiled with (-1: none)", torch.ops.torch_scatter.cuda_version())
    context.value("threads", torch.get_num_threads())


@check("scatter: every reduction along every dimension, groups in any order")
def scatter(context):
    index = random_groups(60, 9)
    for dtype, tolerance in TOLERANCE.items():
        worst = 0.0
        for dim in (0, 1, 2, -1):
            shape = [4, 3, 5]
            shape[dim] = 60
            source = random(*shape, dtype=dtype, seed=dim + 5)
            for reduction in REDUCTIONS:
                result = torch_scatter.scatter(source, index, dim, dim_size=9, reduce=reduction)
                expect(result.dtype == dtype, "%s gives %s" % (reduction, result.dtype))
                error = largest_error(result, reference(source, index, dim % 3, 9, reduction))
                expect(error < tolerance, "%s along %d of %s is off by %g" % (reduction, dim, dtype, error))
                worst = max(worst, error)
        context.value("largest error in %s" % str(dtype).replace("torch.", ""), worst)


@check("scatter: the C++ sum and mean, which Python leaves to torch, agree with it")
def scatter_native(context):
    source, index = random(50, 4), random_groups(50, 7)
    for name in ("sum", "mean"):
        function = getattr(torch.ops.torch_scatter, "scatter_" + name)
        error = largest_error(function(source, index, 0, None, 7), reference(source, index, 0, 7, name))
        context.value("largest error of the " + name, error)
        expect(error < 1e-10, "the %s is off by %g" % (name, error))


@check("scatter: an index of its own for every element")
def scatter_elementwise(context):
    source = random(6, 40)
    index = torch.randint(0, 5, (6, 40), generator=generator(3))
    for reduction in REDUCTIONS:
        result = torch_scatter.scatter(source, index, 1, dim_size=5, reduce=reduction)
        rows = [reference(row, own, 0, 5, reduction) for row, own in zip(source, index)]
        error = largest_error(result, torch.stack(rows))
        expect(error < 1e-10, "%s is off by %g" % (reduction, error))


@check("minimum and maximum say where they were found; an empty group says nowhere")
def arguments(context):
    source, index = random(60, 4), random_groups(60, 9)
    indptr = indptr_of(index.sort().values, 9)
    found = {
        "scatter": (torch_scatter.scatter_min, torch_scatter.scatter_max, index, {"dim": 0, "dim_size": 9}),
        "csr": (torch_scatter.segment_min_csr, torch_scatter.segment_max_csr, indptr, {}),
        "coo": (
            torch_scatter.segment_min_coo,
            torch_scatter.segment_max_coo,
            index.sort().values,
            {"dim_size": 9},
        ),
    }
    for name, (lowest, highest, where, options) in found.items():
        for function in (lowest, highest):
            values, positions = function(source, where, **options)
            empty = positions == len(source)
            expect(bool(empty[7].all()), "%s: the empty group has a position" % name)
            expect(int(empty.sum()) == 4, "%s: %d groups without a position" % (name, int(empty.sum())))
            expect(not bool(values[empty].any()), "%s: an empty group is not zero" % name)
            picked = source.gather(0, positions.clamp(max=len(source) - 1))
            expect(torch.equal(values[~empty], picked[~empty]), "%s: the positions are others" % name)


@check("segments by start and end (CSR), and back")
def segment_csr(context):
    index = random_groups(70, 9).sort().values
    indptr = indptr_of(index, 9)
    for dtype, tolerance in TOLERANCE.items():
        source = random(70, 6, dtype=dtype)
        for reduction in SEGMENT_REDUCTIONS:
            result = torch_scatter.segment_csr(source, indptr, reduce=reduction)
            error = largest_error(result, reference(source, index, 0, 9, reduction))
            expect(error < tolerance, "%s in %s is off by %g" % (reduction, dtype, error))
    batched = random(3, 70, 2)
    result = torch_scatter.segment_csr(batched, indptr.view(1, -1), reduce="sum")
    expect(largest_error(result, reference(batched, index, 1, 9, "sum")) < 1e-10, "batches come out wrong")
    groups = random(9, 6)
    expect(torch.equal(torch_scatter.gather_csr(groups, indptr), groups[index]), "gather_csr is not an index")


@check("segments by a sorted index (COO), and back")
def segment_coo(context):
    index = random_groups(70, 9).sort().values
    for dtype, tolerance in TOLERANCE.items():
        source = random(70, 6, dtype=dtype)
        for reduction in SEGMENT_REDUCTIONS:
            result = torch_scatter.segment_coo(source, index, dim_size=9, reduce=reduction)
            error = largest_error(result, reference(source, index, 0, 9, reduction))
            expect(error < tolerance, "%s in %s is off by %g" % (reduction, dtype, error))
    groups = random(9, 6)
    expect(torch.equal(torch_scatter.gather_coo(groups, index), groups[index]), "gather_coo is not an index")


@check("whole numbers stay whole")
def integers(context):
    source = torch.randint(-9, 10, (40, 3), generator=generator(1))
    index = random_groups(40, 6)
    for reduction in ("sum", "mul", "min", "max"):
        result = torch_scatter.scatter(source, index, 0, dim_size=6, reduce=reduction)
        expect(result.dtype == torch.int64, "%s gives %s" % (reduction, result.dtype))
        wanted = reference(source, index, 0, 6, reduction)
        expect(torch.equal(result, wanted), "%s differs" % reduction)


@check("tensors that are not contiguous give the same")
def not_contiguous(context):
    source, index = random(30, 4), random_groups(30, 6)
    indptr = indptr_of(index.sort().values, 6)
    loose, loose_index = strided(source), strided(index)
    expect(not loose.is_contiguous() and not loose_index.is_contiguous(), "the test tensors are contiguous")
    for reduction in REDUCTIONS:
        plain = torch_scatter.scatter(source, index, 0, dim_size=6, reduce=reduction)
        other = torch_scatter.scatter(loose, loose_index, 0, dim_size=6, reduce=reduction)
        expect(torch.equal(plain, other), "scatter %s differs" % reduction)
    for reduction in SEGMENT_REDUCTIONS:
        plain = torch_scatter.segment_csr(source, indptr, reduce=reduction)
        other = torch_scatter.segment_csr(loose, strided(indptr), reduce=reduction)
        expect(torch.equal(plain, other), "segment_csr %s differs" % reduction)
    wide = random(4, 30).t()
    expect(
        torch.equal(
            torch_scatter.scatter(wide, index, 0, reduce="max"),
            torch_scatter.scatter(wide.contiguous(), index, 0, reduce="max"),
        ),
        "a transposed tensor differs",
    )


@check("no elements give empty groups")
def empty(context):
    none = torch.zeros(0, dtype=torch.int64)
    for reduction in REDUCTIONS:
        result = torch_scatter.scatter(torch.zeros(0, 3), none, 0, reduce=reduction)
        expect(tuple(result.shape) == (0, 3), "%s gives the shape %s" % (reduction, tuple(result.shape)))
    for reduction in SEGMENT_REDUCTIONS:
        sized = torch_scatter.scatter(torch.zeros(0, 3), none, 0, dim_size=4, reduce=reduction)
        expect(torch.equal(sized, torch.zeros(4, 3)), "%s of four empty groups is %s" % (reduction, sized))
        indptr = torch.zeros(5, dtype=torch.int64)
        sized = torch_scatter.segment_csr(torch.zeros(0, 3), indptr, reduce=reduction)
        expect(torch.equal(sized, torch.zeros(4, 3)), "%s of four empty segments is %s" % (reduction, sized))


@check("a given result tensor is the one that is filled")
def into(context):
    source, index = random(30, 4), random_groups(30, 6)
    ordered = index.sort().values
    for reduction in SEGMENT_REDUCTIONS:
        out = torch.zeros(6, 4, dtype=torch.float64)
        result = torch_scatter.segment_csr(source, indptr_of(ordered, 6), out, reduce=reduction)
        expect(result.data_ptr() == out.data_ptr(), "%s went into another tensor" % reduction)
        wanted = reference(source, ordered, 0, 6, reduction)
        expect(largest_error(out, wanted) < 1e-10, "%s differs" % reduction)
    out = torch.full((6, 4), 100.0, dtype=torch.float64)
    result = torch_scatter.scatter(source, index, 0, out, reduce="max")
    expect(bool((result == 100).all()), "a maximum with what was there became less")


@check("shapes that do not go together are refused")
def bad_shapes(context):
    source = random(6, 4)
    cases = {
        "more index dimensions than the source has": (
            torch_scatter.segment_csr, source[:, 0], torch.zeros(2, 3, dtype=torch.int64),
        ),
        "a sorted index with too many dimensions": (
            torch_scatter.segment_coo, source[:, 0], torch.zeros(2, 3, dtype=torch.int64),
        ),
        "an index of another length": (
            torch_scatter.scatter_max, source, torch.zeros(5, dtype=torch.int64), 0,
        ),
        "a result tensor of another width": (
            torch_scatter.scatter_max, source, torch.zeros(6, dtype=torch.int64), 0,
            torch.zeros(3, 5).double(),
        ),
        "a result tensor with another number of segments": (
            torch_scatter.segment_csr, source, torch.tensor([0, 2, 6]), torch.zeros(5, 4).double(),
        ),
    }  # fmt: skip
    for name, (function, *given) in cases.items():
        expect(refuses(function, *given), "%s: no error" % name)


@check("gradients equal those by finite differences")
def gradients(context):
    index = random_groups(14, 5)
    ordered = index.sort().values
    indptr = indptr_of(ordered, 5)
    # Far apart, so that a small step changes no minimum or maximum.
    source = (torch.randperm(28, generator=generator(4)).double().view(14, 2) + 1) / 7
    groups = random(5, 2)
    functions = {
        "C++ sum": (lambda s: torch.ops.torch_scatter.scatter_sum(s, index, 0, None, 5), source),
        "C++ mean": (lambda s: torch.ops.torch_scatter.scatter_mean(s, index, 0, None, 5), source),
        "gather_csr": (lambda g: torch_scatter.gather_csr(g, indptr), groups),
        "gather_coo": (lambda g: torch_scatter.gather_coo(g, ordered), groups),
        "softmax": (lambda s: torch_scatter.scatter_softmax(s, index, 0), source),
    }
    for name in REDUCTIONS:
        functions["scatter " + name] = (
            lambda s, r=name: torch_scatter.scatter(s, index, 0, dim_size=5, reduce=r),
            source,
        )
    for name in SEGMENT_REDUCTIONS:
        functions["csr " + name] = (lambda s, r=name: torch_scatter.segment_csr(s, indptr, reduce=r), source)
        functions["coo " + name] = (
            lambda s, r=name: torch_scatter.segment_coo(s, ordered, dim_size=5, reduce=r),
            source,
        )
    for name, (function, start) in functions.items():
        given = start.clone().requires_grad_(True)
        try:
            torch.autograd.gradcheck(function, (given,))
        except RuntimeError as error:
            raise AssertionError("%s: %s" % (name, error)) from None
    context.value("functions", len(functions))


@check("softmax, log-sum-exp and standard deviation of each group")
def composite(context):
    source, index = random(50, 3), random_groups(50, 7)
    softmax = torch_scatter.scatter_softmax(source, index, 0)
    logarithms = torch_scatter.scatter_log_softmax(source, index, 0)
    sums = torch_scatter.scatter_logsumexp(source, index, 0, dim_size=7)
    deviation = torch_scatter.scatter_std(source, index, 0, dim_size=7)
    for group in range(7):
        members = index == group
        if members.sum() < 2:
            continue
        own = source[members]
        for name, result, wanted in (
            ("softmax", softmax[members], own.softmax(0)),
            ("log softmax", logarithms[members], own.log_softmax(0)),
            ("log-sum-exp", sums[group], own.logsumexp(0)),
            ("standard deviation", deviation[group], own.std(0)),
        ):
            # the library adds 1e-6 to a count before it divides
            expect(largest_error(result, wanted) < 1e-5, "%s of group %d differs" % (name, group))


@check("many segments, shared among threads, equal torch's own index_add")
def many(context):
    count, groups = 400000, 50000
    index = torch.randint(0, groups, (count,), generator=generator(8)).sort().values
    source = random(count, 4)
    wanted = torch.zeros(groups, 4, dtype=torch.float64).index_add_(0, index, source)
    for name, result in (
        ("CSR", torch_scatter.segment_csr(source, indptr_of(index, groups), reduce="sum")),
        ("COO", torch_scatter.segment_coo(source, index, dim_size=groups, reduce="sum")),
        ("scatter", torch.ops.torch_scatter.scatter_sum(source, index, 0, None, groups)),
    ):
        error = largest_error(result, wanted)
        context.value("largest error, " + name, error)
        expect(error < 1e-9, "%s is off by %g" % (name, error))
