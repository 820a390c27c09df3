"""Which cell to prove next: the one from which most is learned that nobody has seen."""

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

from wheelferry.models.records import version
from wheelferry.models.targets import Target

Cell = tuple[str, Target]
# What a cell is made of, each with its value.
_Feature = tuple[str, str]


def next_cell(cells: Sequence[Cell], seen: Iterable[Cell], failed: Iterable[Cell], last: Cell | None) -> Cell:
    """That of the untried `cells` which is to be proven next; `seen` are those that were tried, and passed.

    First what was never seen at all: a release with a minor release of torch, a Python, a backend, a
    platform. Then a neighbour of a cell that `failed`, where there is something to find out. Then values
    that were never seen together. Among equals the torch of the `last` one, which is on the disk already,
    then the newest.
    """
    tried = [*seen, *failed]
    known = {feature for cell in tried for feature in _alone(cell)}
    together = {pair for cell in tried for pair in _pairs(cell)}
    bad = [_features(cell) for cell in failed]

    def worth(cell: Cell) -> tuple[object, ...]:
        release, target = cell
        return (
            sum(feature not in known for feature in _alone(cell)),
            sum(_are_neighbours(_features(cell), other) for other in bad),
            sum(pair not in together for pair in _pairs(cell)),
            last is not None and target.torch == last[1].torch,
            version(target.torch),
            version(target.python),
            release,
        )

    return max(cells, key=worth)


def _features(cell: Cell) -> tuple[_Feature, ...]:
    release, target = cell
    return (
        ("release", release),
        ("torch", _minor(target.torch)),
        ("python", target.python),
        ("backend", target.backend),
        ("platform", target.platform),
    )


def _alone(cell: Cell) -> Iterable[_Feature | tuple[_Feature, _Feature]]:
    release, torch, *others = _features(cell)
    return [(release, torch), *others]


def _pairs(cell: Cell) -> Iterable[tuple[_Feature, _Feature]]:
    return combinations(_features(cell), 2)


def _are_neighbours(one: Collection[_Feature], other: Collection[_Feature]) -> bool:
    return len(set(one) - set(other)) == 1


def _minor(torch: str) -> str:
    return ".".join(torch.split(".")[:2])
