"""Turns batches of pictures and of sounds, as the store holds them, into what models take."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import Axes, FrontEnd, Raw, Waveform, shades
from saec.faults import Fault
from saec.sound.spectra import Spectrum, near_full_scale

Fit = Literal["none", "pad", "crop", "resize"]
SoundFit = Literal["resize", "pad", "centre"]
Standardise = Literal["none", "item", "set"] | tuple[float, float]
TINY = 1e-6


@dataclass(frozen=True)
class PictureFront(FrontEnd):
    """Turns (batch, height, width[, 3]) uint8 into (batch, channels, height, width) float."""

    stored: tuple[int, int]  # height and width of a stored picture
    channels: Literal["intensity", "rgb"]
    fit: Fit = "none"
    colours: np.ndarray | None = None  # (256, 3): the map, where intensity is stored
    size: tuple[int, int] | None = None  # height and width that come out
    stored_axes: Axes = Axes()
    of_any_size: bool = False  # whether pictures could be stored in another size

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1 if self.channels == "intensity" else 3, *(self.size or self.stored))

    @property
    def axes(self) -> Axes:
        seconds, hertz, *_ = self.stored_axes
        if seconds is not None and self.fit != "resize":  # which keeps all of them
            seconds *= self.shape[2] / self.stored[1]
        return Axes(seconds, hertz)

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "PictureFront":
        """Returns this front end with the size that a model needs; `width` if it takes only that one.

        Raises:
            Fault: the stored size does not suit the model. Rows are frequencies: `resize` alone changes them.
        """
        wanted, (high, wide) = height or self.stored[0], self.stored
        is_high, suits = high == wanted or self.fit == "resize", wide % time_pool == 0 or self.fit != "none"
        need = f"a width that is a multiple of {time_pool} and a height of {wanted}"
        remedy = "`data.fit: pad`, `crop` or `resize`" if high == wanted else "`data.fit: resize`"
        if width is not None:
            widths = {"none": wide == width, "crop": wide >= width, "pad": wide <= width, "resize": True}
            suits, need, remedy = widths[self.fit], f"{width} x {wanted} alone", "`data.fit: resize`"
        steps = {"pad": ceil(wide / time_pool), "crop": wide // time_pool}
        n_steps = steps.get(self.fit, max(1, round(wide / time_pool)))
        if not (is_high and suits):
            if self.of_any_size:
                remedy = f"`data.size: [{wanted}, {width or n_steps * time_pool}]`"
            raise Fault(
                f"pictures are {wide} wide and {high} high, the model needs {need}: choose {remedy}, another "
                "model, or make the pictures anew"
            )
        if width is None and self.fit == "crop" and wide < time_pool:
            raise Fault(f"pictures of width {wide} cannot be cropped to {time_pool}: choose `data.fit: pad`")
        return replace(self, size=(wanted, width or n_steps * time_pool))

    def __call__(self, raw: Raw) -> Tensor:
        x = self._floats(raw.values)
        if self.size is None or x.shape[2:] == self.size:
            return x
        if self.fit == "resize":
            return F.interpolate(x, self.size, mode="bilinear", antialias=True).clamp(0, 1)
        return self._padded(x[..., : self.size[1]], self.size[1] - x.shape[3])

    def original(self, raw: Raw) -> Tensor:
        return self._floats(raw.values) if self.fit == "resize" else self(raw)

    def _floats(self, raw: Tensor) -> Tensor:
        if raw.ndim == 4:  # stored as RGB
            return raw.permute(0, 3, 1, 2).float() / 255
        if self.channels == "intensity":
            return raw[:, None].float() / 255
        colours = torch.from_numpy(self.colours).to(raw.device)
        return colours[raw.long()].permute(0, 3, 1, 2).float() / 255

    def _padded(self, x: Tensor, n: int) -> Tensor:
        """Adds n columns of the floor colour on the right."""
        if n <= 0:
            return x
        floor = torch.zeros(x.shape[1], device=x.device)
        if self.channels == "rgb" and self.colours is not None:
            floor = torch.from_numpy(self.colours[0]).to(x.device).float() / 255
        return torch.cat([x, floor[None, :, None, None].expand(*x.shape[:3], n)], dim=3)


@dataclass(frozen=True)
class SoundFront(FrontEnd):
    """Turns (batch, samples) float32 into (batch, 1, rows, frames) float, high frequencies on top.

    `fit` says how an item becomes so many frames: stretched by bicubic interpolation, or cut off and filled
    up with the floor on the right (pad) or on both sides (centre).
    """

    spectrum: Spectrum
    n_frames: int  # that come out
    fit: SoundFit = "resize"
    standardise: Standardise = "none"  # (mean, standard deviation) once a set has settled them
    seconds: float | None = None  # of each item that is stretched, where all have the same

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, self.spectrum.n_rows, self.n_frames)

    @property
    def in_units(self) -> bool:
        """Returns whether values lie in [0, 1]."""
        return self.spectrum.in_units and self.standardise == "none"

    @property
    def axes(self) -> Axes:
        seconds = self.seconds if self.fit == "resize" else self.n_frames * self.spectrum.frame_s
        return Axes(seconds, self.spectrum.hertz)

    @property
    def waveform(self) -> Waveform:
        return Waveform(self.spectrum.rate, self.spectrum.n_fft)

    def sized_for(self, height: int | None, time_pool: int, width: int | None = None) -> "SoundFront":
        """Returns the same with so many frames that a model can take them.

        Raises:
            Fault: the spectrum has other rows than the model takes.
        """
        if height is not None and height != self.spectrum.n_rows:
            raise Fault(
                f"the spectrum has {self.spectrum.n_rows} rows, the model takes {height}: choose "
                f"`data.spectrum.n_mels: {height}` of a mel spectrum, or another model"
            )
        steps = self.n_frames / time_pool
        n_steps = round(steps) if self.fit == "resize" else ceil(steps)
        return replace(self, n_frames=width or max(1, n_steps) * time_pool)

    def from_training_set(self, batches: Iterable[Raw]) -> dict[str, Any]:
        """Returns mean and standard deviation of all values of these samples, where the set settles them."""
        if self.standardise != "set":
            return {}
        plain = replace(self, standardise="none")
        n, total, squares = 0, 0.0, 0.0
        for raw in batches:
            x = plain(raw).cpu().double()  # Apple GPUs have no float64
            n, total, squares = n + x.numel(), total + float(x.sum()), squares + float(x.square().sum())
        mean = total / n
        return {"standardise": (mean, max(squares / n - mean**2, TINY**2) ** 0.5)}

    def __call__(self, raw: Raw) -> Tensor:
        sound = near_full_scale(raw.values) if self.spectrum.is_relative else raw.values
        spectra = self.spectrum(sound, raw.n_steps)  # (batch, rows, frames)
        n_frames = self.spectrum.n_frames(raw.n_steps).tolist()
        x = self._stretched(spectra, n_frames) if self.fit == "resize" else self._filled(spectra, n_frames)
        return self._standardised(x)[:, None]

    def show(self, values: Tensor, like: Tensor | None = None) -> np.ndarray:
        """Returns spectra as shades: as they are, or their range (that of `like`) stretched to [0, 1]."""
        if self.in_units:
            return shades(values)
        low, high = (values if like is None else like).float().aminmax()
        return shades(values, float(low), float(high))

    def _stretched(self, spectra: Tensor, n_frames: list[int]) -> Tensor:
        """Resizes each item's own frames to `n_frames`: bicubic, with antialiasing where it gets shorter."""
        out = spectra.new_zeros(*spectra.shape[:2], self.n_frames)
        size = (spectra.shape[1], self.n_frames)
        for n in set(n_frames):  # items of one length together
            rows = [row for row, own in enumerate(n_frames) if own == n]
            items = spectra[rows, :, :n][:, None]
            out[rows] = F.interpolate(items, size, mode="bicubic", antialias=True)[:, 0]
        return out.clamp(0, 1) if self.spectrum.in_units else out

    def _filled(self, spectra: Tensor, n_frames: list[int]) -> Tensor:
        out = spectra.new_zeros(*spectra.shape[:2], self.n_frames)
        for item, spectrum, n in zip(out, spectra, n_frames, strict=True):
            before, first = (self.n_frames - n) // 2 if self.fit == "centre" else 0, 0
            if before < 0:
                before, first = 0, -before
            kept = min(n - first, self.n_frames)
            item[:, before : before + kept] = spectrum[:, first : first + kept]
        return out

    def _standardised(self, x: Tensor) -> Tensor:
        if self.standardise == "none":
            return x
        if self.standardise == "item":
            mean, deviation = x.mean(dim=(1, 2), keepdim=True), x.std(dim=(1, 2), keepdim=True, correction=0)
            return (x - mean) / deviation.clamp(min=TINY)
        if self.standardise == "set":
            raise RuntimeError("a set's mean and deviation are to be settled before they are used")
        of_set, deviation_of_set = self.standardise
        return (x - of_set) / deviation_of_set
