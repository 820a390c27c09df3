"""How findings name several files at once: the first few, and how many more there are."""

from collections.abc import Iterable

_NAMED = 3


def listed(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    found = list(names)
    more = f" (and {len(found) - _NAMED} more)" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def needing(members: Iterable[str], text: str) -> str:
    """``a.so needs TEXT``, ``a.so, b.so need TEXT``."""
    found = list(members)
    return f"{listed(found)} {'needs' if len(found) == 1 else 'need'} {text}"
