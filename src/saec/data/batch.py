"""What travels from the data to the objective: a batch, and the set of samples it is taken from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import torch
from pydantic import PlainValidator
from torch import Tensor

from saec.files import fingerprint
from saec.registry import Component, Registry


def _place_or_share(raw: Any) -> str | float:
    if isinstance(raw, str) or (isinstance(raw, float) and 0 < raw < 1):
        return raw
    raise ValueError(f"must be a folder, or a share between 0 and 1, got {raw!r}")


class Places(Component):
    """What every data section of a training session says beside the options of its kind."""

    train: str
    valid: Annotated[str | float, PlainValidator(_place_or_share)] = 0.1


DATA = Registry("data kind", key="kind", base=Places)


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

    def fitted(self, height: int | None, time_pool: int) -> "FrontEnd":
        """The same with a size that a model can take, or a `Fault`."""

    def __call__(self, raw: Tensor) -> Tensor: ...


class Kind(Protocol):
    """A data kind with its options, on one folder; each file of it is (name, bytes, time of change)."""

    folder: Path
    files: Sequence[tuple[str, int, int]]

    def survey(self) -> "Survey":
        """Counts and sizes, from listing and headers alone."""

    def open(self) -> "Dataset":
        """The samples, decoded now or on an earlier day."""


@dataclass(frozen=True)
class Survey:
    """What is known of a folder before anything is decoded."""

    n_samples: int
    n_bytes: int  # of the store
    front: FrontEnd


@dataclass(frozen=True)
class Dataset:
    """Samples in a memory-mapped array, sorted by name, with the front end that makes them floats."""

    names: np.ndarray  # of str
    labels: np.ndarray  # of str, "" where unknown
    groups: np.ndarray  # of str: the recording a sample comes from
    stored: np.ndarray | Tensor  # (stored samples, ...): all that the store holds
    rows: np.ndarray  # which of the stored samples these are
    prepare: FrontEnd
    fingerprint: str
    about: dict[str, str | int | list[str]]  # facts worth recording: colour map, pictures left out

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.prepare.shape

    def subset(self, chosen: np.ndarray) -> "Dataset":
        part = {key: getattr(self, key)[chosen] for key in ("names", "labels", "groups", "rows")}
        return replace(self, **part, fingerprint=fingerprint(self.fingerprint, part["rows"].tolist()))

    def fitted(self, height: int | None, time_pool: int) -> "Dataset":
        return replace(self, prepare=self.prepare.fitted(height, time_pool))

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
        return replace(self, stored=torch.from_numpy(np.array(self.stored)).to(device))


def chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive pieces; the last one may be shorter, nothing is lost or repeated."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
