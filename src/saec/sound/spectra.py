"""Spectra by name: levels of all frequencies, of mel bands and pitch classes, and what sums them up.

A component is given the sampling rate in Hz; options follow.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from saec.registry import Registry
from saec.sound.filters import N_CHROMA, Scale, chroma_bank, cosine_bank, delta_filter, deltas, mel_bank
from saec.sound.spectrum import Decibels, Frames, Reference, Spectrum, Window

SPECTRA = Registry("spectrum")

WindowLength = Annotated[int, Field(ge=4, multiple_of=2)]
Hertz = Annotated[float, Field(ge=0)]


@SPECTRA.register("linear")
class Linear(Spectrum):
    """Power of every frequency but the highest, half the sampling rate, in dB."""

    def __init__(
        self,
        rate: int,
        *,
        n_fft: WindowLength = 1024,
        hop_length: PositiveInt = 256,
        window: Window = "hann",
        reference: Reference = "max",
        floor_db: PositiveFloat = 80.0,
    ):
        super().__init__(n_fft // 2, Frames(n_fft, hop_length, window), {})
        self.decibels = Decibels(reference, floor_db)

    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        return self.decibels.units(power[:, :-1].flip(1))


@SPECTRA.register("mel")
class Mel(Spectrum):
    """Power in bands that are even on the mel scale, in dB; `chroma` adds the pitch classes, B to C, below.

    Pitch classes are relative to the strongest one of their frame.
    """

    def __init__(
        self,
        rate: int,
        *,
        n_fft: WindowLength = 1024,
        hop_length: PositiveInt = 256,
        window: Window = "hann",
        reference: Reference = "max",
        floor_db: PositiveFloat = 80.0,
        n_mels: PositiveInt = 128,
        fmin: Hertz = 0.0,
        fmax: PositiveFloat | None = None,
        scale: Scale = "slaney",
        chroma: bool = False,
    ):
        frames = Frames(n_fft, hop_length, window)
        banks = {"mel": mel_bank(rate, n_fft, n_mels, fmin, fmax, scale).flip(0)}
        if chroma:
            banks["chroma"] = chroma_bank(rate, n_fft).flip(0)
        super().__init__(n_mels + N_CHROMA * chroma, frames, banks)
        self.decibels = Decibels(reference, floor_db)
        self.chroma_decibels = Decibels(1.0, floor_db)

    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        mel = self.decibels.units(banks["mel"] @ power)
        if "chroma" not in banks:
            return mel
        chroma = _of_loudest(banks["chroma"] @ power)
        return torch.cat([mel, self.chroma_decibels.units(chroma)], dim=1)


@SPECTRA.register("mfcc")
class Mfcc(Spectrum):
    """Mel-frequency cepstral coefficients, the lowest on top, and as many of their `deltas`.

    The orthonormal DCT-II of mel levels in dB, not scaled to [0, 1]. `deltas` adds first, then second
    differences over 9 frames, as librosa.feature.delta; they are 0 in a sound of fewer frames.
    """

    in_units = False

    def __init__(
        self,
        rate: int,
        *,
        n_fft: WindowLength = 1024,
        hop_length: PositiveInt = 256,
        window: Window = "hann",
        reference: Reference = "max",
        floor_db: PositiveFloat = 80.0,
        n_mfcc: PositiveInt = 13,
        n_mels: PositiveInt = 128,
        fmin: Hertz = 0.0,
        fmax: PositiveFloat | None = None,
        scale: Scale = "slaney",
        deltas: Literal[0, 1, 2] = 0,
    ):
        frames = Frames(n_fft, hop_length, window)
        banks = {"cosines": cosine_bank(n_mfcc, n_mels)}
        banks["mel"] = mel_bank(rate, n_fft, n_mels, fmin, fmax, scale)
        banks |= {f"delta{order}": delta_filter(order) for order in range(1, deltas + 1)}
        super().__init__(n_mfcc * (1 + deltas), frames, banks)
        self.decibels = Decibels(reference, floor_db)
        self.deltas = deltas

    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        mfcc = banks["cosines"] @ self.decibels(banks["mel"] @ power)
        filters = [banks[f"delta{order}"] for order in range(1, self.deltas + 1)]
        return torch.cat([mfcc, *(deltas(mfcc, weights, n_frames) for weights in filters)], dim=1)


def _of_loudest(rows: Tensor) -> Tensor:
    """(batch, rows, frames), each frame over its largest value; frames of nothing stay as they are."""
    largest = rows.amax(dim=1, keepdim=True)
    return rows / largest.masked_fill(largest < torch.finfo(rows.dtype).tiny, 1)
