"""Turns traces as they are stored into what models take: columns scaled, and frames side by side."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Axes, Count, FrontEnd, Raw, own_columns
from saec.faults import Fault, listing

LOG = logging.getLogger(__name__)
ScaleBy = Literal["z_score", "min_max"]
Scaling = tuple[tuple[float, ...], tuple[float, ...]]  # offset and factor of each column
NOMINAL = 256  # frames that a model is built and described with
SHOWN = (48, 256)  # rows at least, and frames, of a trace in a figure


def _scale(scale: str | Scaling) -> str | Scaling:
    if not isinstance(scale, str) and (len(scale[0]) != len(scale[1]) or not all(scale[1])):
        raise ValueError(f"must be as many factors, none of them 0, as offsets, got {scale}")
    return scale


Scale = Annotated[Literal["none", "file", "set"] | Scaling, AfterValidator(_scale)]


@dataclass(frozen=True)
class ArrayFront(FrontEnd):
    """Turns (batch, frames, columns) float32 into (batch, 1, columns, frames), zeros behind a sample's own.

    Where each file has a `scale` of its own, `scaling` says the offset and the factor of each column of one.
    """

    columns: tuple[str, ...]  # their names
    scale: Scale = "none"
    scale_by: ScaleBy = "z_score"
    rate_hz: float | None = None
    scaling: Callable[[str], tuple[np.ndarray, np.ndarray]] | None = None
    time_pool: int = 1
    is_ragged: ClassVar = True
    settled_by_all: ClassVar = True

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, len(self.columns), self._width(NOMINAL))

    @property
    def in_units(self) -> bool:
        """Returns whether values lie in [0, 1]."""
        return (self.scale, self.scale_by) == ("file", "min_max")

    @property
    def axes(self) -> Axes:
        return Axes(frames_hz=self.rate_hz, names=self.columns)

    def frames(self, lengths: Count) -> Count:
        return lengths

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "ArrayFront":
        """Returns the same with widths that are multiples of the time pool.

        Raises:
            Fault: the model takes other columns, or one width alone.
        """
        n = len(self.columns)
        if height not in (None, n) or width is not None:
            takes = f"{height or n} rows" + ("" if width is None else f" and {width} frames alone")
            raise Fault(
                f"traces have {n} columns and lengths of their own, the model takes {takes}: name arrays of "
                "as many columns as it is made for, or choose another model, such as `conv1d`"
            )
        return replace(self, time_pool=time_pool)

    def from_training_set(self, batches: Iterable[Raw]) -> dict[str, Any]:
        """Returns offset and factor of each column over all frames of these samples, unless it is settled."""
        if self.scale != "set":
            return {}
        parts = (raw.values[own_columns(raw.n_steps, raw.values.shape[1])].cpu().numpy() for raw in batches)
        offset, factor, constant = scaling(parts, self.scale_by)
        if constant.any():
            names = listing([name for name, is_one in zip(self.columns, constant, strict=True) if is_one])
            words = "columns have one value in all of the training set, and are not divided, so any other "
            words += "value of them counts much: leave them out by `data.drop`\n%s"
            LOG.warning(words, names)
        return {"scale": (tuple(offset.tolist()), tuple(factor.tolist()))}

    def __call__(self, raw: Raw) -> Tensor:
        if self.scale == "set":
            raise RuntimeError("a set's offsets and factors are to be settled before they are used")
        x = raw.values
        if not isinstance(self.scale, str):
            offset, factor = torch.tensor(self.scale, dtype=x.dtype, device=x.device)
            x = (x - offset) / factor
        x = F.pad(x, (0, 0, 0, self._width(x.shape[1]) - x.shape[1]))
        return x.where(own_columns(raw.n_steps, x.shape[1])[..., None], 0).transpose(1, 2)[:, None]

    def units(self, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns offset and factor of the columns of each file, (files, columns): what stands in the file is
        the offset plus the factor times what comes out here.
        """
        if self.scaling is not None:
            pairs: list[Any] = [self.scaling(file) for file in files]
        else:
            n = len(self.columns)
            pairs = [([0.0] * n, [1.0] * n) if isinstance(self.scale, str) else self.scale] * len(files)
        offset, factor = np.array(pairs, dtype=np.float64).swapaxes(0, 1)
        return offset, factor

    def show(self, values: Tensor, like: Tensor | None = None) -> np.ndarray:
        """Returns traces as shades, (batch, 1, rows, 256): the range of 99 of 100 values of each column (in
        `like`, of those that are numbers) is stretched to [0, 1].

        Each column is repeated to some rows, and frames are averaged, whatever their number.
        """
        x, of = (one.float().cpu() for one in (values, values if like is None else like))
        low, high = torch.from_numpy(np.nanquantile(of, (0.005, 0.995), (0, 1, 3), keepdims=True))
        x = (x - low) / torch.where(high > low, high - low, 1)
        own, size = (~x.isnan()).float(), (x.shape[2], SHOWN[1])
        x = F.adaptive_avg_pool2d(x.nan_to_num(), size) / F.adaptive_avg_pool2d(own, size)
        return x.clamp(0, 1).repeat_interleave(ceil(SHOWN[0] / x.shape[2]), dim=2).numpy()

    def _width(self, n_frames: int) -> int:
        return ceil(n_frames / self.time_pool) * self.time_pool


def scaling(parts: Iterable[np.ndarray], by: ScaleBy) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns offset and factor that scale each column of all parts (frames, columns) together, and which
    columns have one value alone: their factor is 1.

    Means and deviations of parts are merged as Chan, Golub and LeVeque (1979) do.
    """
    n, mean, squares, low, high = 0, 0.0, 0.0, np.inf, -np.inf
    for part in parts:
        part = part.astype(np.float64)
        low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
        own, delta = part.mean(0), part.mean(0) - mean
        squares = squares + np.square(part - own).sum(0) + delta**2 * n * len(part) / (n + len(part))
        n += len(part)
        mean = mean + delta * len(part) / n
    offset, factor = (mean, np.sqrt(squares / n)) if by == "z_score" else (low, high - low)
    constant = np.asarray((low == high) | (factor < np.finfo(np.float32).tiny))
    return np.where(constant, low, offset), np.where(constant, 1.0, factor), constant
