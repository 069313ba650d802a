"""Defines features (latents over channels and time, with the names of their pictures) and poolings."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field, PlainValidator
from torch import Tensor

from saec.faults import Fault, MissingFault
from saec.files import DAMAGE, map_npz
from saec.registry import Component, Registry

LOG = logging.getLogger(__name__)
POOLINGS = Registry("pooling", given="latents")
TINY = torch.finfo(torch.float32).tiny
AUTO, POWER, CENTRED = "auto", 2.0, 0.2  # a window, and how much more its samples have in their middle


def _share_or_steps(raw: Any) -> float | int:
    whole = isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0
    if not whole and not (isinstance(raw, float) and 0 <= raw < 0.5):
        raise ValueError(f"must be a share below 0.5 or a whole number of time steps, got {raw!r}")
    return raw


Trim = Annotated[float | int, PlainValidator(_share_or_steps)]  # of the time steps, cut from each side
Power = Annotated[float, Field(ge=0, le=8)]
Window = Annotated[Power | Literal["auto"], Field(exclude_if=lambda power: not power)]  # as sessions were
Axes = Annotated[Literal["time", "both"], Field(exclude_if=lambda axes: axes == "time")]  # pooled over


@dataclass(frozen=True, repr=False)
class Features:
    """Holds one row a sample, sorted by name: X is (n, channels, time) or (n, features), N the file names."""

    X: np.ndarray
    N: np.ndarray
    paths: list[Path] = field(default_factory=list)  # all files of the same extraction, its JSON last
    roles: dict[str, Path] = field(default_factory=dict)  # by what they hold: X, pooled, ...

    def __repr__(self) -> str:
        return f"Features(X {self.X.shape}, files: {', '.join(self.roles) or 'none'})"

    @property
    def X_pooled(self) -> np.ndarray:
        return self._of("pooled", "X")

    @property
    def X_red(self) -> np.ndarray:
        """Returns the reduction to the most dimensions, (n, d); `roles` names the files of all."""
        return self._of("reduced", "X_red")

    @property
    def X_2D(self) -> np.ndarray:
        return self._of("reduced", "X_2D")

    def _of(self, role: str, key: str) -> np.ndarray:
        roles = [name for name in self.roles if name.startswith(role)]
        if not roles:
            raise MissingFault(f"no {key}: these features have no {role} file, but {[*self.roles]}")
        return self.load(self.roles[max(roles, key=lambda name: (len(name), name))], key).X

    @property
    def files(self) -> list[Path]:
        """Returns the paths, by the name that version 0.1.0 had for them."""
        return self.paths

    @classmethod
    def load(cls, file: Path, key: str = "X") -> "Features":
        """Opens an NPZ, memory-mapped; nothing that would need pickle is read.

        Raises:
            Fault: the file is missing, damaged, lacks the arrays, or their lengths differ.
        """
        file = Path(file)
        if not file.is_file():
            raise MissingFault(f"no such feature file: {file}")
        try:
            features = cls(map_npz(file, key), np.array(map_npz(file, "N")), [file])
        except DAMAGE as error:
            raise Fault(f"{file} cannot be read as features with {key} and N: {error}") from error
        if not features.X.ndim or not features.N.ndim:
            raise Fault(f"{file}: {key} and N must have one row a picture, got single values")
        if len(features.X) != len(features.N):
            raise Fault(f"{file} holds {len(features.X)} rows of {key} but {len(features.N)} names")
        return features


CODES = "codes"  # the array of latents whose samples have numbers of steps of their own


@dataclass(frozen=True)
class Codes:
    """Holds latents of samples with lengths of their own: `codes[i]` is (steps, channels) of the sample N[i].

    `values` are the steps of all samples, one after the other, memory-mapped; `offsets` (samples + 1,) say
    where each begins.
    """

    values: np.ndarray
    offsets: np.ndarray
    N: np.ndarray

    def __len__(self) -> int:
        return len(self.N)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def n_steps(self) -> np.ndarray:
        return np.diff(self.offsets)

    @classmethod
    def load(cls, file: Path | str) -> "Codes":
        """Opens a file of codes; nothing that would need pickle is read.

        Raises:
            Fault: the file is missing, damaged, lacks the arrays, or they do not fit together.
        """
        file = Path(file)
        if not file.is_file():
            raise MissingFault(f"no such file of codes: {file}")
        try:
            values, offsets, names = (map_npz(file, key) for key in ("values", "offsets", "N"))
            codes = cls(values, np.array(offsets), np.array(names))
            fits = len(codes.offsets) == len(codes) + 1 and codes.offsets[-1] == len(values)
        except DAMAGE as error:
            raise Fault(f"{file} cannot be read as codes (values, offsets, N): {error}") from error
        if not fits or codes.offsets[0] or (codes.n_steps < 0).any():
            raise Fault(f"{file}: its offsets do not fit its values and names")
        return codes


def n_trimmed(n_steps: int, trim: float | int) -> int:
    """Returns how many time steps each side loses, `trim` or ceil(trim * T); none if no step were left."""
    cut = trim if isinstance(trim, int) else ceil(round(trim * n_steps, 9))
    return cut if n_steps > 2 * cut else 0


def trimmed(latents: Tensor, trim: float | int, axes: Axes = "time") -> Tensor:
    """Returns latents (batch, channels[, rows], time) as (batch, features, steps), without those cut.

    Rows are features of their own, or steps as columns are where `both` axes are pooled.
    """
    cut = n_trimmed(latents.shape[-1], trim)
    kept = latents[..., cut : latents.shape[-1] - cut]
    return kept.flatten(2) if axes == "both" else kept.flatten(1, -2)


@POOLINGS.register("mean_std")
def mean_std(latents: Tensor, *, trim: Trim = 0.1, axes: Axes = "time") -> Tensor:
    """Pools (batch, channels, time) to (batch, 2 channels): means over time, then population std.

    With `axes: both` of (batch, channels, rows, time), over rows and time; else each row of a channel is
    pooled alone.
    """
    kept = trimmed(latents, trim, axes)
    return torch.cat([kept.mean(dim=-1), _root(kept.var(dim=-1, correction=0))], dim=1)


@POOLINGS.register("weighted_stats")
def weighted_stats(latents: Tensor, *, trim: Trim = 0.1, window: Window = 0.0, axes: Axes = "time") -> Tensor:
    """Pools (batch, channels, time) to (batch, 4 channels): weighted mean and std, minimum and maximum.

    A time step weighs as much as the square of its distance from the latent's median over time, so that a
    call counts and the background around it does not; all weigh the same where all are alike. `window` is the
    power of half a sine over time that weights, and the distances of minimum and maximum from the median, are
    multiplied by, so that a neighbouring call at the edge counts less; `auto` lets the run of an extraction
    choose it (`settled`).
    """
    kept = trimmed(latents, trim, axes)
    median = kept.median(dim=-1, keepdim=True).values
    distances, ends = (kept - median).square().sum(dim=1, keepdim=True), kept
    if isinstance(window, str):
        raise Fault("pooling.window: auto is settled by the run of an extraction: give a number")
    if window:
        n = trimmed(latents, trim).shape[-1]
        middles = (torch.arange(n, device=kept.device) + 0.5) / n
        sine = (torch.sin(torch.pi * middles).to(kept.dtype) ** window).repeat(kept.shape[-1] // n)
        distances, ends = distances * sine, median + (kept - median) * sine
    total = distances.sum(dim=-1, keepdim=True)
    weights = torch.where(total > 0, distances / total.clamp(min=TINY), 1 / kept.shape[-1])
    means = (kept * weights).sum(dim=-1)
    variances = ((kept - means[..., None]).square() * weights).sum(dim=-1)
    return torch.cat([means, _root(variances), ends.amin(dim=-1), ends.amax(dim=-1)], dim=1)


@POOLINGS.register("mean")
def mean(latents: Tensor, *, trim: Trim = 0.1, axes: Axes = "time") -> Tensor:
    """Pools (batch, channels, time) to (batch, channels): means over time."""
    return trimmed(latents, trim, axes).mean(dim=-1)


@POOLINGS.register("max")
def maximum(latents: Tensor, *, trim: Trim = 0.1, axes: Axes = "time") -> Tensor:
    """Pools (batch, channels, time) to (batch, channels): the largest value over time."""
    return trimmed(latents, trim, axes).amax(dim=-1)


@POOLINGS.register("flatten")
def flatten(latents: Tensor, *, trim: Trim = 0.0) -> Tensor:
    """Reshapes (batch, channels, time) to (batch, channels x time): time runs fastest."""
    return trimmed(latents, trim).flatten(1)


def settled(pooling: Component, middle: float | None) -> Component:
    """Returns the pooling with the `window` that suits the samples of a run.

    `middle` is how much more happens in the middle of these than at their ends, in means over time.
    """
    if getattr(pooling, "window", None) != AUTO:
        return pooling
    power = POWER if middle is not None and middle >= CENTRED else 0.0
    if middle is None:
        LOG.info("pooling.window: auto is 0, as the run does not say where in its samples most happens")
    else:
        words = "pooling.window: auto is %g, as the samples learnt have %+.2f means more in their middle"
        LOG.info(words, power, middle)
    return pooling.model_copy(update={"window": power})


def _number(pooling: Component) -> Component:
    if getattr(pooling, "window", None) == AUTO:
        raise ValueError("`window: auto` is of extractions of a run, which settles it: give a number")
    return pooling


SettledPooling = Annotated[Any, POOLINGS, AfterValidator(_number)]  # where no run settles it


def pool(pooling: Callable[[Tensor], Tensor], latents: Tensor, n_steps: Tensor | None = None) -> Tensor:
    """Returns pooled latents (batch, channels[, rows], time), each of its own first `n_steps` if given."""
    if n_steps is None:
        return pooling(latents)
    rows = zip(latents, n_steps.tolist(), strict=True)
    return torch.cat([pooling(row[None, ..., :n]) for row, n in rows])


def _root(variances: Tensor) -> Tensor:
    """Returns square roots, with a finite gradient where the variance is 0: objectives pool latents, too."""
    positive = variances > 0
    return torch.where(positive, torch.where(positive, variances, 1).sqrt(), 0)
