"""Computes 136 hand-crafted features of a sound: statistics of waveform, spectrum, cepstrum, pitches."""

from itertools import product
from typing import Annotated, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field, PositiveFloat
from scipy.fft import dct, rfft
from scipy.special import entr

from saec.faults import Fault
from saec.registry import Registry
from saec.sound.files import Channel

N_BLOCKS = 10  # that entropies are taken over
N_MFCC = 13
N_CHROMA = 12
ROLLOFF = 0.9  # of the energy lies below it
LINEAR_HZ = 133.33 + 200 / 3 * np.arange(13)
LOG_HZ = LINEAR_HZ[-1] * 1.0711703 ** np.arange(1, 30)
EDGES_HZ = np.concatenate([LINEAR_HZ, LOG_HZ])  # filter i rises from edge i to i + 1, and falls to i + 2
A0_HZ = 27.5
FLOOR = np.finfo(np.float64).eps  # beneath logarithms
ROUNDING = 1e-10  # of the largest sample: less than that is left of a constant sound without its mean
AT_ONCE = 512  # frames: their spectra fit a processor's cache, however long the sound

SHAPES = "zcr energy energy_entropy centroid spread spectral_entropy flux rolloff".split()
MFCC = [f"mfcc{i}" for i in range(1, N_MFCC + 1)]
CHROMA = [f"chroma{i}" for i in range(1, N_CHROMA + 1)]
SHORT_TERM = [*SHAPES, *MFCC, *CHROMA, "chroma_std"]
NAMES: tuple[str, ...] = tuple(
    f"{statistic} {kind}{name}"
    for statistic, kind, name in product(("mean", "std"), ("", "delta "), SHORT_TERM)
)


def handcrafted(
    sound: np.ndarray,
    rate: float,
    *,
    window_s: float = 0.05,
    step_s: float = 0.01,
    mid_window_s: float = 1.0,
    mid_step_s: float = 1.0,
) -> np.ndarray:
    """Returns (136,) float32 of (samples,) at `rate` Hz, named by `NAMES`; gain and offset do not matter.

    34 features a frame and their differences to the frame before, mean and population std over each mid
    window, averaged over mid windows: Giannakopoulos 2015, "pyAudioAnalysis: an open-source Python library
    for audio signal analysis", PLoS ONE 10(12). Other than there, bin k of n is k rate / n Hz in all
    features, a semitone holds the mean of all its bins, filters that do not fit the spectrum are left out.
    Frames that would reach beyond the sound are left out, unless it is shorter than one.

    Raises:
        Fault: the sound is empty, not one channel or not finite, or the windows are too short.
    """
    window, step, n_mid, mid_step = sizes(rate, window_s, step_s, mid_window_s, mid_step_s)
    signal = _normalised(sound)
    frames = sliding_window_view(np.pad(signal, (0, max(window - len(signal), 0))), window)[::step]
    filters, pitches = _mel_filters(rate, window), _semitones(rate, window)
    starts = range(0, len(frames), AT_ONCE)
    pieces = [_short_term(frames[max(i - 1, 0) : i + AT_ONCE], filters, pitches)[min(i, 1) :] for i in starts]
    features = np.concatenate(pieces)  # (frames, 34)
    deltas = np.diff(features, axis=0, prepend=features[:1])
    return _mid_term(np.hstack([features, deltas]), n_mid, mid_step).astype(np.float32)


def sizes(
    rate: float, window_s: float, step_s: float, mid_window_s: float, mid_step_s: float
) -> tuple[int, int, int, int]:
    """Returns window and step in samples, mid window and its step in frames.

    Raises:
        Fault: windows are too short for what is computed in them, or hold too few filters.
    """
    window, step = round(window_s * rate), round(step_s * rate)
    if window < 2 * N_BLOCKS or step < 1:
        raise Fault(
            f"hand-crafted features need windows of {2 * N_BLOCKS} samples and steps of 1 at least, "
            f"got {window} and {step}: {rate} Hz ask for more than window_s = {window_s} or step_s = {step_s}"
        )
    n_mid = 1 + round((mid_window_s * rate - window) / step)
    mid_step = round(mid_step_s * rate / step)
    if n_mid < 1 or mid_step < 1:
        raise Fault(
            f"hand-crafted features need a mid_window_s of window_s ({window_s}) and a mid_step_s of step_s "
            f"({step_s}) at least, got {mid_window_s} and {mid_step_s}"
        )
    _mel_filters(rate, window)
    return window, step, n_mid, mid_step


def _normalised(sound: np.ndarray) -> np.ndarray:
    signal = np.asarray(sound, dtype=np.float64)
    shape = f"an array of shape {signal.shape}" if signal.ndim != 1 or not signal.size else ""
    if shape or not np.isfinite(signal).all():
        raise Fault(
            f"hand-crafted features need one channel of finite samples, got {shape or 'NaN or infinity'}"
        )
    loudest = np.abs(signal).max()
    signal = signal - signal.mean()
    peak = np.abs(signal).max()
    return signal / peak if peak > ROUNDING * loudest else np.zeros_like(signal)


def _mel_filters(rate: float, window: int) -> np.ndarray:
    """Returns (bins, filters): triangles of area 1 that are below half the rate and contain a bin."""
    low, centre, high = EDGES_HZ[:-2], EDGES_HZ[1:-1], EDGES_HZ[2:]
    bins = np.arange(window // 2)[:, None] * rate / window
    sides = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    filters = 2 / (high - low) * np.maximum(sides, 0)
    fitting = filters[:, (high <= rate / 2) & filters.any(axis=0)]
    if fitting.shape[1] < N_MFCC:
        raise Fault(
            f"{N_MFCC} MFCC need as many filters, got {fitting.shape[1]} that fit windows of {window} "
            f"samples at {rate} Hz: choose a longer window_s or a higher sampling rate"
        )
    return fitting


def _semitones(rate: float, window: int) -> np.ndarray:
    """Returns (bins, 12): octaves' sums of the mean over each semitone's bins, from A on, without 0 Hz."""
    bins = np.arange(1, window // 2)
    semitones = np.round(12 * np.log2(bins * rate / window / A0_HZ)).astype(int)
    _, of_bin, counts = np.unique(semitones, return_inverse=True, return_counts=True)
    weights = np.zeros((window // 2, N_CHROMA))
    weights[bins, semitones % N_CHROMA] = 1 / counts[of_bin]
    return weights


def _short_term(frames: np.ndarray, filters: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """Returns (frames, 34) features of (frames, samples)."""
    n_bins = frames.shape[1] // 2
    magnitudes = np.abs(rfft(frames, axis=1)[:, :n_bins]) / n_bins
    energies = magnitudes**2
    crossings = np.abs(np.diff(np.sign(frames), axis=1)).sum(axis=1) / 2
    squares = frames**2
    mfcc = dct(np.log10(magnitudes @ filters + FLOOR), axis=1, norm="ortho")[:, :N_MFCC]
    chroma = _part(energies @ pitches, energies.sum(axis=1, keepdims=True))
    shares = _part(magnitudes, magnitudes.sum(axis=1, keepdims=True))
    bins = 2 * np.arange(n_bins) / frames.shape[1]  # as fractions of half the sampling rate
    centroids = shares @ bins
    below = energies.cumsum(axis=1)
    columns = [
        crossings / (frames.shape[1] - 1),
        squares.mean(axis=1),
        _entropy(squares),
        centroids,
        np.sqrt((shares * (bins - centroids[:, None]) ** 2).sum(axis=1)),
        _entropy(energies),
        (np.diff(shares, axis=0, prepend=shares[:1]) ** 2).sum(axis=1),
        (below > ROLLOFF * below[:, -1:]).argmax(axis=1) / n_bins,
    ]
    return np.column_stack([*columns, mfcc, chroma, chroma.std(axis=1)])


def _part(some: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Returns shares of a total, 0 where the total is 0."""
    return np.divide(some, total, out=np.zeros_like(some), where=total > 0)


def _entropy(energies: np.ndarray) -> np.ndarray:
    """Returns the entropy, in bits, of a row's energy over its blocks; an incomplete last one is left out."""
    length = energies.shape[1] // N_BLOCKS
    blocks = energies[:, : N_BLOCKS * length].reshape(-1, N_BLOCKS, length).sum(axis=2)
    return entr(_part(blocks, blocks.sum(axis=1, keepdims=True))).sum(axis=1) / np.log(2)


def _mid_term(features: np.ndarray, n_mid: int, mid_step: int) -> np.ndarray:
    """Returns (136,) of (frames, 68): the mean over mid windows, of which the last may be shorter."""
    n = len(features)
    starts = range(0, min(n, max(n - n_mid, 0) + mid_step), mid_step)  # until one reaches the end
    windows = [features[start : start + n_mid] for start in starts]
    statistics = [np.concatenate([some.mean(axis=0), some.std(axis=0)]) for some in windows]
    return np.mean(statistics, axis=0)


EXTRACTORS = Registry("extractor")


@EXTRACTORS.register("handcrafted")
class Handcrafted:
    """Computes the 136 hand-crafted features of a sound, with its options of resampling and cutting.

    34 short-term features and their differences in frames of `window_s`, one every `hop_s`; their means and
    deviations in mid-term windows of `mid_window_s`, one every `mid_step_s`; the mean over these. Recordings
    are resampled to `sample_rate` and cut into segments as the data kind `audio` does.
    """

    names = NAMES

    def __init__(
        self,
        *,
        sample_rate: Annotated[int, Field(ge=2_000, le=1_000_000)] = 16_000,
        channel: Channel = "mean",
        segment_s: PositiveFloat | None = None,
        step_s: PositiveFloat | None = None,
        window_s: PositiveFloat = 0.05,
        hop_s: PositiveFloat = 0.01,
        mid_window_s: PositiveFloat = 1.0,
        mid_step_s: PositiveFloat = 1.0,
    ):
        self.listening: dict[str, Any] = {"sample_rate": sample_rate, "channel": channel}
        self.listening |= {"segment_s": segment_s, "step_s": step_s}
        self.windows = {"window_s": window_s, "step_s": hop_s}
        self.windows |= {"mid_window_s": mid_window_s, "mid_step_s": mid_step_s}
        sizes(sample_rate, *self.windows.values())  # raises now if windows do not suit the rate

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        return handcrafted(sound, self.listening["sample_rate"], **self.windows)
