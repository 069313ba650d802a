"""The front end of sound: stored samples to a spectrum of one size, on the device."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from saec.data.sound_store import FULL_SCALE, NOTHING
from saec.faults import Fault
from saec.sound.spectra import Spectrum

SoundFit = Literal["resize", "pad", "centre"]
Standardise = Literal["none", "item", "set"] | tuple[float, float]
TINY = 1e-6


@dataclass(frozen=True)
class SoundFront:
    """From (batch, samples) int16 to (batch, 1, rows, frames) float, high frequencies on top.

    `fit` says how an item becomes so many frames: stretched by bicubic interpolation, or cut off and filled
    up with the floor on the right (pad) or on both sides (centre).
    """

    spectrum: Spectrum
    n_frames: int  # that come out
    fit: SoundFit = "resize"
    standardise: Standardise = "none"  # (mean, standard deviation) once a set has decided them

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, self.spectrum.n_rows, self.n_frames)

    @property
    def in_units(self) -> bool:
        """Whether values lie in [0, 1]."""
        return self.spectrum.in_units and self.standardise == "none"

    def fitted(self, height: int | None, time_pool: int, width: int | None = None) -> "SoundFront":
        """The same with so many frames that a model can take them.

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

    def decide(self, batches: Iterable[Tensor]) -> dict[str, Any]:
        """The options that the training set decides: mean and standard deviation of all its values."""
        if self.standardise != "set":
            return {}
        plain = replace(self, standardise="none")
        n, total, squares = 0, 0.0, 0.0
        for raw in batches:
            x = plain(raw).cpu().double()  # Apple GPUs have no float64
            n, total, squares = n + x.numel(), total + float(x.sum()), squares + float(x.square().sum())
        mean = total / n
        return {"standardise": (mean, max(squares / n - mean**2, TINY**2) ** 0.5)}

    def __call__(self, raw: Tensor) -> Tensor:
        there = raw != NOTHING
        n_samples = there.sum(dim=1)
        longest = int(n_samples.max())
        sound = torch.where(there, raw.float() / FULL_SCALE, 0.0)[:, :longest]
        spectra = self.spectrum(sound, n_samples)  # (batch, rows, frames)
        n_frames = self.spectrum.n_frames(n_samples).tolist()
        x = self._stretched(spectra, n_frames) if self.fit == "resize" else self._filled(spectra, n_frames)
        return self._standardised(x)[:, None]

    def _stretched(self, spectra: Tensor, n_frames: list[int]) -> Tensor:
        """Each item's own frames to as many as come out: bicubic, with antialiasing where it gets shorter."""
        out = spectra.new_zeros(*spectra.shape[:2], self.n_frames)
        size = (spectra.shape[1], self.n_frames)
        for n in set(n_frames):  # items of one length together
            rows = [place for place, own in enumerate(n_frames) if own == n]
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
            raise RuntimeError("a set's mean and deviation are to be decided before they are used")
        mean, deviation = self.standardise
        return (x - mean) / deviation
