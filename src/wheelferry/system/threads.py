"""Work spread over threads: hashing, unzipping and waiting for servers all release Python's lock."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Whoever waits for a lock on Windows does not hear of Ctrl-C: so one wakes up now and then.
WAKE_SECONDS = 0.5


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> list[Result]:
    """`function` of every item, in order; on a failure or Ctrl-C what has not begun is dropped."""
    pool = ThreadPoolExecutor(max_workers=max(1, workers))
    try:
        return [result_of(future) for future in [pool.submit(function, item) for item in items]]
    finally:
        pool.shutdown(cancel_futures=True)


def side_by_side(calls: Sequence[Callable[[], Any]], *, on_failure: Callable[[], None]) -> list[Any]:
    """The results of `calls`, each in a thread of its own.

    When one fails, or Ctrl-C comes, `on_failure` is called before the others are waited for: it has to
    end what they wait for.
    """
    pool = ThreadPoolExecutor(max_workers=len(calls))
    try:
        return [result_of(future) for future in [pool.submit(call) for call in calls]]
    except BaseException:
        on_failure()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def result_of(future: "Future[Result]") -> Result:
    """As `Future.result`, but Ctrl-C is heard while it waits, on Windows too."""
    while not wait([future], timeout=WAKE_SECONDS).done:
        pass
    return future.result()
