"""Computes views: what the model sees and its target, from stored samples."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import FrontEnd, Raw
from saec.data.draws import Draws
from saec.data.kind import Sizes, faults_of_ragged
from saec.registry import Component, Registry

VIEWS = Registry("view", given="raw prepare draws")
GREY = (0.2989, 0.587, 0.114)  # weights of red, green and blue in torchvision's grey

Share = Annotated[float, Field(ge=0, le=1)]
View = Callable[[Raw, FrontEnd, Draws], tuple[Tensor, Tensor]]


def marked(*marks: Literal["units", "lengths", "sound", "two", "same"]) -> Callable[[View], View]:
    """Marks a view: it takes values in [0, 1] alone (`units`), samples with lengths of their own, too
    (`lengths`), sound alone (`sound`); its target is a second view of the same sample (`two`),
    or what is seen itself (`same`).
    """

    def mark(view: Any) -> Any:
        view.marks = marks
        return view

    return mark


def marks_of(view: Any) -> tuple[str, ...]:
    return getattr(view.target, "marks", ())


def faults_of_view(view: Component, sizes: Sizes, compared_by: str | None = None) -> list[str]:
    """Returns a fault for each thing that a view takes and these samples are not, and one where an objective
    of that name compares its two views and they are one.
    """
    marks, front, faults = marks_of(view), sizes.front, []
    if compared_by and "same" in marks:
        words = f"{view.name} gives one view twice, {compared_by} compares two"
        remedy = "choose `pair`, or `sound_pair` for sound"
        if sizes.is_ragged and not any({"two", "lengths"} <= {*marks_of(VIEWS[of])} for of in VIEWS.names()):
            remedy = f"no view makes two of {sizes.samples_are} yet, so choose another objective"
        faults.append(f"views: {words}: {remedy}")
    if "units" in marks and not front.in_units and not sizes.is_ragged:
        remedy = "`data.standardise: none` and a mel or linear spectrum, or `views: plain`"
        faults.append(f"views: {view.name} takes values in [0, 1]: choose {remedy}")
    if "sound" in marks and front.waveform is None:
        others = [name for name in VIEWS.names() if "sound" not in marks_of(VIEWS[name])]
        words = f"takes sound, got {sizes.samples_are}: choose data of recordings, or another view"
        faults.append(f"views: {view.name} {words} ({', '.join(others)})")
    refused = {"views": (sizes.is_ragged and "lengths" not in marks, "plain")}
    return faults + faults_of_ragged(sizes.samples_are, refused)


@VIEWS.register("plain")
@marked("lengths", "same")
def plain(raw: Raw, front: FrontEnd, draws: Draws) -> tuple[Tensor, Tensor]:
    """Returns the picture unchanged, as seen and as target."""
    clean = front(raw)
    return clean, clean


@VIEWS.register("denoise")
@marked("units")
def denoise(
    raw: Raw,
    front: FrontEnd,
    draws: Draws,
    *,
    threshold: tuple[Share, Share] = (0.3, 0.5),
    soft: bool = False,
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.25,
    shift: Share = 0.005,
    brightness: Annotated[float, Field(ge=0)] = 0.4,
    contrast: Annotated[float, Field(ge=0)] = 0.4,
    noise: Annotated[float, Field(ge=0)] = 0.1,
    noise_prob: Share = 0.5,
) -> tuple[Tensor, Tensor]:
    """Returns distorted pictures as seen, and as target pictures without all values below a threshold.

    The threshold is drawn per picture; values below it become 0 (hard), or all are lowered by it (soft).
    Validation sees the picture as it is. The target is not moved along.
    """
    clean = front(raw)
    chance = draws.uniform(7).T[..., None, None, None]  # (7, batch, 1, 1, 1)
    level = threshold[0] + (threshold[1] - threshold[0]) * chance[0]
    target = (clean - level).clamp(min=0) if soft else torch.where(clean < level, 0.0, clean)
    if not draws.learning:
        return clean, target
    seen = clean
    if rotation_deg or shift:
        seen = moved(seen, rotation_deg * (2 * chance[1] - 1), shift * (2 * chance[2] - 1))
    if noise and noise_prob:
        noisy = (seen + noise * draws.normal(*seen.shape[1:])).clamp(0, 1)
        seen = torch.where(chance[3] < noise_prob, noisy, seen)
    if brightness or contrast:
        seen = jittered(seen, factor(brightness, chance[4]), factor(contrast, chance[5]), chance[6] < 0.5)
    return seen, target


@VIEWS.register("photo")
@marked("units", "same")
def photo(
    raw: Raw,
    front: FrontEnd,
    draws: Draws,
    *,
    flip_horizontal: Share = 0.5,
    flip_vertical: Share = 0.0,
    shift: Share = 0.1,
    brightness: Annotated[float, Field(ge=0)] = 0.2,
    contrast: Annotated[float, Field(ge=0)] = 0.2,
) -> tuple[Tensor, Tensor]:
    """Returns photographs that are flipped, moved, brighter or darker, as seen and as target.

    Flips have probabilities; shifts are at most these shares of both axes, and what comes in is mirrored at
    the edge. Validation sees the photograph as it is.
    """
    clean = front(raw)
    if not draws.learning:
        return clean, clean
    chance = draws.uniform(7).T  # (chances, batch)
    across, down = 1 - 2.0 * (chance[0] < flip_horizontal), 1 - 2.0 * (chance[1] < flip_vertical)
    right, below = 2 * shift * (2 * chance[2:4] - 1)
    still = torch.zeros_like(across)
    rows = torch.stack([across, still, right], dim=1), torch.stack([still, down, below], dim=1)
    grid = F.affine_grid(torch.stack(rows, dim=1), list(clean.shape), align_corners=False)
    x = F.grid_sample(
        clean, grid.to(clean.dtype), mode="bilinear", padding_mode="reflection", align_corners=False
    )
    light, contrasts, first = chance[4:, :, None, None, None]
    seen = jittered(x, factor(brightness, light), factor(contrast, contrasts), first < 0.5).clamp(0, 1)
    return seen, seen


def moved(x: Tensor, degrees: Tensor, shift: Tensor) -> Tensor:
    """Rotates pictures about their centres, shifts them by shares of the width, whole pixels; 0 comes in."""
    height, width = x.shape[2:]
    angle = -torch.deg2rad(degrees.flatten())  # counted like torchvision
    columns = (shift.flatten() * width).round() * 2 / width
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, -sin * height / width, -cos * columns], dim=1)
    down = torch.stack([sin * width / height, cos, -sin * width / height * columns], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), mode="nearest", padding_mode="zeros", align_corners=False)


def factor(strength: float, chance: Tensor) -> Tensor:
    """Returns factors uniform in [1 - strength, 1 + strength], never below 0."""
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * chance


def jittered(x: Tensor, brightness: Tensor, contrast: Tensor, brightness_first: Tensor) -> Tensor:
    """Changes brightness and contrast like torchvision's ColorJitter, in an order drawn per picture."""

    def brighter(x: Tensor) -> Tensor:
        return (x * brightness).clamp(0, 1)

    def sharper(x: Tensor) -> Tensor:
        return (x * contrast + grey_mean(x) * (1 - contrast)).clamp(0, 1)

    first = torch.where(brightness_first, brighter(x), sharper(x))
    return torch.where(brightness_first, sharper(first), brighter(first))


def grey_mean(x: Tensor) -> Tensor:
    """Returns the mean grey level of each picture, (batch, 1, 1, 1)."""
    means = x.mean(dim=(2, 3), keepdim=True)
    if x.shape[1] == 1:
        return means
    weights = torch.tensor(GREY, device=x.device, dtype=x.dtype)[None, :, None, None]
    return (means * weights).sum(dim=1, keepdim=True)


Part = Annotated[float, Field(ge=0, lt=1)]


@VIEWS.register("pair")
@marked("units", "two")
def pair(
    raw: Raw,
    front: FrontEnd,
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
    """Returns two distortions of one picture as seen and target, in validation too.

    Each is moved and stretched in time and frequency (shares of the axis, at most), made louder or softer
    (`gain`), has a floor taken away or put under it (at most `floor`), noise added (standard deviation at
    most `noise`) and a band and a stretch of time taken out (at most a share `mask` of the axis).
    """
    clean = front(raw)
    reach = (shift, frequency_shift, stretch, frequency_stretch)
    first, second = (distorted(clean, draws, reach, gain, floor, noise, mask) for _ in range(2))
    return first, second


@VIEWS.register("distort")
@marked("units")
def distort(
    raw: Raw,
    front: FrontEnd,
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
    """Returns a distortion, as in `pair`, as seen, and the picture as target; validation sees the picture."""
    clean = front(raw)
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
    """Returns pictures that are distorted within the given reach, each by factors of its own."""
    chance = draws.uniform(11).T[..., None, None, None]  # (chances, batch, 1, 1, 1)
    around = 2 * chance - 1
    x = warped(clean, *(most * share.flatten() for most, share in zip(reach, around[:4], strict=True)))
    x = floored(x * (1 + gain * around[4]), floor * around[5])
    x = x + noise * chance[6] * draws.normal(*x.shape[1:]) if noise else x
    return without_bands(x.clamp(0, 1), *(mask * chance[7:9]), *chance[9:]) if mask else x.clamp(0, 1)


def warped(x: Tensor, shift: Tensor, frequency_shift: Tensor, stretch: Tensor, up: Tensor) -> Tensor:
    """Shifts by shares of the axes, stretches about the middle in time and 0 Hz in frequency; 0 comes in."""
    still = torch.zeros_like(shift)
    time = torch.stack([1 + stretch, still, 2 * shift], dim=1)
    frequency = torch.stack([still, 1 + up, 2 * frequency_shift - up], dim=1)  # the last row is 0 Hz
    grid = F.affine_grid(torch.stack([time, frequency], dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def floored(x: Tensor, level: Tensor) -> Tensor:
    """Subtracts a positive level and rescales the rest to [0, 1], or puts a negative level underneath."""
    lowered = (x - level).clamp(min=0) / (1 - level.clamp(min=0))
    return torch.where(level > 0, lowered, x - level * (1 - x))


def without_bands(x: Tensor, height: Tensor, width: Tensor, low: Tensor, start: Tensor) -> Tensor:
    """Removes a band of frequencies and a stretch of time; extents and positions are shares of the axes."""
    rows = torch.arange(x.shape[2], device=x.device)[:, None] / x.shape[2]
    columns = torch.arange(x.shape[3], device=x.device) / x.shape[3]
    return x * _outside(rows, low, height) * _outside(columns, start, width)


def _outside(positions: Tensor, start: Tensor, extent: Tensor) -> Tensor:
    """Returns which positions are outside the extent; `start` 0 is the beginning of the axis, 1 its end."""
    first = start * (1 - extent)
    return (positions < first) | (positions >= first + extent)
