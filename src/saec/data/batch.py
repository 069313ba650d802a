"""What travels from the data to the objective: a batch, and the set of samples it is taken from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from saec.data.store import Arriving
from saec.files import fingerprint
from saec.progress import progress

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

    def fitted(self, height: int | None, time_pool: int, width: int | None = None) -> "FrontEnd":
        """The same with a size that a model can take, or a `Fault`."""

    def decide(self, batches: Iterable[Tensor]) -> dict[str, Any]:
        """Options that the training set decides, from some of its samples as they are stored."""

    def __call__(self, raw: Tensor) -> Tensor: ...


class Stored(Protocol):
    """Samples as stored, by arrays of row numbers: a mapped array, or what makes them when asked."""

    dtype: np.dtype
    shape: tuple[int, ...]  # (stored samples, ...)
    nbytes: int

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Dataset:
    """Samples sorted by name, as the store holds them, with the front end that makes them floats."""

    names: np.ndarray  # of str
    labels: np.ndarray  # of str, "" where unknown
    groups: np.ndarray  # of str: the recording a sample comes from
    stored: Stored | Tensor  # (stored samples, ...): all that the store holds
    rows: np.ndarray  # which of the stored samples these are
    prepare: FrontEnd
    fingerprint: str
    about: dict[str, str | int | list[str]]  # facts worth recording: colour map, samples left out
    files: np.ndarray | None = None  # of str: the recordings that samples are pieces of, else their names
    times: np.ndarray | None = None  # (n, 2): where in the recording they begin and end, in seconds
    splits: np.ndarray | None = None  # of str: train, valid, test or nothing, where a table says it

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.prepare.shape

    @property
    def what(self) -> str:
        """The samples are, in words."""
        return "pictures" if self.files is None else "sounds"

    def subset(self, chosen: np.ndarray) -> "Dataset":
        keys = ("names", "labels", "groups", "rows", "files", "times", "splits")
        part = {key: getattr(self, key)[chosen] for key in keys if getattr(self, key) is not None}
        return replace(self, **part, fingerprint=fingerprint(self.fingerprint, part["rows"].tolist()))

    def fitted(self, height: int | None, time_pool: int, width: int | None = None) -> "Dataset":
        return replace(self, prepare=self.prepare.fitted(height, time_pool, width))

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
