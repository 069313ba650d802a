"""Does bounded work beside the main thread, in order: ahead of its use, or after it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

K = TypeVar("K")
T = TypeVar("T")


def ahead(make: Callable[[K], T], keys: Iterable[K], n_ahead: int, n_threads: int = 1) -> Iterator[T]:
    """Yields what `make` returns for each key, in order; so many are begun before they are needed.

    Raises what `make` raises, where its result would have come. When the iterator is closed early, what has
    not begun never begins, and the threads end with what they have in hand.
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
        threads.shutdown(wait=False, cancel_futures=True)


class Behind:
    """Makes calls in one background thread, in their order; at most so many wait.

    What one raises is raised at a later `do`, at the latest when the block ends; later calls are then left
    out. When the block ends by an exception of its own, the calls that wait are still made.
    """

    def __init__(self, n_behind: int):
        self.n_behind = n_behind

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "behind")
        self._calls: deque[Future[None]] = deque()
        self._failed = False
        return self

    def do(self, call: Callable[..., None], *given: Any) -> None:
        self._calls.append(self._thread.submit(self._run, call, given))
        self._wait(self.n_behind)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._wait(0)
        finally:
            self._thread.shutdown()

    def _run(self, call: Callable[..., None], given: tuple[Any, ...]) -> None:
        if not self._failed:  # what comes after a failure may rely on it
            self._failed = True
            call(*given)
            self._failed = False

    def _wait(self, n: int) -> None:
        """Waits until at most n calls are left."""
        while len(self._calls) > n:
            self._calls.popleft().result()
