"""What travels from the data to the objective: a batch, and the set of samples it is taken from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from saec.data.store import Arriving
from saec.files import fingerprint
from saec.progress import progress
from saec.samples import Samples

N_AT_ONCE = 1024  # samples on their way to the GPU


@dataclass
class Batch:
    """What goes in (`seen`), what it is held against (`target`), and what is known of each sample."""

    seen: Tensor  # (batch, channels, height, width)
    target: Tensor
    names: list[str]
    label: Tensor | None = None  # (batch,), an index into the classes
    mask: Tensor | None = None  # True where a padded sample is real

    def __len__(self) -> int:
        return len(self.names)


class FrontEnd(Protocol):
    """The kind's deterministic way from stored bytes to the float tensor that views and models take."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample that comes out, without the batch axis."""

    @property
    def in_units(self) -> bool:
        """Whether all values lie in [0, 1]."""

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "FrontEnd":
        """Returns the same front end with a size that a model can take; raises a `Fault` if there is none."""

    def from_training_set(self, batches: Iterable[Tensor]) -> dict[str, Any]:
        """Returns options that the training set settles, from some of its samples as they are stored."""

    def show(self, values: Tensor, like: Tensor | None = None) -> np.ndarray:
        """Returns what a model sees as shades in [0, 1]; where values have no fixed range, that of `like`
        (or of the values themselves) is stretched to it."""

    def __call__(self, raw: Tensor) -> Tensor: ...


def shades(values: Tensor, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Returns values as float32 in [0, 1] where they lie between `low` and `high`."""
    return (values.float().cpu().numpy() - low) / max(high - low, 1e-6)


class Stored(Protocol):
    """Samples as stored, by arrays of row numbers: a mapped array, or what makes them when asked."""

    dtype: np.dtype
    shape: tuple[int, ...]  # (stored samples, ...)
    nbytes: int

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Dataset:
    """Samples sorted by name, as the store holds them, with the front end that makes them floats."""

    samples: Samples
    stored: Stored | Tensor  # (stored samples, ...): all that the store holds
    rows: np.ndarray  # which of the stored samples these are
    front: FrontEnd
    fingerprint: str
    about: dict[str, str | int | list[str]]  # facts worth recording: colour map, samples left out
    samples_are: str = "pictures"  # the word for them

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample as the front end gives it."""
        return self.front.shape

    @cached_property
    def names(self) -> np.ndarray:
        return self.samples.names

    @cached_property
    def labels(self) -> np.ndarray:
        return self.samples.labels

    @cached_property
    def groups(self) -> np.ndarray:
        return self.samples.groups

    @property
    def files(self) -> np.ndarray | None:
        return None if self.times is None else self.samples.files

    @property
    def times(self) -> np.ndarray | None:
        return None if np.isnan(self.samples.times).all() else self.samples.times

    @property
    def splits(self) -> np.ndarray:
        return self.samples.splits

    @property
    def prepare(self) -> FrontEnd:
        return self.front

    @property
    def what(self) -> str:
        return self.samples_are

    def subset(self, chosen: np.ndarray) -> "Dataset":
        """Returns the samples of these numbers, in the order of the numbers."""
        rows = self.rows[chosen]
        return replace(
            self,
            samples=Samples(self.samples.table.iloc[chosen]),
            rows=rows,
            fingerprint=fingerprint(self.fingerprint, rows.tolist()),
        )

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "Dataset":
        """Returns the same samples in a size that a model can take."""
        return replace(self, front=self.front.sized_for(height, time_pool, width))

    def fitted(self, height: int | None, time_pool: int, width: int | None = None) -> "Dataset":
        return self.sized_for(height, time_pool, width)

    def gather(self, chosen: np.ndarray, device: torch.device) -> Tensor:
        """The stored bytes of these samples, on the device."""
        rows = self.rows[chosen]
        if isinstance(self.stored, Tensor):
            return self.stored[torch.as_tensor(rows, device=self.stored.device)].to(device)
        raw = torch.from_numpy(self.stored[rows])
        return raw.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else raw.to(device)

    def on(self, device: torch.device) -> "Dataset":
        """The same samples with the store in the GPU's memory, where half of what is free holds it."""
        if device.type != "cuda" or self.stored.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        kind = torch.int16 if self.stored.dtype == np.int16 else torch.uint8
        there = torch.empty(self.stored.shape, dtype=kind, device=device)
        pieces = chunks(np.arange(len(there)), N_AT_ONCE)
        for rows in progress(pieces, "into the GPU's memory", -(-len(there) // N_AT_ONCE)):
            there[rows[0] : rows[-1] + 1] = torch.from_numpy(self.stored[rows]).to(device)
        return replace(self, stored=there)

    def settle(self) -> None:
        """Waits until all samples are decoded; raises a `Fault` where some cannot be, or `NotInMap`."""
        if isinstance(self.stored, Arriving):
            self.stored.settle()

    def close(self) -> None:
        """Ends what is still being decoded."""
        if isinstance(self.stored, Arriving):
            self.stored.close()


def chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive pieces; the last one may be shorter, nothing is lost or repeated."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
