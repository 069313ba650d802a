"""Gives samples as they are stored, by numbers of rows: from an array, or read whenever they are used."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from saec.faults import KeptFault, Unusable
from saec.progress import pieces

N_AT_ONCE = 1 << 28  # bytes on their way to a GPU


class StartAgain(Exception):
    """Is raised when an expectation of samples that are being decoded proves wrong: open them otherwise."""


class Reader(Protocol):
    """Reads what fills a store: items (pictures, recordings) of steps (one a picture, many a sound).

    `items_are` is the word for the items, `paths` are theirs, `shape` is of one step.
    """

    items_are: str
    paths: Sequence[Path]
    dtype: np.dtype
    shape: tuple[int, ...]
    n_steps: Sequence[int] | None  # the most that each item can have, as headers say; None if each has one

    def read(self, item: int, first: int = 0, n: int | None = None) -> Iterator[np.ndarray]:
        """Yields steps from `first` on, n of them or all, in blocks (steps, *shape).

        Raises:
            Unusable: it cannot be read, or has changed since it was listed.
            StartAgain: it is not what the reader was made for.
        """

    def facts(self, unusable: dict[int, str]) -> dict[str, Any]:
        """Returns what is to be kept beside the samples once all items were read (or tried).

        Raises:
            Fault: they cannot be used together.
        """


class Windows(NamedTuple):
    """Says where samples lie in items (pictures, recordings): the item, first step and number of steps."""

    item: np.ndarray  # (samples,) int64, as the others
    first: np.ndarray
    n_steps: np.ndarray


@dataclass(frozen=True)
class Mapped:
    """Holds samples in one array of steps (steps, *shape), mapped from the cache or in a GPU's memory.

    A sample is one step, or one of `stretches`: their first steps and numbers of steps, (samples,) int64.
    """

    array: np.ndarray | Tensor
    stretches: tuple[np.ndarray, np.ndarray] | None = None

    @cached_property
    def n_steps(self) -> np.ndarray:
        """Returns the number of steps of each sample, (samples,) int64."""
        return np.ones(len(self.array), np.int64) if self.stretches is None else self.stretches[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns (samples, *shape), or for stretches (samples, steps of the longest, *shape)."""
        if self.stretches is None:
            return tuple(self.array.shape)
        return (len(self.n_steps), int(self.n_steps.max(initial=1)), *self.array.shape[1:])

    def cut(self, windows: Windows) -> "Mapped":
        """Returns stretches of the items as samples."""
        first = windows.item if self.stretches is None else self.stretches[0][windows.item]
        return replace(self, stretches=(first + windows.first, windows.n_steps))

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray | Tensor, np.ndarray | None]:
        """Returns samples, stretches with zeros behind to the longest of them, and their numbers of steps."""
        array = self.array
        if self.stretches is None:
            index = torch.as_tensor(rows, device=array.device) if isinstance(array, Tensor) else rows
            return array[index], None
        starts, n_steps = (column[rows] for column in self.stretches)
        if isinstance(array, Tensor):
            return _gathered_on_gpu(array, starts, n_steps), n_steps
        stretches = (array[first : first + n] for first, n in zip(starts, n_steps, strict=True))
        return filled_up(stretches, n_steps, array.shape[1:], array.dtype), n_steps

    def on(self, device: torch.device) -> "Mapped":
        """Returns the same samples in the device's memory."""
        n = max(1, N_AT_ONCE // max(1, self.array[:1].nbytes))
        empty = torch.from_numpy(np.empty(0, self.array.dtype))
        there = torch.empty(self.array.shape, dtype=empty.dtype, device=device)
        for block in pieces(len(there), n, "into the GPU's memory", " blocks"):
            there[block] = torch.from_numpy(np.array(self.array[block])).to(device)
        return replace(self, array=there)


class Streamed:
    """Reads samples from their files whenever they are used, in the shapes that a store has."""

    def __init__(self, reader: Reader, windows: Windows, n_workers: int):
        self.reader = reader
        self.windows = windows
        self.n_workers = n_workers
        self.dtype = np.dtype(reader.dtype)
        self.is_ragged = reader.n_steps is not None
        self.threads = ThreadPoolExecutor(max(1, n_workers), "streaming")

    @property
    def shape(self) -> tuple[int, ...]:
        n_steps = self.windows.n_steps
        longest = (int(n_steps.max(initial=1)),) if self.is_ragged else ()
        return (len(n_steps), *longest, *self.reader.shape)

    @property
    def n_steps(self) -> np.ndarray:
        return self.windows.n_steps

    def cut(self, windows: Windows) -> "Streamed":
        """Returns stretches of the items as samples."""
        return Streamed(self.reader, windows, self.n_workers)

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns samples, stretches filled up with zeros to the longest of them, and their numbers of steps.

        Raises:
            Fault: one is not what it was when it was checked.
        """
        n_steps = self.windows.n_steps[rows]
        samples = self.threads.map(self._read, rows.tolist())
        values = filled_up(samples, n_steps, self.reader.shape, self.dtype)
        return (values, n_steps) if self.is_ragged else (values[:, 0], None)

    def _read(self, row: int) -> np.ndarray:
        item, first, n = (int(column[row]) for column in self.windows)
        try:
            blocks = list(self.reader.read(item, first, n))
            if not blocks:
                raise Unusable("is empty")
            sample = (blocks[0] if len(blocks) == 1 else np.concatenate(blocks))[:n]
            if sample.shape != (n, *self.reader.shape):
                raise Unusable("has another size")
        except (Unusable, StartAgain) as reason:
            raise KeptFault(
                f"{self.reader.paths[item]} is no longer as it was when it was checked ({reason}): "
                "leave the folder alone while it is worked on, then call again"
            ) from reason
        return sample


def filled_up(
    samples: Iterable[np.ndarray], n_steps: np.ndarray, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """Returns samples (steps, *shape) as one array (samples, steps of the longest, *shape), zeros behind."""
    values = np.zeros((len(n_steps), int(n_steps.max(initial=1)), *shape), dtype)
    for row, sample in zip(values, samples, strict=True):
        row[: len(sample)] = sample
    return values


def _gathered_on_gpu(array: Tensor, first_of: np.ndarray, n_of: np.ndarray) -> Tensor:
    """Returns stretches of steps, with zeros behind to the longest of them."""
    steps = torch.arange(int(n_of.max(initial=1)), device=array.device)
    starts, n_steps = (torch.as_tensor(one, device=array.device)[:, None] for one in (first_of, n_of))
    values = array[(starts + steps).clamp(max=len(array) - 1)]
    beyond = (steps >= n_steps).reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    return values.masked_fill(beyond, 0)
