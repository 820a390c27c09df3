"""Products of many sizes in one call, against the same ones one by one; only loading needs no GPU."""

import grouped_gemm_backend
import torch
from grouped_gemm import ops
from harness import Skip, check, expect

ROWS = (7, 0, 64, 130, 1)
INNER, WIDTH = 48, 80


def random(*shape, **options):
    """Values of bfloat16 on the GPU, which is all that the op takes."""
    generator = torch.Generator().manual_seed(options.get("seed", 0))
    return torch.randn(shape, generator=generator).to("cuda", torch.bfloat16).requires_grad_()


def need_gpu():
    if not torch.cuda.is_available():
        raise Skip("there is no GPU here, and the op has no other version")


def relative_error(found, wanted):
    return float((found.float() - wanted.float()).norm() / wanted.float().norm())


@check("the compiled module loads, and has its product")
def compiled(context):
    expect(callable(getattr(grouped_gemm_backend, "gmm", None)), "grouped_gemm_backend has no gmm")
    context.value("CUDA of the build", str((context.build.get("cuda") or {}).get("version")))


@check("each group is multiplied by its own matrix, turned or not, and gradients come back")
def products(context):
    need_gpu()
    sizes = torch.tensor(ROWS)
    for turned in (False, True):
        rows = random(sum(ROWS), INNER, seed=1)
        matrices = random(len(ROWS), *((WIDTH, INNER) if turned else (INNER, WIDTH)), seed=2)
        found = ops.gmm(rows, matrices, sizes, trans_b=turned)
        each = zip(rows.split(ROWS), matrices)
        wanted = torch.cat([one @ (matrix.t() if turned else matrix) for one, matrix in each])
        error = relative_error(found.detach(), wanted.detach())
        expect(error < 0.01, "the products are off by %g" % error)
        weights = random(*found.shape, seed=3).detach()
        own = torch.autograd.grad((found * weights).sum(), [rows, matrices])
        plain = torch.autograd.grad((wanted * weights).sum(), [rows, matrices])
        for name, one, two in zip(("rows", "matrices"), own, plain):
            error = relative_error(one, two)
            context.value("relative error of the gradient of the %s, %s" % (name, turned), error)
            expect(error < 0.02, "the gradient of the %s is off by %g" % (name, error))
