"""Computes what encoders from elsewhere take: the sound itself, published log mel levels, or our spectra."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from saec.faults import Fault
from saec.registry import Registry
from saec.sound.spectra import SPECTRA, Count, Hertz

INPUTS = Registry("input")
for _name in SPECTRA.names():
    INPUTS.register(_name)(SPECTRA[_name].target)


@INPUTS.register("image")
def image(rate: int | None) -> None:
    """Takes pictures as they are, with levels from 0 to 1."""


@INPUTS.register("waveform")
class Waveform:
    """Takes the sound itself, of which full scale is 1.

    `peak`: the mean of a window is taken away, and its largest value brought to this one.
    """

    n_rows = hop_length = 1
    in_units = is_relative = False
    hertz: np.ndarray | None = None

    def __init__(self, rate: int, *, peak: PositiveFloat | None = None):
        self.peak = peak
        self.frame_s = 1 / rate

    def n_frames(self, n_samples: Count) -> Count:
        return n_samples

    def __call__(self, sound: Tensor, n_samples: Tensor) -> Tensor:
        """Returns (batch, 1, samples)."""
        if self.peak is not None:
            sound = sound - sound.mean(dim=1, keepdim=True)
            largest = sound.abs().amax(dim=1, keepdim=True)
            sound = sound / largest.masked_fill(largest == 0, 1) * self.peak
        return sound[:, None]


@INPUTS.register("log_mel")
class LogMel:
    """Takes log(mel + offset) of magnitudes (`power` 1) or powers (2), as TensorFlow's models compute it.

    The first window begins with the sound; it is filled up to `n_fft`. Filters are triangles of height 1,
    even and straight on the HTK mel scale.
    """

    in_units = is_relative = False

    def __init__(
        self,
        rate: int,
        *,
        window_length: PositiveInt = 400,
        hop_length: PositiveInt = 160,
        n_fft: PositiveInt = 512,
        n_mels: PositiveInt = 64,
        fmin: Hertz = 125.0,
        fmax: PositiveFloat = 7500.0,
        power: Annotated[float, Field(ge=1, le=2)] = 1.0,
        offset: PositiveFloat = 0.01,
    ):
        if window_length > n_fft:
            raise Fault(f"window_length must be at most n_fft = {n_fft}, got {window_length}")
        if not fmin < fmax <= rate / 2:
            raise Fault(f"needs fmin < fmax <= {rate / 2:,g} Hz, half the rate, got {fmin:,g} and {fmax:,g}")
        self.n_rows = n_mels
        self.hop_length = hop_length
        self.n_fft = n_fft
        self.frame_s = hop_length / rate
        self.power = power
        self.offset = offset
        edges = np.linspace(_mel(fmin), _mel(fmax), n_mels + 2)
        self.hertz = 700 * (np.exp(edges[1:-1] / 1127) - 1)
        mels = _mel(np.fft.rfftfreq(n_fft, 1 / rate))
        rising = (mels - edges[:-2, None]) / np.diff(edges)[:-1, None]
        falling = (edges[2:, None] - mels) / np.diff(edges)[1:, None]
        bank = np.maximum(0, np.minimum(rising, falling))  # (n_mels, n_fft / 2 + 1)
        bank[:, 0] = 0
        self.bank = torch.from_numpy(bank[::-1].astype(np.float32))
        self.window = torch.hann_window(window_length)

    def n_frames(self, n_samples: Count) -> Count:
        n = n_samples - len(self.window)
        return 1 + (n.clamp(min=0) if isinstance(n, Tensor) else max(0, n)) // self.hop_length

    def __call__(self, sound: Tensor, n_samples: Tensor) -> Tensor:
        """Returns (batch, n_mels, frames), high frequencies on top, of sounds that are filled with zeros."""
        sound = F.pad(sound, (0, max(0, len(self.window) - sound.shape[1])))
        frames = sound.unfold(1, len(self.window), self.hop_length) * self.window.to(sound.device)
        magnitudes = (
            torch.fft.rfft(frames, n=self.n_fft).abs() ** self.power
        )  # (batch, frames, n_fft / 2 + 1)
        return (self.bank.to(sound.device) @ magnitudes.mT + self.offset).log()


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    """Returns the HTK mel scale."""
    return 1127 * np.log(1 + np.asarray(hertz) / 700)
