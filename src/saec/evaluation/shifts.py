"""Measures how far codes change otherwise than by moving along, when the input moves along time."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Encode = Callable[[Tensor, Tensor | None], Tensor]  # samples and their lengths -> codes (batch, ..., steps)
EDGE = 4  # the first and the last of so many parts of a sample are left out: what is beyond it counts there


class ShiftSensitivity:
    """Compares codes of the input moved by s frames with the codes of the unmoved input s / time_pool later.

    Between steps codes are interpolated linearly. The distance is the mean squared difference over the
    variance of the codes over time: 0 where codes do nothing but move along, 2 where they are as different
    as unrelated ones. The same steps, in the middle of each sample, are compared for all shifts.
    """

    def __init__(self, n_shifts: int, time_pool: int):
        self.shifts, self.time_pool = np.arange(1, n_shifts + 1), time_pool
        self.errors = np.zeros(n_shifts)
        self.squares = 0.0  # of codes, from each sample's own mean over time
        self.n_samples = 0

    @property
    def curve(self) -> np.ndarray:
        """Returns the distance for each shift; not a number where codes are constant, or none compared."""
        return self.errors / (self.squares or np.nan)

    @property
    def mean(self) -> float:
        """Returns the mean distance over all shifts."""
        return float(self.curve.mean())

    @torch.no_grad()
    def add(self, encode: Encode, seen: Tensor, lengths: Tensor | None = None) -> None:
        """Adds a batch (batch, channels, height, width); samples that are too short count for nothing."""
        codes = _rows(encode(seen, lengths))
        n_all = [codes.shape[-1]] * len(codes)
        if lengths is not None:
            n_all = (-(-lengths // self.time_pool)).tolist()
        compared = [(row, *self.middle(n)) for row, n in enumerate(n_all)]
        compared = [(row, first, n) for row, first, n in compared if n > 0]
        for row, first, n in compared:
            own = codes[row, :, first : first + n].cpu().double()
            self.squares += float((own - own.mean(1, keepdim=True)).square().sum())
        self.n_samples += len(compared)
        for number, shift in enumerate(self.shifts.tolist() if compared else ()):
            later = _rows(encode(*moved(seen, lengths, shift)))
            whole, rest = divmod(shift, self.time_pool)
            for row, first, n in compared:
                there, after = (codes[row, :, at : at + n] for at in (first + whole, first + whole + 1))
                errors = later[row, :, first : first + n] - there.lerp(after, rest / self.time_pool)
                self.errors[number] += float(errors.square().cpu().sum(dtype=torch.float64))

    def middle(self, n_steps: int) -> tuple[int, int]:
        """Returns the first of the steps of a sample that are compared, and their number."""
        edge = max(1, n_steps // EDGE)
        return edge, n_steps - 2 * edge - -(-len(self.shifts) // self.time_pool)


def most_shifts(n_steps: int, time_pool: int) -> int:
    """Returns by how many frames a sample of so many steps of codes can be moved, so that a quarter of them,
    and two at least, are compared.
    """
    return max(0, n_steps - 2 * max(1, n_steps // EDGE) - max(2, n_steps // 4)) * time_pool


def moved(seen: Tensor, lengths: Tensor | None, shift: int) -> tuple[Tensor, Tensor | None]:
    """Returns samples from frame `shift` on, as wide as before, and their lengths.

    Behind them stand zeros, or the last frame again where all frames are the samples' own.
    """
    if lengths is not None:
        return F.pad(seen[..., shift:], (0, shift))[..., : seen.shape[-1]], (lengths - shift).clamp(min=1)
    last = seen[..., -1:].expand(*seen.shape[:-1], shift)
    return torch.cat([seen[..., shift:], last], dim=-1)[..., : seen.shape[-1]], None


def _rows(codes: Tensor) -> Tensor:
    """Returns codes (batch, ..., steps) as (batch, codes, steps)."""
    return codes.flatten(1, -2).float()
