"""Deformable attention on the GPU against grid_sample, and what can be seen without a GPU."""

import torch

# isort: split
# it is linked to torch's libraries, which torch has to load before
import MultiScaleDeformableAttention as ops  # noqa: N813
from harness import Skip, check, expect

# height and width of each level's map; one of a single pixel and one of a single row among them
LEVELS = ((7, 5), (4, 4), (1, 6), (1, 1))
QUERIES, HEADS, POINTS = 5, 3, 4
# Of float32, sums in another order differ; float64 leaves no such excuse.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
# What the gradient's kernels are chosen by: powers of 2 up to 32, those up to 1024, other numbers below 64,
# others up to 1024, multiples of 1024, others above.
CHANNELS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 3, 30, 71, 100, 1025, 2048)


def gpu():
    """The device to run on; leaves the check, with the reason, where there is none."""
    if not torch.cuda.is_available():
        raise Skip("no CUDA device is visible here: no result was computed")
    return torch.device("cuda")


def random(generator, *shape):
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def case(channels, batch=2, seed=0, levels=LEVELS):
    """Values [batch, pixels, HEADS, channels], places and weights of the points; some places are outside.

    Places are [batch, QUERIES, HEADS, levels, POINTS, 2], x before y, 0 to 1 over the map. Weights have no
    last dimension, and add up to 1 for each query and head.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = sum(height * width for height, width in levels)
    values = random(generator, batch, pixels, HEADS, channels) - 0.5
    places = random(generator, batch, QUERIES, HEADS, len(levels), POINTS, 2) * 1.5 - 0.25
    weights = random(generator, batch, QUERIES, HEADS, len(levels), POINTS)
    return values, places, weights / weights.sum((3, 4), keepdim=True)


def reference(values, places, weights, levels=LEVELS):
    """What the op must return, [batch, QUERIES, HEADS * channels]: level after level, by torch alone."""
    batch, _, heads, channels = values.shape
    total, start = 0, 0
    for number, (height, width) in enumerate(levels):
        pixels = values[:, start : start + height * width]
        start += height * width
        maps = pixels.permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width)
        grid = places[:, :, :, number].transpose(1, 2).flatten(0, 1) * 2 - 1
        seen = torch.nn.functional.grid_sample(maps, grid, align_corners=False)
        share = weights[:, :, :, number].transpose(1, 2).flatten(0, 1)
        total = total + torch.einsum("bcqp,bqp->bqc", seen, share)
    return total.reshape(batch, heads, -1, channels).transpose(1, 2).flatten(2)


class Attention(torch.autograd.Function):
    """The compiled op and its gradients, as torch's own differentiation calls them."""

    @staticmethod
    def forward(context, values, shapes, starts, places, weights, step):
        context.save_for_backward(values, shapes, starts, places, weights)
        context.step = step
        return ops.ms_deform_attn_forward(values, shapes, starts, places, weights, step)

    @staticmethod
    def backward(context, gradient):
        values, places, weights = ops.ms_deform_attn_backward(
            *context.saved_tensors, gradient.contiguous(), context.step
        )
        return values, None, None, places, weights, None


def attention(values, places, weights, levels=LEVELS, step=64):
    """The op on whatever device the values are."""
    shapes = torch.tensor(levels, device=values.device)
    areas = shapes.prod(1)
    return Attention.apply(values, shapes, areas.cumsum(0) - areas, places, weights, step)


def gradients(function, inputs):
    """The result, and the gradients of a sum of it that weighs each number differently."""
    leaves = [one.detach().clone().requires_grad_() for one in inputs]
    result = function(*leaves)
    ways = torch.linspace(-1, 1, result.numel(), dtype=result.dtype, device=result.device)
    return [result.detach(), *torch.autograd.grad((result * ways.view_as(result)).sum(), leaves)]


def error_of(found, wanted):
    """The largest difference, in parts of the largest number that is wanted (of 1 where that is less)."""
    expect(
        found.shape == wanted.shape,
        "the shape is %s instead of %s" % (tuple(found.shape), tuple(wanted.shape)),
    )
    scale = max(1.0, float(wanted.abs().max()))
    return float((found.cpu().double() - wanted).abs().max()) / scale


@check("the module loads, and is of the CUDA that the wheel and torch name")
def loads(context):
    missing = [name for name in ("forward", "backward") if not hasattr(ops, "ms_deform_attn_" + name)]
    expect(not missing, "the module has no %s" % ", ".join(missing))
    built = context.build.get("cuda") or {}
    context.value("CUDA of the wheel", built.get("version"))
    context.value("cards that it has code for", ", ".join(built.get("architectures", ())))
    context.value("torch's CUDA", torch.version.cuda)
    expect(built.get("version") == torch.version.cuda, "the wheel is for another CUDA than torch's")
    seen = torch.cuda.is_available()
    context.value("device", torch.cuda.get_device_name(0) if seen else "none: nothing was computed by the op")


@check("on the CPU it refuses, with words")
def refuses_the_cpu(context):
    values, places, weights = case(2)
    shapes = torch.tensor(LEVELS)
    areas = shapes.prod(1)
    given = [values, shapes, areas.cumsum(0) - areas, places, weights]
    gradient = torch.zeros(len(values), QUERIES, HEADS * 2, dtype=values.dtype)
    for backward in (False, True):
        try:
            if backward:
                ops.ms_deform_attn_backward(*(given + [gradient, 64]))
            else:
                ops.ms_deform_attn_forward(*(given + [64]))
        except RuntimeError as error:
            expect("CPU" in str(error), "the refusal says nothing of the CPU: %s" % error)
            context.value("it says", str(error).splitlines()[0])
        else:
            raise AssertionError("no error: the CPU has no such op")


@check("forward equals what grid_sample gives, in float32 and float64")
def forward(context):
    device = gpu()
    for dtype, tolerance in TOLERANCE.items():
        worst = 0.0
        for channels in CHANNELS:
            inputs = case(channels, seed=channels)
            found = attention(*(one.to(device, dtype) for one in inputs))
            expect(found.dtype == dtype, "%s gives %s" % (dtype, found.dtype))
            error = error_of(found, reference(*inputs))
            expect(error < tolerance, "%d channels in %s are off by %g" % (channels, dtype, error))
            worst = max(worst, error)
        context.value("largest error in %s" % str(dtype).replace("torch.", ""), worst)


@check("all three gradients equal those of grid_sample, by every kernel that computes them")
def backward(context):
    device = gpu()
    for dtype, tolerance in TOLERANCE.items():
        worst = 0.0
        for channels in CHANNELS:
            inputs = case(channels, seed=100 + channels)
            wanted = gradients(reference, inputs)
            found = gradients(attention, [one.to(device, dtype) for one in inputs])
            for name, own, other in zip(("result", "values", "places", "weights"), found, wanted):
                error = error_of(own, other)
                expect(
                    error < tolerance, "%s of %d channels in %s: off by %g" % (name, channels, dtype, error)
                )
                worst = max(worst, error)
        context.value("largest error in %s" % str(dtype).replace("torch.", ""), worst)


@check("gradients equal those by finite differences")
def finite_differences(context):
    device = gpu()
    # inside the cells of the maps, where a small step of a place meets no corner
    values, places, weights = case(4, batch=1, levels=((3, 3),))
    places = (torch.floor(places * 3) + 0.25 + 0.25 * (places * 3 % 1)) / 3
    inputs = [one.to(device).requires_grad_() for one in (values, places, weights)]
    torch.autograd.gradcheck(lambda *given: attention(*given, levels=((3, 3),)), inputs, nondet_tol=1e-9)


@check("a batch in parts gives the same; parts that do not divide it are refused")
def parts(context):
    device = gpu()
    inputs = [one.to(device) for one in case(8, batch=6)]
    whole = attention(*inputs, step=6)
    for step in (1, 2, 3):
        expect(torch.equal(attention(*inputs, step=step), whole), "parts of %d differ" % step)
    try:
        attention(*inputs, step=4)
    except RuntimeError as error:
        expect("im2col_step" in str(error), "the refusal names something else: %s" % error)
    else:
        raise AssertionError("six cannot be divided by four, and nothing was said")


@check("another stream of the GPU is waited for as torch's own ops are")
def streams(context):
    device = gpu()
    inputs = case(32)
    wanted = reference(*inputs)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        found = attention(*(one.to(device) for one in inputs))
    stream.synchronize()
    error = error_of(found, wanted)
    expect(error < TOLERANCE[torch.float64], "off by %g" % error)
