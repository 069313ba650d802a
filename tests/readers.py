"""Items in memory that a store is filled from."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from saec.faults import Unusable


class Items:
    """Arrays (steps, ...), or with one step each; those that are None cannot be used."""

    items_are = "items"

    def __init__(self, items: list[np.ndarray | None], ragged: bool = True, before: Callable | None = None):
        self.items = items
        self.paths = [Path(f"{item}.wav") for item in range(len(items))]
        first = next(item for item in items if item is not None)
        self.dtype, self.shape = first.dtype, first.shape[1:] if ragged else first.shape
        self.n_steps = [0 if item is None else len(item) for item in items] if ragged else None
        self.before = before
        self.read_so_far: list[int] = []

    def read(self, item: int, first: int = 0, n: int | None = None) -> Iterator[np.ndarray]:
        if self.before:
            self.before(item)
        self.read_so_far.append(item)
        if self.items[item] is None:
            raise Unusable("is bad")
        if self.n_steps is None:
            yield self.items[item][None]
            return
        steps = self.items[item][first:] if n is None else self.items[item][first : first + n]
        yield steps[:2]
        yield steps[2:]

    def facts(self, unusable: dict[int, str]) -> dict[str, Any]:
        return {"n_bad": len(unusable)}
