"""Defines a batch, and the data set from which batches are taken."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from saec.data.stored import Mapped, Streamed
from saec.files import fingerprint
from saec.samples import Samples

Count = TypeVar("Count", np.ndarray, Tensor)
SIMILAR, SHORT = 0.8, 32  # share of the longest of a batch, less so many steps, that the others have at least


class Raw(NamedTuple):
    """Holds samples as they are stored: uint8 pictures, float32 sounds, ..."""

    values: Tensor  # (batch, height, width[, 3]), or (batch, steps of the longest), zeros behind shorter ones
    lengths: Tensor | None = None  # (batch,) int64, of samples of several lengths: their own steps

    @property
    def n_steps(self) -> Tensor:
        """Returns the own steps of each sample, (batch,) int64: all of them where lengths do not differ."""
        n, longest = self.values.shape[:2]
        return torch.full((n,), longest, device=self.values.device) if self.lengths is None else self.lengths


@dataclass
class Batch:
    """Holds what the model sees (`seen`), its `target`, and names and labels of the samples."""

    seen: Tensor  # (batch, channels, height, width)
    target: Tensor
    names: list[str]
    label: Tensor | None = None  # (batch,), a number of the classes, -1 for none of them
    lengths: Tensor | None = None  # (batch,), own columns of samples of several lengths; None: of one shape
    frames_hz: float | None = None  # columns a second, where the data say it

    def __len__(self) -> int:
        return len(self.names)

    @property
    def mask(self) -> Tensor | None:
        """Returns which columns of `seen` are a sample's own, (batch, width) bool; None if all are."""
        return None if self.lengths is None else own_columns(self.lengths, self.seen.shape[-1])

    @property
    def weight(self) -> int | Tensor:
        """Returns how much means over the batch count: samples, or frames where samples have own lengths."""
        return len(self) if self.lengths is None else self.lengths.sum()


def own_columns(lengths: Tensor, width: int) -> Tensor:
    """Returns (batch, width) bool: the first so many columns of each sample."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


class Axes(NamedTuple):
    """Says how many seconds a sample lasts as a model sees it, and the Hz of its rows, the lowest first, or
    the names of its rows, the highest first.
    """

    seconds: float | None = None  # None where samples differ, or nothing says it
    hertz: np.ndarray | None = None
    frames_hz: float | None = None  # columns a second
    names: tuple[str, ...] = ()

    def length(self, width: int) -> str:
        """Returns in words how long a sample of so many columns is; nothing where columns are no frames."""
        seconds = width / self.frames_hz if self.frames_hz else self.seconds
        return f"{seconds:.3g} s" if seconds else f"{width:,} frames" * bool(self.names)

    @property
    def band(self) -> tuple[float, float] | None:
        """Returns from how many Hz to how many a sample shows sound, each row reaching to the next ones."""
        if self.hertz is None or len(self.hertz) < 2:
            return None
        (low, second), (last, high) = self.hertz[:2].tolist(), self.hertz[-2:].tolist()
        return max(0.0, 2 * low - second), 2 * high - last


class Waveform(NamedTuple):
    """Says how many samples a second stored sound has, and how many of them a window of its spectrum."""

    rate_hz: int
    n_fft: int


def shades(values: Tensor, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Returns values as float32 in [0, 1] where they lie between `low` and `high`."""
    return (values.float().cpu().numpy() - low) / max(high - low, 1e-6)


class FrontEnd:
    """Turns stored numbers into the float tensor that views and models take, always in the same way.

    `shape` is that of one sample that comes out, without the batch axis. Where samples keep lengths of their
    own (`is_ragged`), `frames(lengths)` are the columns for so many stored steps, with zeros behind up to
    those of the longest of a batch, and the width of `shape` is no sample's.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]  # each is a dataclass
    shape: tuple[int, ...]
    in_units = True  # whether all values lie in [0, 1]
    axes = Axes()
    waveform: Waveform | None = None  # of stored sound
    is_ragged: ClassVar = False
    settled_by_all: ClassVar = False  # whether all of the training set settles options, not some of it

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "FrontEnd":
        """Returns the same front end with a size that a model can take; raises a `Fault` if there is none."""
        raise NotImplementedError

    def from_training_set(self, batches: Iterable[Raw]) -> dict[str, Any]:
        """Returns options that the training set settles, from some of its samples as they are stored."""
        return {}

    def frames(self, lengths: Count) -> Count:
        """Returns the columns that so many stored steps become."""
        raise NotImplementedError

    def original(self, raw: Raw) -> Tensor:
        """Returns samples as figures show them: before any of them is resampled."""
        return self(raw)

    def show(self, values: Tensor, like: Tensor | None = None) -> np.ndarray:
        """Returns what a model sees as shades in [0, 1]; where values have no fixed range, that of `like`
        (or of the values themselves) is stretched to it. What is not a number stays so: it is not drawn.
        """
        return shades(values)

    def __call__(self, raw: Raw) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class Dataset:
    """Holds samples sorted by name, as they are stored, and the front end that makes floats of them."""

    samples: Samples
    stored: Mapped | Streamed
    rows: np.ndarray  # which of the stored samples these are
    front: FrontEnd
    fingerprint: str
    about: dict[str, Any]  # facts worth recording: colour map, samples left out
    samples_are: str = "pictures"  # the word for them

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the shape of one sample as the front end gives it."""
        return self.front.shape

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

    def original(self, raw: Raw) -> Tensor:
        """Returns samples as figures show them: before any of them is resampled."""
        return self.front.original(raw)

    @property
    def is_ragged(self) -> bool:
        """Returns whether samples keep lengths of their own."""
        return self.front.is_ragged

    @property
    def n_frames(self) -> np.ndarray:
        """Returns each sample's own columns, (n,) int64: all of them where samples are of one shape."""
        n_all = np.full(len(self), self.shape[-1])
        return self.front.frames(self.stored.n_steps[self.rows]) if self.is_ragged else n_all

    def longest(self, chosen: np.ndarray) -> int:
        """Returns the stored steps of the longest of these samples."""
        return int(self.stored.n_steps[self.rows[chosen]].max())

    def lengths(self, raw: Raw) -> Tensor | None:
        """Returns the own columns of these samples, (batch,) int64, where they keep lengths of their own."""
        return self.front.frames(raw.n_steps) if self.is_ragged else None

    @property
    def axes(self) -> Axes:
        """Returns the seconds and Hz of samples as the front end gives them, as far as it says them."""
        return self.front.axes

    def gather(self, chosen: np.ndarray, device: torch.device) -> Raw:
        """Returns these samples as they are stored, on the device."""
        values, lengths = self.stored.gather(self.rows[chosen])
        return Raw(_to(values, device), None if lengths is None else _to(lengths, device))

    def on(self, device: torch.device) -> "Dataset":
        """Returns the same samples in the GPU's memory, where half of what is free holds them."""
        if device.type != "cuda" or not isinstance(self.stored, Mapped):
            return self
        if self.stored.array.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        return replace(self, stored=self.stored.on(device))


def _to(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(device)
    values = torch.from_numpy(values)
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yields consecutive pieces; the last one may be shorter, nothing is lost or repeated."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def chunks_by_length(
    chosen: np.ndarray, lengths: np.ndarray, most: int, most_steps: int
) -> Iterator[np.ndarray]:
    """Yields samples of similar length together, long ones first: `most` at most, and as many as have, filled
    up to the longest of them, `most_steps` in all, or one.
    """
    order, start = chosen[np.argsort(-lengths[chosen], kind="stable")], 0
    while start < len(order):
        longest = lengths[order[start]]
        rows = order[start : start + int(np.clip(most_steps // longest, 1, most))]
        yield (rows := rows[lengths[rows] >= SIMILAR * longest - SHORT])
        start += len(rows)
