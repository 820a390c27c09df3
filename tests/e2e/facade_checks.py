"""Compare the module made of facade_probe.cpp with torch; test_facade.py runs `facade_checks.py MODULE`.

It runs in an environment of its own that has torch, without pytest.
"""

import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# not a plain import: what checks the types of this repository has no torch
torch: Any = importlib.import_module("torch")


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).name.split(".")[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


probe: Any = load(sys.argv[1])
ops: Any = torch.ops.facade_probe


def same(name: str, got: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        assert got.dtype == wanted.dtype, (name, got.dtype, wanted.dtype)
        assert got.shape == wanted.shape, (name, got.shape, wanted.shape)
        assert torch.equal(got, wanted), (name, got, wanted)
    else:
        assert got == wanted, (name, got, wanted)


def raises(kind: type[Exception], words: str, function: Callable[..., Any], *arguments: Any) -> None:
    for _ in range(3):  # a handler that damages something shows it the next time
        said = None
        try:
            function(*arguments)
        except kind as error:
            said = str(error)
        assert said is not None, f"{function} accepted {arguments}"
        assert words in said, (words, said[:300])


def creation() -> None:
    like = torch.arange(6.0).reshape(2, 3)
    wanted = [
        torch.zeros(2, 3),
        torch.zeros(2, 3, dtype=torch.float64),
        torch.ones(2, 1),
        torch.full((2,), 7, dtype=torch.int32),
        torch.full((2,), 1.5),
        torch.full((1,), True),
        torch.zeros_like(like),
        torch.ones(2, 3, dtype=torch.int64),
        torch.full_like(like, 2.5),
        torch.full_like(like, 3),
        torch.empty(0, dtype=torch.int64),
        torch.tensor(4.0, dtype=torch.float64),
        torch.zeros(4),
        torch.full((2, 2), 9, dtype=torch.uint8),
        torch.zeros(2, 3),
        torch.tensor([1, 2, 3], dtype=torch.int32),
        torch.tensor([0.5, 1.5], dtype=torch.float16),
        torch.tensor(3.0, dtype=torch.float16),
    ]
    got = probe.created(like)
    assert len(got) == len(wanted)
    for number, (one, other) in enumerate(zip(got, wanted, strict=True)):
        same(f"created {number}", one, other)
    assert got[14].stride() == (1, 2)


def description() -> None:
    base = torch.arange(24.0).reshape(4, 6)
    for t in (base, base[1:, ::2], base.t(), base[0, 0], base[:0], base.to(torch.int8)):
        got = probe.described(t)
        assert got.pop("cpu")
        assert got.pop("same type")
        assert got.pop("old type")
        assert got == {
            "sizes": list(t.shape),
            "strides": list(t.stride()),
            "dim": t.dim(),
            "numel": t.numel(),
            "last": t.shape[-1] if t.dim() else -1,
            "last stride": t.stride(-1) if t.dim() else -1,
            "offset": t.storage_offset(),
            "contiguous": t.is_contiguous(),
            "bytes": t.numel() * t.element_size(),
            "type": t.dtype,
            "floating": t.is_floating_point(),
            "text": f"cpu cpu {'Float' if t.is_floating_point() else 'Char'} {list(t.shape)}",
        }


def rows() -> None:
    for t in (torch.arange(5.0), torch.arange(24.0).reshape(2, 3, 4), torch.randn(6, 4)[::2, 1:]):
        same("reversed", probe.rows_reversed(t), t.flip(0))
    floats = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    for dtype in (*floats, torch.int64, torch.uint8, torch.bool):
        wanted = (torch.arange(7, dtype=torch.float64) / 2).to(dtype)
        same("numbers", probe.numbers(count=7, like=torch.empty(0, dtype=dtype)), wanted)
    t = torch.randn(4, 6, dtype=torch.float64)[::2, ::3]
    assert probe.corner(t) == float(t[0, 0] + t[-1, -1] + t[0, 0])
    assert probe.row_shape(t) == [1, 2, 3, 2, 1, 1]
    raises(RuntimeError, "expected scalar type Double but found Float", probe.corner, t.float())
    raises(RuntimeError, "out of bounds", probe.row_shape, t[:1])
    raises(RuntimeError, "out of bounds", probe.corner, t[:0])


def accessors() -> None:
    numbers = torch.randn(5, 4) * 20
    kinds = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16)
    for dtype in (*kinds, torch.float32, torch.float64):
        t = numbers.abs().to(dtype)[:, ::2]
        same(str(dtype), probe.doubled(t), t + t)
    same("none", probe.doubled(numbers[:0]), numbers[:0])
    raises(RuntimeError, "\"doubled\" not implemented for 'Bool'", probe.doubled, numbers.bool())
    raises(RuntimeError, "expected 2 dims but tensor has 1", probe.doubled, numbers[0])


def without_memory() -> None:
    """A tensor that has a shape and no numbers is refused where its numbers are asked for."""
    said = "data is not allocated yet"
    meta = torch.ones(4, 4, device="meta")
    emptied = torch.ones(8, 4, dtype=torch.float64)[2:]
    emptied.untyped_storage().resize_(0)
    raises(RuntimeError, "no data", probe.corner, meta.double())
    for t in (meta, meta[1:, 1:], emptied):
        raises(RuntimeError, said, probe.doubled, t)
    assert probe.doubled(meta[:0]).shape == (0, 4)
    fake = importlib.import_module("torch._subclasses.fake_tensor")
    with fake.FakeTensorMode():
        t = torch.ones(4, 4)
        raises(RuntimeError, said, probe.doubled, t)
        raises(RuntimeError, said, probe.first_written, t)


def operators() -> None:
    generator = torch.Generator().manual_seed(1)
    t, index = torch.randn(4, 4, generator=generator), torch.tensor([2, 0])
    t[1, 1] = 0
    got = probe.computed(t, index)
    wanted = {
        "sorted": t.sort(1, descending=True)[0],
        "order": t.sort(1, descending=True)[1],
        "stable": t.sort(dim=0, stable=True)[1],
        "topk": t.topk(2, 1)[0],
        "max": t.max(),
        "max 1": t.max(1)[1],
        "min": t.min(),
        "argsort": t.argsort(0),
        "narrow": t[:, 1:3],
        "slice": t[1::2],
        "slice end": t[:, :-1],
        "select": t[:, 0],
        "view": t.view(-1),
        "view_as": t,
        "reshape_as": t.t().reshape(4, 4),
        "index": t[index],
        "index of two": t[index, index],
        "index by a mask": t[t.bool()],
        "mm": t @ t.t(),
        "to a device": t,
        "reshape": t.t().reshape(-1, 2),
        "permute": t.t(),
        "transpose": t.t(),
        "expand": t[None].expand(2, -1, -1),
        "squeeze": t,
        "flatten": t.flatten(),
        "index_select": t[index],
        "gather": t.gather(0, index[:, None].expand(-1, 4)),
        "masked_select": t[t != 0],
        "nonzero": t.nonzero(),
        "sum": t.sum(),
        "sum 1": t.sum(1, keepdim=True),
        "mean": t.mean(),
        "cumsum": t.cumsum(0),
        "abs": t.abs(),
        "exp": t.exp(),
        "sigmoid": t.sigmoid(),
        "mul": t * t,
        "times": t * t[1],
        "divided": t[1] / t.exp(),
        "matmul": t @ t.t(),
        "cat": torch.cat([t, t], 1),
        "stack": t[:2],
        "where": torch.where(t.bool(), t, t.exp()),
        "half": t.half(),
        "to": t.long(),
        "clone": t,
        "copy": t,
        "at": t[2],
    }
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        same(name, got[name], value)
    assert got["narrow"].data_ptr() == t[:, 1:].data_ptr(), "a view is a view"
    assert got["transpose"].is_contiguous()


def in_place() -> None:
    generator = torch.Generator().manual_seed(2)
    for dtype in (torch.float32, torch.float64):
        t, a, b = (
            torch.randn(*sizes, generator=generator, dtype=dtype)
            for sizes in ((2, 3, 5), (2, 3, 4), (2, 4, 5))
        )
        same("turned", probe.turned_in_place(t[0]), t[0].t())
        same(
            "added", probe.added(t[0], t[1, 0]), torch.cat([t[0, :1] + t[1, 0] + t[1, 0], t[0, 1:] + t[1, 0]])
        )
        for beta, alpha in ((1, 1), (0, 1), (0.5, 0.1)):
            wanted = torch.baddbmm(t, a, b, beta=beta, alpha=alpha)
            for recorded in (False, True):  # with gradients it is made of other operators
                with torch.set_grad_enabled(recorded):
                    got = probe.added_products(t, a, b, beta, alpha)
                assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-5), (dtype, beta, alpha, recorded)
        nothing = torch.full_like(t, float("nan"))
        assert torch.allclose(probe.added_products(nothing, a, b, 0, 1), a @ b, rtol=1e-5, atol=1e-5)
    weights = torch.randn(2, 3, 4, generator=generator, requires_grad=True)
    probe.added_products(torch.zeros(2, 3, 5), weights, torch.ones(2, 4, 5), 1, 2).sum().backward()
    same("gradient", weights.grad, torch.full((2, 3, 4), 10.0))
    raises(
        RuntimeError, "floating point numbers only", probe.added, torch.ones(2, 2).int(), torch.ones(2).int()
    )


def arguments() -> None:
    t = torch.ones(3, requires_grad=True)
    assert probe.identity(t) is t
    assert probe.undefined() is None
    a, b = torch.ones(2), torch.nn.Parameter(torch.ones(1))
    turned = probe.turned([a, b])
    assert turned[0] is b
    assert turned[1] is a
    assert probe.maybe(None) == -1
    assert probe.maybe(a) == 2
    assert probe.typed(torch.float16) is torch.float16
    for wrong in (None, 1, "x", [a], {}, object()):
        raises(TypeError, "incompatible function arguments", probe.identity, wrong)
    raises(TypeError, "incompatible function arguments", probe.turned, [a, None])
    raises(TypeError, "incompatible function arguments", probe.typed, "float32")


def references() -> None:
    """A tensor that went in and out is freed with its last name here."""
    import weakref

    for function in (probe.identity, lambda x: probe.turned([x])[0], ops.later, ops.on_cpu):
        t = torch.ones(4)
        before, seen = sys.getrefcount(t), weakref.ref(t)
        for _ in range(10):
            function(t)
        assert sys.getrefcount(t) == before, function
        del t
        gc.collect()
        assert seen() is None, function
    raises(RuntimeError, "expected", probe.doubled, torch.ones(1))


def argument_checks() -> None:
    a = torch.ones(2, 3)
    probe.checked(a, a.clone())
    types_differ = "argument #1 'a' to have the same type as tensor for argument #2 'b'"
    raises(RuntimeError, types_differ, probe.checked, a, a.int())
    raises(RuntimeError, "Expected 2-dimensional tensor, but got 1-dimensional", probe.checked, a[0], a[0])
    raises(RuntimeError, "same size", probe.checked, a, a[:1])
    raises(RuntimeError, "contiguous", probe.checked, a[:, :2], a[:, :2])


def parallel() -> None:
    assert probe.parallel_sum(100000, False) == sum(range(100000))
    raises(RuntimeError, "failed in a part", probe.parallel_sum, 1000, True)


def schemas() -> None:
    wanted = {
        "pair": "(Tensor _0, int _1) -> (Tensor _0, int _1)",
        "fill": "(Tensor _0, float _1) -> ()",
        "named": "(str _0, bool _1) -> str _0",
        "lengths": "(Tensor[] _0, int[] _1) -> int[] _0",
        "optional": "(Tensor? _0, int? _1, int[]? _2) -> float? _0",
        "make": "(int[] _0, ScalarType _1, Device _2) -> Tensor _0",
        "twice": "(Tensor _0) -> Tensor _0",
        "later": "(Tensor _0) -> Tensor _0",
        "with_schema": "(Tensor t, *, int n=3) -> (Tensor, int)",
    }
    for name, schema in wanted.items():
        same(name, str(getattr(ops, name).default._schema), f"facade_probe::{name}{schema}")


def calls() -> None:
    t = torch.ones(2, 2)
    copy, number = ops.pair(t, 5)
    assert torch.equal(copy, t)
    assert copy is not t
    assert number == 7
    assert ops.with_schema(t, n=4)[1] == 6
    assert ops.with_schema(t)[1] == 5
    ops.fill(t, 2.5)
    assert float(t.sum()) == 10
    assert ops.named("é", True) == "é!"
    assert ops.named("", False) == ""
    assert ops.lengths([t, t[0]], [7, 8]) == [4, 2, 7, 8]
    assert ops.lengths([], []) == []
    for _ in range(100):
        assert ops.optional(t, 3, [1, 2]) == 15
        assert ops.optional(None, 1, None) == 1
        assert ops.optional(None, None, None) is None
    same("make", ops.make([2, 3], torch.int16, torch.device("cpu")), torch.zeros(2, 3, dtype=torch.int16))
    raises(RuntimeError, "negative dimension -1", ops.make, [-1], torch.int16, torch.device("cpu"))


def gradients() -> None:
    t = torch.ones(3, requires_grad=True)
    assert ops.twice(t).requires_grad, "torch's operators inside see the gradient"
    ops.twice(t).sum().backward()
    same("grad", t.grad, torch.full((3,), 2.0))
    with torch.no_grad():
        assert not ops.twice(t).requires_grad
    with torch.inference_mode():
        assert ops.twice(torch.ones(3)).is_inference()


def errors() -> None:
    t = torch.ones(4)
    raises(RuntimeError, "a standard exception", ops.throwing, t, 0)
    raises(RuntimeError, "not a std::exception", ops.throwing, t, 1)
    raises(RuntimeError, "an assertion", ops.throwing, t, 2)
    raises(RuntimeError, "Expected kind != 3 to be true, but got false.", ops.throwing, t, 3)
    raises(RuntimeError, "x" * 5000, ops.throwing, t, 4)
    raises(RuntimeError, "", ops.throwing, t, 5)  # a view that cannot be; the words are torch's
    raises(RuntimeError, "", ops.pair, t)
    raises(NotImplementedError, "on_cpu", ops.on_cpu, t.to("meta"))


CHECKS = (
    *(creation, description, rows, accessors, without_memory, operators, in_place, arguments),
    references,
    *(argument_checks, parallel, schemas, calls, gradients, errors),
)
for check in CHECKS:
    check()
    print("ok", check.__name__, flush=True)
print("all of torch", torch.__version__)
