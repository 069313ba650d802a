"""Samples that are still being decoded: whoever asks for a row waits until it is there."""

from collections.abc import Callable
from threading import Condition, Thread
from typing import Any

import numpy as np

Take = Callable[[int, np.ndarray], None]  # puts a sample into its row
Fill = Callable[[np.ndarray], dict[str, Any]]  # puts all of them into an array, returns what is known of them


class Left(Exception):
    """Nobody waits for the rest any more."""


class Arriving:
    """(n, ...) uint8 by arrays of row numbers, while a thread of its own fills the array in their order.

    `build` makes the array, lets the function it is given fill it, and returns the array as it is kept;
    `decode` calls back with each sample. What either raises comes to whoever waits for a row.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        shape: tuple[int, ...],
        build: Callable[[Fill], tuple[np.ndarray, dict[str, Any]]],
        decode: Callable[[Take], dict[str, Any]],
    ):
        self.shape = shape
        self.nbytes = int(np.prod(shape))
        self._build = build
        self._decode = decode
        self._array: np.ndarray | None = None
        self._n_there = 0
        self._error: BaseException | None = None
        self._left = False
        self._changed = Condition()
        self._thread: Thread | None = None  # once somebody asks

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self._begin()
        last = int(rows.max(initial=-1))
        with self._changed:
            self._changed.wait_for(lambda: self._error or (self._array is not None and self._n_there > last))
            if self._error:
                raise self._error
            return self._array[rows]

    def settle(self) -> None:
        """Waits until all is there and kept; raises what went wrong."""
        self._begin()
        self._thread.join()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Ends the thread, whatever is still to come."""
        self._left = True
        if self._thread:
            self._thread.join()

    def _begin(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="arriving")
                self._thread.start()

    def _run(self) -> None:
        try:
            array, _ = self._build(self._fill)
            self._set(array, len(array))
        except BaseException as error:  # raised again by whoever waits
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _fill(self, array: np.ndarray) -> dict[str, Any]:
        """Lends the array to those who wait; Windows moves no file that is mapped, so not for longer."""
        self._set(array, 0)
        try:
            return self._decode(self._take)
        finally:
            self._set(None, self._n_there)

    def _take(self, row: int, sample: np.ndarray) -> None:
        """Rows that cannot be used never come: after them no other counts as there."""
        if self._left:
            raise Left
        self._array[row] = sample
        if row == self._n_there:
            self._set(self._array, row + 1)

    def _set(self, array: np.ndarray | None, n_there: int) -> None:
        with self._changed:
            self._array, self._n_there = array, n_there
            self._changed.notify_all()
