"""What the module made of binding_probe.cpp answers, line by line; test_facade.py compares two of them."""

import gc
import importlib
import importlib.util
import sys
from typing import Any

importlib.import_module("torch")
numpy: Any = importlib.import_module("numpy")

spec = importlib.util.spec_from_file_location("probe", sys.argv[1])
assert spec is not None
assert spec.loader is not None
probe: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(probe)


class Answers:
    """Prints what a call gives, or the kind of what it raises."""

    def __call__(self, name: str, *arguments: Any, **named: Any) -> None:
        function = probe
        for part in name.split("."):
            function = getattr(function, part)
        try:
            said = repr(function(*arguments, **named))
        except Exception as error:
            known = isinstance(error, TypeError) and "incompatible" in str(error)
            said = type(error).__name__ + ("" if known else f": {error}")
        print(name, len(arguments), said)


class Source:
    values = numpy.linspace(0, 1, 3)
    name = "s"


class Indexed:
    def __index__(self) -> int:
        return 5


class Floating:
    def __float__(self) -> float:
        return 2.5


def values(ask: Answers) -> None:
    odd: list[Any] = [
        0,
        -1,
        127,
        128,
        255,
        256,
        2**31,
        2**63,
        2**64,
        1.5,
        True,
        "1",
        None,
        Indexed(),
        Floating(),
    ]
    odd += [numpy.int64(3), numpy.float32(2), numpy.float64(2), numpy.bool_(True), [1], b"x", numpy.uint8(9)]
    for kind in ("int8", "uint8", "int32", "int64", "uint64", "float32", "float64", "boolean", "strict"):
        for value in odd:
            ask(kind, value)
    for value in ("a", "ü\0b", b"bytes", 1, None, "", "ab"):
        for kind in ("text", "c_text"):
            ask(kind, value)
    for value in ("a", "\0", "ü", "ÿ", "ab", "üb", "", "\u20ac", "\U0001f600", 1):
        ask("letter", value)
    print([probe.letters(number) for number in (0, 65, 228, 255)])


def containers(ask: Answers) -> None:
    sequences: list[Any] = [
        [],
        [1, 2.5],
        (1, 2),
        numpy.arange(3.0),
        "ab",
        {1: 2},
        None,
        [1, "a"],
        range(3),
        b"ab",
        [True],
    ]
    for value in sequences:
        for kind in ("floats", "bools", "three", "set", "pair"):
            ask(kind, value)
    for value in ([[1], [2, 3]], numpy.ones((2, 2), dtype=int), [1], [[1.5]]):
        ask("nested", value)
    for value in ({"a": 1}, {"a": "b"}, {1: 1}, {}, [("a", 1)]):
        ask("mapping", value)
    for value in ({1, 2}, frozenset([3]), {"a"}):
        ask("set", value)
    for value in ((1, 2.5, True), [1, 2, False], (1, 2)):
        ask("triple", value)
    for value in (None, 3, "3"):
        ask("maybe", value)
    ask("complex", 1 + 2j)
    ask("complex", 3)


def functions(ask: Answers) -> None:
    ask("nothing")
    ask("nothing", 1)
    for named in ({}, {"b": 1}, {"c": "x", "b": 2}, {"d": 1}, {"a": 1}):
        ask("defaults", 1, **named)
    ask("defaults", a=1)
    ask("defaults")
    ask("defaults", 1, 2, "3", 4)
    for value in (1, 1.5, "1", [1.5], probe.Point(1, 2), None, numpy.float32(1), Indexed()):
        ask("which", value)
    ask("gathered", Source())
    ask("called", lambda *given, **named: (given, named))
    ask("called", 3)
    ask("starred", 1, 2, a=3)
    for how in range(10):
        ask("fails", how)
    ask("without_gil", 3)
    ask("object", None)
    ask("list", [1])
    ask("list", (1,))
    ask("inside.one")
    print(probe.constant, probe.__doc__, probe.which.__name__)


def classes(ask: Answers) -> None:
    point = probe.Point(3, y=4)
    print(
        point, len(point), point.x, point.y, point.sum, point.length2(), probe.Point("7").x, probe.Point(1).y
    )
    point.x = 5
    point.scale(by=2)
    print(point.x, point.plus(probe.Point.zero()).y, type(point).__name__, type(point).__module__)
    ask("Point")
    ask("Point", None, None)
    ask("far", None)
    ask("far", point)
    ask("far", probe.Empty())
    print([one.x for one in probe.points([point, probe.Point(1, 2)])], probe.points([]))
    ask("points", [point, None])
    for change in ("y", "sum", "unknown"):
        try:
            setattr(point, change, 1)
        except AttributeError:
            print("AttributeError", change)
    held = probe.Held(point)
    inner = held.inner()
    inner.x = -1
    print(held.point.x, probe.shared(held).point.x, point.x)
    del held
    gc.collect()
    print(inner.x)
    ask("Point.length2", 3)
    ask("Point.scale", point)
    ask("Point.scale", point, "a")


def leaks() -> None:
    """Nothing grows with the calls."""
    marker = object()
    before = sys.getrefcount(marker), sys.getrefcount(None), sys.getrefcount(probe.Point)
    for _ in range(1000):
        probe.object(marker)
        probe.starred(marker, a=marker)
        probe.points([probe.Point(1, 2)])
        probe.Point(1, 2).plus(probe.Point(1, 2))
        probe.maybe(None)
    after = sys.getrefcount(marker), sys.getrefcount(None), sys.getrefcount(probe.Point)
    assert all(abs(one - other) < 100 for one, other in zip(before, after, strict=True)), (before, after)


ask = Answers()
values(ask)
containers(ask)
functions(ask)
classes(ask)
leaks()
