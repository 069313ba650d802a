"""Computes spectra by name: levels of all frequencies, mel bands and pitch classes, and cepstra.

A component is given the sampling rate in Hz; options follow.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import log10
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import (
    Field,
    FiniteFloat,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from torch import Tensor

from saec.faults import Fault
from saec.registry import Registry

Scale = Literal["slaney", "htk"]
N_CHROMA = 12
DELTA_FRAMES = 9


def mel_bank(rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None, scale: Scale) -> Tensor:
    """Returns (n_mels, n_fft / 2 + 1): triangles of equal area from `fmin` to `fmax` Hz, as librosa's.

    The lowest one may be empty where it begins at 0 Hz, as in librosa.

    Raises:
        Fault: the range is empty or leaves what the rate can hold, or a triangle lies between two
            frequencies of the spectrum.
    """
    import librosa.filters

    highest = rate / 2 if fmax is None else fmax
    if highest > rate / 2:
        raise Fault(
            f"fmax must be at most {rate / 2:,g} Hz, half the rate of {rate:,} Hz, got {highest:,g} Hz: "
            "lower fmax, or raise the rate if the recordings hold more"
        )
    if fmin >= highest:
        raise Fault(f"fmin must be below fmax = {highest:,g} Hz, got {fmin:,g} Hz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of empty filters: they are a fault, below
        bank = librosa.filters.mel(
            sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=highest, htk=scale == "htk"
        )
    n_empty = int((bank[int(fmin == 0) :].max(axis=1) <= 0).sum())
    if n_empty:
        raise Fault(
            f"{n_empty} of n_mels = {n_mels} mel filters from {fmin:,g} to {highest:,g} Hz are empty: "
            f"n_fft = {n_fft} at {rate:,} Hz gives one frequency every {rate / n_fft:,.4g} Hz; "
            "lower n_mels or raise n_fft"
        )
    return torch.from_numpy(bank)


def chroma_bank(rate: int, n_fft: int) -> Tensor:
    """Returns (12, n_fft / 2 + 1): the pitch classes C to B, tuned to A = 440 Hz (librosa's)."""
    import librosa.filters

    return torch.from_numpy(librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=0.0, n_chroma=N_CHROMA))


def cosine_bank(n_mfcc: int, n_mels: int) -> Tensor:
    """Returns (n_mfcc, n_mels): the first rows of the orthonormal DCT-II.

    Raises:
        Fault: there are fewer mel bands than coefficients.
    """
    from scipy.fft import dct

    if n_mfcc > n_mels:
        raise Fault(f"n_mfcc must be at most n_mels = {n_mels}, got {n_mfcc}: lower n_mfcc or raise n_mels")
    return torch.from_numpy(dct(np.eye(n_mels), axis=0, norm="ortho")[:n_mfcc].astype(np.float32))


def delta_filter(order: int) -> Tensor:
    """Returns (9,) weights of 9 frames: the slope of their line, or the curvature of their parabola.

    Savitzky, Golay 1964, "Smoothing and differentiation of data by simplified least squares procedures":
    the polynomial of degree `order`, orthogonal to those below it, over the sum of its squares.
    """
    steps = np.arange(DELTA_FRAMES) - DELTA_FRAMES // 2
    polynomial = steps if order == 1 else steps**2 - np.mean(steps**2)
    return torch.from_numpy((order * polynomial / np.sum(polynomial**2)).astype(np.float32))


def deltas(rows: Tensor, weights: Tensor, n_frames: Tensor) -> Tensor:
    """Returns (batch, rows, frames) weighed over 9 frames around each, none beyond n_frames (batch,).

    A slope is the same all along its line, and so is the bend of a parabola: the first four frames have that
    of the first nine, the last four that of the last nine. An item of fewer frames has zeros.
    """
    if rows.shape[-1] < DELTA_FRAMES:
        return torch.zeros_like(rows)
    slopes = rows.unfold(-1, DELTA_FRAMES, 1) @ weights  # (batch, rows, frames - 8)
    last = (n_frames - DELTA_FRAMES)[:, None]
    nearest = torch.arange(rows.shape[-1], device=rows.device) - DELTA_FRAMES // 2
    nearest = nearest.minimum(last).clamp(min=0)  # (batch, frames)
    return slopes.gather(-1, nearest[:, None].expand_as(rows)).masked_fill(last[..., None] < 0, 0)


LEAST = 1e-10  # power below it counts as so much, as in librosa
WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}
POSITIVE = TypeAdapter(Annotated[FiniteFloat, Field(gt=0)])

Window = Literal["hann", "hamming"]
Count = TypeVar("Count", int, Tensor)


def _reference(raw: Any) -> str | float:
    if raw == "max":
        return raw
    try:
        return POSITIVE.validate_python(raw)
    except ValidationError:
        raise ValueError(f"must be max or a positive power, got {raw!r}") from None


Reference = Annotated[Literal["max"] | float, PlainValidator(_reference)]


@dataclass(frozen=True)
class Decibels:
    """Computes levels from -floor_db to 0 against an item's own largest power ("max"), or a fixed power."""

    reference: Reference
    floor_db: float

    def __call__(self, power: Tensor) -> Tensor:
        """Returns dB of (batch, rows, frames) power; a silent item is at the floor everywhere."""
        loudest = power.amax(dim=(1, 2), keepdim=True)
        levels = 10 * (power.clamp(min=LEAST).log10() - self._reference(loudest))
        return levels.clamp(-self.floor_db, 0).masked_fill(loudest <= LEAST, -self.floor_db)

    def units(self, power: Tensor) -> Tensor:
        """Returns the same levels in [0, 1], 0 at the floor."""
        return self(power) / self.floor_db + 1

    def _reference(self, loudest: Tensor) -> Tensor | float:
        if self.reference == "max":
            return loudest.clamp(min=LEAST).log10()
        return log10(max(self.reference, LEAST))


class Spectrum(ABC):
    """Turns (batch, samples) into (batch, n_rows, frames) of float32, with high frequencies on top.

    The middle of the first of `n_fft` samples, and of a shorter `win_length`, is the first sample; there are
    zeros before and after the sound. An item's frames are those of its own samples, as if it were alone; what
    follows them is 0.
    """

    in_units = True  # whether values lie in [0, 1]
    hertz: np.ndarray | None = None  # of the rows, the lowest first, where they are frequencies
    decibels: Decibels

    def __init__(
        self,
        n_rows: int,
        rate: int,
        n_fft: int,
        win_length: int | None,
        hop_length: int,
        window: Window,
        banks: dict[str, Tensor],
    ):
        own, n = ("n_fft", n_fft) if win_length is None else ("win_length", win_length)
        if n > n_fft:
            raise Fault(f"win_length must be at most n_fft = {n_fft}, got {n}: lower it or raise n_fft")
        if hop_length > n:
            raise Fault(
                f"hop_length must be at most {own} = {n}, got {hop_length}: the sound between "
                "two windows would be lost"
            )
        self.n_rows = n_rows
        self.rate = rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.frame_s = hop_length / rate
        self._banks = {torch.device("cpu"): {"window": WINDOWS[window](n)} | banks}

    @property
    def is_relative(self) -> bool:
        """Returns whether levels are relative to an item's own largest one, so its gain does not matter."""
        return self.decibels.reference == "max"

    def n_frames(self, n_samples: Count) -> Count:
        return 1 + n_samples // self.hop_length

    def __call__(self, sound: Tensor, n_samples: Tensor) -> Tensor:
        """Returns the spectra of (batch, samples), with zeros after each item's own n_samples (batch,)."""
        with torch.autocast(sound.device.type, enabled=False):
            banks = self._on(sound.device)
            window = banks["window"]
            framed = self.n_fft, self.hop_length, len(window), window
            waves = torch.stft(sound.float(), *framed, pad_mode="constant", return_complex=True)
            power = waves.real.square() + waves.imag.square()  # (batch, n_fft / 2 + 1, frames)
            n_frames = self.n_frames(n_samples.to(sound.device))
            beyond = torch.arange(power.shape[-1], device=sound.device) >= n_frames[:, None, None]
            return self._rows(power.masked_fill(beyond, 0), n_frames, banks).masked_fill(beyond, 0)

    @abstractmethod
    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        """Returns the n_rows of (batch, n_fft / 2 + 1, frames), 0 beyond each item's n_frames (batch,)."""

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._banks:
            here = self._banks[torch.device("cpu")]
            self._banks[device] = {name: bank.to(device) for name, bank in here.items()}
        return self._banks[device]


def near_full_scale(sound: Tensor) -> Tensor:
    """Returns sounds (batch, samples) times the powers of 2 that bring their peaks to [0.5, 1), which rounds
    nothing: the least power that a spectrum tells from silence is then far below each of them.
    """
    _, exponents = torch.frexp(sound.abs().amax(dim=1, keepdim=True))
    return torch.ldexp(sound, -exponents)


SPECTRA = Registry("spectrum")

WindowLength = Annotated[int, Field(ge=4, multiple_of=2)]
Shorter = Annotated[WindowLength | None, Field(exclude_if=lambda n: n is None)]  # sessions stay as they were
Hertz = Annotated[float, Field(ge=0)]


@SPECTRA.register("linear")
class Linear(Spectrum):
    """Computes the power of every frequency except half the sampling rate, in dB."""

    def __init__(
        self,
        rate: int,
        *,
        n_fft: WindowLength = 1024,
        win_length: Shorter = None,
        hop_length: PositiveInt = 256,
        window: Window = "hann",
        reference: Reference = "max",
        floor_db: PositiveFloat = 80.0,
    ):
        super().__init__(n_fft // 2, rate, n_fft, win_length, hop_length, window, {})
        self.hertz = np.fft.rfftfreq(n_fft, 1 / rate)[:-1]
        self.decibels = Decibels(reference, floor_db)

    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        return self.decibels.units(power[:, :-1].flip(1))


@SPECTRA.register("mel")
class Mel(Spectrum):
    """Computes power in bands even on the mel scale, in dB; `chroma` adds the pitch classes, B to C, below.

    Pitch classes are relative to the strongest one of their frame.
    """

    def __init__(
        self,
        rate: int,
        *,
        n_fft: WindowLength = 1024,
        win_length: Shorter = None,
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
        from librosa import mel_frequencies

        banks = {"mel": mel_bank(rate, n_fft, n_mels, fmin, fmax, scale).flip(0)}
        if chroma:
            banks["chroma"] = chroma_bank(rate, n_fft).flip(0)
        super().__init__(n_mels + N_CHROMA * chroma, rate, n_fft, win_length, hop_length, window, banks)
        self.decibels = Decibels(reference, floor_db)
        self.chroma_decibels = Decibels(1.0, floor_db)
        edges = mel_frequencies(n_mels + 2, fmin=fmin, fmax=fmax or rate / 2, htk=scale == "htk")
        self.mel_hertz = edges[1:-1]  # the peaks of the filters
        self.hertz = None if chroma else self.mel_hertz

    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        mel = self.decibels.units(banks["mel"] @ power)
        if "chroma" not in banks:
            return mel
        chroma = _of_loudest(banks["chroma"] @ power)
        return torch.cat([mel, self.chroma_decibels.units(chroma)], dim=1)


@SPECTRA.register("mfcc")
class Mfcc(Spectrum):
    """Computes mel-frequency cepstral coefficients, the lowest on top, and as many of their `deltas`.

    The orthonormal DCT-II of mel levels in dB, not scaled to [0, 1]. `deltas` adds first, then second
    differences over 9 frames, as librosa.feature.delta; they are 0 in a sound of fewer frames.
    """

    in_units = False

    def __init__(
        self,
        rate: int,
        *,
        n_fft: WindowLength = 1024,
        win_length: Shorter = None,
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
        banks = {"cosines": cosine_bank(n_mfcc, n_mels)}
        banks["mel"] = mel_bank(rate, n_fft, n_mels, fmin, fmax, scale)
        banks |= {f"delta{order}": delta_filter(order) for order in (1, 2) if order <= deltas}
        super().__init__(n_mfcc * (1 + deltas), rate, n_fft, win_length, hop_length, window, banks)
        self.decibels = Decibels(reference, floor_db)
        self.deltas = deltas

    def _rows(self, power: Tensor, n_frames: Tensor, banks: dict[str, Tensor]) -> Tensor:
        mfcc = banks["cosines"] @ self.decibels(banks["mel"] @ power)
        filters = [banks[f"delta{order}"] for order in range(1, self.deltas + 1)]
        return torch.cat([mfcc, *(deltas(mfcc, weights, n_frames) for weights in filters)], dim=1)


def _of_loudest(rows: Tensor) -> Tensor:
    """Divides each frame of (batch, rows, frames) by its largest value, except frames of zeros."""
    largest = rows.amax(dim=1, keepdim=True)
    return rows / largest.masked_fill(largest < torch.finfo(rows.dtype).tiny, 1)
