"""Views that distort pictures in ways that do not change what was sung: `pair`, twice, and `distort`."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from saec.data.views import VIEWS, Draws, Share, of_units

Part = Annotated[float, Field(ge=0, lt=1)]
N_CHANCES = 11


@VIEWS.register("pair")
@of_units
def pair(
    raw: Tensor,
    prepare: Callable[[Tensor], Tensor],
    draws: Draws,
    *,
    shift: Share = 0.2,
    frequency_shift: Share = 0.05,
    stretch: Part = 0.25,
    frequency_stretch: Part = 0.2,
    gain: Part = 0.4,
    floor: Part = 0.4,
    noise: Annotated[float, Field(ge=0)] = 0.1,
    mask: Part = 0.15,
) -> tuple[Tensor, Tensor]:
    """Seen and target: two distortions of one picture, in validation too.

    Each is moved and stretched in time and frequency (shares of the axis, at most), made louder or softer
    (`gain`), has a floor taken away or put under it (at most `floor`), noise added (standard deviation at
    most `noise`) and a band and a stretch of time taken out (at most a share `mask` of the axis).
    """
    clean = prepare(raw)
    reach = (shift, frequency_shift, stretch, frequency_stretch)
    first, second = (distorted(clean, draws, reach, gain, floor, noise, mask) for _ in range(2))
    return first, second


@VIEWS.register("distort")
@of_units
def distort(
    raw: Tensor,
    prepare: Callable[[Tensor], Tensor],
    draws: Draws,
    *,
    shift: Share = 0.1,
    frequency_shift: Share = 0.02,
    stretch: Part = 0.15,
    frequency_stretch: Part = 0.1,
    gain: Part = 0.2,
    floor: Part = 0.2,
    noise: Annotated[float, Field(ge=0)] = 0.05,
    mask: Part = 0.1,
) -> tuple[Tensor, Tensor]:
    """Seen: a distortion, as in `pair`. Target: the picture itself. Validation sees it as it is."""
    clean = prepare(raw)
    if not draws.learning:
        return clean, clean
    reach = (shift, frequency_shift, stretch, frequency_stretch)
    return distorted(clean, draws, reach, gain, floor, noise, mask), clean


def distorted(
    clean: Tensor,
    draws: Draws,
    reach: tuple[float, float, float, float],
    gain: float,
    floor: float,
    noise: float,
    mask: float,
) -> Tensor:
    """Pictures moved and stretched within reach, each by factors of its own."""
    chance = draws.uniform(N_CHANCES).T[..., None, None, None]  # (chances, batch, 1, 1, 1)
    around = 2 * chance - 1
    x = warped(clean, *(most * share.flatten() for most, share in zip(reach, around[:4], strict=True)))
    x = floored(x * (1 + gain * around[4]), floor * around[5])
    x = x + noise * chance[6] * draws.normal(*x.shape[1:]) if noise else x
    return without_bands(x.clamp(0, 1), *(mask * chance[7:9]), *chance[9:]) if mask else x.clamp(0, 1)


def warped(x: Tensor, shift: Tensor, frequency_shift: Tensor, stretch: Tensor, up: Tensor) -> Tensor:
    """Each picture moved by shares of its axes, and stretched about its middle in time, about 0 Hz in
    frequency; 0 comes in.
    """
    still = torch.zeros_like(shift)
    time = torch.stack([1 + stretch, still, 2 * shift], dim=1)
    frequency = torch.stack([still, 1 + up, 2 * frequency_shift - up], dim=1)  # the last row is 0 Hz
    grid = F.affine_grid(torch.stack([time, frequency], dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def floored(x: Tensor, level: Tensor) -> Tensor:
    """A positive level is taken away and the rest spread over [0, 1]; a negative one is put underneath."""
    lowered = (x - level).clamp(min=0) / (1 - level.clamp(min=0))
    return torch.where(level > 0, lowered, x - level * (1 - x))


def without_bands(x: Tensor, height: Tensor, width: Tensor, low: Tensor, start: Tensor) -> Tensor:
    """Without a band of frequencies and a stretch of time: extents and places are shares of the axes."""
    rows = torch.arange(x.shape[2], device=x.device)[:, None] / x.shape[2]
    columns = torch.arange(x.shape[3], device=x.device) / x.shape[3]
    return x * _outside(rows, low, height) * _outside(columns, start, width)


def _outside(places: Tensor, start: Tensor, extent: Tensor) -> Tensor:
    """Where places lie outside of the extent; `start` 0 is the beginning of the axis, 1 as late as can be."""
    first = start * (1 - extent)
    return (places < first) | (places >= first + extent)
