"""Work spread over threads: hashing, unzipping and waiting for servers all release Python's lock."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> list[Result]:
    """`function` of every item, in order; on a failure or Ctrl-C what has not begun is dropped."""
    pool = ThreadPoolExecutor(max_workers=max(1, workers))
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
