"""Filters: what the rows of a spectrum, or its frames, are weighed with."""

import warnings
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from saec.faults import Fault

Scale = Literal["slaney", "htk"]
N_CHROMA = 12
DELTA_FRAMES = 9


def mel_bank(rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None, scale: Scale) -> Tensor:
    """(n_mels, n_fft / 2 + 1): triangles of equal area from `fmin` to `fmax` Hz, ascending (librosa's).

    The lowest one may be empty where it begins at 0 Hz, as in librosa.

    Raises:
        Fault: the range is empty or leaves what the rate can hold, or a triangle lies between two
            frequencies of the spectrum.
    """
    import librosa.filters

    highest = rate / 2 if fmax is None else fmax
    _require_range(rate, fmin, highest)
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
    """(12, n_fft / 2 + 1): the pitch classes C to B, tuned to A = 440 Hz (librosa's)."""
    import librosa.filters

    return torch.from_numpy(librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=0.0, n_chroma=N_CHROMA))


def cosine_bank(n_mfcc: int, n_mels: int) -> Tensor:
    """(n_mfcc, n_mels): the first rows of the orthonormal DCT-II.

    Raises:
        Fault: there are fewer mel bands than coefficients.
    """
    if n_mfcc > n_mels:
        raise Fault(f"n_mfcc must be at most n_mels = {n_mels}, got {n_mfcc}: lower n_mfcc or raise n_mels")
    orders, bands = np.arange(n_mfcc)[:, None], np.arange(n_mels)
    cosines = np.sqrt(2 / n_mels) * np.cos(np.pi * orders * (bands + 0.5) / n_mels)
    cosines[0] /= np.sqrt(2)
    return torch.from_numpy(cosines.astype(np.float32))


def delta_filter(order: Literal[1, 2]) -> Tensor:
    """(9,): what 9 frames are weighed with to give the slope of their line, or the bend of their parabola.

    Savitzky, Golay 1964, "Smoothing and differentiation of data by simplified least squares procedures":
    the polynomial of degree `order`, orthogonal to those below it, over the sum of its squares.
    """
    steps = np.arange(DELTA_FRAMES) - DELTA_FRAMES // 2
    polynomial = steps if order == 1 else steps**2 - np.mean(steps**2)
    return torch.from_numpy((order * polynomial / np.sum(polynomial**2)).astype(np.float32))


def deltas(rows: Tensor, weights: Tensor, n_frames: Tensor) -> Tensor:
    """(batch, rows, frames), weighed over 9 frames around each, none of them beyond n_frames (batch,).

    A slope is the same all along its line, and so is the bend of a parabola: the first four frames have that
    of the first nine, the last four that of the last nine. An item of fewer frames has zeros.
    """
    n_there = rows.shape[-1]
    if n_there < DELTA_FRAMES:
        return torch.zeros_like(rows)
    found = rows.unfold(-1, DELTA_FRAMES, 1) @ weights  # (batch, rows, frames - 8)
    last = (n_frames - DELTA_FRAMES)[:, None]
    nearest = torch.arange(n_there, device=rows.device) - DELTA_FRAMES // 2
    nearest = nearest.minimum(last).clamp(min=0)  # (batch, frames)
    spread = found.gather(-1, nearest[:, None].expand_as(rows))
    return spread.masked_fill(last[..., None] < 0, 0)


def _require_range(rate: int, fmin: float, fmax: float) -> None:
    if fmax > rate / 2:
        raise Fault(
            f"fmax must be at most {rate / 2:,g} Hz, half the rate of {rate:,} Hz, got {fmax:,g} Hz: "
            "lower fmax, or raise the rate if the recordings hold more"
        )
    if fmin >= fmax:
        raise Fault(f"fmin must be below fmax = {fmax:,g} Hz, got {fmin:,g} Hz")
