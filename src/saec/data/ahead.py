"""Does bounded work beside the main thread, in order: ahead of its use, or on what is made meanwhile."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def ahead(
    make: Callable[[K], T], keys: Iterable[K], n_ahead: int, n_threads: int = 1, finish: bool = False
) -> Generator[T, None, None]:
    """Yields what `make` returns for each key, in order; so many are begun before they are needed.

    Raises what `make` raises, where its result would have come. When the iterator is closed early, or the
    keys raise, what has not begun never begins, and the threads end with what they have in hand; with
    `finish` all that was taken of the keys is done first.
    """
    threads = ThreadPoolExecutor(n_threads, "ahead")
    begun: deque[Future[T]] = deque()
    try:
        for key in keys:
            begun.append(threads.submit(make, key))
            if len(begun) > n_ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        threads.shutdown(wait=finish, cancel_futures=not finish)
